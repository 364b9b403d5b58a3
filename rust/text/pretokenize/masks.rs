//! The Llama 3 pattern by bits: 64 bytes at a time, without a branch per character.
//!
//! ```text
//! window   the next 64 bytes, beginning where a pretoken begins
//! masks    one bit per byte for each class (lanes/, and pages.rs for characters beyond ASCII)
//! starts   one bit per byte: does a pretoken begin here? (this file, plain bit operations)
//! ends     the offsets of the set bits: where a pretoken begins, the one before it ends
//! ```
//!
//! The next window begins at the last pretoken that began in this one, so next to nothing is carried from
//! window to window: since the pattern has no lookbehind, a text might as well begin where a pretoken begins.
//! If a start depends on what follows the window, as in white space, it is left to the next window. Or it
//! begins inside letters that reach the end of the window: that is the one thing carried (`in_letters`). A
//! pretoken that is longer than a window is left to the scalar scanner. Everything here is compared with that
//! scanner, which is the readable twin.
//!
//! The text must be valid UTF-8; any other text goes to the scalar scanner.

use super::ends::PretokenEnds;
use super::pages::{by_page, one_by_one};
use super::scalar::{self, Scan};
use crate::error::Check;
use crate::machine::code_path::CodePath;
use crate::machine::lanes::{Lanes, Masks, Vectorized, WINDOW};
use crate::text::unicode::Classes;

impl CodePath {
    /// Cuts `text` from `from`, where a pretoken must begin, into as many pretokens as `ends` takes;
    /// none at the text's end. The text must be valid UTF-8, except for [`CodePath::SCALAR`].
    pub fn fill(self, text: &[u8], from: usize, ends: &mut PretokenEnds, check: &Check) {
        struct Fill<'a>(&'a [u8], usize, &'a mut PretokenEnds, &'a Check<'a>);
        impl Vectorized for Fill<'_> {
            type Output = ();

            #[inline(always)]
            fn run<L: Lanes>(self, lanes: L) {
                fill(lanes, self.0, self.1, self.2, self.3, |_| {});
            }
        }
        if self.is_scalar() {
            fill_scalar(text, from, ends, check)
        } else {
            self.run(Fill(text, from, ends, check))
        }
    }
}

/// The same by the scalar scanner, for any bytes.
pub fn fill_scalar(text: &[u8], from: usize, ends: &mut PretokenEnds, check: &Check) {
    ends.begin(from);
    // After the text's end there is nothing, so no end: see `PretokenEnds::are_complete`.
    let text = text.get(from..).unwrap_or(&[]);
    let (mut at, scan) = (0, Scan::new(text, check));
    while ends.take_more(at)
        && let Some(end) = scalar::pretoken_end_by(text, at, &scan)
        && !scan.is_stopped()
    {
        ends.push(end);
        at = end;
    }
    if let Err(error) = scan.result(()) {
        ends.stop(error);
    }
}

/// Cuts the text from `from`, where a pretoken must begin, into as many pretokens as `ends` takes.
///
/// `text` must be valid UTF-8. Gives at least one end unless `from` is the text's end. `meanwhile` is
/// called after each window but the last, with the ends so far: a processor runs it at the same time as
/// the cut of the next window.
#[inline(always)]
pub fn fill<L: Lanes>(
    lanes: L,
    text: &[u8],
    from: usize,
    ends: &mut PretokenEnds,
    check: &Check,
    mut meanwhile: impl FnMut(&PretokenEnds),
) {
    ends.begin(from);
    // After the text's end there is nothing, so no end: see `PretokenEnds::are_complete`.
    let text = text.get(from..).unwrap_or(&[]);
    let (mut at, mut in_letters) = (0, false);
    while ends.take_more(at)
        && let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty())
    {
        let padded;
        let (window, length, at_end) = match rest.first_chunk::<WINDOW>() {
            Some(window) if rest.len() > WINDOW => {
                (window, WINDOW - bytes_left_over(window), false)
            }
            Some(window) => (window, WINDOW, true),
            None => {
                padded = lanes.last_window(rest);
                (&padded, rest.len(), true)
            }
        };
        let cut = cut(lanes, window, length, at_end);
        // The beginning of the window is an end only if the letters before it end there.
        let starts = cut.starts & !1 | u64::from(in_letters & !cut.letter_first);
        ends.extend(lanes, starts, at);
        if at_end {
            return ends.push(at + length);
        }
        meanwhile(ends);
        let last = 63 - (cut.starts | 1).leading_zeros() as usize;
        in_letters = cut.letters_go_on;
        if in_letters {
            at += cut.length;
        } else if last > 0 {
            at += last;
        } else {
            match scalar::pretoken_end(text, at, check) {
                Ok(Some(end)) => at = end,
                // Never, since there is text left.
                Ok(None) => return ends.lose(),
                Err(error) => return ends.stop(error),
            }
            ends.push(at);
        }
    }
    if in_letters && ends.is_empty() {
        // The letters go on past `far`, after which no window is cut.
        match scalar::pretoken_end(text, 0, check) {
            Ok(Some(end)) => ends.push(end),
            Ok(None) => ends.lose(),
            Err(error) => ends.stop(error),
        }
    }
}

