//! The vocabulary: a rank file or a `tokenizer.json`, checked, and bytes <-> id.
//!
//! A [`Vocabulary`] that exists has every rank from 0 to n - 1 exactly once, no two tokens alike, a token for each single
//! byte, at most [`MAX_TOKENS`] tokens, none empty and none longer than [`MAX_TOKEN_BYTES`]. Any
//! file that would break one of these is an error with the line and the reason; a file of another
//! kind is named for what it is.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use once_cell::race::OnceBox;

use crate::added::AddedToken;
use crate::bpe::certain::Certain;
use crate::bpe::index::NONE;
use crate::bpe::merge::{Merger, Merging};
use crate::bpe::pairs::{Entry, Pairs};
use crate::bpe::pieces::Pieces;
use crate::bpe::segments::Segments;
use crate::byte_level::Reader;
use crate::error::{Check, Error};
use crate::huge_pages;
use crate::lanes::{self, Path};
use crate::slots::Slots;
use crate::vocab_json;
use crate::vocab_ranks;

/// The most tokens that a vocabulary may have, so that a rank fits 20 bits.
pub const MAX_TOKENS: usize = 1_000_000;
/// The most bytes that a token may have.
pub const MAX_TOKEN_BYTES: usize = 1024;

/// What a reader reports: the line, where there is one, and the reason.
pub(crate) type Fault = (Option<usize>, String);

/// A checked vocabulary. It never changes.
pub struct Vocabulary {
    tokens: Tokens,
    pieces: Pieces,
    merger: Merger,
    certain: Certain,
    /// Made when they are first asked for, by text beyond ASCII. Without a lock, as [`Merger`]'s prefixes.
    segments: OnceBox<Segments>,
    /// Another number for each vocabulary of this process, from 1.
    number: u64,
    added: Option<Vec<AddedToken>>,
    post_processor: Option<String>,
    slots: OnceLock<Option<Slots>>,
    longest_token: usize,
}

impl Vocabulary {
    /// Reads a vocabulary file; `file` is its name for messages. The format is told by content.
    ///
    /// `is_meta` says that the file is Meta's own rank file, byte for byte, for which the merges need
    /// not be computed.
    pub fn parse(data: &[u8], file: &str, is_meta: bool) -> Result<Self, Error> {
        Self::read(data, is_meta).map_err(|(line, reason)| Error::Vocabulary {
            file: file.to_owned(),
            line,
            reason,
        })
    }

    fn read(data: &[u8], is_meta: bool) -> Result<Self, Fault> {
        if let Some(reason) = other_format(data) {
            return Err((None, reason));
        }
        if data.trim_ascii_start().starts_with(b"{") {
            return vocab_json::read(data);
        }
        let (tokens, lines) = vocab_ranks::read(data)?;
        let pairs = if is_meta { |_: &_, _: &_| Pairs::of_meta() } else { Pairs::build };
        Self::build(tokens, pairs, |id| match &lines {
            Some(lines) => lines.get(id as usize).copied(),
            None => Some(id as usize + 1),
        })
    }

    /// Checks the tokens against each other.
    pub(crate) fn new(tokens: Tokens) -> Result<Self, Fault> {
        Self::build(tokens, Pairs::build, |_| None)
    }

    /// Notes what the file says besides: the added tokens, and the post-processor as JSON.
    pub(crate) fn set_side(&mut self, added: Vec<AddedToken>, post_processor: Option<String>) {
        self.added = (!added.is_empty()).then_some(added);
        self.post_processor = post_processor;
    }

