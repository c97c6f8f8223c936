//! Token counts as a backend reports them.

use penstock_wire::json::{JsonError, Kind, Reader};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    /// Prompt tokens that came from the backend's prefix cache.
    pub cached_tokens: u64,
}

impl Usage {
    /// Reads a `usage` object; missing counters are 0.
    pub fn read(text: &[u8]) -> Result<Self, JsonError> {
        let mut usage = Usage::default();
        Reader::new(text).object(|reader, key| {
            let value = reader.value()?;
            match &*key.name() {
                b"prompt_tokens" => usage.prompt_tokens = value.as_u64(text).unwrap_or(0),
                b"completion_tokens" => usage.completion_tokens = value.as_u64(text).unwrap_or(0),
                b"prompt_tokens_details" if value.kind == Kind::Object => {
                    let details = value.span.of(text);
                    Reader::new(details).object(|reader, key| {
                        let value = reader.value()?;
                        if key.is("cached_tokens") {
                            usage.cached_tokens = value.as_u64(details).unwrap_or(0);
                        }
                        Ok::<(), JsonError>(())
                    })?;
                }
                _ => {}
            }
            Ok::<(), JsonError>(())
        })?;
        Ok(usage)
    }
}
