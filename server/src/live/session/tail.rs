//! What comes from the ladder: of the running take, and what encoders still hold of takes that are over.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use super::{Boundary, Session};
use crate::live::RungEvent;
use crate::live::rung::Rungs;
use crate::store::StoreError;

/// Rungs of a take that is over, while their encoders give what they still hold.
#[derive(Debug)]
pub(super) struct Tail {
    rungs: Rungs,
    boundaries: VecDeque<Boundary>,
}

/// Tails that are waited for at the same time: time stamps may jump faster than encoders end.
const TAILS: usize = 2;

impl Session {
    /// Lets the encoders of a take that is over give what they hold.
    pub(super) fn wind_up(
        &mut self,
        mut rungs: Rungs,
        boundaries: VecDeque<Boundary>,
    ) -> Result<(), StoreError> {
        if !rungs.wind_up() {
            return rungs.finish();
        }
        self.tails.push_back(Tail { rungs, boundaries });
        if self.tails.len() > TAILS { self.give_up_tail() } else { Ok(()) }
    }

    /// Where the units of the encoded rungs come in.
    pub(in crate::live) fn rungs(&mut self) -> Option<&mut mpsc::Receiver<RungEvent>> {
        if let Some(tail) = self.tails.front_mut() {
            return tail.rungs.receiver();
        }
        self.take.as_mut()?.rungs.as_mut()?.receiver()
    }

    /// The ladder will send nothing more.
    pub(in crate::live) fn rungs_ended(&mut self) -> Result<(), StoreError> {
        if let Some(mut tail) = self.tails.pop_front() {
            self.tails_over += 1;
            return tail.rungs.finish();
        }
        if let Some(rungs) = self.take.as_mut().and_then(|take| take.rungs.as_mut()) {
            rungs.ended();
        }
        Ok(())
    }

    /// Which end of a take is waited for: the n-th.
    pub(in crate::live) fn tail(&self) -> Option<u64> {
        (!self.tails.is_empty()).then_some(self.tails_over)
    }

    /// The end that is waited for has not come in time: its rungs end where they are.
    pub(in crate::live) fn give_up_tail(&mut self) -> Result<(), StoreError> {
        if self.tails.is_empty() {
            return Ok(());
        }
        let text = "an encoder did not give its last pictures in time: its rungs end a little early";
        self.told.warn(self.stream.id(), text.to_owned());
        self.rungs_ended()
    }

    /// What the ladder sent.
    pub(in crate::live) fn rung(&mut self, event: RungEvent) -> Result<(), StoreError> {
        if let Some(tail) = self.tails.front_mut() {
            // Which rungs there are is the running take's business.
            return tail.rungs.take(event, &tail.boundaries, &mut self.told).map(|_| ());
        }
        let Some(take) = &mut self.take else { return Ok(()) };
        let Some(rungs) = &mut take.rungs else { return Ok(()) };
        if rungs.take(event, &take.boundaries, &mut self.told)? {
            self.expect_take()?;
        }
        Ok(())
    }
}
