//! Subtitles: which are shown, their segments beside the media's, their cues on the presentation's timeline.
//!
//! They never hold anything up: fetched one segment at a time from the first picture on, and what of them cannot be had is
//! missing, no more.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::AbortHandle;
use weir_abr::record;
use weir_manifest::model::{Encryption, MediaKind, Segment, Track};

use super::{
    Session,
    captions::{choose_inside, inside},
    catalog::Place,
    input::Input,
    timeline::Timeline,
    units::{from_nanos, nanos},
};
use crate::{
    captions::{CHANNELS, Channel},
    player::{SubtitleChoice, SubtitleTrackView, SubtitlesView},
    subtitles::{Clock, Cue, Document, read},
};

/// Segments that begin this far ahead are fetched.
const AHEAD: Duration = Duration::from_secs(30);
/// Cues are kept for this long behind and ahead of playback.
const KEPT: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(180));
/// Cues that the window gets: it draws by the picture's own time.
const SHOWN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));
/// A segment that failed is tried again after so long, and so often in all.
const AGAIN: Duration = Duration::from_secs(2);
const TRIES: u32 = 3;
/// Largest segment: a film's whole text has a tenth of it.
const LARGEST: usize = 4 * 1024 * 1024;
/// Most cues that are held.
const MOST_HELD: usize = 100_000;
/// After so many nanoseconds the time stamps of MPEG-2 start over.
const WRAP: i64 = (1_i64 << 33) * 100_000 / 9;

/// What is known of a segment.
#[derive(Debug)]
enum Held {
    /// Its place on the timeline is not known yet.
    Waiting(Box<Segment>, Document),
    Ready(Vec<Arc<Cue>>),
    /// So many tries failed, the next one is due then.
    Failed(u32, Duration),
}

/// What is shown and what is fetched for it.
#[derive(Debug, Default)]
pub(crate) struct Subtitles {
    choice: SubtitleChoice,
    /// Place of the track in the presentation.
    chosen: Option<usize>,
    /// Captions in the pictures instead.
    captions: Option<Channel>,
    /// Those that were seen in the pictures.
    found: [bool; CHANNELS.len()],
    /// Goes up with each choice: what was asked for before is not wanted any more.
    generation: u64,
    fetching: Option<(u64, AbortHandle)>,
    held: BTreeMap<u64, (Duration, Duration, Held)>,
    shown: Arc<Vec<Arc<Cue>>>,
}

impl Subtitles {
    pub(crate) fn new(choice: SubtitleChoice) -> Self {
        Self { choice, ..Self::default() }
    }

    /// Where the list of the chosen track is.
    pub(crate) fn place(&self) -> Option<Place> {
        self.chosen.map(|track| (track, 0))
    }

    fn clear(&mut self) {
        self.generation += 1;
        if let Some((_, task)) = self.fetching.take() {
            task.abort();
        }
        self.held.clear();
        self.shown = Arc::default();
    }
}

/// Why a track cannot be shown.
fn obstacle(track: &Track) -> Option<String> {
    let rendition = track.renditions.first()?;
    let codecs = rendition.codecs.as_deref().unwrap_or_default().to_ascii_lowercase();
    if codecs.contains("im1i") || codecs.contains("im2i") {
        return Some("its text is pictures (IMSC image profile)".to_owned());
    }
    match rendition.segments.first()?.encryption.as_ref()? {
        Encryption::Unsupported(method) => Some(format!("it is protected ({method})")),
        Encryption::Aes128 { .. } => None,
    }
}

/// Languages that have two names (ISO 639), as manifests write them.
const NAMES: [(&str, &str); 26] = [
    ("ar", "ara"),
    ("bg", "bul"),
    ("cs", "ces"),
    ("da", "dan"),
    ("de", "deu"),
    ("de", "ger"),
    ("el", "ell"),
    ("en", "eng"),
    ("es", "spa"),
    ("fi", "fin"),
    ("fr", "fra"),
    ("fr", "fre"),
    ("he", "heb"),
    ("hi", "hin"),
    ("hu", "hun"),
    ("it", "ita"),
    ("ja", "jpn"),
    ("ko", "kor"),
    ("nl", "nld"),
    ("no", "nor"),
    ("pl", "pol"),
    ("pt", "por"),
    ("ru", "rus"),
    ("sv", "swe"),
    ("tr", "tur"),
    ("zh", "zho"),
];