    /// `line_of` tells where a token came from.
    fn build(
        tokens: Tokens,
        pairs: impl FnOnce(&Tokens, &Pieces) -> (Pairs, Vec<Entry>),
        line_of: impl Fn(u32) -> Option<usize>,
    ) -> Result<Self, Fault> {
        let mut pieces = Pieces::build(&tokens).map_err(|(earlier, later)| {
            (line_of(later), format!("rank {later} has the same bytes as rank {earlier}"))
        })?;
        for byte in 0..=u8::MAX {
            if pieces.find(&tokens, &[byte], 0, 1) == NONE {
                return Err((None, format!("the single byte 0x{byte:02X} is not a token")));
            }
        }
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (pairs, entries) = pairs(&tokens, &pieces);
        pieces.complete(entries);
        let merger = Merger::new(pairs);
        let certain = Certain::build(&tokens, &pieces);
        let segments = OnceBox::new();
        let longest_token = tokens.iter().map(|(_, bytes)| bytes.len()).max().unwrap_or(0);
        let (added, post_processor, slots) = (None, None, OnceLock::new());
        Ok(Self {
            tokens,
            pieces,
            merger,
            certain,
            segments,
            number,
            added,
            post_processor,
            slots,
            longest_token,
        })
    }

    /// How many tokens there are, special tokens not among them.
    #[expect(clippy::len_without_is_empty, reason = "a vocabulary is never empty")]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The bytes of a token.
    #[inline]
    pub fn token(&self, id: u32) -> Option<&[u8]> {
        self.tokens.get(id)
    }

    /// Every id with its token's bytes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.tokens.iter()
    }

    /// Every way in which `token` is two tokens of the vocabulary: the ids of both.
    pub fn splits(&self, token: &[u8]) -> impl Iterator<Item = (u32, u32)> {
        (1..token.len()).filter_map(|at| {
            let (left, right) = token.split_at_checked(at)?;
            Some((self.id(left)?, self.id(right)?))
        })
    }

    /// The table to decode with, if it was made.
    pub fn slots(&self) -> Option<&Slots> {
        self.slots.get()?.as_ref()
    }

    /// Makes the table to decode with, in a millisecond. Nothing waits for it but others who make it, and
    /// a process that was forked meanwhile would do so for ever.
    pub fn make_slots(&self) {
        self.slots.get_or_init(|| Slots::new(&self.tokens));
    }

    /// The token that is written so in a `tokenizer.json`.
    pub(crate) fn id_written(&self, token: &str, alphabet: &Reader) -> Option<u32> {
        self.id(&alphabet.bytes(token).ok()?)
    }

    /// The token that is exactly `bytes`.
    pub fn id(&self, bytes: &[u8]) -> Option<u32> {
        Some(self.piece(bytes, 0, bytes.len())).filter(|&id| id != NONE)
    }

    /// The token that is exactly `text[start..end]`, or [`NONE`].
    #[inline(always)]
    pub fn piece(&self, text: &[u8], start: usize, end: usize) -> u32 {
        self.pieces.find(&self.tokens, text, start, end)
    }

    /// The tokens' bytes.
    #[inline(always)]
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The table of whole tokens.
    #[inline(always)]
    pub(crate) fn pieces(&self) -> &Pieces {
        &self.pieces
    }

    /// Which two tokens merging joins.
    #[inline(always)]
    pub(crate) fn pairs(&self) -> &Pairs {
        self.merger.pairs()
    }

    /// Which two bytes are joined for certain.
    #[inline(always)]
    pub(crate) fn certain(&self) -> &Certain {
        &self.certain
    }

    /// Which places no merge crosses.
    #[inline(always)]
    pub(crate) fn segments(&self) -> &Segments {
        self.segments.get_or_init(|| Box::new(Segments::build(&self.tokens, &self.pieces)))
    }

    /// The ids that merging gives from `text[start..end]`, its three as `place`.
    #[inline]
    pub fn merge<'m>(
        &self,
        path: Path,
        place: (&[u8], usize, usize),
        memory: &'m mut Merging,
        check: &Check,
    ) -> Result<&'m [u32], Error> {
        let tables = (&self.tokens, &self.pieces);
        self.merger.merge(path, tables, &self.certain, place, memory, check)
    }

    /// The same, found from left to right: the way that is gone where windows fail.
    #[cfg(test)]
    pub fn merge_left_to_right(&self, text: &[u8], memory: &mut Merging) -> Vec<u32> {
        let (tables, go_on) = ((&self.tokens, &self.pieces), crate::reference::go_on);
        let place = (0, text.len());
        self.merger.left_to_right(tables, text, place, memory, &go_on).unwrap().to_vec()
    }

    /// The longest token that merging gives, that `text[start..end]` begins with and that `accept`, which
    /// gets its id and length, takes; and its length.
    #[inline]
    pub fn longest(
        &self,
        text: &[u8],
        (start, end): (usize, usize),
        accept: impl FnMut(u32, usize) -> bool,
    ) -> Option<(u32, usize)> {
        self.merger.longest((&self.tokens, &self.pieces), (text, start, end), accept)
    }

    /// Whether merging the bytes of two tokens, each of which it gives alone, gives the two.
    #[inline]
    pub fn fits(&self, left: u32, right: u32, memory: &mut Merging) -> bool {
        self.merger.remembered((&self.tokens, &self.pieces), (left, right), memory)
    }

    /// How many bytes the longest token has.
    pub fn longest_token(&self) -> usize {
        self.longest_token
    }

    /// A number that no other vocabulary of this process has, nor is 0.
    pub fn number(&self) -> u64 {
        self.number
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

    /// The added tokens in the order of their ids, where the file says them.
    pub fn added(&self) -> Option<&[AddedToken]> {
        self.added.as_deref()
    }
}

