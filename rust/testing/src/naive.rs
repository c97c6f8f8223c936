//! Slow readers of whole texts: the oracles.

/// An HTTP/1.1 message head: status, header lines with lower-case names, and where the body starts.
pub struct Head {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub length: usize,
}

impl Head {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

pub fn head(wire: &[u8]) -> Option<Head> {
    let length = find(wire, b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&wire[..length - 4]).ok()?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.splitn(3, ' ');
    if !first.next()?.starts_with("HTTP/1.") {
        return None;
    }
    let status = first.next()?.parse().ok()?;
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Some(Head { status, headers, length })
}

pub fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// A chunked body: its data, and how many bytes it took if it is complete.
/// `None` where the framing is broken.
pub fn dechunk(wire: &[u8]) -> Option<(Vec<u8>, Option<usize>)> {
    let mut data = Vec::new();
    let mut at = 0;
    loop {
        let Some(line) = wire[at..].windows(2).position(|pair| pair == b"\r\n") else {
            return Some((data, None));
        };
        let digits = wire[at..at + line].split(|b| b"; \t".contains(b)).next()?;
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        at += line + 2;
        if size == 0 {
            // Trailers up to an empty line.
            loop {
                let Some(line) = wire[at..].windows(2).position(|pair| pair == b"\r\n") else {
                    return Some((data, None));
                };
                at += line + 2;
                if line == 0 {
                    return Some((data, Some(at)));
                }
            }
        }
        let end = at.saturating_add(size);
        if wire.len() < end {
            data.extend_from_slice(&wire[at..]);
            return Some((data, None));
        }
        data.extend_from_slice(&wire[at..end]);
        if wire.len() < end + 2 {
            return Some((data, None));
        }
        if &wire[end..end + 2] != b"\r\n" {
            return None;
        }
        at = end + 2;
    }
}

/// The events of a whole text (WHATWG HTML §9.2.6): name and data. An unfinished last event counts,
/// as Penstock has it.
pub fn events(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut line = Vec::new();
    let mut bytes = text.iter().peekable();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\r' => {
                if bytes.peek() == Some(&&b'\n') {
                    bytes.next();
                }
                lines.push(std::mem::take(&mut line));
            }
            b'\n' => lines.push(std::mem::take(&mut line)),
            _ => line.push(byte),
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines.push(Vec::new());
    let mut found = Vec::new();
    let mut name = Vec::new();
    let mut data: Vec<Vec<u8>> = Vec::new();
    for line in lines {
        if line.is_empty() {
            if !data.is_empty() {
                found.push((std::mem::take(&mut name), data.join(&b'\n')));
                data.clear();
            }
            name.clear();
            continue;
        }
        let (field, value) = match line.iter().position(|&b| b == b':') {
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (&line[..], &b""[..]),
        };
        match field {
            b"data" => data.push(value.to_vec()),
            b"event" => name = value.to_vec(),
            _ => {}
        }
    }
    found
}

/// Deepest nesting of a text that is known to be JSON.
pub fn json_depth(text: &[u8]) -> u32 {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0u32, 0, false, false);
    for &byte in text {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