/// The language without its region or script.
fn primary(language: &str) -> String {
    let first = language.split(['-', '_']).next().unwrap_or(language).trim().to_ascii_lowercase();
    NAMES.iter().find(|(_, long)| *long == first).map_or(first, |(short, _)| (*short).to_owned())
}

/// How well a track answers to a language or a name; lower is better.
fn fit(track: &Track, wanted: &str) -> Option<u8> {
    fits(track.language.as_deref(), &track.name, wanted)
}

pub(super) fn fits(language: Option<&str>, name: &str, wanted: &str) -> Option<u8> {
    let language = language.unwrap_or_default();
    if language.eq_ignore_ascii_case(wanted) {
        Some(0)
    } else if !language.is_empty() && primary(language) == primary(wanted) {
        Some(1)
    } else {
        (name.to_lowercase() == wanted.to_lowercase()).then_some(2)
    }
}

/// The track for a choice, by its place. `audio` is the language that is heard.
fn choose(tracks: &[Track], choice: &SubtitleChoice, audio: Option<&str>) -> Option<usize> {
    let texts = || {
        let all = tracks.iter().enumerate().filter(|(_, track)| track.kind == MediaKind::Text);
        all.filter(|(_, track)| obstacle(track).is_none())
    };
    match choice {
        SubtitleChoice::Off => None,
        SubtitleChoice::Track(nth) => {
            let mut all = tracks.iter().enumerate().filter(|(_, track)| track.kind == MediaKind::Text);
            let (at, track) = all.nth(*nth)?;
            obstacle(track).is_none().then_some(at)
        }
        SubtitleChoice::Language(wanted) => texts()
            .filter_map(|(at, track)| {
                Some(((track.forced, fit(track, wanted)?, !track.default, !track.autoselect), at))
            })
            .min()
            .map(|(_, at)| at),
        SubtitleChoice::Auto => {
            let default = texts().find(|(_, track)| track.default && !track.forced);
            // What is said in another language than the rest is meant to be seen by those who hear the rest.
            let forced = || {
                let same = |track: &Track| match (&track.language, audio) {
                    (Some(language), Some(audio)) => primary(language) == primary(audio),
                    _ => track.default,
                };
                texts().find(|(_, track)| track.forced && track.autoselect && same(track))
            };
            default.or_else(forced).map(|(at, _)| at)
        }
    }
}

/// Puts a document's cues on the presentation's timeline; `None` while its place is not known.
fn place(segment: &Segment, document: &Document, timeline: &Timeline) -> Option<Vec<Arc<Cue>>> {
    let listed = nanos(segment.start);
    let offset = timeline.offset(segment);
    let by = match document.clock {
        Clock::Media => offset?,
        Clock::Mapped(add) if segment.media_time_offset.is_none() => {
            let offset = offset?;
            let by = offset.saturating_sub(add);
            // The same place comes again and again: the one that is nearest to the segment is meant.
            let first = document.cues.first().map_or(listed, |cue| cue.start.saturating_sub(by));
            let turns = (listed.saturating_sub(first) as f64 / WRAP as f64).round() as i64;
            by.saturating_sub(turns.saturating_mul(WRAP))
        }
        Clock::Mapped(_) | Clock::Unsaid if segment.media_time_offset.is_some() => offset?,
        Clock::Mapped(_) | Clock::Unsaid => {
            // It should be media time then (RFC 8216, 3.5), but most writers mean the playlist's, and some the segment's.
            let (from, to) = (
                listed - crate::samples::SECOND,
                nanos(segment.start + segment.duration) + crate::samples::SECOND,
            );
            let fits = |by: i64| {
                document
                    .cues
                    .iter()
                    .any(|cue| cue.start.saturating_sub(by) < to && cue.end.saturating_sub(by) > from)
            };
            let ways = [Some(0), offset, Some(listed.saturating_neg())];
            match ways.into_iter().flatten().find(|by| document.cues.is_empty() || fits(*by)) {
                Some(by) => by,
                None => offset?,
            }
        }
    };
    let cue = |cue: &crate::subtitles::Timed| {
        let end = from_nanos(cue.end.saturating_sub(by));
        let start = from_nanos(cue.start.saturating_sub(by));
        (start < end).then(|| Arc::new(Cue { start, end, spans: cue.spans.clone(), place: cue.place }))
    };
    Some(document.cues.iter().filter_map(cue).collect())
}

