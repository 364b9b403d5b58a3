//! The bytes of all tokens.

use crate::machine::huge_pages;
use crate::machine::lanes;

/// The most tokens that a vocabulary may have, so that a rank fits 20 bits.
pub const MAX_TOKENS: usize = 1_000_000;
/// The most bytes that a token may have.
pub const MAX_TOKEN_BYTES: usize = 1024;

/// The tokens' bytes end to end, in the order of their ids.
#[derive(Default)]
pub struct TokenBytes {
    bytes: Vec<u8>,
    /// Where each token ends; `MAX_TOKENS * MAX_TOKEN_BYTES` fits 32 bits. The ends ascend, and the last one
    /// is the number of bytes, since only adding a token changes them. So each id with an end has its bytes.
    ends: Vec<u32>,
}

impl TokenBytes {
    /// No tokens yet, with memory for those of a rank file of `length` bytes. Meta's has 17 bytes a line.
    pub(crate) fn with_capacity(length: usize) -> Self {
        // If memory is refused here, they grow as they are filled.
        Self {
            bytes: huge_pages::with_capacity(length / 2).unwrap_or_default(),
            ends: huge_pages::with_capacity(length / 16).unwrap_or_default(),
        }
    }

    /// How many tokens there are.
    #[expect(clippy::len_without_is_empty, reason = "nothing asks")]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of a token.
    #[inline]
    pub fn get(&self, id: u32) -> Option<&[u8]> {
        self.bytes.get(self.start(id)?..*self.ends.get(id as usize)? as usize)
    }

    #[inline]
    fn start(&self, id: u32) -> Option<usize> {
        match id.checked_sub(1) {
            Some(before) => Some(*self.ends.get(before as usize)? as usize),
            None => Some(0),
        }
    }

    /// Every id with its bytes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let mut rest = self.bytes.as_slice();
        let mut start = 0;
        (0..).zip(&self.ends).map(move |(id, &end)| {
            let token;
            // Never after the end, since the ends ascend up to the number of bytes.
            (token, rest) = rest.split_at((end - start) as usize);
            start = end;
            (id, token)
        })
    }

    /// Adds the token with the next id, whose bytes `write` appends. If this gives `None`, the tokens
    /// can't be used any more.
    #[inline]
    pub(crate) fn push_by(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<()> {
        let start = self.bytes.len();
        write(&mut self.bytes)?;
        let length = self.bytes.len() - start;
        self.ends.push(self.bytes.len() as u32);
        (length.wrapping_sub(1) < MAX_TOKEN_BYTES && self.len() <= MAX_TOKENS).then_some(())
    }

    /// The first 16 bytes of a token and of what follows it, and the length of the token.
    #[inline]
    pub fn head(&self, id: u32) -> Option<(u128, usize)> {
        let start = self.start(id)?;
        Some((
            lanes::load_16_bytes(&self.bytes, start),
            *self.ends.get(id as usize)? as usize - start,
        ))
    }

    /// Adds the token with the next id, or says why it can't be one.
    pub(crate) fn push(&mut self, token: &[u8]) -> Result<(), String> {
        if token.is_empty() {
            return Err("the token is empty".to_owned());
        }
        if token.len() > MAX_TOKEN_BYTES {
            let length = token.len();
            return Err(format!(
                "the token has {length} bytes; at most {MAX_TOKEN_BYTES} are allowed"
            ));
        }
        if self.len() == MAX_TOKENS {
            return Err(format!("there are more than {MAX_TOKENS} tokens"));
        }
        self.bytes.extend_from_slice(token);
        self.ends.push(self.bytes.len() as u32);
        Ok(())
    }
}
