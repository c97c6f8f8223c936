//! What clients are warned of in `x-penstock-warning`.

/// One entry of `x-penstock-warning`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Warning {
    /// `max_tokens` was above the tier's limit and was lowered.
    MaxTokensCapped,
    /// An argument in `chat_template_kwargs` is not allowed here and was removed.
    TemplateArgumentDropped,
}

impl Warning {
    pub fn text(self) -> &'static str {
        match self {
            Warning::MaxTokensCapped => "max_tokens=capped",
            Warning::TemplateArgumentDropped => "chat_template_kwargs=dropped",
        }
    }
}
