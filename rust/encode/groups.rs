//! Runs a function over the items of a list on all threads. The list is cut into groups, which threads
//! take one after another.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use crate::encode::pool::pool;
use crate::error::{Check, Error, always, slice};
use crate::machine::reserve;

/// Bytes of text that are worth handing to a thread at a time.
pub(super) const GROUP_BYTES: usize = 1 << 16;
/// What an item costs besides its bytes.
const ITEM_COST: usize = 32;
/// The longest time between two calls of `check` while the calling thread waits.
const WAIT: Duration = Duration::from_millis(50);

/// Calls `work` with groups of consecutive items, and before them the index of the first, on up to
/// `threads` threads. Gives the results in order; if some fail, the error of the earliest group. `cost`
/// is about how many bytes of text an item is.
pub fn map_groups<B: Sync, T: Send>(
    items: &[B],
    cost: impl Fn(&B) -> usize,
    threads: usize,
    check: &Check,
    work: impl Fn(usize, &[B], &Check) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let mut results = Vec::new();
    for_each_group(items, cost, threads, check, work, |result| {
        results.try_reserve(1)?;
        results.push(result);
        Ok(())
    })?;
    Ok(results)
}

/// The same, but each result is given to `take` as soon as those before it were, so that not all are in memory.
///
/// A single group runs on the calling thread, and `take` always does.
pub fn for_each_group<B: Sync, T: Send>(
    items: &[B],
    cost: impl Fn(&B) -> usize,
    threads: usize,
    check: &Check,
    work: impl Fn(usize, &[B], &Check) -> Result<T, Error> + Sync,
    mut take: impl FnMut(T) -> Result<(), Error>,
) -> Result<(), Error> {
    let groups: Vec<Range<usize>> = groups(items, cost).collect();
    let work = |group: &Range<usize>, check: &Check| {
        work(group.start, slice(items, group.clone())?, check)
    };
    let threads = threads.min(groups.len());
    let pool = if threads > 1 { pool() } else { None };
    let Some(pool) = pool.filter(|pool| pool.current_num_threads() > 1) else {
        for group in &groups {
            check()?;
            take(work(group, check)?)?;
        }
        return Ok(());
    };
    let threads = threads.min(pool.current_num_threads());
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel();
    let run = |sender: mpsc::Sender<(usize, Result<T, Error>)>| {
        let check = || {
            reserve::check()?;
            if stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
        };
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(group) = groups.get(index) else { return };
            let result = check().and_then(|()| work(group, &check));
            // No one receives results any more, since there was an error.
            if sender.send((index, result)).is_err() {
                return;
            }
        }
    };
    pool.in_place_scope(|scope| {
        for _ in 0..threads {
            let sender = sender.clone();
            scope.spawn(|_| run(sender));
        }
        drop(sender);
        let taken = take_in_order(&receiver, groups.len(), check, &mut take);
        stop.store(true, Ordering::Relaxed);
        taken
    })
}

const NO_RESULT: &str = "no thread has the result of a group";

