//! BOLA-E (MMSys 2018, section 3): BOLA with a placeholder buffer and the insufficient-buffer rule.

use super::{
    Film, Options,
    network::Download,
    rule::{Choice, Ended, View},
    throughput::ShortBuffer,
};

const MIN_BUFFER_MS: f64 = 10_000.0;
const MIN_BUFFER_PER_RUNG_MS: f64 = 2000.0;

#[derive(Clone, Debug)]
pub(super) struct BolaE {
    limit_oscillation: bool,
    with_short_buffer: bool,
    short_buffer: ShortBuffer,
    /// ln(bitrate) + (1 - ln(lowest)), in that order: Sabre's last digits depend on it.
    utility: Vec<f64>,
    /// Levels between which a rung is chosen.
    min_level: Vec<f64>,
    max_level: Vec<f64>,
    v: f64,
    gp: f64,
    started: bool,
    placeholder: f64,
    last: usize,
}

impl BolaE {
    pub(super) fn new(options: &Options, film: &Film, with_short_buffer: bool) -> Self {
        let offset = 1.0 - film.ln[0];
        let utility: Vec<f64> = film.ln.iter().map(|ln| ln + offset).collect();
        let top = utility[utility.len() - 1];
        let (v, gp) = if with_short_buffer {
            let least = MIN_BUFFER_MS + MIN_BUFFER_PER_RUNG_MS * film.rungs() as f64;
            let buffer = f64::max(least, options.max_buffer_ms);
            let gp = (top - 1.0) / (buffer / MIN_BUFFER_MS - 1.0);
            (MIN_BUFFER_MS / gp, gp)
        } else {
            // The lowest utility is 1 here and 0 in BOLA.
            let gp = options.gamma_p - 1.0;
            ((options.max_buffer_ms - film.segment_ms) / (top + gp), gp)
        };
        let min_level = (0..utility.len())
            .map(|rung| {
                let (rate, u) = (film.kbps[rung], utility[rung]);
                (0..rung)
                    .filter(|lower| utility[*lower] < u)
                    .map(|lower| {
                        let (lower_rate, lower_u) = (film.kbps[lower], utility[lower]);
                        v * (gp + (rate * lower_u - lower_rate * u) / (rate - lower_rate))
                    })
                    .fold(0.0, f64::max)
            })
            .collect();
        Self {
            limit_oscillation: options.limit_oscillation,
            with_short_buffer,
            short_buffer: ShortBuffer::new(),
            max_level: utility.iter().map(|u| v * (u + gp)).collect(),
            utility,
            min_level,
            v,
            gp,
            started: false,
            placeholder: 0.0,
            last: 0,
        }
    }

    fn by_buffer(&self, film: &Film, level_ms: f64) -> usize {
        let mut best = (0, (self.max_level[0] - level_ms) / film.kbps[0]);
        for rung in 1..film.rungs() {
            let score = (self.max_level[rung] - level_ms) / film.kbps[rung];
            if score > best.1 {
                best = (rung, score);
            }
        }
        best.0
    }

    pub(super) fn choose(&mut self, view: &View<'_>) -> Choice {
        let film = view.film;
        let level = view.level_ms;
        let sustained = film.sustained(view.expected.kbps, view.expected.latency_ms);
        if !self.started {
            self.started = true;
            self.short_buffer = ShortBuffer::new();
            self.placeholder = f64::max(0.0, self.min_level[sustained] - level);
            return (sustained, 0.0);
        }
        let mut rung = self.by_buffer(film, level + self.placeholder);
        if rung > self.last && rung > sustained {
            rung = self.last.max(sustained);
            if !self.limit_oscillation {
                rung += 1;
            }
        }
        let mut delay = level + self.placeholder - self.max_level[rung];
        if delay <= 0.0 {
            delay = 0.0;
        } else if delay <= self.placeholder {
            self.placeholder -= delay;
            delay = 0.0;
        } else {
            delay -= self.placeholder;
            self.placeholder = 0.0;
        }
        if rung + 1 == film.rungs() {
            delay = 0.0;
        }
        if self.with_short_buffer
            && let Some(limited) = self.short_buffer.limit(view, rung)
        {
            rung = limited;
            delay = 0.0;
            let most = f64::max(0.0, self.min_level[rung] - level);
            self.placeholder = f64::min(most, self.placeholder);
        }
        (rung, delay)
    }

