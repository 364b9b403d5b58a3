//! The vocabulary: read from a rank file or a `tokenizer.json` and checked; from bytes to ids and back.
//!
//! A [`Vocabulary`] that exists has every rank from 0 to n - 1 exactly once, no two tokens with the same
//! bytes, a token for each single byte, and at most [`crate::bpe::token_bytes::MAX_TOKENS`] tokens. None
//! of them is empty, and none is longer than [`crate::bpe::token_bytes::MAX_TOKEN_BYTES`]. Any file that
//! would break one of these rules is an error with the line and the reason. A file of another kind gives
//! an error that names its kind.

pub mod byte_level;
pub mod content;
mod ranks;
mod json_fields;
mod json;
pub mod parse;
mod write;
pub mod decode_table;

use std::sync::atomic::{AtomicU64, Ordering};

use once_cell::race::OnceBox;

use crate::added::AddedToken;
use crate::bpe::boundaries::Boundaries;
use crate::bpe::certain_merges::CertainMerges;
use crate::bpe::index::NONE;
use crate::bpe::merge::{MergeMemory, Merger};
use crate::bpe::merge_steps::{MergeStep, merge_steps};
use crate::bpe::pairs::Pairs;
use crate::bpe::split::Split;
use crate::bpe::token_bytes::TokenBytes;
use crate::bpe::token_table::{NotBuilt, TokenTable};
use crate::error::{Check, Error};
use crate::machine::code_path::CodePath;
use crate::machine::reserve;
use crate::text::span::Span;
use crate::vocabulary::byte_level::Alphabet;
use crate::vocabulary::decode_table::DecodeTable;

/// What a reader reports.
#[derive(Debug)]
pub(crate) enum Fault {
    /// What is wrong with the file: the line, where there is one, and the reason.
    File(Option<usize>, String),
    /// What is wrong in the core.
    Core(Error),
}

impl Fault {
    /// What is wrong with no certain line.
    fn without_line(reason: String) -> Self {
        Self::File(None, reason)
    }

