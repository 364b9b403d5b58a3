//! Added tokens in a text, found in the obvious way.

use std::ops::Range;
use std::sync::OnceLock;

use super::AddedToken;

/// Whether a character belongs to a word: what the library tokenizers asks the crate regex.
fn is_word(character: char) -> bool {
    static WORD: OnceLock<fancy_regex::Regex> = OnceLock::new();
    let word = WORD.get_or_init(|| fancy_regex::Regex::new(r"^\w$").unwrap());
    word.is_match(character.encode_utf8(&mut [0; 4])).unwrap()
}

/// The added tokens of a text by the rule as it is written, by looking at every position: where they stand, and
/// their ids. Special ones are meant only with `all`.
pub fn added_in(tokens: &[AddedToken], text: &str, all: bool) -> Vec<(Range<usize>, u32)> {
    let mut found = Vec::new();
    search(tokens, text, 0..text.len(), false, all, &mut found);
    let mut gaps = Vec::new();
    let mut from = 0;
    for (range, _) in &found {
        gaps.push(from..range.start);
        from = range.end;
    }
    gaps.push(from..text.len());
    for gap in gaps {
        search(tokens, text, gap, true, all, &mut found);
    }
    found.sort_by_key(|(range, _)| range.start);
    found
}

fn search(
    tokens: &[AddedToken],
    text: &str,
    part: Range<usize>,
    normalized: bool,
    all: bool,
    found: &mut Vec<(Range<usize>, u32)>,
) {
    let text = &text[..part.end];
    let (mut at, mut free) = (part.start, part.start);
    while at < part.end {
        let here = tokens.iter().filter(|token| token.normalized == normalized);
        let here = here.filter(|token| text.as_bytes()[at..].starts_with(token.name.as_bytes()));
        let Some(token) = here.max_by_key(|token| token.name.len()) else {
            at += 1;
            continue;
        };
        let (mut start, mut end) = (at, at + token.name.len());
        at = end;
        let joins = |c: Option<char>| c.is_some_and(is_word);
        let in_word =
            joins(text[part.start..start].chars().next_back()) || joins(text[end..].chars().next());
        if (token.special && !all) || (token.single_word && in_word) {
            continue;
        }
        if token.lstrip {
            start = free + text[free..start].trim_end().len();
        }
        if token.rstrip {
            end = text.len() - text[end..].trim_start().len();
        }
        found.push((start..end, token.id));
        (at, free) = (end, end);
    }
}
