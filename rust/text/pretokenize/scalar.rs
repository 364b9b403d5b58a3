//! The Llama 3 pattern as a scanner, one alternative after the other, as the regex tries them:
//!
//! ```text
//! 1  (?i:'s|'t|'re|'ve|'m|'ll|'d)      a contraction
//! 2  [^\r\n\p{L}\p{N}]?\p{L}+          letters, with one character before them
//! 3  \p{N}{1,3}                        up to three numbers
//! 4   ?[^\s\p{L}\p{N}]+[\r\n]*         symbols, with a space before and newlines after
//! 5  \s*[\r\n]+                        white space up to its last newline
//! 6  \s+(?!\S)                         white space, but for its last character if text follows
//! 7  \s+                               one white space character
//! ```
//!
//! Guarantees: the ranges are not empty, follow each other without gaps and cover the text, whatever
//! its bytes. Every character is looked at a bounded number of times, so the scan is linear. There
//! is no lookbehind: where a pretoken begins, the rest is scanned as if the text began there.

use std::cell::RefCell;
use std::ops::Range;

use crate::error::{CHECK_BYTES, Check, Error};
use crate::text::unicode::{Class, char_at};

/// The pretokens of a text, as byte ranges in order.
pub struct Pretokens<'t> {
    text: &'t [u8],
    at: usize,
    check: &'t Check<'t>,
}

impl<'t> Pretokens<'t> {
    /// Cuts `text`, which may be any bytes.
    pub fn new(text: &'t [u8], check: &'t Check<'t>) -> Self {
        Self { text, at: 0, check }
    }
}

impl Iterator for Pretokens<'_> {
    type Item = Result<Range<usize>, Error>;

    #[inline]
    fn next(&mut self) -> Option<Result<Range<usize>, Error>> {
        let start = self.at;
        Some(pretoken_end(self.text, start, self.check).transpose()?.map(|end| {
            self.at = end;
            start..end
        }))
    }
}

/// Where runs of characters end: all that the pattern needs beyond a few characters. [`Scan`] looks at
/// the text; `ReverseRuns` (`reverse_runs.rs`) knows the runs already.
pub trait Runs {
    /// The end of the run of one class that begins at `at`; `at` if there is none.
    fn end(&self, at: usize, class: Class) -> usize;

    /// The run of white space that begins at `start`, where there is one.
    fn white_space(&self, start: usize) -> WhiteSpace;
}

/// A run of white space.
#[derive(Clone, Copy)]
pub struct WhiteSpace {
    /// Where it ends.
    pub end: usize,
    /// Where its last character begins.
    pub last: usize,
    /// Where its last newline ends, if it has one.
    pub newline_end: Option<usize>,
}

/// Finds the ends of runs by looking at the text. A run may be as long as the text, so it calls `check` now
/// and then. Once that says to stop, the ends are wrong, and [`Scan::result`] is the error.
pub struct Scan<'t> {
    text: &'t [u8],
    check: &'t Check<'t>,
    error: RefCell<Option<Error>>,
}

impl<'t> Scan<'t> {
    /// Of `text`.
    pub fn new(text: &'t [u8], check: &'t Check<'t>) -> Self {
        Self { text, check, error: RefCell::new(None) }
    }

    /// Whether `check` has said to stop.
    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.error.borrow().is_some()
    }

    /// `found`, or the error of `check`.
    pub fn result<T>(self, found: T) -> Result<T, Error> {
        self.error.into_inner().map_or(Ok(found), Err)
    }

    #[cold]
    #[inline(never)]
    fn stops(&self) -> bool {
        if let Err(error) = (self.check)() {
            self.error.replace(Some(error));
        }
        self.is_stopped()
    }
}

impl Runs for Scan<'_> {
    #[inline]
    fn end(&self, mut at: usize, class: Class) -> usize {
        let mut next_check = at.saturating_add(CHECK_BYTES);
        while let Some((found, length)) = char_at(self.text, at)
            && found == class
        {
            at += length;
            if at >= next_check {
                if self.stops() {
                    break;
                }
                next_check = at + CHECK_BYTES;
            }
        }
        at
    }

    fn white_space(&self, start: usize) -> WhiteSpace {
        let mut run = WhiteSpace { end: start, last: start, newline_end: None };
        let mut next_check = start.saturating_add(CHECK_BYTES);
        while let Some((class @ (Class::Newline | Class::Space), length)) =
            char_at(self.text, run.end)
        {
            if run.end >= next_check {
                if self.stops() {
                    break;
                }
                next_check = run.end + CHECK_BYTES;
            }
            run.last = run.end;
            run.end += length;
            if class == Class::Newline {
                run.newline_end = Some(run.end);
            }
        }
        run
    }
}

/// Where the pretoken that begins at `start` ends; `None` at the end of the text.
#[inline]
pub fn pretoken_end(text: &[u8], start: usize, check: &Check) -> Result<Option<usize>, Error> {
    let scan = Scan::new(text, check);
    let end = pretoken_end_by(text, start, &scan);
    scan.result(end)
}

/// The same, with the ends of runs from `runs`.
#[inline]
pub fn pretoken_end_by(text: &[u8], start: usize, runs: &impl Runs) -> Option<usize> {
    Some(cut_by(text, start, runs)?.end)
}

