//! What the encode loop did, event by event: how often a pretoken was answered where.
//!
//! Only the feature `counters` counts. Without it [`count`] is empty and inlined, so a call costs
//! nothing, and [`taken`] gives zeros. Counts are a thread's own: nothing is shared, so nothing is
//! written that another thread reads. `bench/counters.rs` prints them.

/// Something that the encode loop counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Pretokens that were cut.
    Pretokens,
    /// Pretokens that are tokens as a whole, as the table of all tokens says.
    Token,
    /// Pretokens, or segments of them, found in the cache in the first place that is asked.
    Hit,
    /// The same, found in the second place.
    Second,
    /// Pretokens too long for the cache's short entries.
    Long,
    /// Pretokens, or segments of them, that were merged.
    Merged,
    /// Segments that long pretokens were cut into.
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
    /// [`Event::Hit`]
    pub hit: usize,
    /// [`Event::Second`]
    pub second: usize,
    /// [`Event::Long`]
    pub long: usize,
    /// [`Event::Merged`]
    pub merged: usize,
    /// [`Event::Segments`]
    pub segments: usize,
}

impl From<[usize; EVENTS]> for Counters {
    /// In the order of [`Event`].
    fn from([pretokens, token, hit, second, long, merged, segments]: [usize; EVENTS]) -> Self {
        Self { pretokens, token, hit, second, long, merged, segments }
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
            if let Some(cell) = counts.get(event as usize) {
                cell.set(cell.get().wrapping_add(amount));
            }
        });
    }

    /// What this thread has counted since it was last asked.
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