impl Session {
    /// Chooses anew, with what is known of the tracks now.
    pub(crate) fn choose_subtitles(&mut self, choice: SubtitleChoice, by: &str) {
        self.subtitles.choice = choice;
        let Some(catalog) = &self.catalog else { return };
        let audio = catalog.audio_language();
        let tracks = &catalog.presentation().tracks;
        let chosen = choose(tracks, &self.subtitles.choice, audio);
        let track = chosen.and_then(|at| tracks.get(at));
        let all = inside(&catalog.presentation().captions, self.subtitles.found);
        let texts = tracks.iter().filter(|track| track.kind == MediaKind::Text).count();
        let one = match track {
            Some(_) => None,
            None => choose_inside(&all, texts, &self.subtitles.choice).and_then(|at| all.get(at)),
        };
        let captions = one.and_then(|one| one.channel);
        let event = record::Event::Subtitles {
            language: track
                .map_or_else(|| one.and_then(|one| one.language.clone()), |track| track.language.clone()),
            label: track.map(|track| track.name.clone()).or_else(|| one.map(|one| one.name.clone())),
            forced: track.is_some_and(|track| track.forced),
            by: by.to_owned(),
        };
        let offered: Vec<_> = tracks
            .iter()
            .filter(|track| track.kind == MediaKind::Text)
            .map(|track| (&track.language, &track.name))
            .chain(all.iter().map(|one| (&one.language, &one.name)))
            .map(|(language, name)| language.clone().unwrap_or_else(|| name.clone()))
            .collect();
        let none = chosen.is_none() && captions.is_none();
        let missing = match &self.subtitles.choice {
            // Captions are known when they have something to say.
            SubtitleChoice::Language(wanted)
                if CHANNELS.iter().any(|name| wanted.to_ascii_uppercase().contains(name)) =>
            {
                None
            }
            SubtitleChoice::Language(wanted) if none && by == "option" => Some(match offered.len() {
                0 => format!("this stream has no subtitles, so none in {wanted:?}"),
                _ => format!("this stream has no subtitles in {wanted:?}; it has {}", offered.join(", ")),
            }),
            _ => None,
        };
        if let Some(reason) = missing {
            self.note_missing(reason);
        }
        if (chosen, captions) == (self.subtitles.chosen, self.subtitles.captions) {
            return;
        }
        self.subtitles.clear();
        self.subtitles.chosen = chosen;
        self.subtitles.captions = captions;
        self.note(event);
        self.view.changed = true;
        self.follow_subtitles();
    }

    /// The presentation is known: what the stream, or an option, wants.
    pub(crate) fn first_subtitles(&mut self) {
        let choice = self.subtitles.choice.clone();
        let by = if choice == SubtitleChoice::Auto { "default" } else { "option" };
        self.choose_subtitles(choice, by);
    }

    /// Other sound is heard: what the stream shows by itself goes by its language.
    pub(crate) fn sound_changed(&mut self) {
        if self.subtitles.choice == SubtitleChoice::Auto {
            self.choose_subtitles(SubtitleChoice::Auto, "default");
        }
    }

    /// Subtitles that are not there are written down; playback has nothing to do with it.
    fn note_missing(&mut self, reason: String) {
        tracing::warn!(reason, "subtitles");
        self.note(record::Event::Error { fatal: false, code: "subtitles_unavailable".to_owned(), reason });
    }

    /// Whether playback goes on without the track: text, small pictures.
    pub(crate) fn is_beside(&self, track: usize) -> bool {
        let presentation = self.catalog.as_ref().map(super::catalog::Catalog::presentation);
        presentation.and_then(|it| it.tracks.get(track)).is_some_and(|track| {
            matches!(track.kind, MediaKind::Text | MediaKind::Image | MediaKind::KeyFrames)
        })
    }

