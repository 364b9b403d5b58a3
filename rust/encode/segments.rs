//! The segments of pretokens that are not known, and what becomes of each.

use crate::bpe::few_bytes::FEW_BYTES;
use crate::encode::sink::Sink;
use crate::error::Error;
use crate::text::span::Span;

/// A stretch of a pretoken between two positions that no merge crosses.
#[derive(Clone, Copy)]
pub struct Segment {
    /// Where it is in the text.
    pub span: Span,
    /// What is known of it.
    pub state: SegmentState,
}

/// What is known of a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SegmentState {
    /// It is to be merged, and is looked up in neither the token table nor the cache: it is a whole
    /// pretoken, which was looked up already, or too long for both, or a token that merging does not
    /// give.
    ToMerge,
    /// Nothing yet; the hash of its key in the token table.
    New(u32),
    /// The token table does not have it, perhaps the cache has: the index of its lookup.
    LookUp(u32),
    /// Neither has it, so it is to be merged and then inserted into the cache: the same index.
    ToMergeAndInsert(u32),
    /// Its id, as the token table has it.
    Token(u32),
    /// It is the segment before, so often.
    Again(usize),
    /// Which of all ids are its own.
    Merged {
        /// The first one.
        first: usize,
        /// How many they are.
        count: usize,
    },
}

/// Emits the ids of segments.
pub fn emit_segments(segments: &[Segment], ids: &[u32], sink: &mut impl Sink) -> Result<(), Error> {
    let mut last: &[u32] = &[];
    // If they are few, the same with others after them, which mean nothing, so that nothing branches on how
    // many they are.
    let mut few = None;
    for segment in segments {
        let mut times = 1;
        match &segment.state {
            SegmentState::Token(id) => {
                (last, few) = (std::slice::from_ref(id), Some([*id; FEW_BYTES]));
            }
            &SegmentState::Merged { first, count } => {
                let rest = ids.get(first..).ok_or_else(other_ids)?;
                last = rest.get(..count).ok_or_else(other_ids)?;
                few = rest.first_chunk().copied().filter(|_| count <= FEW_BYTES);
            }
            // Something is before it: without that, ids would be lost.
            &SegmentState::Again(more) if !last.is_empty() => times = more,
            _ => return Err(Error::Internal("a segment of a pretoken was not merged")),
        }
        for _ in 0..times {
            match &few {
                Some(ids) => sink.take_first(ids, last.len())?,
                None => sink.take(last)?,
            }
        }
    }
    Ok(())
}

#[cold]
fn other_ids() -> Error {
    Error::Internal("the ids of a segment are outside of all ids")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_nothing_is_an_error_and_not_fewer_ids() {
        let segment = |state| Segment { span: Span { start: 0, end: 2 }, state };
        let ids = |segments: &[Segment]| {
            let mut ids: Vec<u32> = Vec::new();
            emit_segments(segments, &[], &mut ids).map(|()| ids)
        };
        let [token, run] = [SegmentState::Token(7), SegmentState::Again(3)].map(segment);
        assert_eq!(ids(&[token, run]).unwrap(), [7; 4]);
        assert!(matches!(ids(&[run]), Err(Error::Internal(_))));
    }
}
