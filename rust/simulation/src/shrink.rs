//! Runs a scenario, and makes one that fails smaller.

use std::panic::{AssertUnwindSafe, catch_unwind};

use penstock_core::worker::faults;

use crate::scenario::Scenario;
use crate::world::{Summary, World};

/// Runs a scenario; an error, or a panic, says what did not hold.
pub fn run(scenario: &Scenario) -> Result<Summary, String> {
    faults::disarm();
    let run = catch_unwind(AssertUnwindSafe(|| World::new(scenario).run()));
    run.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

/// The smallest scenario found that fails too, and its error.
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
