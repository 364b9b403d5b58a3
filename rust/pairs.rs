//! How merging forms each token, and which two tokens it joins.
//!
//! A token that could be cut into two tokens in several ways is only ever formed in one: as long as no
//! merge crosses a token's ends, merging inside it runs as on the token alone, and that ends in one
//! certain pair. So one [`Split`] a token says all that merging can do. Meta's are derived numbers,
//! `meta_splits.bin`; those of other vocabularies are found by merging every token alone.
//!
//! From pair to token there is an [`Index`]; what it finds is confirmed by the token's split. Most
//! pairs are none, and most of these the [`Partners`] of one of the two already rule out.

use crate::index::{AHEAD, Index, NONE, Seed};
use crate::merge::merge_plainly;
use crate::pieces::{Entry, Pieces};
use crate::prefetch::prefetch;
use crate::vocab::Tokens;

/// The two tokens that are joined last when a token's bytes are merged alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// [`NONE`] for a single byte and for a token that merging does not give.
    pub left: u32,
    /// [`NONE`] for a single byte; 0 for a token that merging does not give.
    right: u32,
}

impl Split {
    const BYTE: Self = Self { left: NONE, right: NONE };
    /// That of a token that merging does not give.
    pub const NEVER: Self = Self { left: NONE, right: 0 };
    /// In `right`: some part of the token, or a part of a part, ranks above what it is a part of.
    const IRREGULAR: u32 = 1 << 31;

    /// Whether the token is a single byte.
    #[inline(always)]
    pub fn is_byte(self) -> bool {
        self == Self::BYTE
    }

    /// Whether merging gives the token. The others are only ever whole pretokens.
    #[inline(always)]
    pub fn is_reached(self) -> bool {
        self != Self::NEVER
    }

    /// Whether every part in the token ranks below what it is a part of.
    #[inline(always)]
    pub fn is_regular(self) -> bool {
        self.is_byte() || self.right & Self::IRREGULAR == 0
    }

    /// The right one of the two.
    #[inline(always)]
    pub fn right(self) -> u32 {
        self.right & !Self::IRREGULAR
    }
}

/// The tokens that a token may be joined with on either side, as one bit each of 32.
#[derive(Clone, Copy, Default)]
pub struct Partners {
    behind: u32,
    before: u32,
}

impl Partners {
    /// No token at all.
    pub const NONE: Self = Self { behind: 0, before: 0 };

    #[inline(always)]
    fn bit(id: u32) -> u32 {
        1 << (id.wrapping_mul(0x9E37_79B1) >> 27)
    }
}

/// How merging forms each token of Meta's vocabulary: see scripts/meta_splits.py.
static META_SPLITS: &[u8] = include_bytes!("meta_splits.bin");
/// In the first number: merging does not give the token.
const NEVER: u32 = 1 << 23;
/// The second number of a single byte.
const NOTHING: u32 = (1 << 24) - 1;

/// The table of pairs.
pub struct Pairs {
    seed: Seed,
    index: Index,
}

impl Pairs {
    /// The table of the tokens that `pieces` has, and the entry of each.
    pub fn build(tokens: &Tokens, pieces: &Pieces) -> (Self, Vec<Entry>) {
        if are_metas(tokens) {
            return Self::of_meta();
        }
        let parts = |id| Some(last_merge(tokens, pieces, tokens.get(id)?));
        Self::complete(tokens.len(), parts, |_| None)
    }

    /// The same for Meta's tokens, of which nothing else needs to be known.
    pub fn of_meta() -> (Self, Vec<Entry>) {
        let splits = META_SPLITS.as_chunks().0;
        let known = |id: u32| splits.get(id as usize).map(parts);
        Self::complete(splits.len(), known, known)
    }

    /// `parts` gives the two numbers that `meta_splits.bin` would have for a token, but for those of a byte,
    /// and `soon` those that are already known.
    fn complete(
        count: usize,
        parts: impl Fn(u32) -> Option<(u32, u32)>,
        soon: impl Fn(u32) -> Option<(u32, u32)>,
    ) -> (Self, Vec<Entry>) {
        let mut table = Self { seed: Seed::random(), index: Index::with_room(count) };
        let mut entries = vec![Entry::UNKNOWN; count];
        for id in 0..count as u32 {
            if let Some((left, right)) = soon(id + AHEAD as u32) {
                table.index.ask(table.hash(left, right));
                for part in [left, right] {
                    if let Some(entry) = entries.get(part as usize) {
                        prefetch(entry);
                    }
                }
            }
            let split = match parts(id) {
                Some((_, NOTHING)) => Split::BYTE,
                Some((left, right)) if left & NEVER == 0 => split(&entries, id, left, right),
                _ => continue,
            };
            if let Some(entry) = entries.get_mut(id as usize) {
                entry.split = split;
            }
            if split.is_byte() {
                continue;
            }
            let (left, right) = (split.left, split.right());
            if let Some(entry) = entries.get_mut(left as usize) {
                entry.partners.behind |= Partners::bit(right);
            }
            if let Some(entry) = entries.get_mut(right as usize) {
                entry.partners.before |= Partners::bit(left);
            }
            table.index.insert(table.hash(left, right), id, |_| false);
        }
        (table, entries)
    }

