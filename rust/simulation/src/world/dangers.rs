//! The control process, and what goes wrong on purpose.

use std::sync::Arc;

use penstock_admission::Health;
use penstock_core::time::{MILLISECOND, SECOND};
use penstock_core::worker::faults;

use super::{Event, World};
use crate::table;

impl World {
    pub(super) fn controls(&mut self) {
        self.segment.admission.tick(self.now);
        for at in 0..self.backends.len() {
            let is_there = self.backends[at].closed_until <= self.now;
            let health = if is_there { Health::Healthy } else { Health::Down };
            if !is_there {
                self.segment.admission.note_refused(at as u16, self.now);
            }
            // Probes are rare, so that requests discover failures first.
            if is_there || self.random.percent(10) {
                self.segment.admission.set_health(at as u16, health, self.now);
            }
        }
        self.agenda.add(self.now + 50 * MILLISECOND, Event::Controls);
    }

    pub(super) fn danger(&mut self) -> Result<(), String> {
        if self.is_ending() {
            for process in &mut self.processes {
                process.stopped_until = process.stopped_until.min(self.now);
            }
            return Ok(());
        }
        let dangers = self.scenario.dangers;
        let at = self.random.index(self.processes.len());
        match self.random.below(8) {
            0 if dangers.kills => self.kill(at),
            6 if dangers.kills => self.processes[at].dies_after = Some(self.random.between(1, 120)),
            1 if dangers.stops => {
                self.processes[at].stopped_until = self.now + self.random.below(2 * SECOND);
            }
            2 if dangers.drains && self.random.percent(30) => {
                let (life, cut) = (self.processes[at].life, self.soon(SECOND));
                self.processes[at].is_draining = true;
                self.tell(at, |worker, io, _| worker.drain(io))?;
                self.agenda.add(cut, Event::CutsDrain(at, life));
            }
            3 if dangers.swaps => self.swap()?,
            4 if dangers.panics => {
                let places = ["submit", "offered", "upstream", "timer", "release"];
                faults::arm(places[self.random.index(places.len())].to_owned());
            }
            5 if dangers.faults || dangers.one_bad => {
                let bad = if dangers.one_bad { 0 } else { self.random.index(self.backends.len()) };
                self.backends[bad].closed_until = self.now + self.random.below(SECOND);
            }
            _ => {}
        }
        let next = self.soon(100 * MILLISECOND);
        self.agenda.add(next, Event::Danger);
        Ok(())
    }

    /// Switches all workers to a new configuration.
    pub(super) fn swap(&mut self) -> Result<(), String> {
        let number = self.generation.number + 1;
        let one_bad = self.scenario.dangers.one_bad;
        let next = table::generation(number, self.scenario.backends, one_bad, &mut self.random);
        self.generation = Arc::new(next);
        let limits: Vec<u32> =
            self.generation.table.backends.iter().map(|backend| backend.concurrency).collect();
        for (at, slots) in limits.into_iter().enumerate() {
            self.segment.admission.set_limits(at as u16, slots, self.now);
        }
        for at in 0..self.processes.len() {
            let generation = self.generation.clone();
            self.tell(at, |worker, _, now| worker.set_generation(generation, now.mono))?;
        }
        Ok(())
    }
}
