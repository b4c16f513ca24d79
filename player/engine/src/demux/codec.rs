//! Codecs by the names that people know, and who can decode them.

use gstreamer as gst;

/// The codec in `caps` as people call it: "H.264", "AAC". What is not known keeps its media type.
pub fn codec_name(caps: &gst::CapsRef) -> String {
    let Some(structure) = caps.structure(0) else {
        return "no codec at all".to_owned();
    };
    let version = structure.get::<i32>("mpegversion").unwrap_or(0);
    let layer = structure.get::<i32>("layer").unwrap_or(0);
    let name = match (structure.name().as_str(), version) {
        ("video/x-h264", _) => "H.264",
        ("video/x-h265", _) => "H.265",
        ("video/x-av1", _) => "AV1",
        ("video/x-vp9", _) => "VP9",
        ("video/x-vp8", _) => "VP8",
        ("video/mpeg", 4) => "MPEG-4 Visual",
        ("video/mpeg", _) => "MPEG-2 video",
        ("audio/mpeg", 1) if layer == 3 => "MP3",
        ("audio/mpeg", 1) => "MPEG audio",
        ("audio/mpeg", _) => "AAC",
        ("audio/x-ac3", _) => "AC-3",
        ("audio/x-eac3", _) => "E-AC-3",
        ("audio/x-opus", _) => "Opus",
        ("audio/x-flac", _) => "FLAC",
        ("audio/x-vorbis", _) => "Vorbis",
        ("audio/x-alac", _) => "Apple Lossless",
        ("application/x-cenc" | "application/x-cbcs", _) => "encrypted media (DRM)",
        (other, _) => other,
    };
    name.to_owned()
}

/// The Debian and Ubuntu package with a decoder for `codec` (a name of [`codec_name`]).
pub fn decoder_package(codec: &str) -> &'static str {
    match codec {
        "VP9" | "VP8" | "FLAC" | "MPEG audio" | "MP3" => "gstreamer1.0-plugins-good",
        "Opus" | "Vorbis" => "gstreamer1.0-plugins-base",
        "AV1" => "gstreamer1.0-plugins-bad",
        _ => "gstreamer1.0-libav",
    }
}
