//! Which tokens does a text begin with at some place, the longest first?
//!
//! Only tokens that merging gives are meant. Asking for one length after the other would be slow, since
//! few of them are possible. Two small tables say, by a hash of the next four and of the next eight
//! bytes, what lengths tokens with that beginning have; each of these is then asked for by its key in
//! `pieces.rs`. The tables may name too many lengths, never too few.

use crate::index::NONE;
use crate::pieces::{Head, KEY_BYTES, Pieces};
use crate::vocab::Tokens;

/// Entries of each table, as a power of two.
const INDEX_BITS: u32 = 16;

/// A set of lengths: bit 1 to 15 for each, bit 16 for all longer ones.
type Lengths = u32;
const LONGER: Lengths = 1 << (KEY_BYTES + 1);
/// Lengths that no table knows of: it would not pay.
const ALWAYS: Lengths = 0b1110;

/// The tables of lengths.
pub struct Prefixes {
    /// By the first four bytes, lengths 4 to 8.
    four: Vec<u8>,
    /// By the first eight bytes, lengths 9 to 15 and longer.
    eight: Vec<u8>,
    /// The tokens longer than 15 bytes, by their first 16 bytes, the longest first.
    long: Vec<(u128, u32)>,
}

impl Prefixes {
    /// Indexes the tokens that merging gives.
    pub fn build(tokens: &Tokens, pieces: &Pieces) -> Self {
        let mut four = vec![0; 1 << INDEX_BITS];
        let mut eight = four.clone();
        let mut long = Vec::new();
        for (id, bytes) in tokens.iter().filter(|&(id, _)| pieces.entry(id).split.is_reached()) {
            let (head, lengths): (_, Lengths) =
                (Head::at(bytes, 0), 1 << bytes.len().min(KEY_BYTES + 1));
            let entry = match bytes.len() {
                0..4 => None,
                4..9 => four.get_mut(index(head.first(4))),
                9.. => eight.get_mut(index(head.first(8))),
            };
            if let Some(entry) = entry {
                *entry |= (lengths >> 4) as u8 | (lengths >> 9) as u8;
            }
            if bytes.len() > KEY_BYTES {
                long.push((head.all(), id));
            }
        }
        let length = |id| tokens.get(id).map_or(0, <[u8]>::len);
        long.sort_unstable_by_key(|&(head, id)| (head, usize::MAX - length(id)));
        Self { four, eight, long }
    }

    /// The longest token of fewer than `below` bytes that `text[start..end]` begins with, and its
    /// length. There is one unless `below` is 1, since each byte is a token.
    #[inline]
    pub fn longest(
        &self,
        tokens: &Tokens,
        pieces: &Pieces,
        text: &[u8],
        start: usize,
        end: usize,
        below: usize,
    ) -> Option<(u32, usize)> {
        let head = Head::at(text, start);
        let entry = |table: &[u8], count| {
            Lengths::from(table.get(index(head.first(count))).copied().unwrap_or(0))
        };
        let below = below.min(end - start + 1);
        let mut lengths = ALWAYS | entry(&self.four, 4) << 4 | entry(&self.eight, 8) << 9;
        if lengths & LONGER != 0 && below > KEY_BYTES + 1 {
            let rest = text.get(start..start + below - 1).unwrap_or_default();
            if let Some(found) = self.longest_long(tokens, head, rest) {
                return Some(found);
            }
        }
        lengths &= (1 << below.min(KEY_BYTES + 1)) - 1;
        while let Some(length) = lengths.checked_ilog2() {
            let length = length as usize;
            let id = pieces.find_key(head.key(length));
            if id != NONE && pieces.entry(id).split.is_reached() {
                return Some((id, length));
            }
            lengths &= !(1 << length);
        }
        None
    }

    /// The longest token of more than 15 bytes that `text`, which begins with `head`, begins with.
    fn longest_long(&self, tokens: &Tokens, head: Head, text: &[u8]) -> Option<(u32, usize)> {
        let first = self.long.partition_point(|&(other, _)| other < head.all());
        let alike = self.long.get(first..)?.iter().take_while(|&&(other, _)| other == head.all());
        alike
            .filter_map(|&(_, id)| Some((id, tokens.get(id)?)))
            .find(|(_, token)| text.starts_with(token))
            .map(|(id, token)| (id, token.len()))
    }
}

/// Where the lengths for a beginning stand.
#[inline(always)]
fn index(beginning: u64) -> usize {
    (beginning.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - INDEX_BITS)) as usize
}
