//! The Llama 3 pattern by bits: 64 bytes at a time, without a branch per character.
//!
//! ```text
//! window   the next 64 bytes, beginning where a pretoken begins
//! masks    one bit per byte for each class (masks_avx512.rs, masks_avx2.rs, masks_portable.rs)
//! starts   one bit per byte: does a pretoken begin here? (this file, plain bit operations)
//! ends     the places of the set bits
//! ```
//!
//! The next window begins at the last pretoken that began in this one, so nothing is carried from
//! window to window: since the pattern has no lookbehind, where a pretoken begins is where the text
//! might as well begin. What a start depends on behind the window's end (white space, whose cut
//! depends on what follows) is left to the next window, and a pretoken that is longer than a window
//! to the scalar scanner. Everything here is compared with that scanner, which stays its readable
//! twin.
//!
//! The text must be valid UTF-8; others go to the scalar scanner.

use super::scalar;
use crate::unicode::class;

/// Gives the classes of 64 bytes, those beyond ASCII aside: of them `wide`, `tail` and `sure_letter`.
pub trait Classify {
    /// The masks of a window.
    fn masks(window: &[u8; WINDOW]) -> Masks;
}

/// How many ends [`fill`] gives at most.
pub const ENDS: usize = 256;

/// How many ends are written at once.
const BATCH: usize = 8;

/// Where pretokens end.
pub struct Ends {
    places: [usize; ENDS + BATCH],
    count: usize,
}

impl Default for Ends {
    fn default() -> Self {
        Self { places: [0; ENDS + BATCH], count: 0 }
    }
}

impl Ends {
    /// The ends, ascending.
    #[inline]
    pub fn as_slice(&self) -> &[usize] {
        self.places.get(..self.count).unwrap_or_default()
    }

    /// Adds the places of `starts` in the window that begins at `base`.
    ///
    /// Eight at a time, of which some are none: how many there are can't be foreseen, and would be a
    /// branch taken wrongly in most windows.
    #[inline(always)]
    fn extend(&mut self, mut starts: u64, base: usize) {
        let count = starts.count_ones() as usize;
        let places = self.places.get_mut(self.count..).unwrap_or_default();
        for places in places.as_chunks_mut::<BATCH>().0 {
            for place in places {
                *place = base + starts.trailing_zeros() as usize;
                starts &= starts.wrapping_sub(1);
            }
            if starts == 0 {
                break;
            }
        }
        self.count += count;
    }

    #[inline(always)]
    fn push(&mut self, end: usize) {
        if let Some(place) = self.places.get_mut(self.count) {
            *place = end;
            self.count += 1;
        }
    }
}

/// The same by the scalar scanner, for any bytes.
pub fn fill_scalar(text: &[u8], from: usize, ends: &mut Ends) {
    ends.count = 0;
    let mut at = from;
    while ends.count < ENDS
        && let Some(end) = scalar::pretoken_end(text, at)
    {
        ends.push(end);
        at = end;
    }
}

/// Cuts the text from `from`, where a pretoken must begin, into as many pretokens as `ends` takes.
///
/// `text` must be valid UTF-8. Gives at least one end unless `from` is the text's end.
#[inline(always)]
pub fn fill<C: Classify>(text: &[u8], from: usize, ends: &mut Ends) {
    ends.count = 0;
    let mut at = from;
    // A window has at most 64 ends.
    while ends.count + WINDOW <= ENDS
        && let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty())
    {
        let mut padded = [0; WINDOW];
        let (window, length, at_end) = match rest.first_chunk::<WINDOW>() {
            Some(window) => (window, WINDOW, rest.len() == WINDOW),
            None => {
                for (target, &byte) in padded.iter_mut().zip(rest) {
                    *target = byte;
                }
                (&padded, rest.len(), true)
            }
        };
        match starts(C::masks(window), window, length, at_end) {
            // The first bit is the window's own beginning.
            Some(starts) if starts > 1 || at_end => {
                ends.extend(starts & !1, at);
                if at_end {
                    return ends.push(at + length);
                }
                at += 63 - starts.leading_zeros() as usize;
            }
            _ => {
                at = scalar::pretoken_end(text, at).unwrap_or(text.len());
                ends.push(at);
            }
        }
    }
}

/// Bytes in a window.
pub const WINDOW: usize = 64;