/// Waits for `count` results and gives them to `take` in order. Calls `check` meanwhile, both while it waits
/// and after each result.
fn take_in_order<T>(
    receiver: &mpsc::Receiver<(usize, Result<T, Error>)>,
    count: usize,
    check: &Check,
    take: &mut impl FnMut(T) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut results: Vec<Option<Result<T, Error>>> = Vec::new();
    results.try_reserve_exact(count)?;
    results.resize_with(count, || None);
    let (mut missing, mut next) = (count, 0);
    while missing > 0 {
        check()?;
        match receiver.recv_timeout(WAIT) {
            Ok((index, result)) => {
                missing -= 1;
                *always(
                    results.get_mut(index),
                    "a thread worked on a group that does not exist",
                )? = Some(result);
                while let Some(result) = results.get_mut(next).and_then(Option::take) {
                    take(result?)?;
                    next += 1;
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            // All threads have ended. If one of them panicked, the scope of the pool panics as well.
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(Error::Internal(NO_RESULT)),
        }
    }
    if next < count { Err(Error::Internal(NO_RESULT)) } else { Ok(()) }
}

/// Cuts a batch into groups of about [`GROUP_BYTES`].
pub(super) fn groups<B>(
    items: &[B],
    cost: impl Fn(&B) -> usize,
) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let mut sum = 0;
        // `start` is the index of an item, or the end.
        let rest = items.get(start..)?;
        let full = rest.iter().position(|item| {
            sum += cost(item) + ITEM_COST;
            sum >= GROUP_BYTES
        });
        let end = start + full.map_or(rest.len(), |last| last + 1);
        let group = start..end;
        start = end;
        (!group.is_empty()).then_some(group)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::tests::sees_a_fault;
    use crate::reference::go_on;

    #[test]
    fn groups_cover_the_batch_in_order() {
        let long = vec![b'a'; GROUP_BYTES];
        let texts: Vec<&[u8]> = vec![b"a", &long, b"", b"b"];
        assert_eq!(groups(&texts, |text| text.len()).collect::<Vec<_>>(), [0..2, 2..4]);
        assert_eq!(groups(&[b""; 0], |text| text.len()).count(), 0);
    }

    #[test]
    fn results_are_in_order_whatever_the_threads() {
        let texts: Vec<Vec<u8>> = (0..500).map(|n| vec![b'x'; n * 7]).collect();
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
        for threads in [1, 2, 8, 1000] {
            let work = |first: usize, group: &[&[u8]], _: &Check| {
                assert_eq!(group[0].as_ptr(), texts[first].as_ptr());
                Ok(group.iter().map(|t| t.len()).collect::<Vec<_>>())
            };
            let groups = map_groups(&texts, |text| text.len(), threads, &go_on, work).unwrap();
            assert_eq!(groups.concat(), lengths);
        }
    }

    #[test]
    fn a_group_without_a_result_is_an_error_and_not_left_out() {
        // Two results for one group, one for a group that does not exist, and threads that end too early.
        for indices in [&[0, 0][..], &[0, 2], &[0]] {
            let (sender, receiver) = mpsc::channel();
            indices.iter().for_each(|&index| sender.send((index, Ok(()))).unwrap());
            drop(sender);
            let taken = || take_in_order(&receiver, 2, &go_on, &mut |()| Ok(()));
            assert!(sees_a_fault(taken), "{indices:?}");
        }
    }

    #[test]
    fn each_result_is_taken_as_soon_as_those_before_it_were() {
        // The second group waits until the first was taken.
        let texts = vec![vec![b'x'; GROUP_BYTES]; 2];
        let is_taken = AtomicBool::new(false);
        let work = |first: usize, _: &[Vec<u8>], _: &Check| {
            while first > 0 && !is_taken.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            Ok(first)
        };
        let mut taken = Vec::new();
        let take = |first| {
            is_taken.store(true, Ordering::Relaxed);
            taken.push(first);
            Ok(())
        };
        for_each_group(&texts, Vec::len, 2, &go_on, work, take).unwrap();
        assert_eq!(taken, [0, 1]);
    }

    #[test]
    fn the_earliest_error_is_given() {
        let texts: Vec<Vec<u8>> = (0..50).map(|_| vec![b'x'; GROUP_BYTES]).collect();
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let result = map_groups(
            &texts,
            |text| text.len(),
            4,
            &go_on,
            |first, _, _| match first {
                0 => Err::<(), _>(Error::UnknownToken(vec![])),
                _ => Err(Error::OutOfMemory),
            },
        );
        assert!(matches!(result, Err(Error::UnknownToken(_))));
    }

    #[test]
    fn a_failing_check_stops_the_threads() {
        let texts = vec![vec![b' '; 2 * GROUP_BYTES]; 8];
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let stop = || Err(Error::Interrupted);
        let result: Result<Vec<()>, Error> = map_groups(
            &texts,
            |text| text.len(),
            2,
            &stop,
            |_, _, check| {
                // On one processor this is the failing check itself.
                loop {
                    check()?;
                    std::thread::sleep(Duration::from_millis(1));
                }
            },
        );
        assert!(matches!(result, Err(Error::Interrupted)));
    }

    #[test]
    fn a_failing_check_stops_groups_that_end_quickly() {
        let texts = vec![[b' '; GROUP_BYTES]; 500];
        for threads in [1, 2] {
            let (stop, done) = (|| Err(Error::Interrupted), AtomicUsize::new(0));
            let work = |_: usize, _: &[_], _: &Check| {
                std::thread::sleep(Duration::from_millis(1));
                done.fetch_add(1, Ordering::Relaxed);
                Ok(())
            };
            let result = map_groups(&texts, |text| text.len(), threads, &stop, work);
            assert!(matches!(result, Err(Error::Interrupted)));
            assert!(done.into_inner() < 100);
        }
    }
}
