//! One added token.

/// A token that a text has by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddedToken {
    /// Its id: after the vocabulary's, or that of the same bytes there.
    pub id: u32,
    /// What stands in the text for it.
    pub name: String,
    /// A text has it only if the caller allows that, and decoding can leave it out.
    pub special: bool,
    /// It is a token only where no word goes on before or after it.
    pub single_word: bool,
    /// White space before it belongs to it.
    pub lstrip: bool,
    /// White space after it belongs to it.
    pub rstrip: bool,
    /// It is searched for in what the others leave.
    pub normalized: bool,
}
