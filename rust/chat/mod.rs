//! The chat format: messages to ids, and to text for people.
//!
//! ```text
//! messages -> conversation   what no published format can hold is an error with its place
//!          -> hf       the templates published with the models    ┐ text, special tokens
//!             meta     ChatFormat of Meta's llama-models 0.3.0    ┘ and whose they are: a Script
//!          -> script   ids, mask, or text
//! ```
//!
//! Structure gives special tokens, content never does: content is a piece of text in the [`Script`],
//! special tokens are entries of another kind beside it, and only those become special ids. So the
//! special ids of a conversation are exactly those of its structure, whatever the messages say.
//!
//! What needs Python's own rules (JSON as `json.dumps` writes it, the types of what the caller gave)
//! is done in `python/llama3_tok/chat.py` and arrives here as text.

use crate::error::Error;
use crate::profile::Profile;

mod conversation;
mod script;
mod hf;
mod meta;
#[cfg(test)]
mod tests;

pub use self::conversation::{
    Argument, Call, Chat, ContentPart, Dialect, Ending, Message, Role, ToolFormat,
};
pub use self::script::{Encoded, Script};

impl Chat<'_> {
    /// The conversation as text and special tokens.
    pub fn script(&self, profile: &Profile) -> Result<Script, Error> {
        self.check(profile)?;
        let mut script = Script::default();
        match self.dialect {
            Dialect::Hf => hf::write(self, profile, &mut script)?,
            Dialect::Meta(format) => meta::write(self, format, profile, &mut script)?,
        }
        Ok(script)
    }
}
