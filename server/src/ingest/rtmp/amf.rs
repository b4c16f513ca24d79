//! AMF0 values (Adobe's "Action Message Format -- AMF 0"): what commands and metadata are written in.

use bytes::{Buf as _, Bytes};

/// Deepest nesting of objects and arrays.
const DEPTH: usize = 8;
/// Most values in one message, members of objects included.
const VALUES: usize = 2048;

/// A value. Types that no publisher sends (references, movie clips) are refused.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number.
    Number(f64),
    /// A truth value.
    Boolean(bool),
    /// A string, short or long; an XML document counts as one.
    String(String),
    /// An object, an associative array or a typed object: names and values in order.
    Object(Vec<(String, Value)>),
    /// An array.
    Array(Vec<Value>),
    /// Milliseconds since 1970-01-01 UTC.
    Date(f64),
    /// Null, undefined or "unsupported".
    Null,
}

/// Bytes that are not AMF0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmfError {
    /// The end comes too early.
    #[error("an AMF value is cut short")]
    Short,
    /// A type that is not known or not accepted.
    #[error("an AMF value has the type {0}, which is not accepted")]
    Type(u8),
    /// Text that is not UTF-8.
    #[error("an AMF string is not UTF-8")]
    Text,
    /// Too deep, or too many values.
    #[error("an AMF message holds more than {VALUES} values or nests deeper than {DEPTH}")]
    TooMuch,
}

impl Value {
    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a number that is finite.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) if number.is_finite() => Some(*number),
            _ => None,
        }
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// An object of these members.
    pub fn object<const N: usize>(members: [(&str, Self); N]) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

/// Reads all values of a message.
///
/// # Errors
/// See [`AmfError`].
pub fn read(mut bytes: Bytes) -> Result<Vec<Value>, AmfError> {
    let mut left = VALUES;
    let mut values = Vec::new();
    while bytes.has_remaining() {
        values.push(value(&mut bytes, DEPTH, &mut left)?);
    }
    Ok(values)
}

fn value(bytes: &mut Bytes, depth: usize, left: &mut usize) -> Result<Value, AmfError> {
    *left = left.checked_sub(1).ok_or(AmfError::TooMuch)?;
    let deeper = || depth.checked_sub(1).ok_or(AmfError::TooMuch);
    let kind = bytes.try_get_u8().map_err(|_| AmfError::Short)?;
    Ok(match kind {
        0x00 => Value::Number(double(bytes)?),
        0x01 => Value::Boolean(bytes.try_get_u8().map_err(|_| AmfError::Short)? != 0),
        0x02 => Value::String(string(bytes)?),
        0x03 => Value::Object(members(bytes, deeper()?, left)?),
        0x05 | 0x06 | 0x0d => Value::Null,
        0x08 => {
            // The count is a hint; the end marker decides.
            count(bytes)?;
            Value::Object(members(bytes, deeper()?, left)?)
        }
        0x0a => {
            let (wanted, depth) = (count(bytes)?, deeper()?);
            let mut values = Vec::new();
            for _ in 0..wanted {
                values.push(value(bytes, depth, left)?);
            }
            Value::Array(values)
        }
        0x0b => {
            let date = double(bytes)?;
            bytes.try_get_u16().map_err(|_| AmfError::Short)?;
            Value::Date(date)
        }
        0x0c | 0x0f => {
            let length = count(bytes)?;
            Value::String(text(bytes, length)?)
        }
        0x10 => {
            string(bytes)?;
            Value::Object(members(bytes, deeper()?, left)?)
        }
        other => return Err(AmfError::Type(other)),
    })
}

fn members(bytes: &mut Bytes, depth: usize, left: &mut usize) -> Result<Vec<(String, Value)>, AmfError> {
    let mut members = Vec::new();
    loop {
        let name = string(bytes)?;
        if name.is_empty() && bytes.first() == Some(&0x09) {
            bytes.advance(1);
            return Ok(members);
        }
        if !bytes.has_remaining() {
            return Err(AmfError::Short);
        }
        members.push((name, value(bytes, depth, left)?));
    }
}

fn double(bytes: &mut Bytes) -> Result<f64, AmfError> {
    bytes.try_get_f64().map_err(|_| AmfError::Short)
}

