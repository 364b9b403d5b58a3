//! One added token.

/// A token that a text has by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddedToken {
    /// Its id: above those of the vocabulary, or that of the token with the same bytes.
    pub id: u32,
    /// The characters that stand for it in a text.
    pub name: String,
    /// A text has it only if the caller allows it, and decoding can leave it out.
    pub special: bool,
    /// It is a token only where no word character is right before or after it.
    pub single_word: bool,
    /// White space before it belongs to it.
    pub lstrip: bool,
    /// White space after it belongs to it.
    pub rstrip: bool,
    /// It is searched for only between the tokens that are not normalized.
    pub normalized: bool,
}
