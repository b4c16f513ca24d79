//! Decodes a file once: I420 pictures and 48 kHz stereo samples on the file's own timeline.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use gstreamer_video as gst_video;

use super::LadderError;
use super::animation;
use super::log::Voice;
use super::pipeline::{Guarded, make};
use super::sound::language_of;
use super::timeline::SAMPLE_RATE;
use super::whole::cut_before_index;

/// What a source turned out to hold.
#[derive(Debug, Clone)]
pub(crate) struct MediaInfo {
    pub(crate) video: Option<PictureInfo>,
    pub(crate) audio: Option<TrackStart>,
    /// The sound's language (RFC 5646), where the file tells it.
    pub(crate) language: Option<String>,
    /// Tracks of sound beside the first, which are left out.
    pub(crate) more_sound: u32,
    /// From the container; not always known, not always right.
    pub(crate) duration_ns: Option<u64>,
}

impl fmt::Display for MediaInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.video {
            Some(v) => {
                let rate = f64::from(v.frame_rate.0) / f64::from(v.frame_rate.1.max(1));
                write!(f, "pictures of {}x{} at {rate:.3} a second", v.width, v.height)?;
            }
            None => f.write_str("no pictures")?,
        }
        match (self.audio, self.more_sound) {
            (None, _) => f.write_str(", without sound")?,
            (Some(_), 0) => f.write_str(", with sound")?,
            (Some(_), more) => write!(f, ", with the first of {} tracks of sound", more + 1)?,
        }
        match self.duration_ns {
            Some(ns) => write!(f, ", {:.1} s", ns as f64 / 1e9),
            None => Ok(()),
        }
    }
}

/// When a track's first sample is presented, in nanoseconds of the file's own time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrackStart {
    pub(crate) first_ns: i64,
}

/// The pictures after rotation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PictureInfo {
    pub(crate) first_ns: i64,
    /// Size in square pixels.
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Constant rate to convert to.
    pub(crate) frame_rate: (u32, u32),
}

/// A decoded buffer with its place on the file's timeline.
#[derive(Debug)]
pub(crate) struct Pulled {
    pub(crate) start_ns: i64,
    pub(crate) duration_ns: Option<u64>,
    pub(crate) buffer: gst::Buffer,
    pub(crate) caps: gst::Caps,
}

/// What a pull brought.
#[derive(Debug)]
pub(crate) enum Next {
    Buffer(Pulled),
    /// Nothing yet: look whether to stop, then ask again.
    Waiting,
    End,
}

/// A file being decoded. Sinks may be pulled from different threads.
#[derive(Debug)]
pub(crate) struct Decoder {
    guarded: Guarded,
    sinks: Arc<Mutex<Sinks>>,
}

#[derive(Debug, Default)]
struct Sinks {
    video: Option<AppSink>,
    audio: Option<AppSink>,
    more_sound: u32,
    /// Where what is decoded goes in, by its kind.
    entries: Vec<(String, gst::Pad)>,
    /// What stood in the way of linking a decoded stream.
    trouble: Option<String>,
}

/// decodebin swallows errors that a demuxer posts while it is being connected, and then nothing ever comes.
const PREROLL_LIMIT: Duration = Duration::from_secs(20);
/// What is there when a file has been opened is there at once.
const AT_ONCE: gst::ClockTime = gst::ClockTime::from_mseconds(100);

