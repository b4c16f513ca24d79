//! Codec configurations and the strings that playlists name them by (RFC 6381).

use super::PackageError;

/// H.264: what the init segment says about the pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoConfig {
    /// Coded width in pixels.
    pub width: u16,
    /// Coded height in pixels.
    pub height: u16,
    /// The `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15), checked.
    avcc: Vec<u8>,
}

impl VideoConfig {
    /// Takes an `AVCDecoderConfigurationRecord`, as GStreamer's `codec_data` holds it.
    ///
    /// # Errors
    /// When it is not one, or NAL lengths are not four bytes long.
    pub fn from_avcc(width: u16, height: u16, avcc: &[u8]) -> Result<Self, PackageError> {
        let bad = |why: &str| PackageError::Codec { codec: "H.264", why: why.to_owned() };
        let [version, profile, compatibility, level, lengths, sps_count, rest @ ..] = avcc else {
            return Err(bad("it is shorter than its fixed part"));
        };
        if *version != 1 {
            return Err(bad("its version is not 1"));
        }
        if lengths & 3 != 3 {
            return Err(bad("NAL units are not prefixed with four-byte lengths"));
        }
        let [high, low, sps @ ..] = rest else { return Err(bad("it holds no SPS")) };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let sps =
            sps.get(..length).filter(|_| sps_count & 31 > 0).ok_or_else(|| bad("its SPS is cut short"))?;
        if sps.get(1..4) != Some(&[*profile, *compatibility, *level][..]) {
            return Err(bad("profile and level differ from its SPS"));
        }
        Ok(Self { width, height, avcc: avcc.to_vec() })
    }

    /// "avc1.PPCCLL": profile, constraint flags and level of the SPS in hexadecimal.
    #[must_use]
    pub fn codec_string(&self) -> String {
        match self.avcc.get(1..4) {
            Some([profile, constraints, level]) => format!("avc1.{profile:02x}{constraints:02x}{level:02x}"),
            _ => "avc1".to_owned(),
        }
    }

    pub(super) fn avcc(&self) -> &[u8] {
        &self.avcc
    }
}

/// AAC: what the init segment says about the sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioConfig {
    /// Hz.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u16,
    /// Average bitrate in bit/s.
    pub bitrate: u32,
    /// The `AudioSpecificConfig` (ISO/IEC 14496-3), checked.
    asc: Vec<u8>,
}

impl AudioConfig {
    /// Takes an `AudioSpecificConfig`, as GStreamer's `codec_data` holds it.
    ///
    /// # Errors
    /// When it is not AAC or longer than 64 bytes.
    pub fn from_asc(sample_rate: u32, channels: u16, bitrate: u32, asc: &[u8]) -> Result<Self, PackageError> {
        let config = Self { sample_rate, channels, bitrate, asc: asc.to_vec() };
        match (asc.len(), config.object_type()) {
            (2..=64, 1..=30) => Ok(config),
            _ => Err(PackageError::Codec {
                codec: "AAC",
                why: format!("{} bytes that are no AudioSpecificConfig", asc.len()),
            }),
        }
    }

    /// "mp4a.40.2" for AAC-LC.
    #[must_use]
    pub fn codec_string(&self) -> String {
        format!("mp4a.40.{}", self.object_type())
    }

    fn object_type(&self) -> u8 {
        self.asc.first().map_or(0, |first| first >> 3)
    }

    pub(super) fn asc(&self) -> &[u8] {
        &self.asc
    }
}
