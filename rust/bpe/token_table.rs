//! Vocab-first: is this whole byte string a token?
//!
//! Tokens of up to 13 bytes, which 97% of Meta's are, are in *lines*, four in each line of the processor's
//! cache, with their key and id in 16 bytes. A key's hash says which line, and no other line is
//! read: one load answers. So the table is read without a branch, and many lines at a time.
//!
//! ```text
//! line       | key id | key id | key id | key id |     65,536 lines, 4 MB, for Meta's 128,000 tokens
//! overflow   tokens that are longer, or whose line was full (a few thousand each): an index by hash
//! ```
//!
//! Whole keys are compared, or all bytes, so the answer is exact. The table is built once and then only
//! read, by all threads. A lookup table of the whole vocabulary in buckets of one cache line is what the
//! tokenizers gigatoken and fastokens had first; theirs probe further and have the bytes elsewhere.

use bytemuck::{Pod, Zeroable};

use crate::bpe::index::{AHEAD, Index, NONE, Seed};
use crate::bpe::split::Split;
use crate::bpe::token_bytes::TokenBytes;
use crate::bpe::token_key::{ID, KEY, KEY_BYTES, KEY_MASKS, key};
use crate::error::{Error, always};
use crate::machine::huge_pages::Table;
use crate::machine::lanes::{hash, key_of};
use crate::machine::prefetch::prefetch;
use crate::text::span::Span;

/// Four tokens of two words each, the lower word first: the key of the token, and from bit [`ID`] on its
/// id. Free entries are 0 and come last.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct TokenLine(pub [u64; 8]);

/// The bit of an entry's upper word where its id begins.
const ID_IN_UPPER: u32 = ID - 64;

impl TokenLine {
    /// The id in an upper word, given the index of that word.
    #[inline(always)]
    pub fn id(&self, upper: usize) -> u32 {
        let Self(words) = self;
        #[expect(clippy::indexing_slicing, reason = "modulo the length: no check, no panic")]
        let word = words[upper % 8];
        (word >> ID_IN_UPPER) as u32
    }

    fn tokens(&self) -> impl Iterator<Item = u128> {
        let (tokens, _) = self.0.as_chunks::<2>();
        tokens.iter().map(|&[lower, upper]| u128::from(upper) << 64 | u128::from(lower))
    }

    #[inline(always)]
    fn find(&self, key: u128) -> Option<u32> {
        self.tokens().find(|&token| token & KEY == key).map(|token| (token >> ID) as u32)
    }

    /// Adds a token; gives `false` if the line is full.
    fn add(&mut self, key: u128, id: u32) -> bool {
        let (tokens, _) = self.0.as_chunks_mut::<2>();
        let free = tokens.iter_mut().find(|[_, upper]| *upper == 0);
        let token = key | u128::from(id) << ID;
        free.map(|words| *words = [token as u64, (token >> 64) as u64]).is_some()
    }

    #[inline(always)]
    fn is_full(&self) -> bool {
        let Self([.., last]) = self;
        *last != 0
    }
}

/// All lines. Their number is a power of two, so that some bits of a hash say which line it is.
#[derive(Clone, Copy)]
pub struct TokenLines<'p> {
    lines: &'p [TokenLine],
    /// The bits of a hash that are the offset of its line, in bytes from the first line.
    mask: u32,
}

impl<'p> TokenLines<'p> {
    #[inline(always)]
    fn new(lines: &'p [TokenLine]) -> Self {
        let bytes = size_of_val(lines);
        assert!(bytes.is_power_of_two() && bytes >= size_of::<TokenLine>());
        Self { lines, mask: (bytes - size_of::<TokenLine>()) as u32 }
    }

    #[inline(always)]
    fn byte_offset(self, hash: u32) -> usize {
        (hash & self.mask) as usize
    }

    /// The line of the key with this hash.
    #[inline(always)]
    pub fn of(self, hash: u32) -> &'p TokenLine {
        let offset = self.byte_offset(hash);
        debug_assert!(
            offset < size_of_val(self.lines) && offset.is_multiple_of(size_of::<TokenLine>())
        );
        #[expect(unsafe_code, reason = "a check for each pretoken, where nothing else branches")]
        // SAFETY: the mask has no bit below the size of a line, and is less than the bytes of all lines,
        // see `new`. So the masked hash is the offset of a line.
        unsafe {
            &*self.lines.as_ptr().byte_add(offset)
        }
    }

    /// Prefetches the line of the key with this hash.
    #[inline(always)]
    pub fn prefetch(self, hash: u32) {
        prefetch(self.lines.as_ptr().wrapping_byte_add(self.byte_offset(hash)));
    }
}