    /// A list of such could not be loaded: of subtitles its source asks for it again by and by.
    pub(crate) fn unlisted(&mut self, track: usize, reason: String) {
        if self.subtitles.chosen == Some(track) {
            self.note_missing(reason);
        }
    }

    /// Keeps cues coming, five times a second.
    pub(crate) fn follow_subtitles(&mut self) {
        if !self.playing.visible || self.is_over() {
            return;
        }
        self.find_captions();
        let position = self.seek_target().unwrap_or(self.playing.position);
        if self.subtitles.captions.is_some() {
            self.show_subtitles(position);
            return;
        }
        if self.subtitles.chosen.is_none() {
            return;
        }
        self.place_subtitles();
        let (behind, ahead) = (position.saturating_sub(KEPT.0), position.saturating_add(KEPT.1));
        self.subtitles.held.retain(|_, (start, end, _)| *end >= behind && *start <= ahead);
        self.fetch_subtitles(position);
        self.show_subtitles(position);
    }

    /// Captions may be in the pictures of any stream: the menu has those that had something to say.
    fn find_captions(&mut self) {
        let found = self.media.video.captions.found();
        if found == self.subtitles.found {
            return;
        }
        self.subtitles.found = found;
        self.view.changed = true;
        // What was asked for by its name may be there now.
        if self.subtitles.chosen.is_none()
            && self.subtitles.captions.is_none()
            && matches!(self.subtitles.choice, SubtitleChoice::Language(_))
        {
            self.choose_subtitles(self.subtitles.choice.clone(), "option");
        }
    }

    fn place_subtitles(&mut self) {
        let timeline = self.media.timeline();
        for (_, _, held) in self.subtitles.held.values_mut() {
            if let Held::Waiting(segment, document) = held
                && let Some(cues) = place(segment, document, timeline)
            {
                *held = Held::Ready(cues);
            }
        }
    }