/// Where a pretoken ends, and which alternative of the pattern says so, by its number above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where it ends.
    pub end: usize,
    /// From 1 to 7.
    pub alternative: u8,
}

/// How the pretoken that begins at `start` is cut; `None` at the end of the text.
#[inline]
pub fn cut(text: &[u8], start: usize, check: &Check) -> Result<Option<Cut>, Error> {
    let scan = Scan::new(text, check);
    let cut = cut_by(text, start, &scan);
    scan.result(cut)
}

#[inline(always)]
fn cut_by(text: &[u8], start: usize, runs: &impl Runs) -> Option<Cut> {
    let (class, length) = char_at(text, start)?;
    let second = start + length;
    let (alternative, end) = match class {
        Class::Letter => (2, runs.end(second, Class::Letter)),
        Class::Number => (3, numbers_end(text, second)),
        Class::Newline => white_space_cut(text, start, runs),
        Class::Space | Class::Other => {
            let next = char_at(text, second);
            if let Some(end) = contraction_end(text, start) {
                (1, end)
            } else if let Some((Class::Letter, length)) = next {
                (2, runs.end(second + length, Class::Letter))
            } else if class == Class::Other {
                (4, symbols_end(second, runs))
            } else if let (Some(b' '), Some((Class::Other, length))) = (text.get(start), next) {
                (4, symbols_end(second + length, runs))
            } else {
                white_space_cut(text, start, runs)
            }
        }
    };
    Some(Cut { end, alternative })
}

/// Alternative 1. `(?i:'s)` also matches U+017F, the long s; no other letter folds to one of these.
#[inline]
pub fn contraction_end(text: &[u8], start: usize) -> Option<usize> {
    let [b'\'', tail @ ..] = text.get(start..)? else {
        return None;
    };
    let length = match *tail {
        [b's' | b'S' | b't' | b'T' | b'm' | b'M' | b'd' | b'D', ..] => 1,
        [b'r' | b'R' | b'v' | b'V', b'e' | b'E', ..] | [b'l' | b'L', b'l' | b'L', ..] => 2,
        [0xC5, 0xBF, ..] => "\u{17F}".len(),
        _ => return None,
    };
    Some(start + 1 + length)
}

/// Alternative 3, its first number read: up to two more.
#[inline]
fn numbers_end(text: &[u8], mut at: usize) -> usize {
    for _ in 0..2 {
        match char_at(text, at) {
            Some((Class::Number, length)) => at += length,
            _ => break,
        }
    }
    at
}

/// Alternative 4, its first symbol read.
#[inline]
fn symbols_end(at: usize, runs: &impl Runs) -> usize {
    runs.end(runs.end(at, Class::Other), Class::Newline)
}

/// Alternatives 5 to 7. What is after the last newline, or the last character before text, is left to
/// the next pretoken, so a run of white space is scanned at most twice.
#[inline]
fn white_space_cut(text: &[u8], start: usize, runs: &impl Runs) -> (u8, usize) {
    let WhiteSpace { end, last, newline_end } = runs.white_space(start);
    match newline_end {
        Some(end) => (5, end),
        None if end == text.len() => (6, end),
        None if last == start => (7, end),
        None => (6, last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::go_on;

    fn cut(text: &str) -> Vec<&str> {
        Pretokens::new(text.as_bytes(), &go_on).map(|range| &text[range.unwrap()]).collect()
    }

    /// One worked example for each alternative; `reference.rs` compares everything else.
    #[test]
    fn each_alternative_cuts_as_written() {
        assert_eq!(cut("I'LL don'ſt 'x"), ["I", "'LL", " don", "'ſ", "t", " '", "x"]);
        assert_eq!(cut("a\tb (c \u{a0}d"), ["a", "\tb", " (", "c", " ", "\u{a0}d"]);
        assert_eq!(cut("12345 6"), ["123", "45", " ", "6"]);
        assert_eq!(cut("a ?!\r\n\nb"), ["a", " ?!\r\n\n", "b"]);
        assert_eq!(cut("a \n \n  b"), ["a", " \n \n", " ", " b"]);
        assert_eq!(cut("a   b   "), ["a", "  ", " b", "   "]);
        assert_eq!(cut("1\t\t2"), ["1", "\t", "\t", "2"]);
        assert_eq!(cut(""), [""; 0]);
    }

    /// A cut says which alternative it is by.
    #[test]
    fn each_cut_names_its_alternative() {
        let alternatives = |text: &str| -> Vec<u8> {
            let (text, mut at, mut found) = (text.as_bytes(), 0, Vec::new());
            while let Some(Cut { end, alternative }) = super::cut(text, at, &go_on).unwrap() {
                found.push(alternative);
                at = end;
            }
            found
        };
        assert_eq!(alternatives("I'LL don'ſt 'x"), [2, 1, 2, 1, 2, 4, 2]);
        assert_eq!(alternatives("a\tb (c \u{a0}d"), [2, 2, 4, 2, 6, 2]);
        assert_eq!(alternatives("12345 6"), [3, 3, 7, 3]);
        assert_eq!(alternatives("a ?!\r\n\nb"), [2, 4, 2]);
        assert_eq!(alternatives("a \n \n  b"), [2, 5, 6, 2]);
        assert_eq!(alternatives("a   b   "), [2, 6, 2, 6]);
        assert_eq!(alternatives("1\t\t2"), [3, 6, 7, 3]);
    }
}
