//! Where RTMP listens.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::Deserialize;

/// RTMP's registered port.
pub const PORT: u16 = 1935;

/// The setting: an address, or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum RtmpListen {
    /// Nothing listens.
    Off,
    /// The address that nobody chose: when it is taken, the server goes on without RTMP.
    Usual(SocketAddr),
    /// The address that was asked for: when it is taken, the server does not start.
    At(SocketAddr),
}

impl RtmpListen {
    /// RTMP's port beside the HTTP server's address.
    #[must_use]
    pub fn beside(http: IpAddr) -> Self {
        Self::Usual(SocketAddr::new(http, PORT))
    }

    /// The address, unless it is off.
    #[must_use]
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::Usual(address) | Self::At(address) => Some(address),
        }
    }
}

impl FromStr for RtmpListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let address =
            text.parse().map_err(|_| format!("\"{text}\" is neither an address with a port nor \"off\""))?;
        Ok(Self::At(address))
    }
}

impl TryFrom<String> for RtmpListen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_off_are_read() {
        assert_eq!("off".parse(), Ok(RtmpListen::Off));
        assert_eq!("[::]:1936".parse(), Ok(RtmpListen::At("[::]:1936".parse().unwrap())));
        assert!("localhost".parse::<RtmpListen>().unwrap_err().contains("off"));
        assert_eq!(RtmpListen::beside([127, 0, 0, 1].into()).address(), Some(([127, 0, 0, 1], 1935).into()));
    }
}
