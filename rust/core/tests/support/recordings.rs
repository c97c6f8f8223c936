//! The recorded answers of real servers, and the requests that they answered.

use std::fs;
use std::path::{Path, PathBuf};

use super::{INSTANT, naive};

pub struct Recorded {
    /// `folder/name`.
    pub name: String,
    /// The request's body, with the model's name replaced by the clients' name for it.
    pub body: Vec<u8>,
    /// The answer as it came over the wire.
    pub raw: Vec<u8>,
}

/// All of them, in the order of their names.
pub fn all() -> Vec<Recorded> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/recordings");
    let mut paths: Vec<PathBuf> = Vec::new();
    for folder in fs::read_dir(&root).expect("tests/recordings") {
        let folder = folder.expect("an entry").path();
        if folder.is_dir() {
            let entries = fs::read_dir(folder).expect("a folder");
            paths.extend(entries.map(|entry| entry.expect("an entry").path()));
        }
    }
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "http"));
    paths.sort();
    paths.iter().map(|path| read(&root, path)).collect()
}

fn read(root: &Path, path: &Path) -> Recorded {
    let name = path.strip_prefix(root).expect("below the root").with_extension("");
    let name = name.to_string_lossy().replace('\\', "/");
    let request = fs::read(path).expect("a request");
    let raw = fs::read(path.with_extension("raw")).expect("an answer");
    let body = naive::find(&request, b"\r\n\r\n").map_or(&[][..], |at| &request[at + 4..]);
    Recorded { name, body: with_alias(body), raw }
}

/// Replaces the model's name as text, because not every recorded body is JSON.
fn with_alias(body: &[u8]) -> Vec<u8> {
    const KEY: &[u8] = b"\"model\": \"";
    let Some(start) = naive::find(body, KEY).map(|at| at + KEY.len()) else {
        return body.to_vec();
    };
    let end = start + body[start..].iter().position(|&b| b == b'"').unwrap_or(0);
    [&body[..start], INSTANT.as_bytes(), &body[end..]].concat()
}