    #[inline(always)]
    fn hash(&self, left: u32, right: u32) -> u64 {
        self.seed.mix(u64::from(left) << 32 | u64::from(right), 0)
    }

    /// The token that merging makes of two tokens, given with their partners, or [`NONE`].
    #[inline(always)]
    pub fn find(&self, pieces: &Pieces, left: (u32, Partners), right: (u32, Partners)) -> u32 {
        let ((left, of_left), (right, of_right)) = (left, right);
        let behind = of_left.behind & Partners::bit(right);
        let before = of_right.before & Partners::bit(left);
        if (behind == 0) | (before == 0) {
            return NONE;
        }
        self.index.find(self.hash(left, right), |id| {
            let split = pieces.entry(id).split;
            split.left == left && split.right() == right
        })
    }
}

/// The two numbers that `meta_splits.bin` has for a token.
#[inline(always)]
fn parts(&[a, b, c, d, e, f]: &[u8; 6]) -> (u32, u32) {
    (u32::from_le_bytes([a, b, c, 0]), u32::from_le_bytes([d, e, f, 0]))
}

/// Whether the tokens are Meta's: each single byte has its rank, and each other token the bytes of
/// the two that it consists of, which for the whole file leaves no other tokens.
fn are_metas(tokens: &Tokens) -> bool {
    let bytes = |id: u32| tokens.get(id).unwrap_or_default();
    let splits = META_SPLITS.as_chunks().0;
    splits.len() == tokens.len()
        && tokens.iter().zip(splits).all(|((_, token), split)| match (token, parts(split)) {
            (&[byte], numbers) => numbers == (u32::from(byte), NOTHING),
            (_, (_, NOTHING)) => false,
            (token, (left, right)) => {
                token.strip_prefix(bytes(left & !NEVER)) == Some(bytes(right))
            }
        })
}

/// The split of `id` into two. All entries before it are complete, those behind it are not: a part that
/// stands there ranks above it.
fn split(entries: &[Entry], id: u32, left: u32, right: u32) -> Split {
    let below = |part: u32| {
        let split = entries.get(part as usize).map_or(Split::NEVER, |entry| entry.split);
        split.is_byte() || (part < id && split.is_regular())
    };
    let flag = if below(left) && below(right) { 0 } else { Split::IRREGULAR };
    Split { left, right: right | flag }
}

/// The two tokens whose merge gives a token; [`NEVER`] if none does, [`NOTHING`] for a single byte.
fn last_merge(tokens: &Tokens, pieces: &Pieces, token: &[u8]) -> (u32, u32) {
    if token.len() == 1 {
        return (0, NOTHING);
    }
    let mut at = 0;
    let parts = merge_plainly(tokens, pieces, token, |length| at = length);
    let part = |start, end| pieces.find(tokens, token, start, end);
    if parts.len() == 1 { (part(0, at), part(at, token.len())) } else { (NEVER, 0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::best_encoder;

    /// The tokens of the vocabulary that tests use, with one of them replaced.
    fn tokens(replaced: Option<(usize, &[u8])>) -> Tokens {
        let vocabulary = &best_encoder().0.vocabulary;
        let mut tokens = Tokens::default();
        for id in 0..vocabulary.len() {
            let token = vocabulary.token(id as u32).unwrap();
            let token = replaced.filter(|&(other, _)| other == id).map_or(token, |(_, new)| new);
            tokens.push(token).unwrap();
        }
        tokens
    }

    #[test]
    fn metas_tokens_are_told_from_any_others() {
        if tokens(None).len() != META_SPLITS.len() / 6 {
            assert!(!are_metas(&tokens(None)));
            eprintln!("LLAMA3_TOK_VOCAB is not set: nothing is compared with Meta's tokens");
            return;
        }
        assert!(are_metas(&tokens(None)));
        // A byte, a token that merging gives, and one that it does not give.
        for id in [17, 5000, 101_798] {
            assert!(!are_metas(&tokens(Some((id, b"\0\0\0other")))), "{id}");
        }
    }
}
