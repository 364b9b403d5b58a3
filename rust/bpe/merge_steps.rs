//! The merge rule step by step, for who wants to see it: which pair is joined, in which order.
//!
//! The pairs wait in a heap by rank and place, so a pretoken of any length takes n log n steps. A pair
//! whose parts have been joined with others meanwhile is left in the heap and passed over, which is the
//! usual way. Encoding does not use this: `merge.rs` gives the same ids and is tested against it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::bpe::index::NONE;
use crate::bpe::token_table::TokenTable;
use crate::error::{CHECK_BYTES, Check, Error, always};
use crate::text::span::Span;

/// One step: the parts `start..middle` and `middle..end` are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergeStep {
    /// Where the left part begins.
    pub start: usize,
    /// Where the left part ends and the right one begins.
    pub middle: usize,
    /// Where the right part ends.
    pub end: usize,
    /// The token of both, whose id is the rank that was the lowest.
    pub id: u32,
}

const NO_PART: &str = "a pair of parts lies outside of what is merged";

/// Two parts that are a token together: its rank, then where the parts are. The least one is joined next.
type Pair = Reverse<(u32, usize, usize, usize)>;

/// The steps that merging `bytes` takes, in order. There is none where no two bytes are a token.
pub fn merge_steps(
    table: &TokenTable,
    bytes: &[u8],
    check: &Check,
) -> Result<Vec<MergeStep>, Error> {
    let mut parts = Parts::bytes(bytes.len())?;
    let mut pairs: BinaryHeap<Pair> = BinaryHeap::new();
    let offer = |pairs: &mut BinaryHeap<Pair>, start, middle, end| {
        let id = table.find(bytes, Span { start, end });
        if id != NONE {
            pairs.try_reserve(1)?;
            pairs.push(Reverse((id, start, middle, end)));
        }
        Ok::<_, Error>(())
    };
    for start in 0..bytes.len().saturating_sub(1) {
        if start.is_multiple_of(CHECK_BYTES) {
            check()?;
        }
        offer(&mut pairs, start, start + 1, start + 2)?;
    }
    let mut steps = Vec::new();
    while let Some(Reverse((id, start, middle, end))) = pairs.pop() {
        if !parts.has(start, middle) || !parts.has(middle, end) {
            continue;
        }
        if steps.len().is_multiple_of(CHECK_BYTES) {
            check()?;
        }
        steps.try_reserve(1)?;
        steps.push(MergeStep { start, middle, end, id });
        parts.join(start, middle, end)?;
        if let Some(before) = parts.before(start) {
            offer(&mut pairs, before, start, end)?;
        }
        if let Some(after) = parts.end(end) {
            offer(&mut pairs, start, end, after)?;
        }
    }
    Ok(steps)
}

/// The parts as they are now: where the one that begins at a byte ends, and where the one that ends at a
/// byte begins. `0` in the first and `usize::MAX` in the second say that there is none.
struct Parts {
    ends: Vec<usize>,
    starts: Vec<usize>,
}

impl Parts {
    /// Each byte is a part.
    fn bytes(count: usize) -> Result<Self, Error> {
        let (mut ends, mut starts) = (Vec::new(), Vec::new());
        ends.try_reserve_exact(count + 1)?;
        starts.try_reserve_exact(count + 1)?;
        ends.extend(1..=count);
        ends.push(0);
        starts.push(usize::MAX);
        starts.extend(0..count);
        Ok(Self { ends, starts })
    }

    fn has(&self, start: usize, end: usize) -> bool {
        self.ends.get(start) == Some(&end)
    }

    /// Where the part that begins at `start` ends.
    fn end(&self, start: usize) -> Option<usize> {
        self.ends.get(start).copied().filter(|&end| end != 0)
    }

    /// Where the part that ends at `end` begins.
    fn before(&self, end: usize) -> Option<usize> {
        self.starts.get(end).copied().filter(|&start| start != usize::MAX)
    }

    fn join(&mut self, start: usize, middle: usize, end: usize) -> Result<(), Error> {
        *always(self.ends.get_mut(start), NO_PART)? = end;
        *always(self.ends.get_mut(middle), NO_PART)? = 0;
        *always(self.starts.get_mut(middle), NO_PART)? = usize::MAX;
        *always(self.starts.get_mut(end), NO_PART)? = start;
        Ok(())
    }
}
