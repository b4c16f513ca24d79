//! DYNAMIC and its variant for dash.js: BOLA where there is buffer to steer by, THROUGHPUT where there is none.

use super::{
    Film, Options,
    bola::Bola,
    bola_e::BolaE,
    rule::{Choice, Ended, View},
    throughput::Throughput,
};

const HIGH_MS: f64 = 10_000.0;
const LOW_MS: f64 = 5000.0;

#[derive(Clone, Debug)]
pub(super) struct Dynamic {
    bola: Bola,
    throughput: Throughput,
    by_bola: bool,
}

impl Dynamic {
    pub(super) fn new(options: &Options, film: &Film, basic: bool) -> Self {
        Self { bola: Bola::new(options, film, basic), throughput: Throughput::new(), by_bola: false }
    }

    pub(super) fn choose(&mut self, view: &View<'_>) -> Choice {
        // Both are asked each time: they keep state.
        let bola = self.bola.choose(view);
        let throughput = self.throughput.choose(view);
        if self.by_bola {
            self.by_bola = view.level_ms >= HIGH_MS || bola.0 >= throughput.0;
        } else {
            self.by_bola = view.level_ms > HIGH_MS && bola.0 >= throughput.0;
        }
        if self.by_bola { bola } else { throughput }
    }

    pub(super) fn ended(&mut self, ended: &Ended) {
        if ended.replaced {
            self.by_bola = false;
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct DynamicDash {
    pub(super) bola: BolaE,
    throughput: Throughput,
    by_bola: bool,
}

impl DynamicDash {
    pub(super) fn new(options: &Options, film: &Film) -> Self {
        Self { bola: BolaE::new(options, film, true), throughput: Throughput::new(), by_bola: false }
    }

    pub(super) fn is_bola(&self) -> bool {
        self.by_bola
    }

    pub(super) fn choose(&mut self, view: &View<'_>) -> Choice {
        if self.by_bola && view.level_ms < LOW_MS {
            self.by_bola = false;
        } else if !self.by_bola && view.level_ms > HIGH_MS {
            self.by_bola = true;
        }
        if self.by_bola { self.bola.choose(view) } else { self.throughput.choose(view) }
    }
}
