//! DYNAMIC (Spiteri et al., MMSys 2018, 4): throughput while the buffer is short, BOLA when it is long. Two forms: as
//! published, with BOLA and one threshold; and as dash.js has it, with BOLA-E and two.

use std::time::Duration;

use super::{
    Choice, Context, Controller, Delivery,
    bola::{Bola, BolaE, Cap},
    throughput::Throughput,
};

/// Published threshold, dash.js's upper one, and dash.js's lower one.
const LOW_BUFFER: Duration = Duration::from_secs(10);
const LOWER: Duration = Duration::from_secs(5);

/// As published.
#[derive(Clone, Debug)]
pub struct Dynamic {
    bola: Bola,
    throughput: Throughput,
    on_bola: bool,
    /// Of BOLA while throughput rules: it has a say in when to change.
    scratch: Vec<f64>,
}

impl Default for Dynamic {
    fn default() -> Self {
        Self {
            bola: Bola::finite(Cap::O),
            throughput: Throughput::default(),
            on_bola: false,
            scratch: Vec::new(),
        }
    }
}

impl Controller for Dynamic {
    fn name(&self) -> &'static str {
        "dynamic"
    }

    fn choose(&mut self, context: &Context<'_>, scores: &mut Vec<f64>) -> Choice {
        let by_buffer = self.bola.choose(context, scores);
        let by_rate = self.throughput.choose(context, &mut self.scratch);
        if self.on_bola {
            self.on_bola = context.buffer >= LOW_BUFFER || by_buffer.rung >= by_rate.rung;
        } else {
            self.on_bola = context.buffer > LOW_BUFFER && by_buffer.rung >= by_rate.rung;
        }
        if self.on_bola {
            by_buffer
        } else {
            scores.clear();
            by_rate
        }
    }

    fn restarted(&mut self) {
        self.on_bola = false;
        self.throughput.restarted();
    }
}

/// As in dash.js: BOLA-E above 10 s, throughput below 5 s.
#[derive(Clone, Debug, Default)]
pub struct DynamicDash {
    bola: BolaE,
    throughput: Throughput,
    on_bola: bool,
}

impl Controller for DynamicDash {
    fn name(&self) -> &'static str {
        "dynamic-dash"
    }

    fn choose(&mut self, context: &Context<'_>, scores: &mut Vec<f64>) -> Choice {
        if context.buffer >= LOW_BUFFER {
            self.on_bola = true;
        } else if context.buffer < LOWER {
            self.on_bola = false;
        }
        if self.on_bola { self.bola.choose(context, scores) } else { self.throughput.choose(context, scores) }
    }

    fn delivered(&mut self, delivery: &Delivery) {
        self.bola.delivered(delivery);
    }

    fn idled(&mut self, time: Duration) {
        self.bola.idled(time);
    }

    fn restarted(&mut self) {
        self.on_bola = false;
        self.bola.restarted();
        self.throughput.restarted();
    }
}
