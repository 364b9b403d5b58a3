//! The bytes of all tokens.

use std::collections::TryReserveError;

use crate::error::Error;
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
    /// Memory for the bytes and the ends of the tokens of a rank file of `length` bytes. Meta's has 17 bytes
    /// a line.
    pub(crate) fn memory(length: usize) -> Result<(Vec<u8>, Vec<u32>), TryReserveError> {
        Ok((huge_pages::with_capacity(length / 2)?, huge_pages::with_capacity(length / 16)?))
    }

    /// No tokens yet, with memory for those of a rank file of `length` bytes.
    pub(crate) fn with_capacity(length: usize) -> Self {
        // If memory is refused here, they grow as they are filled.
        let (bytes, ends) = Self::memory(length).unwrap_or_default();
        Self { bytes, ends }
    }

    /// The tokens that have these bytes, given where each ends; `None` if some can't be tokens.
    pub(crate) fn of(bytes: Vec<u8>, ends: Vec<u32>) -> Option<Self> {
        let mut start = 0;
        let is_token = |&end: &u32| {
            let length = end.checked_sub(start).map_or(0, |length| length as usize);
            start = end;
            (1..=MAX_TOKEN_BYTES).contains(&length)
        };
        let are_all = ends.len() <= MAX_TOKENS && ends.iter().all(is_token);
        (are_all && start as usize == bytes.len()).then_some(Self { bytes, ends })
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

    /// The first 16 bytes of a token and of what follows it, and the length of the token.
    #[inline]
    pub fn head(&self, id: u32) -> Option<(u128, usize)> {
        let start = self.start(id)?;
        Some((
            lanes::load_16_bytes(&self.bytes, start),
            *self.ends.get(id as usize)? as usize - start,
        ))
    }

    /// Memory for one more token of so many bytes.
    pub(crate) fn try_reserve(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes.try_reserve(bytes)?;
        Ok(self.ends.try_reserve(1)?)
    }

    /// Adds the token with the next id, or says why it can't be one.
    #[inline]
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
