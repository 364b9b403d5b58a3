//! Where people would divide a text: after paragraphs, lines, sentences and words.

use crate::text::unicode::{Class, char_at, char_before};

/// What a part of a text ends with. Each kind is found inside the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BreakKind {
    /// A line that is blank, or several of them.
    Paragraph,
    /// A newline.
    Line,
    /// A mark that ends a sentence, with what closes it, and the white space after that.
    Sentence,
    /// White space.
    Word,
    /// Any character.
    Character,
}

impl BreakKind {
    /// All kinds, the largest parts first.
    pub const ALL: [Self; 5] =
        [Self::Paragraph, Self::Line, Self::Sentence, Self::Word, Self::Character];

    /// By the name that callers use.
    pub fn find(name: &str) -> Option<Self> {
        let names = ["paragraph", "line", "sentence", "word", "token"];
        names.iter().position(|&known| known == name).and_then(|at| Self::ALL.get(at)).copied()
    }

    /// The last position after `from` and not after `end` where a part of `text` ends; for characters that is `end`,
    /// where one must end.
    pub fn last(self, text: &[u8], from: usize, end: usize) -> Option<usize> {
        let mut at = end;
        while at > from {
            if self.is_at(text, at) {
                return Some(at);
            }
            at = char_before(text, at).map_or(at - 1, |(_, length)| at - length.max(1));
        }
        None
    }

    /// The first position from `from` on and before `end` where a part begins.
    pub fn first(self, text: &[u8], from: usize, end: usize) -> Option<usize> {
        let mut at = from;
        while at < end {
            if self.is_at(text, at) {
                return Some(at);
            }
            at += char_at(text, at).map_or(1, |(_, length)| length.max(1));
        }
        None
    }

    /// Whether a part ends at `at`, where a character does.
    fn is_at(self, text: &[u8], at: usize) -> bool {
        // Callers look inside a text alone: outside of it nothing ends.
        let Some((before, after)) = text.split_at_checked(at) else { return false };
        if after.is_empty() || before.is_empty() {
            return true;
        }
        match self {
            Self::Character => true,
            Self::Word => ends_with_space(before) && !begins_with_space(after),
            Self::Line => before.last() == Some(&b'\n'),
            Self::Paragraph => {
                // The line before is blank, and the one after is not.
                let Some((b'\n', line)) = before.split_last() else { return false };
                let mut lines = line.rsplitn(2, |&byte| byte == b'\n');
                let (last, has_one_before) = (lines.next(), lines.next().is_some());
                let next = after.split(|&byte| byte == b'\n').next();
                has_one_before && last.is_some_and(is_blank) && !next.is_some_and(is_blank)
            }
            Self::Sentence if before.last() == Some(&b'\n') => true,
            Self::Sentence if begins_with_space(after) => false,
            Self::Sentence => {
                let content = without_space_after(before);
                ends_sentence(content, content.len() < before.len(), after)
            }
        }
    }
}

/// Marks that end a sentence where white space follows, and those that end one in any case.
const ENDS_BEFORE_SPACE: [&str; 4] = [".", "!", "?", "\u{2026}"];
const ENDS: [&str; 5] = ["\u{3002}", "\u{FF01}", "\u{FF1F}", "\u{FF61}", "\u{0964}"];
/// What may close a sentence after its mark.
const CLOSING: [&str; 12] = [
    "\"", "'", ")", "]", "\u{2019}", "\u{201D}", "\u{BB}", "\u{300D}", "\u{300F}", "\u{FF09}",
    "\u{3011}", "\u{300B}",
];

/// How many of them belong to a sentence. Without a bound a run of brackets would be gone through from each of them.
const MAX_CLOSING: usize = 8;

fn ends_sentence(content: &[u8], has_space: bool, after: &[u8]) -> bool {
    let mut rest = content;
    for _ in 0..MAX_CLOSING {
        let inner = CLOSING.iter().find_map(|mark| rest.strip_suffix(mark.as_bytes()));
        let Some(inner) = inner else { break };
        rest = inner;
    }
    let ends = |marks: &[&str]| marks.iter().any(|mark| rest.ends_with(mark.as_bytes()));
    let goes_on = |marks: &[&str]| marks.iter().any(|mark| after.starts_with(mark.as_bytes()));
    (has_space && ends(&ENDS_BEFORE_SPACE))
        || (ends(&ENDS) && !goes_on(&CLOSING) && !goes_on(&ENDS))
}

fn ends_with_space(text: &[u8]) -> bool {
    char_before(text, text.len()).is_some_and(|(class, _)| is_space(class))
}

fn begins_with_space(text: &[u8]) -> bool {
    char_at(text, 0).is_some_and(|(class, _)| is_space(class))
}

fn is_space(class: Class) -> bool {
    matches!(class, Class::Space | Class::Newline)
}

fn is_blank(line: &[u8]) -> bool {
    let mut at = 0;
    while let Some((class, length)) = char_at(line, at) {
        if !is_space(class) {
            return false;
        }
        at += length;
    }
    true
}

fn without_space_after(mut text: &[u8]) -> &[u8] {
    while let Some((class, length)) = char_before(text, text.len())
        && is_space(class)
        && let Some(shorter) = text.len().checked_sub(length).and_then(|end| text.get(..end))
    {
        text = shorter;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of a text, each on a line of its own.
    fn parts(text: &str, kind: BreakKind) -> Vec<&str> {
        let (mut parts, mut end) = (Vec::new(), text.len());
        while end > 0 {
            let start = kind.last(text.as_bytes(), 0, end - 1).unwrap_or(0);
            parts.push(&text[start..end]);
            end = start;
        }
        parts.reverse();
        parts
    }

    #[test]
    fn parts_are_what_people_take_for_them() {
        use BreakKind::{Line, Paragraph, Sentence, Word};
        for (kind, expected) in [
            (Paragraph, vec!["One.\nTwo.\n\n", "Three.\r\n \t\r\n\n", "  Four."]),
            (Line, vec!["One.\n", "\n", "Two\r\n", "  three"]),
            (Sentence, vec!["One. ", "\"Two?\" ", "(3.5 is three.)  ", "v1.2 four!\n", "Five..."]),
            (Sentence, vec!["\u{4E00}\u{3002}", "\u{300C}\u{4E8C}\u{FF01}\u{300D}", "\u{4E09}"]),
            (Word, vec!["One  ", "two\n", "three\u{3000}", "four"]),
        ] {
            assert_eq!(parts(&expected.concat(), kind), expected, "{kind:?}");
        }
    }

    #[test]
    fn a_break_that_is_found_from_the_left_is_found_from_the_right() {
        let text = "A b. C\u{4E00}\u{3002}d\n\ne  f\r\n\r\n g!? h".as_bytes();
        for kind in BreakKind::ALL {
            let mut from_left = Vec::new();
            let mut at = 0;
            while let Some(found) = kind.first(text, at + 1, text.len()) {
                from_left.push(found);
                at = found;
            }
            let mut from_right = Vec::new();
            let mut end = text.len();
            while let Some(found) = kind.last(text, 0, end - 1) {
                from_right.push(found);
                end = found;
            }
            from_right.reverse();
            // From the left one may begin inside a character.
            let is_start = |at: &usize| text.get(*at).is_none_or(|byte| byte & 0xC0 != 0x80);
            from_left.retain(is_start);
            from_right.retain(is_start);
            assert_eq!(from_left, from_right, "{kind:?}");
        }
    }
}