impl Decoder {
    /// Opens the file and decodes its first pictures and samples.
    pub(crate) fn open(
        path: &Path,
        nice: i32,
        voice: &Voice,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, LadderError> {
        let decode = |why: String| LadderError::Decode(why);
        let guarded = Guarded::new(nice, voice);
        let source = make("filesrc")?;
        source.set_property("location", path.to_string_lossy().as_ref());
        let decoder = make("decodebin")?;
        animation::complete(&decoder, path);
        guarded.pipeline.add_many([&source, &decoder]).map_err(|e| decode(e.to_string()))?;
        source.link(&decoder).map_err(|e| decode(e.to_string()))?;
        let sinks = Arc::new(Mutex::new(Sinks::default()));
        let (weak, shared) = (guarded.pipeline.downgrade(), Arc::clone(&sinks));
        decoder.connect_pad_added(move |_, pad| {
            let Some(pipeline) = weak.upgrade() else { return };
            let mut sinks = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = sinks.connect(&pipeline, pad) {
                sinks.trouble.get_or_insert(error.to_string());
            }
        });
        guarded.set_state(gst::State::Paused).map_err(decode)?;
        guarded.watcher.wait_async_done(PREROLL_LIMIT, stop).map_err(|why| match cut_before_index(path) {
            Some((length, least)) => LadderError::CutShort { length, least },
            None => decode(why),
        })?;
        let this = Self { guarded, sinks };
        let sinks = this.lock();
        if sinks.video.is_none() && sinks.audio.is_none() {
            return Err(match &sinks.trouble {
                Some(why) => LadderError::Decode(why.clone()),
                None => LadderError::NothingToPlay,
            });
        }
        drop(sinks);
        Ok(this)
    }

    /// Continues at `ns` of the file's own time. Where the file cannot be sought in, decoding starts at its
    /// beginning, and whoever pulls skips.
    pub(crate) fn seek(&self, ns: u64, stop: &dyn Fn() -> bool) -> Result<(), LadderError> {
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        if self.guarded.pipeline.seek_simple(flags, gst::ClockTime::from_nseconds(ns)).is_err() {
            tracing::info!("the source cannot be sought in: decoding it from its beginning");
            return Ok(());
        }
        self.guarded.watcher.wait_async_done(PREROLL_LIMIT, stop).map_err(LadderError::Decode)
    }

    /// Throws away sound that nobody pulls: what is full of it would hold up the pictures.
    pub(crate) fn leave_out_sound(&self) {
        if let Some(sink) = &self.lock().audio {
            sink.set_drop(true);
        }
    }

    /// Lets it run, as fast as its buffers are pulled.
    pub(crate) fn play(&self) -> Result<(), LadderError> {
        self.guarded.set_state(gst::State::Playing).map_err(LadderError::Decode)
    }

    /// The next picture; waits a fifth of a second at most.
    pub(crate) fn next_video(&self) -> Result<Next, LadderError> {
        let sink = self.lock().video.clone();
        self.next(sink)
    }

    /// The next samples; waits a fifth of a second at most.
    pub(crate) fn next_audio(&self) -> Result<Next, LadderError> {
        let sink = self.lock().audio.clone();
        self.next(sink)
    }

    /// What comes first of a track that was not there when the file was opened; none when nothing does. What the other
    /// one brings meanwhile is thrown away.
    fn first_of(
        &self,
        sink: Option<&AppSink>,
        other: Option<&AppSink>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Pulled>, LadderError> {
        let Some(sink) = sink else { return Ok(None) };
        if let Some(other) = other {
            other.set_drop(true);
        }
        self.play()?;
        let began = Instant::now();
        let found = loop {
            match self.next(Some(sink.clone()))? {
                Next::Buffer(first) => break Some(first),
                Next::End => break None,
                Next::Waiting if stop() => return Err(LadderError::Decode("cancelled".to_owned())),
                Next::Waiting if began.elapsed() > PREROLL_LIMIT => break None,
                Next::Waiting => {}
            }
        };
        if let Some(other) = other {
            other.set_drop(false);
        }
        Ok(found)
    }

    fn next(&self, sink: Option<AppSink>) -> Result<Next, LadderError> {
        let Some(sink) = sink else { return Ok(Next::End) };
        match sink.try_pull_sample(gst::ClockTime::from_mseconds(200)) {
            Some(sample) => Ok(pulled(&sample).map_or(Next::Waiting, Next::Buffer)),
            None => match self.guarded.watcher.error() {
                Some(error) => Err(LadderError::Decode(error)),
                None if sink.is_eos() => Ok(Next::End),
                None => Ok(Next::Waiting),
            },
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sinks> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sample's place in stream time, which is where edit lists put it.
fn pulled(sample: &gst::Sample) -> Option<Pulled> {
    let buffer = sample.buffer_owned()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let start = segment.to_stream_time_full(buffer.pts()?)?;
    let magnitude = i64::try_from(start.abs().nseconds()).ok()?;
    Some(Pulled {
        start_ns: if start.is_negative() { -magnitude } else { magnitude },
        duration_ns: buffer.duration().map(gst::ClockTime::nseconds),
        caps: sample.caps_owned()?,
        buffer,
    })
}

impl Sinks {
    /// Links the first video and the first audio stream; others stay unlinked and are not decoded. Where the streams of
    /// a file change on the way (joined transport streams), those that come take the place of those that went.
    fn connect(&mut self, pipeline: &gst::Pipeline, pad: &gst::Pad) -> Result<(), LadderError> {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let kind = caps.structure(0).map(|s| s.name().to_string()).unwrap_or_default();
        let cannot =
            |error: gst::PadLinkError| LadderError::Decode(format!("cannot connect {kind}: {error:?}"));
        if let Some((_, entry)) = self.entries.iter().find(|(known, _)| *known == kind) {
            if entry.is_linked() {
                self.more_sound += u32::from(kind == "audio/x-raw");
                return Ok(());
            }
            return pad.link(entry).map(|_| ()).map_err(cannot);
        }
        let (chain, sink) = match kind.as_str() {
            "video/x-raw" => video_chain()?,
            "audio/x-raw" => audio_chain()?,
            _ => return Ok(()),
        };
        let fail = |error: gst::glib::BoolError| LadderError::Decode(error.to_string());
        pipeline.add_many(&chain).map_err(fail)?;
        gst::Element::link_many(&chain).map_err(fail)?;
        for element in &chain {
            element.sync_state_with_parent().map_err(fail)?;
        }
        let entry = chain.first().and_then(|first| first.static_pad("sink"));
        let entry = entry.ok_or_else(|| LadderError::Decode("a converter has no input".to_owned()))?;
        pad.link(&entry).map_err(cannot)?;
        self.entries.push((kind.clone(), entry));
        if kind == "video/x-raw" {
            self.video = Some(sink);
        } else {
            self.audio = Some(sink);
        }
        Ok(())
    }
}

type Chain = (Vec<gst::Element>, AppSink);

fn video_chain() -> Result<Chain, LadderError> {
    let deinterlace = make("deinterlace")?;
    deinterlace.set_property_from_str("mode", "auto");
    // One picture a frame; both fields would double the rate.
    deinterlace.set_property_from_str("fields", "top");
    let flip = make("videoflip")?;
    flip.set_property_from_str("video-direction", "auto");
    let caps = gst::Caps::builder("video/x-raw").field("format", "I420").build();
    let sink = AppSink::builder().caps(&caps).sync(false).max_buffers(4).build();
    let chain = vec![make("queue")?, make("videoconvert")?, deinterlace, flip, make("videoconvert")?];
    Ok(with_sink(chain, sink))
}

fn audio_chain() -> Result<Chain, LadderError> {
    let caps = gst::Caps::builder("audio/x-raw")
        .field("format", "F32LE")
        .field("layout", "interleaved")
        .field("rate", SAMPLE_RATE as i32)
        .field("channels", 2)
        .field("channel-mask", gst::Bitmask::new(3))
        .build();
    let sink = AppSink::builder().caps(&caps).sync(false).max_buffers(50).build();
    Ok(with_sink(vec![make("queue")?, make("audioconvert")?, make("audioresample")?], sink))
}

fn with_sink(mut chain: Vec<gst::Element>, sink: AppSink) -> Chain {
    chain.push(sink.clone().upcast());
    (chain, sink)
}

/// Opens a file just to see what it holds.
pub(crate) fn probe(
    path: &Path,
    nice: i32,
    voice: &Voice,
    stop: &dyn Fn() -> bool,
) -> Result<MediaInfo, LadderError> {
    let decoder = Decoder::open(path, nice, voice, stop)?;
    let duration_ns =
        decoder.guarded.pipeline.query_duration::<gst::ClockTime>().map(gst::ClockTime::nseconds);
    let (video_sink, audio_sink) = {
        let sinks = decoder.lock();
        (sinks.video.clone(), sinks.audio.clone())
    };
    let preroll = |sink: &Option<AppSink>| {
        sink.as_ref().and_then(|sink| sink.try_pull_preroll(AT_ONCE)).and_then(|sample| pulled(&sample))
    };
    let (mut picture, mut sound) = (preroll(&video_sink), preroll(&audio_sink));
    // A track that begins after the other one has had nothing to show yet.
    if picture.is_none() {
        picture = decoder.first_of(video_sink.as_ref(), audio_sink.as_ref(), stop)?;
    }
    if sound.is_none() {
        sound = decoder.first_of(audio_sink.as_ref(), video_sink.as_ref(), stop)?;
    }
    let audio = sound.map(|first| TrackStart { first_ns: first.start_ns });
    let mut video = None;
    if let Some(first) = picture {
        let info = gst_video::VideoInfo::from_caps(&first.caps)
            .map_err(|_| LadderError::Decode("its pictures have no size".to_owned()))?;
        let (width, height) = square_size(&info);
        let named = (info.fps().numer().max(0) as u32, info.fps().denom().max(1) as u32);
        let frame_rate = if named.0 == 0 {
            if let Some(audio) = &audio_sink {
                audio.set_drop(true); // or it would hold up the demuxer while pictures are timed
            }
            decoder.play()?;
            standard_rate(measure_rate(&decoder))
        } else {
            standard_rate(f64::from(named.0) / f64::from(named.1))
        };
        video = Some(PictureInfo { first_ns: first.start_ns, width, height, frame_rate });
    }
    if video.is_none() && audio.is_none() {
        return Err(LadderError::NothingToPlay);
    }
    let more_sound = decoder.lock().more_sound;
    let language = audio_sink.as_ref().and_then(language_of);
    Ok(MediaInfo { video, audio, language, more_sound, duration_ns })
}

/// The picture's size with pixels made square; the longer way, so nothing is lost.
fn square_size(info: &gst_video::VideoInfo) -> (u32, u32) {
    let (num, den) =
        (u64::from(info.par().numer().max(1) as u32), u64::from(info.par().denom().max(1) as u32));
    let (width, height) = (u64::from(info.width()), u64::from(info.height()));
    let scaled = |side: u64, by: u64, of: u64| (side * by + of / 2) / of;
    let stretched =
        if num >= den { (scaled(width, num, den), height) } else { (width, scaled(height, den, num)) };
    (stretched.0.min(16_384) as u32, stretched.1.min(16_384) as u32)
}

/// Frames a second by the median distance of the first pictures; 30 when there are too few.
fn measure_rate(decoder: &Decoder) -> f64 {
    let mut times = Vec::new();
    for _ in 0..200 {
        match decoder.next_video() {
            Ok(Next::Buffer(picture)) => times.push(picture.start_ns),
            Ok(Next::Waiting) => (),
            Ok(Next::End) | Err(_) => break,
        }
        if times.len() >= 40 {
            break;
        }
    }
    let mut gaps: Vec<i64> = times
        .windows(2)
        .filter_map(|pair| Some(pair.get(1)? - pair.first()?))
        .filter(|gap| *gap > 0)
        .collect();
    gaps.sort_unstable();
    gaps.get(gaps.len() / 2).map_or(30.0, |gap| 1e9 / *gap as f64)
}

/// Rates that screens and players know, ascending.
const STANDARD: [(u32, u32); 11] = [
    (10, 1),
    (12, 1),
    (15, 1),
    (20, 1),
    (24_000, 1001),
    (24, 1),
    (25, 1),
    (30_000, 1001),
    (30, 1),
    (50, 1),
    (60_000, 1001),
];

/// The standard rate within 1 %, else the next above, so that no picture is lost; 60 at most.
fn standard_rate(fps: f64) -> (u32, u32) {
    let value = |rate: (u32, u32)| f64::from(rate.0) / f64::from(rate.1);
    let all = || STANDARD.into_iter().chain([(60, 1)]);
    let nearest = all().min_by(|a, b| (value(*a) - fps).abs().total_cmp(&(value(*b) - fps).abs()));
    match nearest {
        Some(rate) if (value(rate) - fps).abs() <= fps * 0.01 => rate,
        _ => all().find(|rate| value(*rate) >= fps).unwrap_or((60, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_frame_rates_become_standard_ones_that_lose_no_picture() {
        for (fps, want) in [
            (25.0, (25, 1)),
            (23.976, (24_000, 1001)),
            (29.97, (30_000, 1001)),
            (29.83, (30_000, 1001)),
            (30.0, (30, 1)),
            (17.3, (20, 1)),
            (1.0, (10, 1)),
            (59.94, (60_000, 1001)),
            (120.0, (60, 1)),
            (40.0, (50, 1)),
        ] {
            assert_eq!(standard_rate(fps), want, "{fps}");
        }
    }
}
