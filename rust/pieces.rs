//! Vocab-first: is this byte string, whole, a token?
//!
//! A byte string of up to 15 bytes, as 98.8% of Meta's tokens are, is handled as a [`Key`], two words
//! that are loaded, masked, hashed and compared without a branch on the length. Whole keys are
//! compared, so the answer is exact.

use crate::index::{AHEAD, Index, NONE, Seed};
use crate::pairs::{Partners, Split};
use crate::vocab::Tokens;

/// The longest byte string that has a key.
pub const KEY_BYTES: usize = 15;

/// A byte string of 1 to 15 bytes: the bytes, zeros, and in the last byte the length; as its second half,
/// and both halves together by exclusive or.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key {
    both: u64,
    high: u64,
}

/// For each length the bits of both words that are text, and the length in its place.
/// For a length beyond, nothing.
static KEPT: [(u64, u64, u64); KEY_BYTES + 2] = kept();

const fn kept() -> [(u64, u64, u64); KEY_BYTES + 2] {
    let mut table = [(0, 0, 0); KEY_BYTES + 2];
    let mut length = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
    while length <= KEY_BYTES {
        let bits = (1u128 << (8 * length)) - 1;
        table[length] = (bits as u64, (bits >> 64) as u64, (length as u64) << 56);
        length += 1;
    }
    table
}

/// The next 16 bytes of a text, with zeros where it ends.
#[derive(Clone, Copy)]
pub struct Head(u128);

impl Head {
    /// The bytes from `start`.
    #[inline(always)]
    pub fn at(text: &[u8], start: usize) -> Self {
        match text.get(start..).and_then(|rest| rest.first_chunk::<16>()) {
            Some(bytes) => Self(u128::from_le_bytes(*bytes)),
            None => near_the_end(text, start),
        }
    }

    /// The first `count` bytes, at most 8, as a number.
    #[inline(always)]
    pub fn first(self, count: usize) -> u64 {
        self.0 as u64 & KEPT.get(count).map_or(0, |&(low, _, _)| low)
    }

    /// All of them as a number.
    #[inline(always)]
    pub fn all(self) -> u128 {
        self.0
    }

    /// The key of the first `length` bytes; if those are more than 15, the default, which is no key.
    #[inline(always)]
    pub fn key(self, length: usize) -> Key {
        let (low, high, length) = KEPT.get(length.min(KEY_BYTES + 1)).copied().unwrap_or_default();
        let high = (self.0 >> 64) as u64 & high | length;
        Key { both: self.0 as u64 & low ^ high, high }
    }
}

/// [`Head::at`] where fewer than 16 bytes are left.
#[inline]
fn near_the_end(text: &[u8], start: usize) -> Head {
    if let Some(last) = text.last_chunk::<16>() {
        let missing = (start + 16).saturating_sub(text.len()) as u32;
        return Head(u128::from_le_bytes(*last).checked_shr(8 * missing).unwrap_or(0));
    }
    let mut padded = [0; 16];
    let bytes = text.get(start..).unwrap_or_default();
    padded.iter_mut().zip(bytes).for_each(|(place, &byte)| *place = byte);
    Head(u128::from_le_bytes(padded))
}

impl Key {
    /// The key of `text[start..end]`; `None` if that has more than 15 bytes.
    #[inline(always)]
    pub fn new(text: &[u8], start: usize, end: usize) -> Option<Self> {
        Some(Head::at(text, start).key(end - start)).filter(|_| end - start <= KEY_BYTES)
    }

    /// The key of a longer byte string, made of its length of at most 255 and its hash. It equals no
    /// other's that has a key of its own, but perhaps that of another long one.
    #[inline]
    pub fn of_long(bytes: &[u8], seed: Seed) -> Self {
        let both = seed.hash(bytes);
        let high = seed.mix(both, 1) >> 8 | (bytes.len() as u64) << 56;
        Self { both, high }
    }

    /// A hash under `seed`.
    #[inline(always)]
    pub fn hash(self, seed: Seed) -> u64 {
        seed.mix(self.both, self.high)
    }

    /// All ones if the keys are alike in a word that few different ones share, else 0.
    #[inline(always)]
    pub fn alike(self, other: Self) -> u64 {
        u64::from(self.both == other.both).wrapping_neg()
    }

