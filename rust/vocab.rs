//! The vocabulary: a rank file or a `tokenizer.json`, checked, and bytes <-> id.
//!
//! A rank file has one line a token: its bytes in base64, a space, its rank. A [`Vocabulary`] that
//! exists has every rank from 0 to n - 1 exactly once, no two tokens alike, a token for each single
//! byte, at most [`MAX_TOKENS`] tokens, none empty and none longer than [`MAX_TOKEN_BYTES`]. Any
//! file that would break one of these is an error with the line and the reason; a file of another
//! kind is named for what it is.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Check, Error};
use crate::index::NONE;
use crate::merge::{Merger, Merging};
use crate::pieces::Pieces;
use crate::slots::Slots;
use crate::vocab_json;

/// The most tokens that a vocabulary may have, so that a rank fits 20 bits.
pub const MAX_TOKENS: usize = 1_000_000;
/// The most bytes that a token may have.
pub const MAX_TOKEN_BYTES: usize = 1024;

/// What a reader reports: the line, where there is one, and the reason.
pub(crate) type Fault = (Option<usize>, String);

/// How merging forms each token of Meta's vocabulary: see scripts/meta_splits.py.
static META_SPLITS: &[u8] = include_bytes!("meta_splits.bin");

/// A checked vocabulary. It never changes.
pub struct Vocabulary {
    tokens: Tokens,
    pieces: Pieces,
    merger: Merger,
    /// Another number for each vocabulary of this process, from 1.
    number: u64,
    added: Option<Vec<String>>,
    slots: OnceLock<Option<Slots>>,
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
        let (tokens, lines) = read_rank_file(data)?;
        let splits = if is_meta { META_SPLITS } else { &[] };
        Self::new(tokens, splits, None, |id| lines.get(id as usize).copied())
    }

    /// Checks the tokens against each other; `line_of` tells where a token came from. `splits` has the
    /// length of the left part of each token as merging forms it, or is empty.
    pub(crate) fn new(
        tokens: Tokens,
        splits: &[u8],
        added: Option<Vec<String>>,
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
        let merger = Merger::build(&tokens, &mut pieces, splits);
        Ok(Self { tokens, pieces, merger, number, added, slots: OnceLock::new() })
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

    /// The table to decode with, if it was made.
    pub fn slots(&self) -> Option<&Slots> {
        self.slots.get()?.as_ref()
    }

    /// Makes the table to decode with, in a millisecond. Nothing waits for it but others who make it, and
    /// a process that was forked meanwhile would do so for ever.
    pub fn make_slots(&self) {
        self.slots.get_or_init(|| Slots::new(&self.tokens));
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

    /// The ids that merging gives from `text[start..end]`.
    #[inline]
    pub fn merge<'m>(
        &self,
        text: &[u8],
        start: usize,
        end: usize,
        memory: &'m mut Merging,
        check: &Check,
    ) -> Result<&'m [u32], Error> {
        let tables = (&self.tokens, &self.pieces);
        self.merger.merge(tables, text, (start, end), memory, check)
    }

    /// A number that no other vocabulary of this process has, nor is 0.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The names of the special tokens, in the order of their ids, where the file says them.
    pub fn added(&self) -> Option<&[String]> {
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
    /// How many tokens there are.
    #[expect(clippy::len_without_is_empty, reason = "nothing asks")]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of a token.
    #[inline]
    pub fn get(&self, id: u32) -> Option<&[u8]> {
        let id = id as usize;
        let start = match id.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(start as usize..*self.ends.get(id)? as usize)
    }

    /// Every id with its bytes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        (0..).map_while(|id| Some((id, self.get(id)?)))
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

/// The tokens of a rank file by rank, and the line of each.
fn read_rank_file(data: &[u8]) -> Result<(Tokens, Vec<usize>), Fault> {
    let mut by_line = Tokens::default();
    let mut ranks = Vec::new();
    let mut token = Vec::new();
    let body = data.strip_suffix(b"\n").unwrap_or(data);
    for (line, text) in (1..).zip(body.split(|&byte| byte == b'\n')) {
        let fault = |reason| (Some(line), reason);
        ranks.push(read_line(text, &mut token).map_err(fault)?);
        by_line.push(&token).map_err(fault)?;
    }
    let lines = lines_by_rank(&ranks)?;
    if ranks.is_sorted() {
        return Ok((by_line, lines));
    }
    let mut tokens = Tokens::default();
    for &line in &lines {
        let token = by_line.get(line as u32 - 1).unwrap_or_default();
        tokens.push(token).map_err(|reason| (Some(line), reason))?;
    }
    Ok((tokens, lines))
}

/// The line of each rank. As many ranks as lines, none twice and none too high: every rank is there.
fn lines_by_rank(ranks: &[u32]) -> Result<Vec<usize>, Fault> {
    let mut lines = vec![0; ranks.len()];
    for (line, &rank) in (1..).zip(ranks) {
        match lines.get_mut(rank as usize) {
            Some(slot @ 0) => *slot = line,
            Some(earlier) => {
                let reason = format!("rank {rank} stands already in line {earlier}");
                return Err((Some(line), reason));
            }
            None => {
                let (count, last) = (ranks.len(), ranks.len() - 1);
                let reason =
                    format!("rank {rank} is too high: {count} tokens have the ranks 0 to {last}");
                return Err((Some(line), reason));
            }
        }
    }
    Ok(lines)
}

/// Reads `base64 rank`: the bytes into `token`, the rank as the result.
fn read_line(line: &[u8], token: &mut Vec<u8>) -> Result<u32, String> {
    if line.is_empty() {
        return Err("the line is empty; each line is `base64 rank`".to_owned());
    }
    if line.ends_with(b"\r") {
        return Err(
            "the line ends with a carriage return; the file was converted to Windows line \
                    ends, fetch it again as binary"
                .to_owned(),
        );
    }
    let Some(space) = memchr::memchr(b' ', line) else {
        return Err("no space between the base64 and the rank".to_owned());
    };
    let (base64, rank) = line.split_at(space);
    decode_base64(base64, token)?;
    read_rank(rank.get(1..).unwrap_or_default())
}

fn read_rank(digits: &[u8]) -> Result<u32, String> {
    let text = digits.escape_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(format!("the rank {:?} is not a whole number", text.to_string()));
    }
    if digits.len() > 1 && digits.starts_with(b"0") {
        return Err(format!("the rank {text} begins with 0"));
    }
    let too_high =
        || format!("the rank {text} is too high; at most {MAX_TOKENS} tokens are allowed");
    let rank = digits
        .iter()
        .try_fold(0u32, |rank, digit| rank.checked_mul(10)?.checked_add(u32::from(digit - b'0')));
    rank.filter(|&rank| (rank as usize) < MAX_TOKENS).ok_or_else(too_high)
}

