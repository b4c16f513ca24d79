//! One packaging job from source to complete stream.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use url::Url;

use super::JobError;
use super::audio_side::AudioSide;
use super::manager::{JobControl, JobOptions, JobState};
use super::own_sound::{OwnSound, OwnSoundSide};
use super::pace::Pace;
use super::place::Place;
use super::plan::{AUDIO, Plan, SOURCE};
use super::process;
use super::source_side::SourceSide;
use super::video_side::VideoSide;
use crate::ingest::{FetchPolicy, SourceSpec, fetch, pull};
use crate::ladder::{
    self, Animation, Passthrough, Profile, Sequence, SoundTrack, SourceIndex, VideoEncoderKind,
};
use crate::store::{Store, StreamStore};

const SECOND_NS: u64 = 1_000_000_000;
/// Tracks of sound that are looked at.
const MOST_SOUND: u32 = 16;
/// Name of a downloaded source in the stream's folder.
const DOWNLOAD: &str = "source.media";

pub(super) fn run(
    store: &Arc<Store>,
    options: &JobOptions,
    control: &Arc<JobControl>,
    source: &SourceSpec,
    profile: &Profile,
) -> Result<(), JobError> {
    ladder::lower_priority(options.nice);
    let stream = store.get_or_create(&control.id)?;
    if !stream.is_complete() {
        let path = local_file(&stream, options, control, source)?;
        control.update(|status| {
            status.state = JobState::Packaging;
            status.progress = 0.0;
        });
        match &options.program {
            Some(program) => {
                process::package(program, &stream, options, control, (source, path.as_ref()), profile)?;
            }
            None => {
                ladder::init()?;
                let place: Arc<dyn Place> = Arc::<StreamStore>::clone(&stream);
                let (encoders, nice) = (options.encoders.as_slice(), options.nice);
                package(&place, control, &Work { source, path: path.as_ref(), profile, encoders, nice })?;
            }
        }
        stream.complete()?;
    }
    tidy(&stream, source);
    Ok(())
}

/// Where the source can be read; downloads it first when it is behind a URL.
fn local_file(
    stream: &StreamStore,
    options: &JobOptions,
    control: &JobControl,
    source: &SourceSpec,
) -> Result<Option<PathBuf>, JobError> {
    match source {
        SourceSpec::TestCard(_) => Ok(None),
        SourceSpec::File { path, .. } if path.is_file() => Ok(Some(path.clone())),
        SourceSpec::File { path, .. } => {
            Err(JobError::Other(format!("cannot read {}: there is no such file", path.display())))
        }
        SourceSpec::Url { url } => {
            let path = stream.folder().join(DOWNLOAD);
            if !path.is_file() {
                control.update(|status| status.state = JobState::Fetching);
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(|e| JobError::Other(format!("cannot start the download: {e}")))?;
                let progress = |done: u64, total: Option<u64>| {
                    report_progress(control, done, total);
                    !control.is_cancelled()
                };
                runtime.block_on(download(url, &path, &options.fetch_policy, progress))?;
            }
            Ok(Some(path))
        }
    }
}

/// Downloads a file, or what the playlist behind the address lists.
async fn download(
    url: &Url,
    path: &Path,
    policy: &Arc<dyn FetchPolicy>,
    mut progress: impl FnMut(u64, Option<u64>) -> bool + Send,
) -> Result<(), JobError> {
    fetch(url, path, Arc::clone(policy), &mut progress).await?;
    let mut head = Vec::new();
    let cannot = |error: std::io::Error| JobError::Other(format!("cannot read {}: {error}", path.display()));
    std::fs::File::open(path).map_err(cannot)?.take(64).read_to_end(&mut head).map_err(cannot)?;
    if pull::is_playlist(&head) {
        std::fs::remove_file(path).map_err(cannot)?;
        pull::download(url, path, Arc::clone(policy), progress).await?;
    }
    Ok(())
}

/// The files that a source is made of: a recording whose coding changes was downloaded into several.
fn files(source: &SourceSpec, path: &Path) -> Vec<PathBuf> {
    let mut paths = vec![path.to_owned()];
    if matches!(source, SourceSpec::Url { .. }) {
        paths.extend((1..).map(|index| pull::numbered(path, index)).take_while(|path| path.is_file()));
    }
    paths
}

/// Deletes what only packaging needed.
fn tidy(stream: &StreamStore, source: &SourceSpec) {
    let path = match source {
        SourceSpec::Url { .. } => stream.folder().join(DOWNLOAD),
        SourceSpec::File { path, remove_when_done: true } => path.clone(),
        _ => return,
    };
    for path in files(source, &path) {
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot delete a packaged source");
        }
    }
}

/// What a job packages, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) source: &'a SourceSpec,
    /// Where the source lies; none for a test card.
    pub(super) path: Option<&'a PathBuf>,
    pub(super) profile: &'a Profile,
    pub(super) encoders: &'a [VideoEncoderKind],
    /// Nice value of its threads.
    pub(super) nice: i32,
}

