//! The messages of a chat request: checks each one, and separates text from media.

use penstock_wire::json::{JsonError, Kind, Reader, unescape};

use crate::endpoint::parameter::{meant_by, misspelt};
use crate::endpoint::request::Prompt;
use crate::openai::{ApiError, Code};

/// Reads the array. There must be at least one message, and each must be an object with a role.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<Prompt, JsonError> {
    let mut messages = Messages::default();
    let mut count = 0;
    let span = reader.array(|reader, index| {
        count += 1;
        messages.read_message(reader, index)
    })?;
    let Messages { media_bytes, media, mut fault } = messages;
    if count == 0 {
        let message = "'messages' must hold at least one message";
        fault = Some(ApiError::new(Code::InvalidValue, message).param("messages"));
    }
    let bytes = span.len() - media_bytes;
    Ok(Prompt { span, bytes, media, fault, ..Prompt::default() })
}

/// The state while messages are read.
#[derive(Debug, Default)]
struct Messages {
    /// Bytes of images, sounds, videos and files, which are not text.
    media_bytes: usize,
    /// Number of images, sounds, videos and files.
    media: u32,
    fault: Option<ApiError>,
}

impl Messages {
    fn read_message(&mut self, reader: &mut Reader<'_>, index: usize) -> Result<(), JsonError> {
        let kind = reader.kind()?;
        if kind != Kind::Object {
            self.fault.get_or_insert_with(|| {
                let message = format!("'messages[{index}]' must be an object, not {}", kind.name());
                ApiError::new(Code::InvalidValue, message).param(format!("messages[{index}]"))
            });
            return reader.value().map(|_| ());
        }
        let mut role = None;
        reader.object(|reader, key| {
            match &*key.name() {
                b"role" => role = Some(reader.value()?.kind),
                b"content" => self.read_content(reader)?,
                name => {
                    reader.value()?;
                    if let Some(meant) = meant_by(name, &["role", "content"]) {
                        let path = format!("messages[{index}].");
                        self.fault.get_or_insert(misspelt(&path, &unescape(key.raw), meant));
                    }
                }
            }
            Ok::<(), JsonError>(())
        })?;
        if role != Some(Kind::String) {
            self.fault.get_or_insert_with(|| role_fault(index, role));
        }
        Ok(())
    }

    /// Reads the content of one message: a text, or parts. A part is classified by its members and not by its
    /// `type`, so that text cannot avoid being counted by a wrong `type`.
    fn read_content(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        if reader.kind()? != Kind::Array {
            return reader.value().map(|_| ());
        }
        reader.array(|reader, _| {
            if reader.kind()? != Kind::Object {
                return reader.value().map(|_| ());
            }
            reader.object(|reader, key| {
                let value = reader.value()?;
                if value.kind != Kind::Null && is_media(&key.name()) {
                    self.media += 1;
                    self.media_bytes += value.span.len();
                }
                Ok::<(), JsonError>(())
            })?;
            Ok(())
        })?;
        Ok(())
    }
}

/// The members of a content part that hold media or refer to it (`OpenAI`'s API reference, and the embedding parts
/// of vLLM, which include `data` of `prompt_embeds`).
fn is_media(name: &[u8]) -> bool {
    matches!(
        name,
        b"image_url"
            | b"image"
            | b"input_image"
            | b"image_embeds"
            | b"input_audio"
            | b"audio_url"
            | b"audio"
            | b"audio_embeds"
            | b"video_url"
            | b"video"
            | b"video_embeds"
            | b"file"
            | b"file_data"
            | b"data"
    )
}

fn role_fault(index: usize, found: Option<Kind>) -> ApiError {
    let param = format!("messages[{index}].role");
    match found {
        None => {
            let message = format!("missing required parameter: '{param}'");
            ApiError::new(Code::MissingRequiredParameter, message).param(param)
        }
        Some(kind) => {
            let message = format!("'{param}' must be a string, not {}", kind.name());
            ApiError::new(Code::InvalidValue, message).param(param)
        }
    }
}