/// How a window is cut.
struct Cut {
    /// Where pretokens begin, as far as the window tells. Its first byte always is one.
    starts: u64,
    /// How many of its bytes were used: whole characters.
    length: usize,
    /// Whether it begins with a letter.
    letter_first: bool,
    /// Whether the last pretoken is letters that reach the end.
    letters_go_on: bool,
}

/// The bits of `seeds`, and those of `mask` that follow them without a gap. `seeds` are in `mask`, at
/// most one in each run.
#[inline(always)]
fn flood(mask: u64, seeds: u64) -> u64 {
    mask & !mask.wrapping_add(seeds)
}

/// All bytes of the characters whose first bytes are `leads`.
#[inline(always)]
fn whole_characters(leads: u64, tail: u64) -> u64 {
    leads | flood(tail, leads << 1 & tail)
}

/// Sets the bits below `count`, which is at most 64. For 0 the shift is by 64, which `checked_shr` refuses.
#[inline(always)]
fn low_bits(count: usize) -> u64 {
    debug_assert!(count <= 64);
    u64::MAX.checked_shr(64 - count as u32).unwrap_or(0)
}

/// Cuts a window whose first byte begins a pretoken, or is a letter of a pretoken that began before.
///
/// `length` bytes of the window are text; `at_end` says that the text ends there. Starts that depend
/// on what follows the window are not given.
#[inline(always)]
fn cut<L: Lanes>(lanes: L, window: &[u8; WINDOW], length: usize, at_end: bool) -> Cut {
    let mut masks = lanes.masks(window);
    let text = low_bits(length);
    if masks.wide & text != 0 {
        let leads = masks.wide & !masks.tail & text;
        let Classes { low, high } = if L::HAS_FAST_SEARCH {
            let among = |set| lanes.bytes_in_set(window, set);
            by_page(window, leads, among, |byte| lanes.bytes_equal(window, byte))
        } else {
            one_by_one(window, leads)
        };
        masks.letter |= whole_characters(low & !high, masks.tail);
        masks.number |= whole_characters(high & !low, masks.tail);
        masks.space |= whole_characters(low & high, masks.tail);
    }
    let Masks { letter, number, newline, space, blank, apostrophe, wide, tail } = masks;
    let [letter, number, newline] = [letter & text, number & text, newline & text];
    let space = space & text;
    let other = text & !(letter | number | newline | space);
    let first = !tail;

    // Symbols: a run begins at its first, or at the blank before it.
    let other_starts = other & first & !(other << 1) & !(blank << 1);
    // The newlines after a run of symbols belong to it.
    let taken = flood(newline, newline & other << 1);

    // Letters: a run begins at its first letter, or at the white space before it, or at the symbol
    // before it if that begins a run of symbols.
    let joined = whole_characters(other_starts, tail);
    let letter_starts = letter & first & !(letter << 1) & !(space << 1) & !(joined << 1);

    // White space: a pretoken begins at the first of a run, after the last newline of it, and at its
    // last character if text follows, unless that character is a newline.
    let white = (newline | space) & !taken;
    let white_starts = white & first & !(white << 1);
    let after_newline = space & first & (newline & !taken) << 1;
    let mut rest_starts = after_newline;
    let rest_ends = space.wrapping_add(after_newline) & !space;
    if rest_ends & newline != 0 {
        rest_starts = without_later_newline(after_newline, space, newline);
    }
    let mut last_starts = space & !((newline | space) >> 1) & text >> 1;
    if last_starts & tail != 0 {
        for _ in 0..2 {
            last_starts = last_starts & first | (last_starts & tail) >> 1;
        }
    }

    let mut all = other_starts | letter_starts | white_starts | rest_starts | last_starts;
    all |=
        if number & wide == 0 { number_starts(number) } else { wide_number_starts(number, tail) };
    let contractions = apostrophe & other_starts & letter >> 1;
    if contractions != 0 {
        all |= starts_after_contractions(contractions, window, letter);
    }
    // Of white space that reaches the window's end only the beginning is certain.
    let sure = 64 - (text & !white).leading_zeros() as usize;
    let starts = if at_end { all } else { all & low_bits((sure + 1).min(64)) };
    // An apostrophe and letters may be a contraction, which depends on the letters that follow.
    let last = 1 << 63 >> (starts | 1).leading_zeros();
    Cut {
        starts,
        length,
        letter_first: letter & 1 != 0,
        letters_go_on: letter & !(text >> 1) != 0 && apostrophe & last == 0,
    }
}