/// Packages in this process.
pub(super) fn package(
    stream: &Arc<dyn Place>,
    control: &JobControl,
    work: &Work<'_>,
) -> Result<(), JobError> {
    let Work { source, path, profile, encoders, nice } = *work;
    let stop = || control.is_cancelled();
    let voice = control.voice.named("source");
    let paths = path.map_or_else(Vec::new, |path| files(source, path));
    let plan = match (Plan::load(stream.as_ref(), source)?, source, path) {
        (Some(plan), ..) => plan,
        (None, SourceSpec::TestCard(card), _) => Plan::for_card(card, profile, encoders)?,
        (None, _, Some(path)) => {
            let moving = paths.first().and_then(|path| ladder::animation(path));
            if moving == Some(Animation::WebP) {
                return Err(JobError::Other(
                    "an animated WebP cannot be decoded; convert it to GIF or to a video file first"
                        .to_owned(),
                ));
            }
            let info = ladder::probe_all(&paths, nice, &voice, &stop)?;
            voice.info(info.to_string());
            if moving == Some(Animation::Apng) {
                let text = "of an animated PNG only the first picture is shown; convert it to GIF or to a video file";
                voice.warn(text);
                control.update(|status| status.warnings.push(text.to_owned()));
            }
            let mut plan = Plan::for_file(source, profile, &info, encoders)?;
            if info.video.is_some() && profile.passthrough != Passthrough::Never {
                let index = match paths.len() {
                    1 => SourceIndex::scan(path, nice, &stop)?,
                    _ => Err("its coding changes on the way".to_owned()),
                };
                match index.and_then(|index| plan.pass_through(&index)) {
                    Ok(()) => {}
                    Err(why) if profile.passthrough == Passthrough::Always => {
                        return Err(JobError::Other(format!(
                            "the source cannot pass through: {why}; set profile.passthrough to \"auto\" to encode it"
                        )));
                    }
                    Err(why) => voice.info(format!("it does not pass through: {why}")),
                }
            }
            if profile.passthrough != Passthrough::Never && info.audio.is_some() && paths.len() == 1 {
                let tracks = (0..=info.more_sound.min(MOST_SOUND - 1))
                    .map(|place| SoundTrack::scan(path, place, nice, &stop))
                    .collect::<Result<Vec<_>, _>>()?;
                for (at, why) in plan.pass_sound(&tracks) {
                    voice.info(format!("its sound {} does not pass through: {why}", at + 1));
                }
            }
            plan
        }
        (None, _, None) => return Err(JobError::Other("the source has no file".to_owned())),
    };
    plan.save(stream.as_ref())?;
    let names = plan.names();
    stream.expect(&names)?;
    control.update(|status| status.duration_s = plan.duration_ns.map(|ns| ns as f64 / 1e9));
    // Everything before this is finished on every rendition.
    let done = |name: &String| stream.stored(name);
    let first_segment = names.iter().map(done).min().unwrap_or(0);
    if first_segment > 0 {
        tracing::info!(stream = stream.id(), first_segment, "resuming");
        control.voice.info(format!("resuming at segment {}", first_segment + 1));
    }

    let timeline = plan.timeline();
    let decoder = match paths.first() {
        Some(_) => {
            let decoder = Sequence::open(&paths, nice, &voice, &stop)?;
            if first_segment > 0 {
                // A second earlier: the encoder wants the sound just before the boundary too.
                let from = timeline.segment_ns(first_segment) as i64 + plan.origin_ns - 1_000_000_000;
                decoder.seek(from.max(0) as u64)?;
            }
            if plan.audio_encoder.is_none() {
                decoder.leave_out_sound()?;
            }
            decoder.play()?;
            Some(decoder)
        }
        None => None,
    };

    let bytes = paths.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|file| file.len()).sum();
    let longest_ns = longest(bytes);
    let (has_video, has_audio) = (plan.has_video(), plan.has_sound());
    let pace = Pace::new(control, has_video, has_audio);
    let audio = plan.audio_encoder.map(|kind| AudioSide {
        plan: plan.clone(),
        kind,
        stream,
        control,
        pace: &pace,
        nice,
        first_segment,
        longest_ns,
    });
    let source_side = plan.source_rung.clone().zip(path).map(|(rung, path)| SourceSide {
        plan: plan.clone(),
        rung,
        path,
        stream,
        control,
        pace: &pace,
        nice,
        first_segment,
    });
    let own_sides: Vec<_> = path.map_or_else(Vec::new, |path| {
        let side = |sound: &OwnSound| OwnSoundSide {
            plan: plan.clone(),
            leads: sound.name == AUDIO,
            sound: sound.clone(),
            path,
            stream,
            control,
            pace: &pace,
            nice,
            first_segment,
        };
        plan.own_sound.iter().map(side).collect()
    });
    let announced_ns = plan.duration_ns;
    let plan = Mutex::new(plan);
    let video = VideoSide { plan: &plan, stream, control, pace: &pace, nice, first_segment, longest_ns };
    let run_video = || match (has_video, &decoder, source) {
        (true, Some(decoder), _) => video.run_file(decoder),
        (true, None, SourceSpec::TestCard(card)) => video.run_card(card),
        _ => Ok(()),
    };
    let run_audio = || match (&audio, &decoder) {
        (Some(side), Some(decoder)) => side.run_file(decoder),
        (Some(side), None) => side.run_card(),
        (None, _) => Ok(()),
    };
    let guard = |result: Result<(), JobError>| {
        if result.is_err() {
            pace.fail();
        }
        result
    };
    let outcome = std::thread::scope(|scope| {
        let sound = std::thread::Builder::new()
            .name(format!("weir-{AUDIO}"))
            .spawn_scoped(scope, || {
                ladder::lower_priority(nice);
                guard(run_audio())
            })
            .map_err(|e| JobError::Other(format!("cannot start a thread: {e}")))?;
        let own = std::thread::Builder::new().name(format!("weir-{SOURCE}")).spawn_scoped(scope, || {
            ladder::lower_priority(nice);
            guard(source_side.as_ref().map_or(Ok(()), SourceSide::run))
        });
        let sounds: Vec<_> = own_sides
            .iter()
            .map(|side| {
                let thread = std::thread::Builder::new().name("weir-sound".to_owned());
                thread.spawn_scoped(scope, move || {
                    ladder::lower_priority(nice);
                    guard(side.run())
                })
            })
            .collect();
        if own.is_err() || sounds.iter().any(Result::is_err) {
            pace.fail();
        }
        let pictures = guard(run_video());
        let panicked = |_| Err(JobError::Other("a packaging thread panicked".to_owned()));
        let sound = sound.join().unwrap_or_else(panicked);
        let joined =
            |thread: std::io::Result<std::thread::ScopedJoinHandle<'_, Result<(), JobError>>>| match thread {
                Ok(thread) => thread.join().unwrap_or_else(panicked),
                Err(error) => Err(JobError::Other(format!("cannot start a thread: {error}"))),
            };
        let others: Vec<_> = std::iter::once(own).chain(sounds).map(joined).collect();
        // The side that failed first made the others stop as if cancelled: tell the cause.
        let mut outcome = Ok(());
        for side in [pictures, sound].into_iter().chain(others) {
            if let (Ok(()) | Err(JobError::Cancelled), Err(cause)) = (&outcome, side) {
                outcome = Err(cause);
            }
        }
        outcome
    });
    if let (Ok(()), Some(_), Some(end_ns)) = (&outcome, &decoder, pace.ended_at()) {
        tell_length(control, announced_ns, end_ns);
    }
    outcome
}

