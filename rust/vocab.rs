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
use crate::pieces::{Head, Pieces};
use crate::slots::Slots;
use crate::vocab_json;

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
    /// Another number for each vocabulary of this process, from 1.
    number: u64,
    added: Option<Vec<String>>,
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
        let (tokens, lines) = read_rank_file(data)?;
        Self::new(tokens, is_meta, None, |id| match &lines {
            Some(lines) => lines.get(id as usize).copied(),
            None => Some(id as usize + 1),
        })
    }

    /// Checks the tokens against each other; `line_of` tells where a token came from. `are_meta`
    /// says that they are Meta's, if that is known.
    pub(crate) fn new(
        tokens: Tokens,
        are_meta: bool,
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
        let merger = Merger::build(&tokens, &mut pieces, are_meta);
        let longest_token = tokens.iter().map(|(_, bytes)| bytes.len()).max().unwrap_or(0);
        let slots = OnceLock::new();
        Ok(Self { tokens, pieces, merger, number, added, slots, longest_token })
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

    /// The token that is exactly `bytes`.
    pub fn id(&self, bytes: &[u8]) -> Option<u32> {
        Some(self.piece(bytes, 0, bytes.len())).filter(|&id| id != NONE)
    }

    /// The token that is exactly `text[start..end]`, or [`NONE`].
    #[inline(always)]
    pub fn piece(&self, text: &[u8], start: usize, end: usize) -> u32 {
        self.pieces.find(&self.tokens, text, start, end)
    }

    /// Asks for what [`Vocabulary::piece`] and [`Vocabulary::merge`] will look at first.
    #[inline]
    pub fn ask(&self, text: &[u8], start: usize, end: usize) {
        self.pieces.ask(Head::at(text, start).key(end - start));
        self.merger.ask(&self.pieces, text, start, end);
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

/// The tokens of a rank file by rank, and the line of each, unless the lines are in that order.
fn read_rank_file(data: &[u8]) -> Result<(Tokens, Option<Vec<usize>>), Fault> {
    // A line of Meta's file has 17 bytes.
    let (mut by_line, mut ranks) = (Tokens::default(), Vec::with_capacity(data.len() / 16));
    by_line.bytes.reserve(data.len() / 2);
    by_line.ends.reserve(data.len() / 16);
    let mut token = Vec::new();
    let body = data.strip_suffix(b"\n").unwrap_or(data);
    for (line, text) in (1..).zip(lines_of(body)) {
        let fault = |reason| (Some(line), reason);
        ranks.push(read_line(text, &mut token).map_err(fault)?);
        by_line.push(&token).map_err(fault)?;
    }
    if (0..).zip(&ranks).all(|(expected, &rank)| rank == expected) {
        return Ok((by_line, None));
    }
    let lines = lines_by_rank(&ranks)?;
    let mut tokens = Tokens::default();
    for &line in &lines {
        let token = by_line.get(line as u32 - 1).unwrap_or_default();
        tokens.push(token).map_err(|reason| (Some(line), reason))?;
    }
    Ok((tokens, Some(lines)))
}

/// The lines of a text, without their ends.
fn lines_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', text).chain([text.len()]);
    ends.map(move |end| text.get(std::mem::replace(&mut start, end + 1)..end).unwrap_or_default())
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
    for &quad in full {
        bytes.extend_from_slice(&three_bytes(quad)?);
    }
    let (last, length) = match *last {
        [a, b, b'=', b'='] => ([a, b, b'A', b'A'], 1),
        [a, b, c, b'='] => ([a, b, c, b'A'], 2),
        last => (last, 3),
    };
    let last = three_bytes(last)?;
    let (kept, dropped) = last.split_at(length);
    if dropped.iter().any(|&byte| byte != 0) {
        return Err("the base64 has bits behind its last byte".to_owned());
    }
    bytes.extend_from_slice(kept);
    Ok(())
}

/// What is no digit of base64.
const NO_DIGIT: u8 = 0x80;

/// The value of each character as a digit of base64.
static DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut value = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
    while value < alphabet.len() {
        digits[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

/// The bytes that four digits stand for.
fn three_bytes(quad: [u8; 4]) -> Result<[u8; 3], String> {
    let digits = quad.map(|char| DIGITS.get(usize::from(char)).copied().unwrap_or(NO_DIGIT));
    if digits.iter().fold(0, |all, digit| all | digit) & NO_DIGIT != 0 {
        let wrong = quad.iter().zip(digits).find(|(_, digit)| *digit == NO_DIGIT);
        let char = wrong.map_or(0, |(&char, _)| char);
        return Err(format!("'{}' is not a base64 character", char.escape_ascii()));
    }
    let bits = digits.iter().fold(0, |bits, &digit| bits << 6 | u32::from(digit));
    let [_, three @ ..] = bits.to_be_bytes();
    Ok(three)
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