    /// All ones if the keys are the same, else 0.
    #[inline(always)]
    pub fn same(self, other: Self) -> u64 {
        u64::from((self.both ^ other.both) | (self.high ^ other.high) == 0).wrapping_neg()
    }
}

/// What merging needs to know of a token.
#[derive(Clone, Copy)]
#[repr(align(16))]
pub struct Entry {
    /// How merging forms it.
    pub split: Split,
    /// What merging may join it with: see `pairs.rs`.
    pub partners: Partners,
}

impl Entry {
    /// That of a token of which nothing is known.
    pub const UNKNOWN: Self = Self { split: Split::NEVER, partners: Partners::NONE };
}

/// The table from whole byte strings to ids, and from ids to entries.
pub struct Pieces {
    seed: Seed,
    index: Index,
    /// The key of each token; of no token if it is too long to have one.
    keys: Vec<Key>,
    entries: Vec<Entry>,
}

impl Pieces {
    /// Indexes `tokens`; if two are the same bytes, gives both ids. Nothing is known of merges yet.
    pub fn build(tokens: &Tokens) -> Result<Self, (u32, u32)> {
        let mut pieces = Self {
            seed: Seed::random(),
            index: Index::with_room(tokens.len()),
            keys: Vec::with_capacity(tokens.len()),
            entries: Vec::new(),
        };
        // The hashes of the tokens whose buckets have been asked for.
        let mut hashes = [0; AHEAD];
        for ahead in 0..(tokens.len() + AHEAD) as u32 {
            let hash = tokens.head(ahead).map_or(0, |(head, length)| {
                let key = head.key(length);
                pieces.keys.push(key);
                if length > KEY_BYTES {
                    pieces.hash_long(tokens, ahead)
                } else {
                    key.hash(pieces.seed)
                }
            });
            pieces.index.ask(hash);
            let Some(place) = hashes.get_mut(ahead as usize % AHEAD) else { continue };
            let hash = std::mem::replace(place, hash);
            let Some(id) = ahead.checked_sub(AHEAD as u32) else { continue };
            let (key, keys) = (pieces.keys.get(id as usize), &pieces.keys);
            let same = |earlier: u32| match key {
                Some(key) if *key != Key::default() => keys.get(earlier as usize) == Some(key),
                _ => tokens.get(earlier) == tokens.get(id),
            };
            let earlier = pieces.index.insert(hash, id, same);
            if earlier != NONE {
                return Err((earlier, id));
            }
        }
        Ok(pieces)
    }

    #[inline]
    fn hash_long(&self, tokens: &Tokens, id: u32) -> u64 {
        self.seed.hash(tokens.get(id).unwrap_or_default())
    }

    /// What is known of a token; of one that is not there, nothing.
    #[inline(always)]
    pub fn entry(&self, id: u32) -> &Entry {
        self.entries.get(id as usize).unwrap_or(&Entry::UNKNOWN)
    }

    /// Says what is known of each token.
    pub fn complete(&mut self, entries: Vec<Entry>) {
        self.entries = entries;
    }

    /// The id of the token that is exactly `text[start..end]`, or [`NONE`]. `tokens` are those of
    /// [`Pieces::build`].
    #[inline(always)]
    pub fn find(&self, tokens: &Tokens, text: &[u8], start: usize, end: usize) -> u32 {
        match Key::new(text, start, end) {
            Some(key) => self.find_key(key),
            None => self.find_long(tokens, text.get(start..end).unwrap_or_default()),
        }
    }

    /// The same for a key.
    #[inline(always)]
    pub fn find_key(&self, key: Key) -> u32 {
        self.index.find(key.hash(self.seed), |id| self.keys.get(id as usize) == Some(&key))
    }

    /// The same for bytes that have no key.
    fn find_long(&self, tokens: &Tokens, bytes: &[u8]) -> u32 {
        self.index.find(self.seed.hash(bytes), |id| tokens.get(id) == Some(bytes))
    }

    /// Asks for what [`Pieces::find_key`] will look at.
    #[inline(always)]
    pub fn ask(&self, key: Key) {
        self.index.ask(key.hash(self.seed));
    }
}
