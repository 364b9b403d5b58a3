//! The merge rule as it is written, for the bytes of one or two tokens.

use crate::bpe::index::NONE;
use crate::bpe::token_table::TokenTable;
use crate::text::span::Span;

/// Merges `bytes` by the rule and gives the ids. `joined` is called for each merge with the length of
/// its left part. Its time is quadratic in the length, so it is for the bytes of one or two tokens.
pub fn merge_plainly(table: &TokenTable, bytes: &[u8], mut joined: impl FnMut(usize)) -> Vec<u32> {
    let token = |start: usize, end: usize| table.find(bytes, Span { start, end });
    // Where each part begins, and the token that it makes with the next part.
    let mut parts: Vec<(usize, u32)> = (0..=bytes.len()).map(|start| (start, NONE)).collect();
    let pair = |parts: &[(usize, u32)], at: usize| match (parts.get(at), parts.get(at + 2)) {
        (Some(&(start, _)), Some(&(end, _))) => token(start, end),
        _ => NONE,
    };
    for at in 0..parts.len() {
        let rank = pair(&parts, at);
        if let Some(part) = parts.get_mut(at) {
            part.1 = rank;
        }
    }
    while let Some((at, _)) =
        parts.iter().enumerate().filter(|(_, part)| part.1 != NONE).min_by_key(|(_, part)| part.1)
    {
        let (middle, _) = parts.remove(at + 1);
        joined(middle - parts.get(at).map_or(0, |part| part.0));
        for changed in at.saturating_sub(1)..=at {
            let rank = pair(&parts, changed);
            if let Some(part) = parts.get_mut(changed) {
                part.1 = rank;
            }
        }
    }
    parts.iter().zip(parts.iter().skip(1)).map(|(part, next)| token(part.0, next.0)).collect()
}
