//! Memory for large tables: all of it is requested at once, and on large pages, where the system has them.
//!
//! The system provides memory page by page, when a page is first touched, and each first touch interrupts the
//! program: in a table of 4 MB a thousand times. So all pages are requested beforehand. Random lookups in
//! megabytes also wait for the translation of addresses: a table of 16 MB is 4,096 pages of 4 KB, more than a
//! processor remembers, or 8 of 2 MB.
//!
//! A [`Table`] is requested from the system itself, at a place that large pages can have whole. The allocator has
//! other places, often in memory that it has used before, where half of a table or less is on large pages: then
//! 16 MB take 6 to 16 ms to provide, not 1 to 2.

use std::collections::TryReserveError;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
#[cfg(target_os = "linux")]
use memmap2::Advice;
use memmap2::MmapMut;

use crate::error::Error;

/// Bytes of a large page.
const HUGE_PAGE: usize = 2 << 20;
/// Smaller tables are not put on large pages: they would not fill one.
#[cfg(target_os = "linux")]
const MIN_HUGE_PAGE_BYTES: usize = 4 << 20;
/// Smaller tables are left to the system.
#[cfg(target_os = "linux")]
const MIN_ADVISED_BYTES: usize = 1 << 16;

/// A table that the system provides, whose items are all zeros at first.
pub struct Table<T> {
    /// `None` for a table without items.
    memory: Option<MmapMut>,
    /// Where in the memory it begins.
    from: usize,
    bytes: usize,
    items: PhantomData<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { memory: None, from: 0, bytes: 0, items: PhantomData }
    }
}

impl<T: Pod> Table<T> {
    /// A table of `count` items. An error if memory is refused.
    pub fn zeroed(count: usize) -> Result<Self, Error> {
        let bytes = count.checked_mul(size_of::<T>()).ok_or(Error::OutOfMemory)?;
        if bytes == 0 {
            return Ok(Self::default());
        }
        // Address space in which a large page begins somewhere. What lies before and after the table is never
        // touched.
        let spare = if bytes < HUGE_PAGE { 0 } else { HUGE_PAGE };
        let memory = MmapMut::map_anon(bytes + spare).map_err(|_| Error::OutOfMemory)?;
        let from = if spare == 0 { 0 } else { memory.as_ptr().align_offset(HUGE_PAGE) };
        #[cfg(target_os = "linux")]
        {
            // The system may ignore an advice.
            if bytes >= HUGE_PAGE {
                let _ = memory.advise_range(Advice::HugePage, from, bytes);
            }
            if bytes >= MIN_ADVISED_BYTES {
                let _ = memory.advise_range(Advice::PopulateWrite, from, bytes);
            }
        }
        Ok(Self { memory: Some(memory), from, bytes, items: PhantomData })
    }

    /// How many items it has.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.bytes / size_of::<T>()
    }

    /// Whether it has none.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}

const NO_MEMORY: &str = "a table is not in its memory";

impl<T: Pod> Deref for Table<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        let Some(memory) = &self.memory else { return &[] };
        // Always so: a page begins at a multiple of the alignment of any item.
        let bytes = memory.get(self.from..self.from + self.bytes);
        let items = bytes.and_then(|bytes| bytemuck::try_cast_slice(bytes).ok());
        debug_assert!(items.is_some(), "{NO_MEMORY}");
        items.unwrap_or(&[])
    }
}

impl<T: Pod> DerefMut for Table<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        let Some(memory) = &mut self.memory else { return &mut [] };
        let bytes = memory.get_mut(self.from..self.from + self.bytes);
        let items = bytes.and_then(|bytes| bytemuck::try_cast_slice_mut(bytes).ok());
        debug_assert!(items.is_some(), "{NO_MEMORY}");
        items.unwrap_or(&mut [])
    }
}

/// A list of `count` copies of `value`. An error if memory is refused.
pub fn table<T: Copy>(count: usize, value: T) -> Result<Vec<T>, TryReserveError> {
    let mut table = with_capacity(count)?;
    table.resize(count, value);
    Ok(table)
}

/// An empty list with memory for `count` items, all of which are going to be written. An error if memory is
/// refused.
pub fn with_capacity<T>(count: usize) -> Result<Vec<T>, TryReserveError> {
    let mut table = Vec::new();
    table.try_reserve_exact(count)?;
    advise(&mut table);
    Ok(table)
}

#[cfg(target_os = "linux")]
fn advise<T>(table: &mut Vec<T>) {
    const PAGE: usize = 1 << 12;
    let memory = table.spare_capacity_mut();
    let bytes = size_of_val(memory);
    if bytes < MIN_ADVISED_BYTES {
        return;
    }
    let start = memory.as_mut_ptr();
    let before = start.addr().next_multiple_of(PAGE) - start.addr();
    let length = (bytes - before) / PAGE * PAGE;
    #[expect(
        unsafe_code,
        reason = "the system is asked through a pointer; gain: see docs/measurements.md"
    )]
    // SAFETY: the range is inside memory that is ours alone, and has no value yet. The advice changes
    // how large the pages are and when the system provides them, never what they hold. The system may
    // ignore it.
    unsafe {
        let pages = start.byte_add(before).cast();
        if bytes >= MIN_HUGE_PAGE_BYTES {
            libc::madvise(pages, length, libc::MADV_HUGEPAGE);
        }
        libc::madvise(pages, length, libc::MADV_POPULATE_WRITE);
    }
}

#[cfg(not(target_os = "linux"))]
fn advise<T>(_: &mut Vec<T>) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_any_size_is_zeros_that_can_be_written() {
        assert!(Table::<u64>::default().is_empty());
        for count in [0, 1, 513, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 3 << 18] {
            let mut table = Table::<u64>::zeroed(count).unwrap();
            assert_eq!(table.len(), count);
            assert!(table.iter().all(|&item| item == 0));
            (0..).zip(table.iter_mut()).for_each(|(number, item)| *item = number);
            assert!((0..).zip(table.iter()).all(|(number, &item)| item == number));
        }
        assert!(Table::<u64>::zeroed(usize::MAX / 4).is_err());
    }
}
