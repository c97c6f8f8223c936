//! `penstock-simulation`: runs seeds until one fails, and prints the command that repeats it.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Instant;

use penstock_simulation::scenario::{NAMES, Scenario};
use penstock_simulation::shrink::{run, shrink};
use penstock_simulation::world::Summary;

const HELP: &str = "\
Runs the whole gateway on virtual time, from seeds.

  --seeds N       so many seeds, one after the other (256)
  --first SEED    the first of them (0)
  --steps N       events of each run until clients begin nothing new (3000)
  --seed SEED     only this one; with it:
  --workers N --backends N --clients N --without DANGER   instead of what the seed says

Dangers: faults one-bad clients kills stops drains swaps panics.
Exit code 1: a seed has failed; the last line repeats it.";

struct Options {
    seeds: u64,
    first: u64,
    steps: u64,
    only: Option<Scenario>,
}

fn main() -> ExitCode {
    // Suppress the default output: the failure is printed once, at the end.
    std::panic::set_hook(Box::new(|_| ()));
    match options(std::env::args().skip(1)) {
        Ok(Some(options)) => simulate(&options),
        Ok(None) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options { seeds: 256, first: 0, steps: 3_000, only: None };
    let mut seed = None;
    let mut changes: Vec<(String, String)> = Vec::new();
    while let Some(name) = arguments.next() {
        if name == "--help" {
            return Ok(None);
        }
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{name}: {value} is no number"));
        match name.as_str() {
            "--seeds" => options.seeds = number()?,
            "--first" => options.first = number()?,
            "--steps" => options.steps = number()?,
            "--seed" => seed = Some(number()?),
            "--workers" | "--backends" | "--clients" => {
                number()?;
                changes.push((name, value));
            }
            "--without" if NAMES.contains(&value.as_str()) => changes.push((name, value)),
            _ => return Err(format!("{name} {value}: no such option")),
        }
    }
    let Some(seed) = seed else { return Ok(Some(options)) };
    let mut scenario = Scenario::of_seed(seed, options.steps);
    for (name, value) in changes {
        let number = || value.parse::<u64>().unwrap_or(1).max(1);
        match name.as_str() {
            "--workers" => scenario.workers = number().min(64),
            "--backends" => scenario.backends = number().min(200),
            "--clients" => scenario.clients = number(),
            _ => {
                if let Some(danger) = scenario.dangers.get(&value) {
                    *danger = false;
                }
            }
        }
    }
    options.only = Some(scenario);
    Ok(Some(options))
}

fn simulate(options: &Options) -> ExitCode {
    let began = Instant::now();
    let mut total = Summary::default();
    let seeds = options.first..options.first + options.seeds;
    let all: Box<dyn Iterator<Item = Scenario>> = match &options.only {
        Some(scenario) => Box::new(std::iter::once(scenario.clone())),
        None => Box::new(seeds.map(|seed| Scenario::of_seed(seed, options.steps))),
    };
    let count = if options.only.is_some() { 1 } else { options.seeds };
    for (done, scenario) in (1..).zip(all) {
        match run(&scenario) {
            Ok(Summary { steps, answered, failed, deaths }) => {
                total.steps += steps;
                total.answered += answered;
                total.failed += failed;
                total.deaths += deaths;
            }
            Err(error) => {
                progress(None);
                let seed = scenario.seed;
                println!("seed {seed}, the {done}. of {count}: {error}");
                let (smallest, error) = shrink(&scenario, error);
                println!("smaller: {error}");
                println!("repeat with: make simulate OPTIONS=\"{}\"", smallest.options());
                return ExitCode::FAILURE;
            }
        }
        progress(Some((done, count, began)));
    }
    progress(None);
    let Summary { steps, answered, failed, deaths } = total;
    println!(
        "{count} seeds, {steps} steps in {:.1} s: {answered} answered, {failed} failed as they may, {deaths} workers ended",
        began.elapsed().as_secs_f64()
    );
    ExitCode::SUCCESS
}

/// Shows the progress, on a terminal only.
fn progress(state: Option<(u64, u64, Instant)>) {
    let mut err = std::io::stderr();
    if !err.is_terminal() {
        return;
    }
    let line = state.map_or(String::new(), |(done, count, began)| {
        let left = began.elapsed().as_secs_f64() / done as f64 * (count - done) as f64;
        format!("{done} of {count} seeds, {left:.0} s left")
    });
    let _ = write!(err, "\r{line:<60}\r");
}
