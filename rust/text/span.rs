//! Where a pretoken, or a segment of one, stands in its text.
//!
//! It goes from stage to stage beside the whole text, and not as a slice of it: what reads 16 or 32 bytes at
//! once then need not stop at its end.

/// The bytes of a text from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

impl Span {
    /// The whole of a text.
    #[inline(always)]
    pub fn all_of(text: &[u8]) -> Self {
        Self { start: 0, end: text.len() }
    }

    /// How many bytes it has.
    #[inline(always)]
    pub fn length(self) -> usize {
        self.end - self.start
    }

    /// Its bytes; `None` if it is not inside the text.
    #[inline(always)]
    pub fn bytes(self, text: &[u8]) -> Option<&[u8]> {
        text.get(self.start..self.end)
    }
}