    /// What is wrong with a line.
    fn in_line(line: usize, reason: String) -> Self {
        Self::File(Some(line), reason)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

/// What the tables of a vocabulary take, and what they take for each token: 128,000 tokens of Meta took 9 MB in
/// all, a million random ones 66 MB. Their memory can't be refused, so it is asked for before.
const BUILD_BYTES: usize = 4 << 20;
const BUILD_COST: usize = 128;

/// A checked vocabulary. It never changes.
pub struct Vocabulary {
    token_table: TokenTable,
    merger: Merger,
    /// Made when they are first needed, by text beyond ASCII. Without a lock, as [`Merger`]'s prefixes.
    boundaries: OnceBox<Boundaries>,
    /// A number that no other vocabulary of this process has; never 0.
    serial: u64,
    added: Option<Vec<AddedToken>>,
    post_processor: Option<String>,
    decode_table: OnceBox<Option<DecodeTable>>,
    longest_token: usize,
}

impl Vocabulary {
    /// Checks the tokens against each other.
    pub(crate) fn new(tokens: TokenBytes, check: &Check) -> Result<Self, Fault> {
        Self::build(tokens, |table| Pairs::build(table, check), |_| None)
    }

    /// Sets what else the file says: the added tokens, and the post-processor as JSON.
    pub(crate) fn set_added(
        &mut self,
        added: Option<Vec<AddedToken>>,
        post_processor: Option<String>,
    ) {
        self.added = added;
        self.post_processor = post_processor;
    }

    /// `line_of` tells where a token came from.
    pub(crate) fn build(
        tokens: TokenBytes,
        pairs: impl FnOnce(&TokenTable) -> Result<(Pairs, Vec<Split>), Error>,
        line_of: impl Fn(u32) -> Option<usize>,
    ) -> Result<Self, Fault> {
        reserve::ask(BUILD_BYTES + tokens.len().saturating_mul(BUILD_COST))?;
        let mut token_table = TokenTable::build(tokens).map_err(|why| match why {
            NotBuilt::Same(earlier, later) => {
                let reason = format!("rank {later} has the same bytes as rank {earlier}");
                Fault::File(line_of(later), reason)
            }
            NotBuilt::Fault(error) => Fault::Core(error),
        })?;
        for byte in 0..=u8::MAX {
            if token_table.find(&[byte], Span { start: 0, end: 1 }) == NONE {
                return Err(Fault::without_line(format!(
                    "the single byte 0x{byte:02X} is not a token"
                )));
            }
        }
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let (pairs, splits) = pairs(&token_table)?;
        token_table.set_splits(splits)?;
        let merger = Merger::new(pairs, CertainMerges::build(&token_table)?);
        let boundaries = OnceBox::new();
        // Each byte is a token.
        let longest_token =
            token_table.tokens().iter().fold(1, |longest, (_, bytes)| longest.max(bytes.len()));
        let (added, post_processor, decode_table) = (None, None, OnceBox::new());
        Ok(Self {
            token_table,
            merger,
            boundaries,
            serial,
            added,
            post_processor,
            decode_table,
            longest_token,
        })
    }

    /// How many tokens there are, special tokens not among them.
    #[expect(clippy::len_without_is_empty, reason = "a vocabulary is never empty")]
    pub fn len(&self) -> usize {
        self.tokens().len()
    }

    /// The bytes of a token.
    #[inline]
    pub fn token(&self, id: u32) -> Option<&[u8]> {
        self.tokens().get(id)
    }

    /// Every id with its token's bytes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.tokens().iter()
    }

    /// Every way in which `token` is two tokens of the vocabulary: the ids of both.
    pub fn merges_of(&self, token: &[u8]) -> impl Iterator<Item = (u32, u32)> {
        (1..token.len()).filter_map(|at| {
            let (left, right) = token.split_at(at);
            Some((self.id(left)?, self.id(right)?))
        })
    }

    /// The table to decode with, if it was made.
    pub fn decode_table(&self) -> Option<&DecodeTable> {
        self.decode_table.get()?.as_ref()
    }

    /// Makes the table to decode with, in a millisecond. If two threads make it at the same time, the work
    /// of one is thrown away: nobody waits, nor does a process that is forked meanwhile.
    pub fn make_decode_table(&self) {
        self.decode_table.get_or_init(|| Box::new(DecodeTable::new(self.tokens())));
    }

    /// The token that a `tokenizer.json` writes as `token`. `None` if there is none, or a character is not
    /// in the alphabet.
    pub(crate) fn id_written(&self, token: &str, alphabet: &Alphabet) -> Option<u32> {
        self.id(&alphabet.bytes(token).ok()?)
    }

    /// The token that is exactly `bytes`.
    pub fn id(&self, bytes: &[u8]) -> Option<u32> {
        Some(self.find(bytes, Span::all_of(bytes))).filter(|&id| id != NONE)
    }

    /// The token that is exactly the bytes of `span`, or [`NONE`].
    #[inline(always)]
    pub fn find(&self, text: &[u8], span: Span) -> u32 {
        self.token_table.find(text, span)
    }

    /// The tokens' bytes.
    #[inline(always)]
    pub(crate) fn tokens(&self) -> &TokenBytes {
        self.token_table.tokens()
    }

    /// The table of whole tokens.
    #[inline(always)]
    pub(crate) fn token_table(&self) -> &TokenTable {
        &self.token_table
    }

    /// Which two tokens merging joins.
    #[inline(always)]
    pub(crate) fn pairs(&self) -> &Pairs {
        self.merger.pairs()
    }

    /// Which two bytes are joined for certain.
    #[inline(always)]
    pub(crate) fn certain(&self) -> &CertainMerges {
        self.merger.certain()
    }

    /// Which positions no merge crosses.
    #[inline(always)]
    pub(crate) fn boundaries(&self) -> &Boundaries {
        self.boundaries.get_or_init(|| Box::new(Boundaries::build(&self.token_table)))
    }

    /// The ids that merging gives from the bytes of `span`.
    #[inline]
    pub fn merge<'m>(
        &self,
        path: CodePath,
        text: &[u8],
        span: Span,
        memory: &'m mut MergeMemory,
        check: &Check,
    ) -> Result<&'m [u32], Error> {
        self.merger.merge(path, &self.token_table, text, span, memory, check)
    }

    /// The steps in which merging joins bytes, in order.
    pub fn merge_steps(&self, bytes: &[u8], check: &Check) -> Result<Vec<MergeStep>, Error> {
        merge_steps(&self.token_table, bytes, check)
    }

    /// The same from left to right, which is used if windows fail.
    #[cfg(test)]
    pub fn merge_left_to_right(&self, text: &[u8], memory: &mut MergeMemory) -> Vec<u32> {
        let go_on = crate::reference::go_on;
        let span = Span::all_of(text);
        self.merger.left_to_right(&self.token_table, text, span, memory, &go_on).unwrap().to_vec()
    }

    /// The longest token that merging gives, that the bytes of `span` begin with and that `accept`, which
    /// gets its id and length, takes; and its length.
    #[inline]
    pub fn longest(
        &self,
        text: &[u8],
        span: Span,
        accept: impl FnMut(u32, usize) -> bool,
    ) -> Option<(u32, usize)> {
        self.merger.longest(&self.token_table, text, span, accept)
    }

    /// Whether merging the bytes of two tokens, each of which it gives alone, gives the two.
    #[inline]
    pub fn fits(&self, left: u32, right: u32, memory: &mut MergeMemory) -> bool {
        self.merger.fits_memoized(&self.token_table, (left, right), memory)
    }

    /// How many bytes the longest token has.
    pub fn longest_token(&self) -> usize {
        self.longest_token
    }

    /// A number that no other vocabulary of this process has; never 0.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// What a `tokenizer.json` puts around texts, as JSON.
    pub fn post_processor(&self) -> Option<&str> {
        self.post_processor.as_deref()
    }

    /// The first id whose token another vocabulary does not have with the same id.
    pub fn differs_from(&self, other: &Self) -> Option<u32> {
        let mut ids = 0..self.len().max(other.len()) as u32;
        ids.find(|&id| self.token(id) != other.token(id))
    }

    /// The added tokens in the order of their ids, perhaps none; `None` if the file does not say.
    pub fn added(&self) -> Option<&[AddedToken]> {
        self.added.as_deref()
    }
}