/// The classes of a window's bytes, one bit each, the first byte lowest. A character of several
/// bytes has its class in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Masks {
    /// `\p{L}`
    pub letter: u64,
    /// `\p{N}`
    pub number: u64,
    /// `[\r\n]`
    pub newline: u64,
    /// `\s` without the newlines
    pub space: u64,
    /// U+0020 alone
    pub blank: u64,
    /// U+0027 alone
    pub apostrophe: u64,
    /// Bytes of characters beyond ASCII
    pub wide: u64,
    /// Bytes that do not begin a character
    pub tail: u64,
    /// Beginnings of characters all of whose lead byte's characters are letters
    pub sure_letter: u64,
}

/// First bytes of UTF-8 of which every character is a letter: U+0400 to U+047F, U+5000 to U+8FFF and
/// U+B000 to U+CFFF, as (first, last) pairs. A test asks the tables.
pub const SURE_LETTERS: [(u8, u8); 3] = [(0xD0, 0xD1), (0xE5, 0xE8), (0xEB, 0xEC)];

/// Bits of `mask` that stand without a gap behind a bit of `seeds`, and those of `seeds`, which are in
/// `mask` and at most one in each run of it.
#[inline(always)]
fn flood(mask: u64, seeds: u64) -> u64 {
    mask & !mask.wrapping_add(seeds)
}

/// All bytes of the characters whose first bytes are `leads`.
#[inline(always)]
fn whole_characters(leads: u64, tail: u64) -> u64 {
    leads | flood(tail, leads << 1 & tail)
}

/// Sets the bits below `count`, which is at most 64.
#[inline(always)]
fn low_bits(count: usize) -> u64 {
    u64::MAX.checked_shr(64 - count as u32).unwrap_or(0)
}

/// The places where pretokens begin in a window whose first byte begins one.
///
/// `length` bytes of the window are text; `at_end` says that the text ends there. Bits that depend on
/// what follows the window are not set. `None` if the window has what this can't cut: numbers of
/// several bytes.
#[inline(always)]
pub fn starts(
    mut masks: Masks,
    window: &[u8; WINDOW],
    mut length: usize,
    at_end: bool,
) -> Option<u64> {
    let mut text = low_bits(length);
    if masks.wide & text != 0 {
        let leads = masks.wide & !masks.tail & text;
        // A character that is not in the window whole is left to the next one.
        let last = 63usize.saturating_sub(leads.leading_zeros() as usize);
        if !at_end && last + width(window.get(last).copied().unwrap_or(0)) > length {
            length = last;
            text = low_bits(length);
        }
        classify_wide(&mut masks, window, leads & text);
    }
    let Masks { letter, number, newline, space, blank, apostrophe, wide, tail, .. } = masks;
    let [letter, number, newline] = [letter & text, number & text, newline & text];
    let space = space & text;
    let other = text & !(letter | number | newline | space);
    if number & wide != 0 {
        return None;
    }
    let first = !tail;

    // Other characters: a run begins at its first, or at the blank before it.
    let other_starts = other & first & !(other << 1) & !(blank << 1);
    // The newlines behind a run belong to it.
    let taken = flood(newline, newline & other << 1);

    // Letters: a run begins at its first, or at the white space before it, or at the one character
    // before it that begins a run of others.
    let joined = whole_characters(other_starts, tail);
    let letter_starts = letter & first & !(letter << 1) & !(space << 1) & !(joined << 1);

    // White space: a run begins at its first. Behind its last newline the rest begins; before text
    // its last character begins, unless that is a newline.
    let white = (newline | space) & !taken;
    let white_starts = white & first & !(white << 1);
    let behind_newline = space & first & (newline & !taken) << 1;
    let mut rest_starts = behind_newline;
    let rest_ends = space.wrapping_add(behind_newline) & !space;
    if rest_ends & newline != 0 {
        rest_starts = without_later_newline(behind_newline, space, newline);
    }
    let mut last_starts = space & !((newline | space) >> 1) & text >> 1;
    if last_starts & tail != 0 {
        for _ in 0..2 {
            last_starts = last_starts & first | (last_starts & tail) >> 1;
        }
    }

    let mut all = other_starts | letter_starts | white_starts | rest_starts | last_starts;
    all |= number_starts(number);
    let contractions = apostrophe & other_starts & letter >> 1;
    if contractions != 0 {
        all |= behind_contractions(contractions, window, letter);
    }
    if at_end {
        return Some(all);
    }
    // Of white space that reaches the window's end only the beginning is sure.
    let sure = 64 - (text & !white).leading_zeros() as usize;
    Some(all & low_bits((sure + 1).min(64)))
}

