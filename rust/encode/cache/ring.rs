//! What does not fit an entry of the cache: the records that were written last.

use crate::bpe::token_bytes::MAX_TOKENS;
use crate::machine::huge_pages;
use crate::machine::prefetch::prefetch;

/// Longer pretokens are not kept: they rarely come again.
pub const MAX_CACHED_BYTES: usize = 255;
/// Bytes that a ring begins with.
const FIRST: usize = 1 << 17;
/// A record is never longer than this, so it fits the smallest ring.
const _: () = assert!(MAX_CACHED_BYTES * (ID_BYTES + 1) < FIRST);

/// The records that were written last: ids, three bytes each, and the bytes of a pretoken. It is of
/// any power of two of bytes, and doubles when it is full, up to what is allowed.
#[derive(Default)]
pub struct Ring {
    bytes: Vec<u8>,
    /// How many bytes were ever written or passed over. Where a record begins is such a number too.
    written: u64,
    /// What has a smaller number was overwritten before the ring grew, and is not there again.
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

    /// Says how many bytes it may have.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Where the bytes of a place stand, in a ring of a power of two of bytes.
    #[inline(always)]
    fn at(&self, place: u64) -> usize {
        place as usize & self.bytes.len().wrapping_sub(1)
    }

    /// Where the record begins. `None` without memory. `pays` says that it may grow.
    pub fn add(&mut self, ids: &[u32], pretoken: &[u8], pays: bool) -> Option<u64> {
        let length = ids.len() * ID_BYTES + pretoken.len();
        let is_full = self.written + length as u64 > self.bytes.len() as u64;
        if self.bytes.is_empty() || (is_full && pays) {
            self.grow();
        }
        let left = self.bytes.len().checked_sub(self.at(self.written))?;
        // No record goes over the end.
        let passed = if length > left { left } else { 0 };
        let start = self.written + passed as u64;
        let at = self.at(start);
        let place = self.bytes.get_mut(at..at + length)?;
        self.written = start + length as u64;
        let (of_ids, place) = place.split_at_mut_checked(ids.len() * ID_BYTES)?;
        // As many places as ids, by the length above.
        for (place, id) in of_ids.as_chunks_mut::<ID_BYTES>().0.iter_mut().zip(ids) {
            let [a, b, c, _] = id.to_le_bytes();
            *place = [a, b, c];
        }
        place.copy_from_slice(pretoken);
        Some(start)
    }

    /// Doubles it, if that is allowed and there is memory: each byte stands where its number says, in the
    /// larger ring, too.
    fn grow(&mut self) {
        let size = if self.bytes.is_empty() { FIRST } else { 2 * self.bytes.len() };
        if size > self.limit {
            return;
        }
        let Ok(mut bytes) = huge_pages::table(size, 0) else { return };
        let old = self.bytes.len();
        self.lost = self.lost.max(self.written.saturating_sub(old as u64));
        if old > 0 {
            // The latest bytes: those of the turn that is not complete, and the end of the turn before.
            let (latest, before) = self.bytes.split_at(self.at(self.written));
            let turn = self.written as usize - latest.len();
            for (part, start) in [(latest, turn), (before, (turn + latest.len()).wrapping_sub(old))]
            {
                let at = start & (size - 1);
                if let Some(place) = bytes.get_mut(at..at + part.len()) {
                    place.copy_from_slice(part);
                }
            }
        }
        self.bytes = bytes;
    }

    /// The record that begins at `start`, if it is still there: `count` ids and `length` bytes.
    #[inline(always)]
    pub fn get(
        &self,
        start: u64,
        count: usize,
        length: usize,
    ) -> Option<(&[[u8; ID_BYTES]], &[u8])> {
        let since = self.written.checked_sub(start)?;
        let there = start >= self.lost && since <= self.bytes.len() as u64;
        let record = self.bytes.get(self.at(start)..).filter(|_| there)?;
        let (ids, rest) = record.split_at_checked(count * ID_BYTES)?;
        Some((ids.as_chunks().0, rest.get(..length)?))
    }

    /// Asks for the two lines that most records have.
    pub fn prefetch(&self, start: u64) {
        let start = self.bytes.as_ptr().wrapping_add(self.at(start));
        prefetch(start);
        prefetch(start.wrapping_add(64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_IDS: usize = 1 << 20;

    /// The record of a number: two ids, and bytes of a length that changes.
    fn record(number: u32) -> ([u32; 2], Vec<u8>) {
        ([number & 0xF_FFFF, (number * 7) & 0xF_FFFF], vec![number as u8; number as usize % 200])
    }

    fn is_there(ring: &Ring, start: u64, number: u32) -> bool {
        let (ids, bytes) = record(number);
        let kept = ring.get(start, ids.len(), bytes.len());
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
        ring.set_limit(MAX_IDS + MAX_IDS / 2);
        let mut starts = Vec::new();
        for number in 0..100_000 {
            let (ids, bytes) = record(number);
            starts.push(ring.add(&ids, &bytes, true).unwrap());
            // A record has at most 205 bytes, and while the ring grows all are there.
            let some = if ring.size() < MAX_IDS { number } else { MAX_IDS as u32 / 206 };
            for back in [0, 1, 1_000, some] {
                if let Some(earlier) = number.checked_sub(back).filter(|_| back <= some) {
                    assert!(
                        is_there(&ring, starts[earlier as usize], earlier),
                        "{number} {earlier}"
                    );
                }
            }
        }
        assert_eq!(ring.size(), MAX_IDS);
        let there = (0..).zip(&starts).filter(|&(number, &start)| is_there(&ring, start, number));
        let numbers: Vec<u32> = there.map(|(number, _)| number).collect();
        assert!(numbers.iter().copied().eq(numbers[0]..100_000), "a record missing in between");
        let bytes: usize = numbers.iter().map(|&number| record(number).1.len() + 6).sum();
        assert!((MAX_IDS - 1_000..=MAX_IDS).contains(&bytes), "{bytes}");
    }

    /// A record that was overwritten in part is not whole again because the ring has more room: its bytes
    /// may still stand there, with nothing before them where its ids were.
    #[test]
    fn what_was_overwritten_does_not_come_back_when_the_ring_grows() {
        let mut partly = 0;
        for turns in 0..400 {
            let mut ring = Ring::default();
            ring.set_limit(MAX_IDS);
            let mut starts = Vec::new();
            // It goes round once and a bit, each time a little further, and grows then.
            for number in 0..1_300 + turns {
                let (ids, bytes) = record(number);
                starts.push(ring.add(&ids, &bytes, false).unwrap());
            }
            let oldest = ring.written.saturating_sub(ring.size() as u64);
            partly += starts.windows(2).filter(|at| at[0] < oldest && oldest < at[1]).count();
            while ring.size() < 4 * FIRST {
                let (ids, bytes) = record(starts.len() as u32);
                starts.push(ring.add(&ids, &bytes, true).unwrap());
            }
            for (number, &start) in (0..).zip(&starts) {
                // If it is there it is its own; none is lost that was there before.
                assert_eq!(is_there(&ring, start, number), start >= oldest, "{number} of {turns}");
            }
        }
        assert!(partly > 200, "{partly}");
    }

    #[test]
    fn a_ring_without_room_takes_nothing() {
        let mut ring = Ring::default();
        for _ in 0..3 {
            assert_eq!(ring.add(&[1, 2], b"12345", true), None);
            assert!(ring.get(0, 2, 5).is_none());
        }
    }
}
