//! The records of entries that do not fit a line of the cache: those that were written last.

use crate::bpe::token_bytes::MAX_TOKENS;
use crate::machine::huge_pages::Table;
use crate::machine::prefetch::prefetch;

/// The longest pretoken that the cache keeps: longer ones rarely come again.
pub const MAX_CACHED_BYTES: usize = 255;
/// Bytes that a ring begins with.
const FIRST_BYTES: usize = 1 << 17;
// Every record fits the smallest ring: a pretoken has at most one id for each byte.
const _: () = assert!(MAX_CACHED_BYTES * (ID_BYTES + 1) < FIRST_BYTES);

/// Where a record begins, and how many ids it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// How many bytes were ever written, or passed over, before it.
    pub start: u64,
    /// How many ids it has.
    pub count: usize,
}

/// The records that were written last. A record is ids, three bytes each, and the bytes of a pretoken.
/// The size is a power of two, and doubles when the ring is full, up to a limit.
#[derive(Default)]
pub struct Ring {
    bytes: Table<u8>,
    /// How many bytes were ever written or passed over.
    written: u64,
    /// Records that begin before this were overwritten before the ring grew.
    lost: u64,
    /// Bytes that it may have.
    limit: usize,
}

/// Bytes of an id in a record.
const ID_BYTES: usize = 3;
const _: () = assert!(MAX_TOKENS <= 1 << (8 * ID_BYTES));

impl Ring {
    /// How many bytes it has.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Sets how many bytes it may have.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The index of byte number `number` of all that were ever written.
    #[inline(always)]
    fn index(&self, number: u64) -> usize {
        // The size is a power of two.
        number as usize & self.bytes.len().wrapping_sub(1)
    }

    /// Adds a record; gives where it begins, or `None` if there is no memory for it and it is not kept.
    /// `may_grow` says that growing pays.
    pub fn add(&mut self, ids: &[u32], pretoken: &[u8], may_grow: bool) -> Option<u64> {
        let length = ids.len() * ID_BYTES + pretoken.len();
        let is_full = self.written + length as u64 > self.bytes.len() as u64;
        if self.bytes.is_empty() || (is_full && may_grow) {
            self.grow();
        }
        let left = self.bytes.len().checked_sub(self.index(self.written))?;
        // A record does not go on at the beginning: what is left at the end is passed over.
        let passed = if length > left { left } else { 0 };
        let start = self.written + passed as u64;
        let at = self.index(start);
        let record = self.bytes.get_mut(at..at + length)?;
        self.written = start + length as u64;
        let (id_bytes, pretoken_bytes) = record.split_at_mut_checked(ids.len() * ID_BYTES)?;
        for (bytes, id) in id_bytes.as_chunks_mut::<ID_BYTES>().0.iter_mut().zip(ids) {
            let [a, b, c, _] = id.to_le_bytes();
            *bytes = [a, b, c];
        }
        pretoken_bytes.copy_from_slice(pretoken);
        Some(start)
    }

    /// Doubles the ring, within the limit and if there is memory. In the larger ring each byte is where its
    /// number says, as well.
    fn grow(&mut self) {
        let size = if self.bytes.is_empty() { FIRST_BYTES } else { 2 * self.bytes.len() };
        if size > self.limit {
            return;
        }
        let Ok(mut bytes) = Table::zeroed(size) else { return };
        let old = self.bytes.len();
        self.lost = self.lost.max(self.written.saturating_sub(old as u64));
        if old > 0 {
            // The bytes of the current turn round the ring, and what is left of the turn before.
            let (latest, before) = self.bytes.split_at(self.index(self.written));
            let turn = self.written as usize - latest.len();
            for (part, start) in [(latest, turn), (before, (turn + latest.len()).wrapping_sub(old))]
            {
                let at = start & (size - 1);
                match bytes.get_mut(at..at + part.len()) {
                    Some(target) => target.copy_from_slice(part),
                    // What is not copied must not be taken for a record.
                    None => {
                        debug_assert!(false, "a part of a ring has no room in a larger one");
                        self.lost = self.written;
                    }
                }
            }
        }
        self.bytes = bytes;
    }

    /// The ids of a record, and `length` bytes after them; `None` if the record was overwritten.
    #[inline(always)]
    pub fn get(
        &self,
        Record { start, count }: Record,
        length: usize,
    ) -> Option<(&[[u8; ID_BYTES]], &[u8])> {
        let since = self.written.checked_sub(start)?;
        let is_there = start >= self.lost && since <= self.bytes.len() as u64;
        let record = self.bytes.get(self.index(start)..).filter(|_| is_there)?;
        let (ids, rest) = record.split_at_checked(count * ID_BYTES)?;
        Some((ids.as_chunks().0, rest.get(..length)?))
    }