/// How many bytes the character that begins with `lead` has.
#[inline(always)]
fn width(lead: u8) -> usize {
    match lead {
        0..0xC0 => 1,
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 3,
        0xF0.. => 4,
    }
}

/// Adds the classes of the characters that begin at `leads`.
#[inline(always)]
fn classify_wide(masks: &mut Masks, window: &[u8; WINDOW], leads: u64) {
    let mut found = [0u64; 5];
    let mut rest = leads & !masks.sure_letter;
    while rest != 0 {
        let at = rest.trailing_zeros() as usize;
        let byte = |offset: usize| u32::from(window.get(at + offset).copied().unwrap_or(0));
        let code_point = match byte(0) {
            0..0xE0 => (byte(0) & 0x1F) << 6 | byte(1) & 0x3F,
            0xE0..0xF0 => (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | byte(2) & 0x3F,
            _ => {
                let high = (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12;
                high | (byte(2) & 0x3F) << 6 | byte(3) & 0x3F
            }
        };
        if let Some(mask) = found.get_mut(class(code_point) as usize) {
            *mask |= rest & rest.wrapping_neg();
        }
        rest &= rest - 1;
    }
    let [letter, number, _, space, _] = found;
    let letter = letter | masks.sure_letter & leads;
    let whole = |leads| whole_characters(leads, masks.tail);
    let [letter, number, space] = [letter, number, space].map(whole);
    masks.letter |= letter;
    masks.number |= number;
    masks.space |= space;
}

/// Every third of a run of numbers, which have one byte each.
#[inline(always)]
fn number_starts(number: u64) -> u64 {
    let mut starts = number & !(number << 1);
    let thirds = number & number << 1 & number << 2;
    let mut next = starts << 3 & thirds;
    while next != 0 {
        starts |= next;
        next = next << 3 & thirds;
    }
    starts
}

/// Those of `places`, each the beginning of a run of `space`, whose run has no newline behind it.
#[cold]
fn without_later_newline(places: u64, space: u64, newline: u64) -> u64 {
    let (mut kept, mut rest) = (places, places);
    while rest != 0 {
        let place = rest & rest.wrapping_neg();
        // The carry comes out of the run at the bit behind it.
        if space.wrapping_add(place) & !space & newline != 0 {
            kept &= !place;
        }
        rest &= rest - 1;
    }
    kept
}

/// The starts behind contractions whose letters go on.
#[inline(always)]
fn behind_contractions(apostrophes: u64, window: &[u8; WINDOW], letter: u64) -> u64 {
    let (mut starts, mut rest) = (0, apostrophes);
    while rest != 0 {
        let at = rest.trailing_zeros() as usize;
        if let Some(end) = scalar::contraction_end(window, at) {
            starts |= letter & 1u64.checked_shl(end as u32).unwrap_or(0);
        }
        rest &= rest - 1;
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unicode::Class;

    #[test]
    fn all_characters_of_the_sure_lead_bytes_are_letters() {
        for lead in SURE_LETTERS.iter().flat_map(|&(first, last)| first..=last) {
            let bits = u32::from(lead);
            let characters = match width(lead) {
                2 => (bits & 0x1F) << 6..((bits & 0x1F) + 1) << 6,
                3 => (bits & 0x0F) << 12..((bits & 0x0F) + 1) << 12,
                width => panic!("{lead:#x} begins {width} bytes"),
            };
            for code_point in characters {
                assert_eq!(class(code_point), Class::Letter, "U+{code_point:04X}");
            }
        }
    }

    #[test]
    fn bits_flow_as_far_as_their_run_and_no_farther() {
        assert_eq!(flood(0b0111_0110, 0b0010_0010), 0b0110_0110);
        assert_eq!(flood(u64::MAX << 60, 1 << 62), 0b11 << 62);
        assert_eq!(whole_characters(0b0001_0010, 0b1110_0100), 0b1111_0110);
        assert_eq!([low_bits(0), low_bits(3), low_bits(64)], [0, 7, u64::MAX]);
        assert_eq!(number_starts(0b1111_1110_1111), 0b1001_0010_1001);
    }
}