fn count(bytes: &mut Bytes) -> Result<usize, AmfError> {
    bytes.try_get_u32().map(|count| count as usize).map_err(|_| AmfError::Short)
}

fn string(bytes: &mut Bytes) -> Result<String, AmfError> {
    let length = usize::from(bytes.try_get_u16().map_err(|_| AmfError::Short)?);
    text(bytes, length)
}

fn text(bytes: &mut Bytes, length: usize) -> Result<String, AmfError> {
    if bytes.len() < length {
        return Err(AmfError::Short);
    }
    let text = bytes.split_to(length);
    std::str::from_utf8(&text).map(str::to_owned).map_err(|_| AmfError::Text)
}

/// Writes values one after the other. Strings longer than 65 535 bytes are written as long strings, names are cut
/// there; dates and numbers as they are.
pub fn write(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    for value in values {
        put(&mut out, value);
    }
    out
}

fn put(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Number(number) => {
            out.push(0x00);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Boolean(truth) => out.extend_from_slice(&[0x01, u8::from(*truth)]),
        Value::String(text) if text.len() > usize::from(u16::MAX) => {
            out.push(0x0c);
            out.extend_from_slice(&(text.len() as u32).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        Value::String(text) => {
            out.push(0x02);
            put_name(out, text);
        }
        Value::Object(members) => {
            out.push(0x03);
            for (name, value) in members {
                put_name(out, name);
                put(out, value);
            }
            out.extend_from_slice(&[0, 0, 0x09]);
        }
        Value::Array(values) => {
            out.push(0x0a);
            out.extend_from_slice(&(values.len() as u32).to_be_bytes());
            values.iter().for_each(|value| put(out, value));
        }
        Value::Date(date) => {
            out.push(0x0b);
            out.extend_from_slice(&date.to_be_bytes());
            out.extend_from_slice(&[0, 0]);
        }
        Value::Null => out.push(0x05),
    }
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend(name.bytes().take(usize::from(length)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<Value> {
        vec![
            "connect".into(),
            1.0.into(),
            Value::object([
                ("app", "live".into()),
                ("fourCcList", Value::Array(vec!["av01".into(), "hvc1".into()])),
                ("inner", Value::object([("yes", Value::Boolean(true)), ("none", Value::Null)])),
                ("at", Value::Date(1e12)),
            ]),
            Value::String("x".repeat(70_000)),
        ]
    }

    #[test]
    fn what_is_written_reads_back() {
        assert_eq!(read(write(&sample()).into()).unwrap(), sample());
    }

    #[test]
    fn associative_arrays_and_undefined_are_read() {
        let bytes = [8, 0, 0, 0, 9, 0, 1, b'a', 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 1, b'b', 6, 0, 0, 9];
        let values = read(Bytes::copy_from_slice(&bytes)).unwrap();
        assert_eq!(values, [Value::object([("a", 2.0.into()), ("b", Value::Null)])]);
        assert_eq!(values[0].get("a").and_then(Value::number), Some(2.0));
    }

    #[test]
    fn every_cut_is_an_error_or_a_shorter_message() {
        let whole = write(&sample());
        for end in (0..whole.len()).filter(|end| *end < 300 || end % 997 == 0) {
            let _ = read(Bytes::copy_from_slice(&whole[..end]));
        }
        assert_eq!(read(Bytes::from_static(&[2, 0, 5, b'a'])), Err(AmfError::Short));
        assert_eq!(read(Bytes::from_static(&[3, 0, 0])), Err(AmfError::Short));
        assert_eq!(read(Bytes::from_static(&[0x11])), Err(AmfError::Type(0x11)));
        assert_eq!(read(Bytes::from_static(&[2, 0, 1, 0xff])), Err(AmfError::Text));
    }

    #[test]
    fn deep_and_wide_values_are_refused() {
        let deep: Vec<u8> = [3, 0, 1, b'a'].repeat(1000);
        assert_eq!(read(deep.into()), Err(AmfError::TooMuch));
        assert_eq!(read(vec![5; VALUES + 1].into()), Err(AmfError::TooMuch));
        // A count costs nothing before its values are there.
        assert_eq!(read(Bytes::from_static(&[0x0a, 0xff, 0xff, 0xff, 0xff, 5])), Err(AmfError::Short));
    }
}