/// The tokens' bytes end to end, in the order of their ids.
#[derive(Default)]
pub struct Tokens {
    bytes: Vec<u8>,
    /// Where each token ends; `MAX_TOKENS * MAX_TOKEN_BYTES` fits 32 bits.
    ends: Vec<u32>,
}

impl Tokens {
    /// None yet, and room for those of a rank file of so many bytes. Meta's have 17 bytes a line.
    pub(crate) fn with_room(length: usize) -> Self {
        // Without room they grow as they are filled.
        Self {
            bytes: huge_pages::room(length / 2).unwrap_or_default(),
            ends: huge_pages::room(length / 16).unwrap_or_default(),
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
        (0..).map_while(|id| Some((id, self.get(id)?)))
    }

    /// Adds the token with the next id, which `write` appends. If that gives nothing, or the token can't
    /// be one, nothing more can be done with these tokens.
    #[inline]
    pub(crate) fn push_by(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<()> {
        let start = self.bytes.len();
        write(&mut self.bytes)?;
        let length = self.bytes.len() - start;
        self.ends.push(self.bytes.len() as u32);
        (length.wrapping_sub(1) < MAX_TOKEN_BYTES && self.len() <= MAX_TOKENS).then_some(())
    }

    /// The bytes of a token and those behind them, up to 16, and how many are its own.
    #[inline]
    pub fn head(&self, id: u32) -> Option<(u128, usize)> {
        let start = self.start(id)?;
        Some((lanes::head(&self.bytes, start), *self.ends.get(id as usize)? as usize - start))
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

/// Files that are mistaken for a vocabulary, told by how they begin.
pub fn other_format(data: &[u8]) -> Option<String> {
    let head = data.get(..data.len().min(1024)).unwrap_or_default();
    let start = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head).trim_ascii_start();
    let reason = if data.is_empty() {
        "the file is empty; fetch it again"
    } else if head.starts_with(b"version https://git-lfs.github.com/spec/") {
        "this is a Git LFS pointer, not the file itself; run `git lfs pull` in its repository"
    } else if start.starts_with(b"<") {
        "this is an HTML page or other XML, such as a login page, not a vocabulary; the download \
         needs access to the model, so log in and fetch the file again"
    } else if head.starts_with(b"\xEF\xBB\xBF") {
        "the file begins with a byte order mark, so an editor has changed it; fetch it again"
    } else if head.starts_with(b"\n") && memchr::memmem::find(head, b"<unk>").is_some() {
        "this is a SentencePiece model, as Llama 2 has; Llama 3's vocabulary is a rank file, also \
         named tokenizer.model, or a tokenizer.json"
    } else if head.starts_with(b"GGUF") {
        "this is a GGUF model; `llama3-tok convert FILE tokenizer.model` makes a rank file of it"
    } else if head.starts_with(b"PK\x03\x04") || head.starts_with(b"\x1f\x8b") {
        "this is a compressed archive; unpack it first"
    } else if memchr::memchr(0, head).is_some() {
        "this is a binary file, neither a rank file nor a tokenizer.json"
    } else {
        return None;
    };
    Some(reason.to_owned())
}