/// How many bytes at a window's end are left to the next one: those of a character that is not whole, or
/// one blank, so that most windows end inside letters. Without branches: in most scripts they would be
/// mispredicted.
#[inline(always)]
fn bytes_left_over(&[.., third, second, last]: &[u8; WINDOW]) -> usize {
    let one = last >= 0xC0 || last == b' ';
    usize::from(one) + 2 * usize::from(second >= 0xE0) + 3 * usize::from(third >= 0xF0)
}

/// The starts of pretokens in runs of numbers of one byte each: every third.
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

/// The same in runs of numbers of which some have several bytes.
#[inline(never)]
fn wide_number_starts(number: u64, tail: u64) -> u64 {
    // The carry goes from a character to the byte after it.
    let next = |leads: u64| tail.wrapping_add(leads << 1) & !tail & number;
    let mut starts = number & !tail & !(number << 1);
    let mut thirds = next(next(next(starts)));
    while thirds != 0 {
        starts |= thirds;
        thirds = next(next(next(thirds)));
    }
    starts
}

/// Those of `run_starts`, each the first bit of a run of `space`, whose run no newline follows.
#[cold]
fn without_later_newline(run_starts: u64, space: u64, newline: u64) -> u64 {
    let (mut kept, mut rest) = (run_starts, run_starts);
    while rest != 0 {
        let first = rest & rest.wrapping_neg();
        // The carry goes from the run to the bit after it.
        if space.wrapping_add(first) & !space & newline != 0 {
            kept &= !first;
        }
        rest &= rest - 1;
    }
    kept
}

/// The starts after contractions which letters follow.
#[inline(always)]
fn starts_after_contractions(apostrophes: u64, window: &[u8; WINDOW], letter: u64) -> u64 {
    let (mut starts, mut rest) = (0, apostrophes);
    while rest != 0 {
        let at = rest.trailing_zeros() as usize;
        if let Some(end) = scalar::contraction_end(window, at) {
            // A contraction that ends with the window has no start after it in the window.
            starts |= letter & 1u64.checked_shl(end as u32).unwrap_or(0);
        }
        rest &= rest - 1;
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{CHECK_BYTES, Error};
    use crate::reference::{go_on, long_texts};
    use proptest::prelude::*;

    fn all(path: CodePath, text: &[u8], ends: &mut PretokenEnds) -> Vec<usize> {
        let (mut all, mut at) = (Vec::new(), 0);
        while at < text.len() {
            path.fill(text, at, ends, &go_on);
            assert!(ends.are_complete());
            all.extend(ends.iter());
            at = ends.last();
        }
        all
    }

    proptest! {
        /// Offsets that are far from the beginning of a round, without gigabytes of text.
        #[test]
        fn a_round_ends_before_what_is_far(text in long_texts(), far in 1..2000usize) {
            let expected = all(CodePath::SCALAR, &text, &mut PretokenEnds::default());
            for path in CodePath::available() {
                prop_assert_eq!(&all(path, &text, &mut PretokenEnds::with_far(far)), &expected);
            }
        }
    }

    /// Whether a run is cut by the scanner from the beginning, after windows of letters, or for a text that is
    /// scanned anyhow: the error is the one of the check, and no end is given that looks right.
    #[test]
    fn a_check_that_fails_stops_a_round_and_is_its_error() {
        let stop = || Err(Error::Interrupted);
        for run in ["a", "文", " ", "\n", "!"] {
            let text = run.repeat(CHECK_BYTES + 1);
            for path in CodePath::available() {
                let mut ends = PretokenEnds::with_far(2000);
                path.fill(text.as_bytes(), 0, &mut ends, &stop);
                assert!(!ends.are_complete(), "{run:?}, {path:?}");
                assert!(matches!(ends.fault(), Error::Interrupted), "{run:?}, {path:?}");
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
        assert_eq!(wide_number_starts(0b1111_1110_1111, 0), 0b1001_0010_1001);
        assert_eq!(wide_number_starts(0b11_1111_1111, 0b10_0110_1100), 0b00_1000_0001);
    }
}
