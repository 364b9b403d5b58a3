//! Which tokens does a text begin with at some place, the longest first?
//!
//! Only tokens that merging gives are meant. Asking for one length after the other would be slow, since
//! few of them are possible. Small tables say, by the next two, three, four and eight bytes or their
//! hash, what lengths tokens with that beginning have; each of these is then asked for by its key in
//! `pieces.rs`. The tables may name too many lengths, never too few.

use crate::index::NONE;
use crate::pieces::{Head, KEY_BYTES, Pieces};
use crate::vocab::Tokens;
use crate::work;

/// Entries of each table, as a power of two.
const INDEX_BITS: u32 = 16;

/// A set of lengths: bit 1 to 15 for each, bit 16 for all longer ones.
pub type Lengths = u32;
const LONGER: Lengths = 1 << (KEY_BYTES + 1);

/// The tables of lengths.
pub struct Prefixes {
    /// The token of each byte.
    one: Vec<u32>,
    /// By the first two bytes, length 2; by the first three, length 3; by the first four, lengths 4 to 8.
    few: Vec<u8>,
    /// By the first eight bytes, lengths 9 to 15 and longer.
    eight: Vec<u8>,
    /// The tokens longer than 15 bytes, by their first 16 bytes, the longest first.
    long: Vec<(u128, u32)>,
}

impl Prefixes {
    /// Indexes the tokens that merging gives.
    pub fn build(tokens: &Tokens, pieces: &Pieces) -> Self {
        let one = (0..=u8::MAX).map(|byte| pieces.find(tokens, &[byte], 0, 1)).collect();
        let mut few = vec![0; 1 << INDEX_BITS];
        let mut eight = few.clone();
        let mut long = Vec::new();
        let reached = (0..tokens.len() as u32).filter(|&id| pieces.entry(id).split.is_reached());
        for (id, (head, length)) in reached.filter_map(|id| Some((id, tokens.head(id)?))) {
            let (entry, bit) = match length {
                0 | 1 => continue,
                2 => (few.get_mut(index(head, 2)), 0),
                3 => (few.get_mut(index(head, 3)), 1),
                length @ 4..=8 => (few.get_mut(index(head, 4)), length - 2),
                length => (eight.get_mut(index(head, 8)), length.min(KEY_BYTES + 1) - 9),
            };
            if let Some(entry) = entry {
                *entry |= 1 << bit;
            }
            if length > KEY_BYTES {
                long.push((head.all(), id));
            }
        }
        let length = |id| tokens.get(id).map_or(0, <[u8]>::len);
        long.sort_unstable_by_key(|&(head, id)| (head, usize::MAX - length(id)));
        Self { one, few, eight, long }
    }

    /// The lengths from 2 on that a token may have which a text with this head begins with.
    #[inline(always)]
    fn lengths(&self, head: Head) -> Lengths {
        let entry = |table: &[u8], count| {
            Lengths::from(table.get(index(head, count)).copied().unwrap_or(0))
        };
        let few = entry(&self.few, 2) & 1 | entry(&self.few, 3) & 2 | entry(&self.few, 4) & !3;
        few << 2 | entry(&self.eight, 8) << 9
    }

    /// Asks for what [`Prefixes::longest`] will look at.
    #[inline]
    pub fn ask(&self, pieces: &Pieces, text: &[u8], start: usize, end: usize) {
        let head = Head::at(text, start);
        let mut lengths = self.lengths(head) & ((2 << (end - start).min(KEY_BYTES)) - 1);
        for _ in 0..2 {
            let Some(length) = lengths.checked_ilog2() else { return };
            pieces.ask(head.key(length as usize));
            lengths &= !(1 << length);
        }
    }

    /// The longest token that `text[start..end]` begins with, that has none of the `excluded` lengths and
    /// that `fits`, which gets its id and length; and its length.
    #[inline(always)]
    pub fn longest(
        &self,
        (tokens, pieces): (&Tokens, &Pieces),
        (text, start, end): (&[u8], usize, usize),
        excluded: Lengths,
        mut fits: impl FnMut(u32, usize) -> bool,
    ) -> Option<(u32, usize)> {
        let head = Head::at(text, start);
        let mut lengths = self.lengths(head);
        if lengths & LONGER != 0 && end - start > KEY_BYTES {
            let rest = text.get(start..end).unwrap_or_default();
            let found = self.longest_long(tokens, head, rest, &mut fits);
            if found.is_some() {
                return found;
            }
        }
        lengths &= ((2 << (end - start).min(KEY_BYTES)) - 1) & !excluded;
        while let Some(length) = lengths.checked_ilog2() {
            let length = length as usize;
            let id = pieces.find_key(head.key(length));
            if id != NONE && pieces.entry(id).split.is_reached() && fits(id, length) {
                return Some((id, length));
            }
            lengths &= !(1 << length);
        }
        let id = *self.one.get(head.first(1) as usize)?;
        (end > start && excluded & 2 == 0 && fits(id, 1)).then_some((id, 1))
    }

    /// The same for tokens of more than 15 bytes; `text` begins with `head`.
    fn longest_long(
        &self,
        tokens: &Tokens,
        head: Head,
        text: &[u8],
        mut fits: impl FnMut(u32, usize) -> bool,
    ) -> Option<(u32, usize)> {
        let first = self.long.partition_point(|&(other, _)| other < head.all());
        let alike = self.long.get(first..)?.iter().take_while(|&&(other, _)| other == head.all());
        alike
            .filter_map(|&(_, id)| Some((id, tokens.get(id)?)))
            .inspect(|_| work::done())
            .find(|&(id, token)| text.starts_with(token) && fits(id, token.len()))
            .map(|(id, token)| (id, token.len()))
    }
}

/// Where the lengths for the first `count` bytes stand.
#[inline(always)]
fn index(head: Head, count: usize) -> usize {
    (head.first(count).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - INDEX_BITS)) as usize
}
