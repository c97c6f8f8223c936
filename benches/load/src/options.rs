//! Options of the form `--name value`.

use std::collections::HashMap;
use std::str::FromStr;

#[derive(Debug)]
pub struct Options(HashMap<String, String>);

impl Options {
    /// Reads the process's arguments; prints `usage` and ends the process if they make no sense.
    pub fn read(usage: &str) -> Self {
        let mut found = HashMap::new();
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            match (name.strip_prefix("--"), arguments.next()) {
                (Some(name), Some(value)) => found.insert(name.to_owned(), value),
                _ => stop(usage),
            };
        }
        Options(found)
    }

    /// The value of an option, or `default`.
    pub fn get<T: FromStr>(&self, name: &str, default: T) -> T {
        match self.0.get(name) {
            None => default,
            Some(value) => {
                value.parse().unwrap_or_else(|_| stop(&format!("--{name}: what is {value:?}?")))
            }
        }
    }
}

fn stop(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(2)
}
