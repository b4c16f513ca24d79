//! The presentation as the session plays it: a main track and, beside pictures, sound of its own.

use std::{sync::Arc, time::Duration};

use weir_abr::{RungId, Track, TrackKind, planner::Live};
use weir_manifest::{
    Lookup, Now, Request, Source, What,
    model::{MediaKind, Presentation, Rendition},
    to_brain_track,
};

/// Where a rung's segments are listed: places of track and rendition in the presentation.
pub(crate) type Place = (usize, usize);

/// Playlists round the lengths of segments.
const ROUNDED: Duration = Duration::from_millis(500);

/// Why there is nothing to play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the manifest lists neither pictures nor sound")]
pub(crate) struct NothingToPlay;

/// What is known of the presentation.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) source: Source,
    main: usize,
    audio: Option<usize>,
    /// Renditions whose segments are cut elsewhere than those of the one that was loaded first.
    apart: Vec<Place>,
    /// As the brain has them, the main one first; without segments until a playlist of each was loaded.
    tracks: Vec<Arc<Track>>,
}

impl Catalog {
    /// Chooses the tracks: the first with pictures (else the first with sound) and, beside pictures, sound of its own.
    pub(crate) fn new(source: Source) -> Result<Self, NothingToPlay> {
        let presentation = source.presentation();
        let find = |kind: MediaKind| {
            let all = || presentation.tracks.iter().enumerate().filter(move |(_, track)| track.kind == kind);
            all().find(|(_, track)| track.default).or_else(|| all().next()).map(|(at, _)| at)
        };
        let (video, sound) = (find(MediaKind::Video), find(MediaKind::Audio));
        let main = video.or(sound).ok_or(NothingToPlay)?;
        // Where none is the default the default is in the pictures' segments (`EXT-X-MEDIA` without an address).
        let apart = |at: &usize| presentation.tracks.get(*at).is_some_and(|track| track.default);
        let audio = video.and(sound).filter(apart);
        let mut catalog = Self { main, audio, apart: Vec::new(), tracks: Vec::new(), source };
        catalog.refresh();
        if catalog.tracks.is_empty() {
            return Err(NothingToPlay);
        }
        Ok(catalog)
    }

    /// The source changed: make the brain's view anew.
    pub(crate) fn refresh(&mut self) {
        let presentation = self.source.presentation();
        let brain = |at: usize| {
            let listed = presentation.tracks.get(at)?;
            let mut track = match self.apart.iter().any(|(track, _)| *track == at) {
                false => to_brain_track(listed, at == self.main)?,
                true => {
                    let mut alike = listed.clone();
                    for (rung, rendition) in alike.renditions.iter_mut().enumerate() {
                        if self.apart.contains(&(at, rung)) {
                            rendition.segments.clear();
                        }
                    }
                    to_brain_track(&alike, at == self.main)?
                }
            };
            // Sound alone is the main track where there are no pictures.
            track.kind = if at == self.main { TrackKind::Video } else { TrackKind::Audio };
            Some(Arc::new(track))
        };
        self.tracks = std::iter::once(self.main).chain(self.audio).filter_map(brain).collect();
    }

    pub(crate) fn presentation(&self) -> &Presentation {
        self.source.presentation()
    }

    /// All tracks, the main one first.
    pub(crate) fn tracks(&self) -> &[Arc<Track>] {
        &self.tracks
    }

    pub(crate) fn track(&self, kind: TrackKind) -> Option<&Arc<Track>> {
        self.tracks.iter().find(|track| track.kind == kind)
    }

    pub(crate) fn has_audio_track(&self) -> bool {
        self.audio.is_some()
    }

    /// Sound that can be chosen, by its place in the presentation; `None` is what comes with the pictures.
    pub(crate) fn sounds(&self) -> Vec<Option<usize>> {
        let presentation = self.presentation();
        let tracks = presentation.tracks.iter().enumerate();
        let apart: Vec<_> = tracks
            .filter(|(at, track)| *at != self.main && track.kind == MediaKind::Audio)
            .map(|(at, _)| Some(at))
            .collect();
        let pictures = presentation.tracks.get(self.main).is_some_and(|main| main.kind == MediaKind::Video);
        let with_pictures = pictures && presentation.muxed_sound.is_some() && !apart.is_empty();
        match (with_pictures, self.audio) {
            (true, _) => std::iter::once(None).chain(apart).collect(),
            (false, Some(_)) => apart,
            // Nobody knows whether there is sound in the pictures' segments to come back to.
            (false, None) => Vec::new(),
        }
    }

