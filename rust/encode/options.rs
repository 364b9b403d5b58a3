//! The options of encoding a text.

use crate::added::Selection;

/// How a text is to be encoded. The default is text alone, without any special token.
pub struct Options {
    /// Begin with the beginning-of-text token.
    pub bos: bool,
    /// End with the end-of-text token.
    pub eos: bool,
    /// Special tokens that the text may have; the others are plain text.
    pub allowed: Selection,
    /// Special tokens that are an error in the text, even if allowed.
    pub disallowed: Selection,
}

impl Default for Options {
    fn default() -> Self {
        Self { bos: false, eos: false, allowed: Selection::None, disallowed: Selection::None }
    }
}
