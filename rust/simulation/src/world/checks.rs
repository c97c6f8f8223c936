//! What holds after every step, and at the end.

use penstock_admission::Owner;
use penstock_core::worker::Worker;

use super::World;

impl World {
    pub(super) fn check(&mut self) -> Result<(), String> {
        let sums = self.segment.admission.invariants();
        let counted = sums.queued + sums.running + sums.closing + sums.finished;
        if !sums.ok || sums.arrived != counted {
            return Err(format!("admission: {sums:?}"));
        }
        for (at, backend) in self.backends.iter_mut().enumerate() {
            let limit = self.generation.table.backends[at].concurrency;
            let used = self.segment.admission.backend(at as u16).cap.used.slots;
            // Requests that had a permit when the limit was lowered keep it.
            backend.allowed = limit.max(used.min(backend.allowed));
            let running = backend.running;
            if running > used || used > backend.allowed {
                return Err(format!("backend {at} runs {running}, {used} permits, limit {limit}"));
            }
        }
        for process in &self.processes {
            let Some(worker) = &process.worker else { continue };
            let owner = Owner { worker: process.index, generation: process.life };
            let mut tickets = worker.tickets();
            for permit in self.segment.admission.permits_of(owner) {
                let Some(found) = tickets.iter().position(|ticket| *ticket == permit) else {
                    return Err(format!("worker {}: {permit:?} has no owner", process.index));
                };
                tickets.swap_remove(found);
            }
        }
        Ok(())
    }

    pub(super) fn check_end(&mut self) -> Result<(), String> {
        for (at, client) in self.clients.iter().enumerate() {
            if !client.asked.is_empty() {
                return Err(format!("client {at} still waits: {:?}", client.asked));
            }
        }
        for process in &self.processes {
            let left = process.worker.as_ref().map_or(0, Worker::active);
            if left > 0 {
                return Err(format!("worker {} still has {left} requests", process.index));
            }
        }
        let sums = self.segment.admission.invariants();
        if sums.queued + sums.running + sums.closing > 0 {
            return Err(format!("permits are left: {sums:?}"));
        }
        Ok(())
    }
}
