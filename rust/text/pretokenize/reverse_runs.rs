//! The ends of runs, for going through a text from its end to its beginning.
//!
//! The scanner looks for the end of a run wherever a pretoken may begin. Doing so at every character
//! would take quadratic time, since most characters are inside a run. From right to left nothing need be
//! looked for: the last run of each class that was met is kept, and the pattern needs no others. It
//! looks at most two characters ahead, then at a run that begins there, and after symbols at the
//! newlines that follow them.

use std::ops::Range;

use super::scalar::{Runs, WhiteSpace};
use crate::text::unicode::Class;

/// The last run of each class that was met. Valid for the character that was added last.
pub struct ReverseRuns {
    letters: Range<usize>,
    symbols: Range<usize>,
    newlines: Range<usize>,
    start: usize,
    white_space: WhiteSpace,
}

impl ReverseRuns {
    /// No runs, for a text that ends at `end`.
    pub fn new(end: usize) -> Self {
        Self {
            letters: end..end,
            symbols: end..end,
            newlines: end..end,
            start: end,
            white_space: WhiteSpace { end, last: end, newline_end: None },
        }
    }

    /// Adds the character before those that were added.
    pub fn add(&mut self, at: usize, class: Class, length: usize) {
        let end_of_character = at + length;
        let run = match class {
            Class::Letter => Some(&mut self.letters),
            Class::Other => Some(&mut self.symbols),
            Class::Newline => Some(&mut self.newlines),
            Class::Space | Class::Number => None,
        };
        if let Some(run) = run {
            let end = if run.start == end_of_character { run.end } else { end_of_character };
            *run = at..end;
        }
        if matches!(class, Class::Newline | Class::Space) {
            if self.start != end_of_character || self.white_space.end == self.start {
                self.white_space =
                    WhiteSpace { end: end_of_character, last: at, newline_end: None };
            }
            self.start = at;
            if class == Class::Newline && self.white_space.newline_end.is_none() {
                self.white_space.newline_end = Some(end_of_character);
            }
        }
    }
}

impl Runs for ReverseRuns {
    #[inline]
    fn end(&self, at: usize, class: Class) -> usize {
        let run = match class {
            Class::Letter => &self.letters,
            Class::Newline => &self.newlines,
            Class::Other | Class::Space | Class::Number => &self.symbols,
        };
        if run.contains(&at) { run.end } else { at }
    }

    #[inline]
    fn white_space(&self, _start: usize) -> WhiteSpace {
        self.white_space
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reference::{cases, go_on, long_texts, texts};
    use crate::text::pretokenize::scalar::{pretoken_end, pretoken_end_by};
    use crate::text::unicode::char_before;

    proptest! {
        #![proptest_config(cases(5_000))]

        /// At every character the end of the pretoken is the one that the scanner finds.
        #[test]
        fn what_reverse_runs_know_is_what_the_scanner_finds(
            text in prop_oneof![3 => texts(), 1 => long_texts()],
        ) {
            let (mut at, mut runs) = (text.len(), ReverseRuns::new(text.len()));
            while let Some((class, length)) = char_before(&text, at) {
                at -= length;
                runs.add(at, class, length);
                let found = pretoken_end(&text, at, &go_on).unwrap();
                prop_assert_eq!(pretoken_end_by(&text, at, &runs), found);
            }
            prop_assert_eq!(at, 0);
        }
    }
}
