//! How content is named on the command line.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use super::{Content, MOST_KBPS, Model, Movie, MovieError};
use crate::options;

/// A description of content: `FILE.json` (a Sabre movie), or `cbr:KBPS,.../SEGMENT/LENGTH`, or
/// `vbr:KBPS,.../SEGMENT/LENGTH[/seed=N][/spread=X]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Spec {
    /// A Sabre movie file.
    Movie(PathBuf),
    /// Sizes from a model.
    Model(Model),
}

/// A description that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot read the content {text:?}: {problem}; write FILE.json, cbr:300,750,1200/4s/300s or vbr:300,750,1200/4s/300s/seed=1"
)]
pub struct SpecError {
    text: String,
    problem: String,
}

impl FromStr for Spec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let spread = match text.split_once(':').map(|(kind, _)| kind) {
            Some("cbr") => 0.0,
            Some("vbr") => 0.35,
            _ => return Ok(Self::Movie(PathBuf::from(text))),
        };
        parse_model(&text[4..], spread)
            .map(Self::Model)
            .map_err(|problem| SpecError { text: text.to_owned(), problem })
    }
}

fn parse_model(text: &str, spread: f64) -> Result<Model, String> {
    let mut parts = text.split('/');
    let kbps: Vec<f64> = parts
        .next()
        .unwrap_or_default()
        .split(',')
        .map(|number| match number.trim().parse::<f64>() {
            Ok(kbps) if kbps > 0.0 && kbps <= MOST_KBPS => Ok(kbps),
            _ => Err(format!("{number:?} is not a bitrate in kbit/s")),
        })
        .collect::<Result<_, _>>()?;
    if !kbps.is_sorted() {
        return Err("the bitrates must rise".to_owned());
    }
    let mut time = |what| options::duration(parts.next().ok_or_else(|| format!("{what} is missing"))?);
    let segment = time("the segments' length")?;
    let length = time("the whole length")?;
    if segment < Duration::from_millis(100) || length < segment || length > Duration::from_secs(100 * 3600) {
        return Err("segments must last 0.1 s at least, and the whole a segment at least".to_owned());
    }
    let count = (length.as_secs_f64() / segment.as_secs_f64()).round() as usize;
    let mut model = Model { kbps, segment, count: count.max(1), spread, seed: 1 };
    for part in parts {
        let bad = || format!("{part:?} is neither seed=N nor spread=X");
        match part.split_once('=').ok_or_else(bad)? {
            ("seed", value) => model.seed = value.parse().map_err(|_| bad())?,
            ("spread", value) => match value.parse::<f64>() {
                Ok(spread) if (0.0..=2.0).contains(&spread) => model.spread = spread,
                _ => return Err(bad()),
            },
            _ => return Err(bad()),
        }
    }
    Ok(model)
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Movie(path) => write!(f, "{}", path.file_stem().unwrap_or_default().to_string_lossy()),
            Self::Model(model) => {
                let kind = if model.spread > 0.0 { "vbr" } else { "cbr" };
                let (low, high) = (model.kbps.first().copied(), model.kbps.last().copied());
                let (low, high) = (low.unwrap_or_default(), high.unwrap_or_default());
                write!(f, "{kind} {low}-{high} kbit/s, {} s", model.segment.as_secs_f64())
            }
        }
    }
}

impl Spec {
    /// Makes the content; a movie's path that is not absolute is looked for below `root`.
    pub fn load(&self, root: &Path) -> Result<Content, MovieError> {
        let name = self.to_string();
        let unsorted = |path: &Path| MovieError::Bad {
            path: path.to_owned(),
            line: 1,
            reason: "the bitrates make no ladder".to_owned(),
        };
        match self {
            Self::Movie(path) => {
                let path = root.join(path);
                Movie::read(&path)?.to_content(&name).ok_or_else(|| unsorted(&path))
            }
            Self::Model(model) => model.to_content(&name).ok_or_else(|| unsorted(Path::new(&name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_read_from_text() {
        let spec: Spec = "vbr:300,750/4s/60s/seed=7/spread=0.5".parse().unwrap();
        let Spec::Model(model) = &spec else { panic!("not a model") };
        assert_eq!((model.count, model.seed, model.spread), (15, 7, 0.5));
        assert_eq!(spec.load(Path::new("/")).unwrap().duration(), Duration::from_secs(60));
        for bad in
            ["vbr:", "vbr:300", "vbr:300/4s", "cbr:700,300/4s/60s", "cbr:300/4s/1s", "cbr:300/4s/60s/x=1"]
        {
            assert!(bad.parse::<Spec>().is_err(), "{bad}");
        }
    }
}
