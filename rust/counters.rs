//! Counts of what the encode loop does: how many pretokens are found where.
//!
//! Only the feature `counters` counts. Without it [`count`] is empty and inlined, so a call costs
//! nothing, and [`taken`] gives zeros. Each thread has counts of its own. `bench/counters.rs` prints them.

/// Something that the encode loop counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Pretokens that were cut.
    Pretokens,
    /// Pretokens that are tokens, as the lines of the token table say.
    Token,
    /// Pretokens, or segments of them, found in the first of the two lines of the cache where they may be.
    FirstLine,
    /// The same, found in the second line.
    SecondLine,
    /// Pretokens whose ids are in the ring of the cache.
    Long,
    /// Pretokens, or segments of them, that were merged.
    Merged,
    /// Segments that pretokens were cut into.
    Segments,
}

/// How many events there are.
const EVENTS: usize = 7;

/// How often each event happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// [`Event::Pretokens`]
    pub pretokens: usize,
    /// [`Event::Token`]
    pub token: usize,
    /// [`Event::FirstLine`]
    pub first_line: usize,
    /// [`Event::SecondLine`]
    pub second_line: usize,
    /// [`Event::Long`]
    pub long: usize,
    /// [`Event::Merged`]
    pub merged: usize,
    /// [`Event::Segments`]
    pub segments: usize,
}

impl From<[usize; EVENTS]> for Counters {
    /// In the order of [`Event`].
    fn from(
        [pretokens, token, first_line, second_line, long, merged, segments]: [usize; EVENTS],
    ) -> Self {
        Self { pretokens, token, first_line, second_line, long, merged, segments }
    }
}

#[cfg(feature = "counters")]
mod counted {
    use std::cell::Cell;

    use super::{Counters, EVENTS, Event};

    thread_local! {
        static COUNTS: [Cell<usize>; EVENTS] = const { [const { Cell::new(0) }; EVENTS] };
    }

    /// Counts an event of this thread `amount` times.
    #[inline]
    pub fn count(event: Event, amount: usize) {
        COUNTS.with(|counts| {
            // Each event has one.
            if let Some(cell) = counts.get(event as usize) {
                cell.set(cell.get().wrapping_add(amount));
            }
        });
    }

    /// What this thread has counted since the last call.
    #[must_use]
    pub fn taken() -> Counters {
        COUNTS.with(|counts| counts.each_ref().map(Cell::take)).into()
    }
}

#[cfg(not(feature = "counters"))]
mod counted {
    use super::{Counters, Event};

    /// Counts nothing: the feature `counters` is off.
    #[inline(always)]
    pub fn count(_event: Event, _amount: usize) {}

    /// Zeros: the feature `counters` is off.
    #[inline(always)]
    #[must_use]
    pub fn taken() -> Counters {
        Counters::default()
    }
}

pub use counted::{count, taken};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_taken_once_and_are_the_threads_own() {
        _ = taken();
        count(Event::Pretokens, 3);
        count(Event::Segments, 1);
        count(Event::Pretokens, 2);
        assert_eq!(std::thread::spawn(taken).join().unwrap(), Counters::default());
        let expected = Counters { pretokens: 5, segments: 1, ..Counters::default() };
        let expected = if cfg!(feature = "counters") { expected } else { Counters::default() };
        assert_eq!(taken(), expected);
        assert_eq!(taken(), Counters::default());
    }
}
