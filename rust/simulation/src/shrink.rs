//! Runs a scenario, and shrinks one that fails.

use penstock_core::worker::faults;

use crate::scenario::Scenario;
use crate::world::{Summary, World};

/// Runs a scenario. Fails with the violated invariant or the message of a panic.
pub fn run(scenario: &Scenario) -> Result<Summary, String> {
    faults::disarm();
    World::new(scenario).run()
}

/// The smallest scenario found that still fails, and its error.
pub fn shrink(scenario: &Scenario, error: String) -> (Scenario, String) {
    let (mut smallest, mut error) = (scenario.clone(), error);
    loop {
        let failing =
            smallest.smaller().into_iter().find_map(|next| Some((run(&next).err()?, next)));
        match failing {
            Some((found, next)) => (smallest, error) = (next, found),
            None => return (smallest, error),
        }
    }
}
