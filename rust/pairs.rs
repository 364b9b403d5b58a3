//! How merging forms each token, and which two tokens it joins.
//!
//! A token that could be cut into two tokens in several ways is only ever formed in one: as long as no
//! merge crosses a token's ends, merging inside it runs as on the token alone, and that ends in one
//! certain pair. So one pair a token, its split, says all that merging can do. Meta's are derived
//! numbers, `meta_splits.bin`; those of other vocabularies are found by merging every token alone.
//!
//! From pair to token there is an [`Index`]; what it finds is confirmed by the token's split. Most
//! pairs are none. Some bits in the [`Entry`] of each of the two rule out most of these, and a table of
//! bits, small enough to stay near the processor, nearly all others.

use crate::index::{AHEAD, Index, NONE, Seed};
use crate::merge::merge_plainly;
use crate::pieces::Pieces;
use crate::prefetch::prefetch;
use crate::vocab::{MAX_TOKENS, Tokens};

/// What merging needs to know of a token, in one word, since the words of many tokens are looked at: the
/// two tokens that are joined last when its bytes are merged alone, and what it may be joined with.
///
/// From the lowest bit: the right one of the two, the left one, whether the token is irregular; then, as
/// sets of hashes, the tokens that are joined with it if they stand behind and if they stand before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Entry(u64);

impl Entry {
    const BITS: u32 = 20;
    const MASK: u32 = (1 << Self::BITS) - 1;
    /// The bits of both tokens.
    const SPLIT: u64 = (1 << (2 * Self::BITS)) - 1;
    const BYTE: Self = Self::of(Self::MASK, Self::MASK);
    /// That of a token that merging does not give. Those are only ever whole pretokens.
    pub const NEVER: Self = Self::of(Self::MASK, 0);
    /// Some part of the token, or a part of a part, ranks above what it is a part of.
    const IRREGULAR: u64 = 1 << (2 * Self::BITS);
    const BEHIND: u32 = 2 * Self::BITS + 1;
    const BEFORE: u32 = Self::BEHIND + Self::BEHINDS;
    /// How many hashes there are of tokens on either side. What comes before differs more.
    const BEHINDS: u32 = 11;
    const BEFORES: u32 = u64::BITS - Self::BEFORE;

    const fn of(left: u32, right: u32) -> Self {
        Self((left as u64) << Self::BITS | right as u64)
    }

    /// Whether the token is a single byte.
    #[inline(always)]
    pub fn is_byte(self) -> bool {
        self.0 & Self::SPLIT == Self::BYTE.0
    }

    /// Whether merging gives the token.
    #[inline(always)]
    pub fn is_reached(self) -> bool {
        self.0 & Self::SPLIT != Self::NEVER.0
    }

    /// Whether every part in the token ranks below what it is a part of.
    #[inline(always)]
    pub fn is_regular(self) -> bool {
        self.0 & Self::IRREGULAR == 0
    }

    /// The left one of the two, for a token that merging forms of two.
    #[inline(always)]
    pub fn left(self) -> u32 {
        (self.0 >> Self::BITS) as u32 & Self::MASK
    }

    /// The right one.
    #[inline(always)]
    pub fn right(self) -> u32 {
        self.0 as u32 & Self::MASK
    }

    /// The bit for a token behind this one.
    #[inline(always)]
    fn behind(token: u32) -> u64 {
        1 << (Self::BEHIND + Self::hash(token, Self::BEHINDS))
    }

    /// The bit for a token before this one.
    #[inline(always)]
    fn before(token: u32) -> u64 {
        1 << (Self::BEFORE + Self::hash(token, Self::BEFORES))
    }

    #[inline(always)]
    fn hash(token: u32, count: u32) -> u32 {
        ((u64::from(token.wrapping_mul(0x9E37_79B1)) * u64::from(count)) >> 32) as u32
    }
}

const _: () = assert!(MAX_TOKENS < Entry::MASK as usize);

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
    sieve: Sieve,
}

/// A set of hashes, two bits of one word for each: it may take others for its own, seldom. 128 KB.
struct Sieve(Vec<u64>);

impl Sieve {
    const BITS: u32 = 14;

    /// No hash yet.
    fn new() -> Self {
        Self(vec![0; 1 << Self::BITS])
    }

    /// The word for a hash and its bits, which the [`Index`] uses least.
    #[inline(always)]
    fn place(hash: u64) -> (usize, u64) {
        let word = (hash >> 50) as usize & ((1 << Self::BITS) - 1);
        (word, 1 << (hash >> 44 & 63) | 1 << (hash >> 38 & 63))
    }

    fn add(&mut self, hash: u64) {
        let (word, bits) = Self::place(hash);
        if let Some(word) = self.0.get_mut(word) {
            *word |= bits;
        }
    }

    #[inline(always)]
    fn may_have(&self, hash: u64) -> bool {
        let (word, bits) = Self::place(hash);
        self.0.get(word).is_some_and(|word| word & bits == bits)
    }
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
        let index = Index::with_room(count);
        let mut table = Self { seed: Seed::random(), index, sieve: Sieve::new() };
        let mut entries = vec![Entry::NEVER; count];
        let add = |entries: &mut [Entry], id: u32, bits: u64| {
            if let Some(entry) = entries.get_mut(id as usize) {
                entry.0 |= bits;
            }
        };
        for id in 0..count as u32 {
            if let Some((left, right)) = soon(id + AHEAD as u32) {
                table.index.ask(table.hash(left, right));
                for part in [left, right] {
                    if let Some(entry) = entries.get(part as usize) {
                        prefetch(entry);
                    }
                }
            }
            let (left, right) = match parts(id) {
                Some((_, NOTHING)) => {
                    add(&mut entries, id, Entry::BYTE.0);
                    continue;
                }
                Some((left, _)) if left & NEVER != 0 => continue,
                Some(parts) => parts,
                None => continue,
            };
            let flag = if is_regular(&entries, id, left, right) { 0 } else { Entry::IRREGULAR };
            if let Some(entry) = entries.get_mut(id as usize) {
                *entry = Entry(entry.0 & !Entry::SPLIT | Entry::of(left, right).0 | flag);
            }
            add(&mut entries, left, Entry::behind(right));
            add(&mut entries, right, Entry::before(left));
            let hash = table.hash(left, right);
            table.index.insert(hash, id, |_| false);
            table.sieve.add(hash);
        }
        (table, entries)
    }

    #[inline(always)]
    fn hash(&self, left: u32, right: u32) -> u64 {
        self.seed.mix(u64::from(left) << 32 | u64::from(right), 0)
    }

    /// The token that merging makes of two tokens, given with their entries, or [`NONE`].
    #[inline(always)]
    pub fn find(&self, pieces: &Pieces, left: (u32, Entry), right: (u32, Entry)) -> u32 {
        let ((left, before), (right, after)) = (left, right);
        if (before.0 & Entry::behind(right) == 0) | (after.0 & Entry::before(left) == 0) {
            return NONE;
        }
        let hash = self.hash(left, right);
        if !self.sieve.may_have(hash) {
            return NONE;
        }
        let split = Entry::of(left, right).0;
        self.index.find(hash, |id| pieces.entry(id).0 & Entry::SPLIT == split)
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

/// Whether both parts of `id` rank below it, and so on inside them. All entries before it are complete; a
/// part that stands behind it ranks above it.
fn is_regular(entries: &[Entry], id: u32, left: u32, right: u32) -> bool {
    [left, right].iter().all(|&part| {
        let entry = entries.get(part as usize).copied().unwrap_or(Entry::NEVER);
        entry.is_byte() || (part < id && entry.is_regular())
    })
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