/// Standard base64 with padding; only the one canonical form of each byte string is accepted.
fn decode_base64(text: &[u8], bytes: &mut Vec<u8>) -> Result<(), String> {
    bytes.clear();
    let (quads, rest) = text.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(format!("the base64 has {} characters, not a multiple of 4", text.len()));
    }
    let Some((last, full)) = quads.split_last() else {
        return Err("the base64 is empty".to_owned());
    };
    for &[a, b, c, d] in full {
        let bits = digit(a)? << 18 | digit(b)? << 12 | digit(c)? << 6 | digit(d)?;
        let [_, three @ ..] = bits.to_be_bytes();
        bytes.extend_from_slice(&three);
    }
    let (bits, length) = match *last {
        [a, b, b'=', b'='] => (digit(a)? << 18 | digit(b)? << 12, 1),
        [a, b, c, b'='] => (digit(a)? << 18 | digit(b)? << 12 | digit(c)? << 6, 2),
        [a, b, c, d] => (digit(a)? << 18 | digit(b)? << 12 | digit(c)? << 6 | digit(d)?, 3),
    };
    let [_, last @ ..] = bits.to_be_bytes();
    let (kept, dropped) = last.split_at(length);
    if dropped.iter().any(|&byte| byte != 0) {
        return Err("the base64 has bits behind its last byte".to_owned());
    }
    bytes.extend_from_slice(kept);
    Ok(())
}

fn digit(char: u8) -> Result<u32, String> {
    let value = match char {
        b'A'..=b'Z' => char - b'A',
        b'a'..=b'z' => char - b'a' + 26,
        b'0'..=b'9' => char - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return Err(format!("'{}' is not a base64 character", char.escape_ascii())),
    };
    Ok(u32::from(value))
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
        "this is a GGUF model; use the tokenizer.model or tokenizer.json that it was made from"
    } else if head.starts_with(b"PK\x03\x04") || head.starts_with(b"\x1f\x8b") {
        "this is a compressed archive; unpack it first"
    } else if memchr::memchr(0, head).is_some() {
        "this is a binary file, neither a rank file nor a tokenizer.json"
    } else {
        return None;
    };
    Some(reason.to_owned())
}