    pub(super) fn waited(&mut self, time_ms: f64) {
        self.placeholder += time_ms;
    }

    pub(super) fn seeked(&mut self) {
        self.started = false;
    }

    pub(super) fn ended(&mut self, film: &Film, ended: &Ended) {
        let rung = ended.download.rung;
        self.last = rung;
        match ended.given_up {
            None if ended.replaced => self.placeholder += film.segment_ms,
            None => {
                let level_was = ended.level_ms + ended.download.time;
                let most = f64::max(0.0, self.max_level[rung] - level_was);
                self.placeholder = f64::min(self.placeholder, most);
                // Not while stalling: a placeholder would hide that the buffer is empty.
                if ended.level_ms > 0.0 {
                    self.placeholder = f64::max(self.placeholder, self.min_level[rung] - level_was);
                }
            }
            Some(_) if ended.replaced => {}
            Some(target) => {
                let wanted = match target {
                    Some(target) if target > 0 => self.min_level[target],
                    _ => MIN_BUFFER_MS,
                };
                let most = f64::max(0.0, wanted - ended.level_ms);
                self.placeholder = f64::min(self.placeholder, most);
            }
        }
    }

    pub(super) fn give_up(&self, film: &Film, download: &Download, level_ms: f64) -> Option<usize> {
        let left = download.size - download.got;
        if download.rung == 0 || download.got <= 0.0 || left <= 0.0 {
            return None;
        }
        // Giving up costs another latency: look at the state after that.
        let level = f64::max(0.0, level_ms + self.placeholder - download.ttfb);
        let kbps = download.got / (download.time - download.ttfb);
        let size = left - download.ttfb * kbps;
        if size <= 0.0 {
            return None;
        }
        let worth = |rung: usize| self.v * (self.gp + self.utility[rung]) - level;
        let mut score = worth(download.rung) / size;
        let mut target = None;
        for rung in 0..download.rung {
            let other_size = download.size * film.kbps[rung] / film.kbps[download.rung];
            if other_size >= size {
                break;
            }
            let other = worth(rung) / other_size;
            if other > score {
                score = other;
                target = Some(rung);
            }
        }
        target
    }

    /// Whether [`give_up`](Self::give_up) says no from now until the buffer is down to `level_ms`, at `kbps`.
    ///
    /// A lower rung wins when (M - B) S > (M' - B) S', with M its maximum level and S' its size, M' and S those of the
    /// download under way, and B the buffer. While S > S' the difference of both sides grows as B falls and as S grows:
    /// if it is below zero for the least B and the largest S, it is so throughout.
    pub(super) fn is_quiet(&self, film: &Film, download: &Download, level_ms: f64, kbps: f64) -> bool {
        if download.rung == 0 {
            return true;
        }
        let so_far = download.got / (download.time - download.ttfb);
        // The mean rate moves towards the rate of now.
        let slowest = so_far.min(kbps);
        let size = download.size - download.got - download.ttfb * slowest;
        let level = f64::max(0.0, level_ms + self.placeholder - download.ttfb);
        let scale = download.size / film.kbps[download.rung];
        let own = self.max_level[download.rung] - level;
        // A margin keeps rounding from deciding.
        (0..download.rung).all(|rung| {
            let other = scale * film.kbps[rung];
            other >= size * 1.000_001 || (self.max_level[rung] - level) * size < own * other * 0.999_999
        })
    }
}