    fn fetch_subtitles(&mut self, position: Duration) {
        if self.subtitles.fetching.is_some() {
            return;
        }
        let now = self.now();
        let Some(catalog) = &self.catalog else { return };
        let Some(rendition) = self.subtitles.place().and_then(|(track, rendition)| {
            catalog.presentation().tracks.get(track)?.renditions.get(rendition)
        }) else {
            return;
        };
        if rendition.segments.is_empty() {
            // The source gives the request once, and again when it failed.
            self.lists_due();
            return;
        }
        let count: usize = self.subtitles.held.values().map(|(.., held)| held.cues()).sum();
        if count > MOST_HELD {
            return;
        }
        let until = position.saturating_add(AHEAD);
        let from = rendition.segments.partition_point(|segment| segment.start + segment.duration <= position);
        let due = |number: u64| match self.subtitles.held.get(&number) {
            None => true,
            Some((_, _, Held::Failed(tries, at))) => *tries < TRIES && *at <= now,
            Some(_) => false,
        };
        let mut near = rendition.segments.iter().skip(from).take_while(|segment| segment.start < until);
        let Some(segment) = near.find(|segment| !segment.gap && !segment.growing && due(segment.number))
        else {
            return;
        };
        let (segment, fetcher, inbox) = (segment.clone(), self.fetcher.clone(), self.inbox.clone());
        let (generation, number) = (self.subtitles.generation, segment.number);
        let url = self.http.mirrors.first(&segment.media.url, Instant::now()).to_string();
        let task = self.runtime.spawn(async move {
            let result = match fetcher.fetch(&segment, |_| ()).await {
                Ok(body) if body.media.len() > LARGEST => Err("it is larger than 4 MiB".to_owned()),
                Ok(body) => {
                    let init = body.init.as_ref().map(|init| init.as_ref().as_ref());
                    read(init, &body.media).map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            let _ = inbox.send(Input::Subtitles(generation, Box::new(segment), result)).await;
        });
        self.subtitles.fetching = Some((number, task.abort_handle()));
        self.note(record::Event::Request { track: None, index: None, rung: None, url });
    }

    /// A segment of subtitles is here, or cannot be had.
    pub(crate) fn subtitles_came(
        &mut self,
        generation: u64,
        segment: Box<Segment>,
        result: Result<Document, String>,
    ) {
        if generation != self.subtitles.generation {
            return;
        }
        self.subtitles.fetching = None;
        let number = segment.number;
        let (start, end) = (segment.start, segment.start + segment.duration);
        let held = match result {
            Ok(document) => {
                // A text beside the media is one piece, however long it goes on.
                Held::Waiting(segment, document)
            }
            Err(reason) => {
                let before = match self.subtitles.held.get(&number) {
                    Some((_, _, Held::Failed(tries, _))) => *tries,
                    _ => 0,
                };
                if before + 1 >= TRIES {
                    self.note_missing(format!(
                        "subtitles from {:.1} to {:.1} s are missing ({}): {reason}",
                        start.as_secs_f64(),
                        end.as_secs_f64(),
                        segment.media.url
                    ));
                }
                Held::Failed(before + 1, self.now() + AGAIN)
            }
        };
        self.subtitles.held.insert(number, (start, end, held));
        self.follow_subtitles();
    }

    fn show_subtitles(&mut self, position: Duration) {
        let (from, to) = (position.saturating_sub(SHOWN.0), position.saturating_add(SHOWN.1));
        let mut cues: Vec<Arc<Cue>> = Vec::new();
        for (_, _, held) in self.subtitles.held.values() {
            let Held::Ready(held) = held else { continue };
            cues.extend(held.iter().filter(|cue| cue.start < to && cue.end > from).cloned());
        }
        if let Some(channel) = self.subtitles.captions {
            cues = self.media.video.captions.cues(channel, from, to);
        }
        cues.sort_by_key(|cue| (cue.start, cue.end));
        // A cue that goes over the end of its segment is in both.
        cues.dedup();
        if *self.subtitles.shown != cues {
            self.subtitles.shown = Arc::new(cues);
            self.view.changed = true;
        }
    }

    pub(crate) fn subtitles_view(&self) -> SubtitlesView {
        let Some(catalog) = &self.catalog else { return SubtitlesView::default() };
        let texts = || {
            let tracks = catalog.presentation().tracks.iter().enumerate();
            tracks.filter(|(_, track)| track.kind == MediaKind::Text)
        };
        let inside = inside(&catalog.presentation().captions, self.subtitles.found);
        let of_captions = self
            .subtitles
            .captions
            .and_then(|channel| inside.iter().position(|one| one.channel == Some(channel)));
        let chosen = match self.subtitles.chosen {
            Some(chosen) => texts().position(|(at, _)| at == chosen),
            None => of_captions.map(|at| at + texts().count()),
        };
        SubtitlesView {
            tracks: texts()
                .map(|(_, track)| SubtitleTrackView {
                    label: track.name.clone(),
                    language: track.language.clone(),
                    forced: track.forced,
                    obstacle: obstacle(track),
                })
                .chain(inside.into_iter().map(|one| SubtitleTrackView {
                    obstacle: one.obstacle(),
                    label: one.name,
                    language: one.language,
                    forced: false,
                }))
                .collect(),
            chosen,
            cues: self.subtitles.shown.clone(),
        }
    }
}

impl Held {
    fn cues(&self) -> usize {
        match self {
            Self::Waiting(_, document) => document.cues.len(),
            Self::Ready(cues) => cues.len(),
            Self::Failed(..) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subtitles::read;

    fn track(language: &str, name: &str, default: bool, forced: bool) -> Track {
        Track {
            id: name.into(),
            kind: MediaKind::Text,
            language: Some(language.into()),
            name: name.into(),
            default,
            autoselect: true,
            forced,
            tiles: None,
            renditions: Vec::new(),
        }
    }

    fn segment(start: u64, length: u64, offset: Option<f64>) -> Segment {
        let url = url::Url::parse("http://a/1.vtt").unwrap();
        Segment {
            number: 1,
            start: Duration::from_secs(start),
            duration: Duration::from_secs(length),
            media: weir_manifest::model::Resource { url, range: None },
            init: None,
            discontinuity: 0,
            media_time_offset: offset,
            encryption: None,
            size: None,
            gap: false,
            growing: false,
            parts: None,
            program_date_time: None,
        }
    }

    fn starts(segment: &Segment, text: &str, timeline: &Timeline) -> Option<Vec<f64>> {
        let document = read(None, text.as_bytes()).unwrap();
        let cues = place(segment, &document, timeline)?;
        Some(cues.iter().map(|cue| cue.start.as_secs_f64()).collect())
    }

    #[test]
    fn a_language_is_found_by_any_of_its_names_and_forced_ones_come_last() {
        let tracks = [
            track("en", "English (forced)", false, true),
            track("eng", "English", false, false),
            track("pt-BR", "Português", false, false),
        ];
        let language = |name: &str| choose(&tracks, &SubtitleChoice::Language(name.into()), None);
        assert_eq!(language("en"), Some(1));
        assert_eq!(language("en-GB"), Some(1));
        assert_eq!(language("por"), Some(2));
        assert_eq!(language("português"), Some(2));
        assert_eq!(language("de"), None);
        assert_eq!(choose(&tracks, &SubtitleChoice::Track(2), None), Some(2));
        assert_eq!(choose(&tracks, &SubtitleChoice::Track(3), None), None);
    }

    #[test]
    fn by_default_the_streams_own_choice_is_shown_else_what_is_forced_in_the_language_that_is_heard() {
        let auto = |tracks: &[Track], audio| choose(tracks, &SubtitleChoice::Auto, audio);
        let mut tracks = vec![track("de", "Deutsch", false, false), track("en", "English", true, false)];
        assert_eq!(auto(&tracks, None), Some(1));
        assert_eq!(choose(&tracks, &SubtitleChoice::Off, None), None);
        tracks[1].default = false;
        assert_eq!(auto(&tracks, Some("en")), None, "nobody asked for text");
        tracks.push(track("en", "English (signs)", false, true));
        assert_eq!(auto(&tracks, Some("eng")), Some(2));
        assert_eq!(auto(&tracks, Some("de")), None);
        tracks[2].autoselect = false;
        assert_eq!(auto(&tracks, Some("en")), None);
    }

    #[test]
    fn the_timestamp_map_puts_cues_beside_the_pictures_whatever_they_count_from() {
        // The main track's media time is 10 s ahead of the playlist's.
        let timeline = Timeline::of(0, 10 * crate::samples::SECOND);
        let vtt = |map: &str| format!("WEBVTT\n{map}\n\n00:00:07.000 --> 00:00:08.000\nhello\n");
        let mapped = "X-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n";
        assert_eq!(starts(&segment(6, 6, None), &vtt(mapped), &timeline), Some(vec![7.0]));
        // The clock of the media starts over in between.
        let wrapped = Timeline::of(0, WRAP - 2 * crate::samples::SECOND);
        let late = "X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:8589754592\n";
        let found = starts(&segment(6, 6, None), &vtt(late), &wrapped).unwrap();
        assert!((found[0] - 7.0).abs() < 0.001, "{found:?}");
        assert_eq!(starts(&segment(6, 6, None), &vtt(mapped), &Timeline::default()), None, "not known yet");
    }

    #[test]
    fn without_a_map_cues_are_where_they_fit() {
        let vtt = |at: u32| format!("WEBVTT\n\n00:{:02}:{:02}.000 --> 00:59:00.000\nhi\n", at / 60, at % 60);
        let timeline = Timeline::of(0, 600 * crate::samples::SECOND);
        let film = segment(0, 3600, None);
        assert_eq!(starts(&film, &vtt(7), &timeline), Some(vec![7.0]), "the playlist's time");
        let mut late = read(None, b"WEBVTT\n\n00:12:01.000 --> 00:12:02.000\nhi\n").unwrap();
        let piece = segment(120, 6, None);
        assert_eq!(place(&piece, &late, &timeline).unwrap()[0].start, Duration::from_secs(121), "media time");
        (late.cues[0].start, late.cues[0].end) = (crate::samples::SECOND, 2 * crate::samples::SECOND);
        assert_eq!(
            place(&piece, &late, &timeline).unwrap()[0].start,
            Duration::from_secs(121),
            "the segment's time"
        );
        // DASH: the text of a Period that begins at 100 s.
        let dash = segment(100, 60, Some(-100.0));
        assert_eq!(starts(&dash, &vtt(7), &Timeline::default()), Some(vec![107.0]));
    }
}