    /// Name and language of a sound that can be chosen.
    pub(crate) fn sound_named(&self, sound: Option<usize>) -> Option<(&str, Option<&str>)> {
        match sound {
            Some(at) => {
                let track = self.presentation().tracks.get(at)?;
                Some((&track.name, track.language.as_deref()))
            }
            None => {
                let muxed = self.presentation().muxed_sound.as_ref()?;
                Some((&muxed.name, muxed.language.as_deref()))
            }
        }
    }

    /// What people call the coding of a sound of its own, where the manifest names it.
    pub(crate) fn coding(&self, sound: Option<usize>) -> Option<&str> {
        let codecs = self.presentation().tracks.get(sound?)?.renditions.first()?.codecs.as_deref()?;
        let first = codecs.split(',').next().unwrap_or(codecs).trim();
        Some(match first.split('.').next().unwrap_or(first) {
            "mp4a" => match first.to_ascii_lowercase().as_str() {
                "mp4a.40.34" | "mp4a.69" | "mp4a.6b" => "MP3",
                _ => "AAC",
            },
            "ac-3" => "AC-3",
            "ec-3" => "E-AC-3",
            "ac-4" => "AC-4",
            "opus" | "Opus" => "Opus",
            "flac" | "fLaC" => "FLAC",
            _ => first,
        })
    }

    /// The sound that is played, by its place in the presentation; `None` where it comes with the pictures.
    pub(crate) fn sound(&self) -> Option<usize> {
        self.audio
    }

    /// Plays other sound, one of [`sounds`](Self::sounds), from now on.
    pub(crate) fn choose_sound(&mut self, sound: Option<usize>) {
        self.audio = sound;
        self.refresh();
    }

    /// The language that is heard, where the manifest names it.
    pub(crate) fn audio_language(&self) -> Option<&str> {
        self.sound_named(self.audio)?.1
    }

    /// Segments of all tracks are known.
    pub(crate) fn is_listed(&self) -> bool {
        self.tracks.iter().all(|track| !track.segments.is_empty())
    }

    /// Of a playlist with a segment in the making: number of its last complete one, and whether more will come.
    pub(crate) fn complete(&self, request: &Request) -> Option<(u64, bool)> {
        let What::Playlist { track, rendition } = request.what else { return None };
        let this = self.presentation().tracks.get(track)?.renditions.get(rendition)?;
        this.growing.as_ref()?;
        Some((this.segments.last()?.number, self.presentation().live))
    }

    /// Where `rung` is listed.
    pub(crate) fn place(&self, kind: TrackKind, rung: RungId) -> Option<Place> {
        let track = match kind {
            TrackKind::Video => self.main,
            TrackKind::Audio => self.audio?,
        };
        Some((track, rung.0))
    }

    /// The segments at `place` were just listed: whether they are cut so differently from those that the brain knows that a
    /// number means another piece of the film. Their rung is of no use then. In a live stream numbers are matched otherwise.
    pub(crate) fn is_cut_apart(&mut self, (track, rung): Place) -> bool {
        let kind = if track == self.main { TrackKind::Video } else { TrackKind::Audio };
        let presentation = self.source.presentation();
        if presentation.live || self.place(kind, RungId(rung)) != Some((track, rung)) {
            return false;
        }
        let Some(listed) = presentation.tracks.get(track).and_then(|track| track.renditions.get(rung)) else {
            return false;
        };
        let Some(known) = self.track(kind).filter(|known| !known.segments.is_empty()) else { return false };
        let both =
            listed.segments.iter().filter_map(|segment| Some((segment, known.segment(segment.number)?)));
        let apart = both.filter(|(own, other)| {
            let most = (own.duration.min(other.duration) * 3 / 4).max(ROUNDED);
            own.start.abs_diff(other.start) > most
        });
        // One odd line is a mistake of the playlist's.
        let apart = apart.count() > 1;
        if apart && !self.apart.contains(&(track, rung)) {
            self.apart.push((track, rung));
        }
        apart
    }