/// The longest that files of so many bytes can be: what lies between two pictures is filled with the first of them, so that
/// one wrong time stamp would make hours of film out of nothing.
pub(super) fn longest(bytes: u64) -> i64 {
    /// Less than this a second nothing is, be it slides without a word.
    const BYTES_A_SECOND: u64 = 16;
    const AT_LEAST_S: u64 = 120;
    i64::try_from((AT_LEAST_S + bytes / BYTES_A_SECOND).saturating_mul(SECOND_NS)).unwrap_or(i64::MAX)
}

/// Warns of what was left out for its time.
pub(super) fn tell_strays(control: &JobControl, what: &str, count: u64) {
    if count > 0 {
        let text =
            format!("{count} {what} of the source are left out: their time stamps are far beyond its end");
        control.voice.named("source").warn(text.as_str());
        control.update(|status| status.warnings.push(text));
    }
}

/// A file may end before its header says that it does: a download that broke off, a card that was full.
fn tell_length(control: &JobControl, announced_ns: Option<u64>, end_ns: u64) {
    let seconds = |ns: u64| ns as f64 / 1e9;
    let missing = announced_ns.map_or(0, |announced| announced.saturating_sub(end_ns));
    let short = missing > SECOND_NS && announced_ns.is_some_and(|announced| missing > announced / 50);
    control.update(|status| {
        status.duration_s = Some(seconds(end_ns));
        if short {
            status.warnings.push(format!(
                "the source ends after {:.1} s of the {:.1} s that it announces: it is cut short or damaged",
                seconds(end_ns),
                seconds(announced_ns.unwrap_or(0))
            ));
        }
    });
}

/// Tells how far the job has got, in steps of half a per cent.
pub(super) fn report_progress(control: &JobControl, done: u64, total: Option<u64>) {
    let Some(total) = total.filter(|total| *total > 0) else { return };
    let progress = (done as f32 / total as f32).clamp(0.0, 1.0);
    control.update_progress(progress);
}