/// All tokens of a vocabulary: from bytes to ids, and from ids to bytes and splits.
pub struct TokenTable {
    tokens: TokenBytes,
    /// A power of two, about half as many as there are tokens.
    lines: Table<TokenLine>,
    seed: Seed,
    /// The tokens that are not in lines.
    overflow: Index,
    splits: Vec<Split>,
    /// A bit for each token that merging does not give.
    unreached: Vec<u64>,
}

/// Why a table of tokens can't be built.
pub enum NotBuilt {
    /// Two of them have the same bytes: the ids of both, the lower one first.
    Same(u32, u32),
    /// A fault of the table itself.
    Fault(Error),
}

impl From<Error> for NotBuilt {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

const NO_LINE: &str = "the key of a token has no line";
const NO_TOKEN: &str = "an id of the table is not a token's";
const OTHER_SPLITS: &str = "the splits are those of other tokens";

impl TokenTable {
    /// Indexes `tokens`. The splits come later, by [`TokenTable::set_splits`].
    pub fn build(tokens: TokenBytes) -> Result<Self, NotBuilt> {
        let count = (tokens.len() / 2).next_power_of_two();
        let mut table = Self {
            tokens,
            lines: Table::zeroed(count)?,
            seed: Seed::random(),
            overflow: Index::with_capacity(0),
            splits: Vec::new(),
            unreached: Vec::new(),
        };
        let mut overflow = Vec::new();
        // The keys of the tokens whose lines were prefetched.
        let mut keys = [None; AHEAD];
        for ahead in 0..(table.tokens.len() + AHEAD) as u32 {
            let head = table.tokens.head(ahead).filter(|&(_, length)| length <= KEY_BYTES);
            let next = head.map(|(head, length)| {
                let key = key_of(head, length, &KEY_MASKS);
                table.lines().prefetch(hash(key));
                (key, table.lines().byte_offset(hash(key)) / size_of::<TokenLine>())
            });
            #[expect(clippy::indexing_slicing, reason = "modulo the length: no check, no panic")]
            let found = std::mem::replace(&mut keys[ahead as usize % AHEAD], next);
            // The first lines are only prefetched.
            let Some(id) = ahead.checked_sub(AHEAD as u32) else { continue };
            let Some((key, line)) = found else {
                overflow.push(id);
                continue;
            };
            let line = always(table.lines.get_mut(line), NO_LINE)?;
            if let Some(earlier) = line.find(key) {
                return Err(NotBuilt::Same(earlier, id));
            }
            if !line.add(key, id) {
                overflow.push(id);
            }
        }
        table.overflow = Index::with_capacity(overflow.len());
        for id in overflow {
            let bytes = always(table.tokens.get(id), NO_TOKEN)?;
            let hash = table.seed.hash(bytes);
            let same = |earlier| table.tokens.get(earlier) == Some(bytes);
            if let Some(earlier) = table.overflow.insert(hash, id, same)? {
                return Err(NotBuilt::Same(earlier, id));
            }
        }
        Ok(table)
    }

    /// Sets the split of each token. They come from [`Pairs::build`], which makes sure that all parts are
    /// tokens. So whatever goes from a token to its parts need not ask whether these exist.
    ///
    /// [`Pairs::build`]: crate::bpe::pairs::Pairs::build
    pub fn set_splits(&mut self, splits: Vec<Split>) -> Result<(), Error> {
        let are_all = splits.len() == self.tokens.len();
        always(are_all.then_some(()), OTHER_SPLITS)?;
        let unreached = |splits: &[Split]| {
            let bits = (0..).zip(splits).filter(|(_, split)| !split.is_reached());
            bits.fold(0, |word, (bit, _)| word | 1u64 << bit)
        };
        self.unreached = splits.chunks(64).map(unreached).collect();
        self.splits = splits;
        Ok(())
    }