    /// The rung at `place` is of no use; see [`is_cut_apart`](Self::is_cut_apart).
    pub(crate) fn is_apart(&self, kind: TrackKind, rung: RungId) -> bool {
        self.place(kind, rung).is_some_and(|place| self.apart.contains(&place))
    }

    /// The segment behind a number, or how to get to know it.
    pub(crate) fn segment(&self, kind: TrackKind, rung: RungId, index: u64, now: Now) -> Lookup<'_> {
        match self.place(kind, rung) {
            Some((track, rendition)) => self.source.segment(track, rendition, index, now),
            None => Lookup::Gone,
        }
    }

    /// Where a listed segment starts and ends.
    pub(crate) fn times(&self, kind: TrackKind, index: u64) -> Option<(Duration, Duration)> {
        let segment = self.track(kind)?.segment(index)?;
        Some((segment.start, segment.end()))
    }

    /// Number of the first segment that is listed.
    pub(crate) fn first(&self, kind: TrackKind) -> Option<u64> {
        self.track(kind).filter(|track| !track.segments.is_empty()).map(|track| track.first_index)
    }

    /// Number of the last segment, once no more will come.
    pub(crate) fn last(&self, kind: TrackKind) -> Option<u64> {
        let track = self.track(kind)?;
        let count = track.segments.len() as u64;
        (!self.presentation().live && count > 0).then(|| track.first_index + count - 1)
    }

    /// How the brain is to treat its end.
    pub(crate) fn live(&self) -> Option<Live> {
        let presentation = self.presentation();
        presentation.live.then(|| Live {
            target_latency: presentation
                .target_latency
                .unwrap_or(presentation.target_duration.saturating_mul(3)),
            start_at_edge: presentation.start_at_edge,
        })
    }

    /// Wall-clock time, since the Unix epoch, at which what is shown at `position` was made.
    pub(crate) fn made_at(&self, position: Duration) -> Option<Duration> {
        let track = self.presentation().tracks.get(self.main)?;
        let all = |rendition: &Rendition| {
            let at = rendition.segments.partition_point(|segment| segment.start <= position);
            let listed = at.checked_sub(1).and_then(|at| rendition.segments.get(at));
            let growing = rendition.growing.as_deref().filter(|growing| growing.start <= position);
            let segment = growing.or(listed)?;
            Some((segment.start, Duration::try_from_secs_f64(segment.program_date_time?).ok()?))
        };
        let (start, made) = track.renditions.iter().filter_map(all).max_by_key(|(start, _)| *start)?;
        Some(made + position.saturating_sub(start))
    }

    /// From the first listed picture to the last one that can be had.
    pub(crate) fn window(&self) -> Option<(Duration, Duration)> {
        let main = self.tracks.first()?;
        let edge = self.presentation().edge.map_or(Duration::MAX, |edge| edge.at);
        Some((main.segments.first()?.start, main.end().min(edge)))
    }

    /// How long it is, once that is known.
    pub(crate) fn duration(&self) -> Option<Duration> {
        let presentation = self.presentation();
        if presentation.live {
            return None;
        }
        presentation.duration.or_else(|| self.window().map(|(_, end)| end))
    }

    /// More will be appended, and yet it is played from its beginning: a film that is still being made.
    pub(crate) fn is_growing(&self) -> bool {
        let presentation = self.presentation();
        presentation.live && !presentation.start_at_edge
    }

    /// How long it is, or is so far.
    pub(crate) fn length(&self) -> Option<Duration> {
        if self.is_growing() { self.window().map(|(_, end)| end) } else { self.duration() }
    }

    /// Lines of the tallest rung.
    pub(crate) fn top_height(&self) -> Option<u32> {
        self.tracks.first()?.ladder.rungs().iter().filter_map(|rung| rung.height).max()
    }

    /// The codecs that the manifest names, of the top rung.
    pub(crate) fn codecs(&self) -> String {
        let tracks = &self.presentation().tracks;
        let named = |at: usize| tracks.get(at)?.renditions.last()?.codecs.clone();
        let mut names: Vec<String> = Vec::new();
        for codecs in std::iter::once(self.main).chain(self.audio).filter_map(named) {
            for codec in codecs.split(',').map(str::trim) {
                if !names.iter().any(|known| known == codec) {
                    names.push(codec.to_owned());
                }
            }
        }
        names.join(", ")
    }
}
