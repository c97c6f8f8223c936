//! The parameters of one run, as chosen by its seed, and how they are shrunk.

use crate::random::Random;

/// The parameters of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    pub seed: u64,
    /// Events until clients stop sending new requests; after that every request has to end.
    pub steps: u64,
    pub workers: u64,
    pub backends: u64,
    pub clients: u64,
    pub dangers: Dangers,
}

/// Kinds of faults. Each can be switched off, to find the smallest scenario that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dangers {
    /// Backends stall, truncate, reset, refuse, answer 429 and 503, send broken framing.
    pub faults: bool,
    /// Only one backend fails, with resets and refused connections; retries must hide it from all clients.
    pub one_bad: bool,
    /// Clients leave, stall and half-close.
    pub clients: bool,
    /// Workers are killed.
    pub kills: bool,
    /// Workers are stopped for a while (SIGSTOP).
    pub stops: bool,
    /// Workers are drained.
    pub drains: bool,
    /// The configuration changes.
    pub swaps: bool,
    /// The gateway's own code panics.
    pub panics: bool,
}

/// The names of the dangers on the command line.
pub const NAMES: [&str; 8] =
    ["faults", "one-bad", "clients", "kills", "stops", "drains", "swaps", "panics"];

impl Dangers {
    pub fn get(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "faults" => &mut self.faults,
            "one-bad" => &mut self.one_bad,
            "clients" => &mut self.clients,
            "kills" => &mut self.kills,
            "stops" => &mut self.stops,
            "drains" => &mut self.drains,
            "swaps" => &mut self.swaps,
            "panics" => &mut self.panics,
            _ => return None,
        })
    }
}

impl Scenario {
    pub fn of_seed(seed: u64, steps: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5ce0_a210);
        let one_bad = random.percent(25);
        let mut often = |percent| random.percent(percent);
        let dangers = Dangers {
            faults: !one_bad && often(80),
            one_bad,
            clients: often(80),
            kills: often(50),
            stops: often(30),
            drains: often(30),
            swaps: often(50),
            panics: often(25),
        };
        Scenario {
            seed,
            steps,
            workers: random.between(1, 4),
            backends: random.between(if one_bad { 2 } else { 1 }, 6),
            clients: random.between(2, 24),
            dangers,
        }
    }

    /// Scenarios that are smaller in one parameter each.
    pub fn smaller(&self) -> Vec<Scenario> {
        let mut all = Vec::new();
        for name in NAMES {
            let mut next = self.clone();
            if let Some(danger) = next.dangers.get(name)
                && std::mem::replace(danger, false)
            {
                all.push(next);
            }
        }
        let least = if self.dangers.one_bad { 2 } else { 1 };
        for (change, floor) in
            [(Self::workers_mut as Field, 1), (Self::backends_mut, least), (Self::clients_mut, 1)]
        {
            let mut next = self.clone();
            let value = change(&mut next);
            if *value > floor {
                *value = (*value / 2).max(floor);
                all.push(next);
            }
        }
        all
    }

    fn workers_mut(&mut self) -> &mut u64 {
        &mut self.workers
    }

    fn backends_mut(&mut self) -> &mut u64 {
        &mut self.backends
    }

    fn clients_mut(&mut self) -> &mut u64 {
        &mut self.clients
    }

    /// The command-line options that repeat this run.
    pub fn options(&self) -> String {
        let Scenario { seed, steps, workers, backends, clients, mut dangers } = *self;
        let mut text = format!(
            "--seed {seed} --steps {steps} --workers {workers} --backends {backends} --clients {clients}"
        );
        let own = Scenario::of_seed(seed, steps).dangers;
        for name in NAMES {
            let mut own = own;
            if own.get(name).copied() != dangers.get(name).copied() {
                text.push_str(" --without ");
                text.push_str(name);
            }
        }
        text
    }
}

type Field = fn(&mut Scenario) -> &mut u64;