    /// The tokens' bytes.
    #[inline(always)]
    pub fn tokens(&self) -> &TokenBytes {
        &self.tokens
    }

    /// The split of a token.
    #[inline(always)]
    pub fn split(&self, id: u32) -> Split {
        // Each id comes from this table, or is a part of a token: see `set_splits`.
        debug_assert!((id as usize) < self.splits.len(), "{NO_TOKEN}");
        self.splits.get(id as usize).copied().unwrap_or(Split::NEVER)
    }

    /// Whether merging gives the token.
    #[inline(always)]
    pub fn is_reached(&self, id: u32) -> bool {
        debug_assert!((id as usize) < self.splits.len(), "{NO_TOKEN}");
        self.unreached.get(id as usize / 64).is_some_and(|word| word >> (id % 64) & 1 == 0)
    }

    /// The lines.
    #[inline(always)]
    pub fn lines(&self) -> TokenLines<'_> {
        TokenLines::new(&self.lines)
    }

    /// The id of the token that is exactly the bytes of `span`, or [`NONE`].
    #[inline(always)]
    pub fn find(&self, text: &[u8], span: Span) -> u32 {
        self.find_in(self.lines(), text, span, hash(key(text, span)))
    }

    /// The same, given its own lines, which are borrowed once for many, and the hash of the key.
    #[inline(always)]
    pub fn find_in(&self, lines: TokenLines, text: &[u8], span: Span, hash: u32) -> u32 {
        if span.length() <= KEY_BYTES
            && let Some(id) = lines.of(hash).find(key(text, span))
        {
            return id;
        }
        // The span is one of the text, or of a part of it. The empty string is not a token.
        debug_assert!(span.start <= span.end && span.end <= text.len());
        self.find_after_line_miss(lines, span.bytes(text).unwrap_or(&[]), hash)
    }

    /// The same for a byte string that is not in its line. `hash` is that of its key.
    #[inline(always)]
    pub fn find_after_line_miss(&self, lines: TokenLines, bytes: &[u8], hash: u32) -> u32 {
        // A short token is in the overflow only if its line is full.
        if bytes.len() <= KEY_BYTES && !lines.of(hash).is_full() {
            return NONE;
        }
        self.find_overflow(bytes)
    }

    /// The same for a byte string that is not in lines.
    #[inline]
    pub fn find_overflow(&self, bytes: &[u8]) -> u32 {
        self.overflow.find(self.seed.hash(bytes), |id| self.tokens.get(id) == Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::tests::sees_a_fault;
    use crate::reference::best_encoder;

    #[test]
    fn the_splits_of_other_tokens_are_an_error() {
        let mut tokens = TokenBytes::default();
        ["a", "b"].iter().for_each(|token| tokens.push(token.as_bytes()).unwrap());
        let mut table = TokenTable::build(tokens).ok().unwrap();
        for count in [0, 1, 3] {
            assert!(sees_a_fault(|| table.set_splits(vec![Split::NEVER; count])), "{count}");
        }
        assert!(table.set_splits(vec![Split::NEVER; 2]).is_ok());
    }

    #[test]
    fn what_is_no_token_is_not_found() {
        let (encoder, ranks) = best_encoder();
        let vocabulary = &encoder.vocabulary;
        assert_eq!(vocabulary.id(b""), None);
        for &token in ranks.keys().collect::<Vec<_>>().iter().take(50_000) {
            for other in [[token.as_slice(), b"\0"].concat(), [b"\0", token.as_slice()].concat()] {
                assert_eq!(vocabulary.id(&other), ranks.get(&other).copied(), "{other:?}");
            }
        }
    }

    #[test]
    fn few_tokens_are_in_full_lines() {
        let (encoder, ranks) = best_encoder();
        let table = encoder.vocabulary.token_table();
        let mut in_lines = 0;
        for (token, &id) in ranks {
            let key = key(token, Span::all_of(token));
            let found = table.lines().of(hash(key)).find(key);
            assert!(found.is_none_or(|found| found == id && token.len() <= KEY_BYTES));
            in_lines += usize::from(found.is_some());
        }
        // As many as a random hash would leave: 4.3% of Meta's are longer or in full lines.
        assert!(in_lines as f64 > 0.93 * ranks.len() as f64, "{in_lines} of {}", ranks.len());
    }
}
