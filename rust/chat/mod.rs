//! The chat format: messages to ids, and to text for people.
//!
//! ```text
//! messages -> conversation   checks what no published format can hold
//!          -> hf             the templates published with the models    ┐ a Script: text, special tokens,
//!             meta           ChatFormat of Meta's llama-models 0.3.0    ┘ and which of it is the assistant's
//!          -> script         ids, mask, or text
//! ```
//!
//! Structure gives special tokens, content never does. Content is text in the [`Script`]; special tokens
//! are marks beside it, and only marks become special ids. So the special ids of a conversation are
//! exactly those of its structure, whatever the messages say.

use crate::error::{Check, Error};
use crate::profile::Profile;

mod conversation;
mod script;
mod hf;
mod meta;
mod several;
mod blocks;
#[cfg(test)]
mod tests;

pub use self::blocks::ChatSource;
pub use self::conversation::{
    Argument, Call, Chat, ContentPart, Dialect, Ending, Message, Role, ToolFormat,
};
pub use self::script::{Encoded, Script};
pub use self::several::{EncodedChats, encode_all};

impl Chat<'_> {
    /// The conversation as text and special tokens.
    pub fn script(&self, profile: &Profile, check: &Check) -> Result<Script, Error> {
        let mut script = Script::default();
        self.write(profile, &mut script, check)?;
        Ok(script)
    }

    /// The same in the memory of another one.
    fn write(&self, profile: &Profile, script: &mut Script, check: &Check) -> Result<(), Error> {
        script.clear();
        self.refuse(profile, check)?;
        match self.dialect {
            Dialect::Hf => hf::write(self, profile, script, check),
            Dialect::Meta(format) => meta::write(self, format, profile, script, check),
        }
    }
}
