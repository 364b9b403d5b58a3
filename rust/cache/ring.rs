//! What does not fit an entry of the cache: the records that were written last.

use crate::cache::few::ID_BITS;
use crate::prefetch::prefetch;

/// Bytes of the ring.
const SIZE: usize = 3 << 20;

/// The records that were written last: ids, three bytes each, and the bytes of a pretoken.
#[derive(Default)]
pub struct Ring {
    bytes: Vec<u8>,
    /// How many bytes were ever written or passed over. Where a record begins is such a number too.
    written: u32,
}

/// Bytes of an id in a record.
const ID_BYTES: usize = 3;
const _: () = assert!(ID_BITS as usize <= 8 * ID_BYTES);

impl Ring {
    /// Forgets all: what was given before means nothing any more.
    pub fn clear(&mut self) {
        self.written = 0;
    }

    /// Where the record begins. `None` without memory, and when the numbers are at their end.
    pub fn add(&mut self, ids: &[u32], pretoken: &[u8]) -> Option<u32> {
        if self.bytes.is_empty() {
            self.bytes.try_reserve_exact(SIZE).ok()?;
            self.bytes.resize(SIZE, 0);
        }
        let length = ids.len() * ID_BYTES + pretoken.len();
        let left = SIZE - self.written as usize % SIZE;
        // No record goes over the end.
        let passed = if length > left { left } else { 0 };
        let start = self.written.checked_add(passed as u32)?;
        self.written = start.checked_add(length as u32)?;
        let place = self.bytes.get_mut(start as usize % SIZE..)?;
        let (of_ids, place) = place.split_at_mut_checked(ids.len() * ID_BYTES)?;
        for (place, id) in of_ids.as_chunks_mut::<ID_BYTES>().0.iter_mut().zip(ids) {
            let [a, b, c, _] = id.to_le_bytes();
            *place = [a, b, c];
        }
        place.get_mut(..pretoken.len())?.copy_from_slice(pretoken);
        Some(start)
    }

    /// The record that begins at `start`, if it is still there: `count` ids and `length` bytes.
    #[inline(always)]
    pub fn get(
        &self,
        start: u32,
        count: usize,
        length: usize,
    ) -> Option<(&[[u8; ID_BYTES]], &[u8])> {
        let there = self.written.wrapping_sub(start) as usize <= SIZE;
        let record = self.bytes.get(start as usize % SIZE..).filter(|_| there)?;
        let (ids, rest) = record.split_at_checked(count * ID_BYTES)?;
        Some((ids.as_chunks().0, rest.get(..length)?))
    }

    /// Asks for the two lines that most records have.
    pub fn ask(&self, start: u32) {
        let start = start as usize % SIZE;
        for place in [start, start + 64] {
            if let Some(byte) = self.bytes.get(place) {
                prefetch(byte);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The record of a number: two ids, and bytes of a length that changes.
    fn record(number: u32) -> ([u32; 2], Vec<u8>) {
        ([number & 0xF_FFFF, (number * 7) & 0xF_FFFF], vec![number as u8; number as usize % 200])
    }

    fn is_there(ring: &Ring, start: u32, number: u32) -> bool {
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
        let mut starts = Vec::new();
        for number in 0..100_000 {
            let (ids, bytes) = record(number);
            starts.push(ring.add(&ids, &bytes).unwrap());
            for back in [0, 1, 1_000, 20_000] {
                if let Some(earlier) = number.checked_sub(back) {
                    assert!(is_there(&ring, starts[earlier as usize], earlier));
                }
            }
        }
        let there = (0..).zip(&starts).filter(|&(number, &start)| is_there(&ring, start, number));
        let numbers: Vec<u32> = there.map(|(number, _)| number).collect();
        assert!(numbers.iter().copied().eq(numbers[0]..100_000), "a record missing in between");
        let bytes: usize = numbers.iter().map(|&number| record(number).1.len() + 6).sum();
        assert!((SIZE - 1_000..=SIZE).contains(&bytes), "{bytes}");
    }

    #[test]
    fn at_the_end_of_its_numbers_it_takes_nothing_until_it_is_cleared() {
        let mut ring = Ring { written: u32::MAX - 20, ..Ring::default() };
        assert!(ring.add(&[1, 2], b"12345").is_some());
        assert!(ring.add(&[1, 2], b"12345").is_none());
        ring.clear();
        assert!(ring.add(&[1, 2], b"12345").is_some());
    }
}