    /// Prefetches the first two lines of a record, which most records have no more of.
    pub fn prefetch(&self, start: u64) {
        let start = self.bytes.as_ptr().wrapping_add(self.index(start));
        prefetch(start);
        prefetch(start.wrapping_add(64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_BYTES: usize = 1 << 20;

    /// The record of a number: two ids, and bytes of a length that changes.
    fn record(number: u32) -> ([u32; 2], Vec<u8>) {
        ([number & 0xF_FFFF, (number * 7) & 0xF_FFFF], vec![number as u8; number as usize % 200])
    }

    fn is_there(ring: &Ring, start: u64, number: u32) -> bool {
        let (ids, bytes) = record(number);
        let kept = ring.get(Record { start, count: ids.len() }, bytes.len());
        kept.inspect(|(of_ids, of_bytes)| {
            assert_eq!(*of_bytes, bytes);
            let of_ids = of_ids.iter().map(|&[a, b, c]| u32::from_le_bytes([a, b, c, 0]));
            assert!(of_ids.eq(ids), "another record's ids");
        })
        .is_some()
    }

    #[test]
    fn the_last_records_are_there_and_overwritten_ones_are_not() {
        let mut ring = Ring::default();
        ring.set_limit(MAX_BYTES + MAX_BYTES / 2);
        let mut starts = Vec::new();
        for number in 0..100_000 {
            let (ids, bytes) = record(number);
            starts.push(ring.add(&ids, &bytes, true).unwrap());
            // A record has at most 205 bytes, and while the ring grows all are there.
            let some = if ring.size() < MAX_BYTES { number } else { MAX_BYTES as u32 / 206 };
            for back in [0, 1, 1_000, some] {
                if let Some(earlier) = number.checked_sub(back).filter(|_| back <= some) {
                    assert!(
                        is_there(&ring, starts[earlier as usize], earlier),
                        "{number} {earlier}"
                    );
                }
            }
        }
        assert_eq!(ring.size(), MAX_BYTES);
        let there = (0..).zip(&starts).filter(|&(number, &start)| is_there(&ring, start, number));
        let numbers: Vec<u32> = there.map(|(number, _)| number).collect();
        assert!(numbers.iter().copied().eq(numbers[0]..100_000), "a record missing in between");
        let bytes: usize = numbers.iter().map(|&number| record(number).1.len() + 6).sum();
        assert!((MAX_BYTES - 1_000..=MAX_BYTES).contains(&bytes), "{bytes}");
    }

    /// A record that was overwritten in part does not come back because the ring has become larger: its last
    /// bytes may be there, without its ids before them.
    #[test]
    fn what_was_overwritten_does_not_come_back_when_the_ring_grows() {
        let mut partly = 0;
        for turns in 0..400 {
            let mut ring = Ring::default();
            ring.set_limit(MAX_BYTES);
            let mut starts = Vec::new();
            // It goes round once and a bit, each time a little further, and grows then.
            for number in 0..1_300 + turns {
                let (ids, bytes) = record(number);
                starts.push(ring.add(&ids, &bytes, false).unwrap());
            }
            let oldest = ring.written.saturating_sub(ring.size() as u64);
            partly += starts.windows(2).filter(|at| at[0] < oldest && oldest < at[1]).count();
            while ring.size() < 4 * FIRST_BYTES {
                let (ids, bytes) = record(starts.len() as u32);
                starts.push(ring.add(&ids, &bytes, true).unwrap());
            }
            for (number, &start) in (0..).zip(&starts) {
                // What is there is the record itself, and no record is lost that was there before.
                assert_eq!(is_there(&ring, start, number), start >= oldest, "{number} of {turns}");
            }
        }
        assert!(partly > 200, "{partly}");
    }

    /// The number of bytes is not a power of two, so that there is no room for what is copied.
    #[test]
    fn what_is_not_copied_is_not_found() {
        let mut bytes = Table::zeroed(192).unwrap();
        bytes.fill(1);
        let mut ring = Ring { bytes, written: 447, lost: 0, limit: MAX_BYTES };
        let grow = std::panic::AssertUnwindSafe(|| ring.grow());
        assert_eq!(std::panic::catch_unwind(grow).is_err(), cfg!(debug_assertions));
        assert!(
            cfg!(debug_assertions)
                || (0..447).all(|start| ring.get(Record { start, count: 0 }, 1).is_none())
        );
    }

    #[test]
    fn a_ring_without_room_takes_nothing() {
        let mut ring = Ring::default();
        for _ in 0..3 {
            assert_eq!(ring.add(&[1, 2], b"12345", true), None);
            assert!(ring.get(Record { start: 0, count: 2 }, 5).is_none());
        }
    }
}
