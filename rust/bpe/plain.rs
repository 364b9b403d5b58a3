//! The merge rule as it is written, for the bytes of one or two tokens.

use crate::bpe::index::NONE;
use crate::bpe::token_table::TokenTable;
use crate::text::span::Span;

/// Merges `bytes` by the rule and gives the ids. `joined` is called for each merge with the length of
/// its left part. Its time is quadratic in the length, so it is for the bytes of one or two tokens.
pub fn merge_plainly(table: &TokenTable, bytes: &[u8], mut joined: impl FnMut(usize)) -> Vec<u32> {
    let token = |start: usize, end: usize| table.find(bytes, Span { start, end });
    // Where each part begins, and the token that it makes with the next part. The last part makes none,
    // and the end of the bytes, which is the last item, makes none either.
    let two = |start: usize| if start + 2 <= bytes.len() { token(start, start + 2) } else { NONE };
    let mut parts: Vec<(usize, u32)> = (0..=bytes.len()).map(|start| (start, two(start))).collect();
    let pair = |parts: &[(usize, u32)], at: usize| match (parts.get(at), parts.get(at + 2)) {
        (Some(&(start, _)), Some(&(end, _))) => token(start, end),
        _ => NONE,
    };
    while let Some((at, &(start, _))) =
        parts.iter().enumerate().filter(|(_, part)| part.1 != NONE).min_by_key(|(_, part)| part.1)
    {
        // A part that makes a token with the next one has a next one.
        let (middle, _) = parts.remove(at + 1);
        joined(middle - start);
        // What the part makes with the next one has changed, and what the part before it makes with it. If
        // it is the first part, what the second one makes is found again.
        let before = at.saturating_sub(1);
        let changed = [pair(&parts, before), pair(&parts, before + 1)];
        for (part, rank) in parts.iter_mut().skip(before).zip(changed) {
            part.1 = rank;
        }
    }
    parts.iter().zip(parts.iter().skip(1)).map(|(part, next)| token(part.0, next.0)).collect()
}
