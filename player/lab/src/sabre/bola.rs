//! BOLA (Spiteri, Urgaonkar, Sitaraman: "BOLA: near-optimal bitrate adaptation for online videos", INFOCOM 2016).

use super::{
    Film, Options,
    network::Download,
    rule::{Choice, View},
};

#[derive(Clone, Debug)]
pub(super) struct Bola {
    basic: bool,
    limit_oscillation: bool,
    max_buffer_ms: f64,
    gp: f64,
    v: f64,
    last: usize,
    seek_segment: usize,
}

impl Bola {
    pub(super) fn new(options: &Options, film: &Film, basic: bool) -> Self {
        let mut bola = Self {
            basic,
            limit_oscillation: options.limit_oscillation,
            max_buffer_ms: options.max_buffer_ms,
            gp: options.gamma_p,
            v: 0.0,
            last: 0,
            seek_segment: 0,
        };
        bola.v = bola.v_for(film, options.max_buffer_ms);
        bola
    }

    fn v_for(&self, film: &Film, buffer_ms: f64) -> f64 {
        (buffer_ms - film.segment_ms) / (film.utility[film.rungs() - 1] + self.gp)
    }

    fn by_buffer(&self, film: &Film, level_ms: f64) -> usize {
        let score = |rung: usize| (self.v * (film.utility[rung] + self.gp) - level_ms) / film.kbps[rung];
        let mut best = (0, score(0));
        for rung in 1..film.rungs() {
            let score = score(rung);
            if score > best.1 {
                best = (rung, score);
            }
        }
        best.0
    }

    pub(super) fn choose(&mut self, view: &View<'_>) -> Choice {
        let film = view.film;
        if !self.basic {
            // Near start and end less is buffered: V shrinks with the nearer of them.
            let near = (view.index - self.seek_segment).min(view.count - view.index);
            let near_ms = f64::max(near as f64 / 2.0, 3.0) * film.segment_ms;
            self.v = self.v_for(film, f64::min(self.max_buffer_ms, near_ms));
        }
        let mut rung = self.by_buffer(film, view.level_ms);
        let mut delay = 0.0;
        if rung > self.last {
            let sustained = film.sustained(view.expected.kbps, view.expected.latency_ms);
            if rung > sustained {
                if self.last > sustained {
                    rung = self.last;
                } else if self.limit_oscillation {
                    rung = sustained;
                    let most = self.v * (self.gp + film.utility[rung]);
                    if rung + 1 < film.rungs() {
                        delay = f64::max(0.0, view.level_ms - most);
                    }
                } else {
                    rung = sustained + 1;
                }
            }
        }
        self.last = rung;
        (rung, delay)
    }

    pub(super) fn seeked(&mut self, segment: usize) {
        self.seek_segment = segment;
    }

    pub(super) fn give_up(&mut self, film: &Film, download: &Download, level_ms: f64) -> Option<usize> {
        let left = download.size - download.got;
        if self.basic || download.got <= 0.0 || left <= 0.0 {
            return None;
        }
        let worth = |rung: usize| self.v * (self.gp + film.utility[rung]) - level_ms;
        let mut score = worth(download.rung) / left;
        if score < 0.0 {
            return None;
        }
        let mut target = None;
        for rung in 0..download.rung {
            let size = download.size * film.kbps[rung] / film.kbps[download.rung];
            if size >= left {
                break;
            }
            let other = worth(rung) / size;
            if other > score {
                score = other;
                target = Some(rung);
            }
        }
        if let Some(rung) = target {
            self.last = rung;
        }
        target
    }
}
