//! Where the pretokens of a round end, as the cutting by bits writes them: a window at a time.

use crate::error::Error;
use crate::machine::lanes::{Lanes, WINDOW};
use crate::text::span::Span;

/// The most ends that a round has.
pub const MAX_ENDS: usize = 384;

/// No window begins so many bytes after the beginning of a round. So offsets have 32 bits, half as much to
/// write and to read as with 64; and letters that go on for so long are left to the scanner, which looks for
/// signals.
const FAR: usize = 1 << 22;

/// Where the pretokens of a round end. Offsets count from the beginning of the round.
pub struct PretokenEnds {
    /// Where the first pretoken begins in the text.
    from: usize,
    /// Where the first pretoken begins, which is 0, then where each one ends, then room for what is
    /// written beyond the last one: the offsets of a whole window are written at a time.
    bounds: [u32; 1 + MAX_ENDS + WINDOW],
    count: usize,
    /// Where the last pretoken ends, if that does not fit 32 bits; else 0.
    large_end: usize,
    /// With fewer ends than this, another window is cut.
    limit: usize,
    /// Windows begin before this offset.
    far: usize,
    /// Whether there were more ends than there is room for, which is a fault, or the work was stopped: see
    /// [`PretokenEnds::are_complete`].
    lost: bool,
    /// What stopped it.
    stopped: Option<Error>,
}

impl Default for PretokenEnds {
    fn default() -> Self {
        Self {
            from: 0,
            bounds: [0; 1 + MAX_ENDS + WINDOW],
            count: 0,
            large_end: 0,
            // A window has at most 64 ends, and one where it begins.
            limit: MAX_ENDS - WINDOW,
            far: FAR,
            lost: false,
            stopped: None,
        }
    }
}

impl PretokenEnds {
    /// Ends with a wrong limit, for the test that this is an error.
    #[cfg(test)]
    pub fn with_limit(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Ends for which few bytes are far, for tests.
    #[cfg(test)]
    pub fn with_far(far: usize) -> Self {
        Self { far, ..Self::default() }
    }

    /// The ends, ascending, if they [`are_complete`](Self::are_complete).
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        (1..=self.count).filter_map(|number| self.offset(number))
    }

    /// Where pretokens begin, from pretoken `first` on, and where the last one ends.
    #[inline(always)]
    pub fn bounds_from(&self, first: usize) -> &[u32] {
        // If there were too many ends, `are_complete` says so.
        self.bounds.get(first..=self.count).unwrap_or(&[])
    }

    /// Where `COUNT - 1` pretokens begin, from pretoken `first` on, and where the last of them ends.
    #[inline(always)]
    pub fn bounds_of<const COUNT: usize>(&self, first: usize) -> Option<&[u32; COUNT]> {
        self.bounds.get(first..)?.first_chunk()
    }

    /// Where pretoken `number` begins in the text, and the one before it ends.
    #[inline(always)]
    fn offset(&self, number: usize) -> Option<usize> {
        let bound = *self.bounds.get(number)?;
        let offset = if bound == u32::MAX { self.large_end } else { bound as usize };
        Some(self.from + offset)
    }

    /// Where pretoken `number` stands in the text.
    #[inline(always)]
    pub fn span(&self, number: usize) -> Result<Span, Error> {
        match (self.offset(number), self.offset(number + 1)) {
            (Some(start), Some(end)) if start <= end => Ok(Span { start, end }),
            _ => Err(Error::Internal("a round has fewer pretokens than it says")),
        }
    }

    /// Where the last one ends; where the first would begin if there are none.
    #[inline(always)]
    pub fn last(&self) -> usize {
        // If there were too many, `are_complete` says so.
        self.offset(self.count).unwrap_or(usize::MAX)
    }

    /// How many ends there are.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether these are the ends of pretokens without a gap, none of them lost, and no more than
    /// [`MAX_ENDS`]. They are, unless the loop of `masks::fill` is wrong or was stopped; this one check a round
    /// makes that an error and not lost text: see [`PretokenEnds::fault`].
    #[inline(always)]
    pub fn are_complete(&self) -> bool {
        !self.lost & (self.count > 0) & (self.count <= MAX_ENDS)
            && self.offset(self.count) > Some(self.from)
    }

    /// Why they are not complete.
    #[cold]
    pub fn fault(&mut self) -> Error {
        let lost = Error::Internal("a round of pretokens lost some of its text");
        self.stopped.take().unwrap_or(lost)
    }

    /// Notes that the work was stopped.
    #[cold]
    pub(super) fn stop(&mut self, error: Error) {
        self.lost = true;
        self.stopped = Some(error);
    }

    /// Notes that text was lost, which is a fault of the loop.
    #[cold]
    pub(super) fn lose(&mut self) {
        self.lost = true;
    }

    /// Begins a round at `from`.
    pub(super) fn begin(&mut self, from: usize) {
        let [first, ..] = &mut self.bounds;
        *first = 0;
        (self.from, self.count, self.large_end, self.lost) = (from, 0, 0, false);
    }

    /// Whether another window is to be cut that begins at `at`.
    #[inline(always)]
    pub(super) fn take_more(&self, at: usize) -> bool {
        (self.count < self.limit) & (at < self.far)
    }

    /// Adds the offsets of `starts` in the window that begins at `base`, which is below [`FAR`].
    #[inline(always)]
    pub(super) fn extend(&mut self, lanes: impl Lanes, starts: u64, base: usize) {
        match self.bounds.get_mut(1 + self.count..).and_then(<[u32]>::first_chunk_mut) {
            Some(offsets) => lanes.bit_positions(starts, base as u32, offsets),
            None => self.lost = true,
        }
        self.count += starts.count_ones() as usize;
    }

    /// Adds an offset. After one that does not fit 32 bits none is added, since it is far.
    #[inline(always)]
    pub(super) fn push(&mut self, end: usize) {
        self.count += 1;
        match self.bounds.get_mut(self.count) {
            Some(offset) => *offset = u32::try_from(end).unwrap_or(u32::MAX),
            None => self.lost = true,
        }
        if end >= u32::MAX as usize {
            self.large_end = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_of_more_than_32_bits_is_kept_as_it_is() {
        for end in [u32::MAX as usize - 1, u32::MAX as usize, u32::MAX as usize + 1, 1 << 40] {
            let mut ends = PretokenEnds::default();
            ends.begin(7);
            ends.push(5);
            ends.push(end);
            assert!(ends.are_complete());
            assert_eq!(ends.iter().collect::<Vec<_>>(), [12, 7 + end]);
            assert_eq!(
                (ends.span(1).unwrap(), ends.last()),
                (Span { start: 12, end: 7 + end }, 7 + end)
            );
        }
    }
}
