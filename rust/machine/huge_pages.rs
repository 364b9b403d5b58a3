//! Memory for large tables: all of it is requested at once, and on large pages, where the system has them.
//!
//! The system provides memory page by page, when a page is first touched, and each first touch interrupts the
//! program: in a table of 4 MB a thousand times. So all pages are requested beforehand. Random lookups in
//! megabytes also wait for the translation of addresses: a table of 16 MB is 4,096 pages of 4 KB, more than a
//! processor remembers, or 8 of 2 MB.

use std::collections::TryReserveError;

/// Smaller tables are not put on large pages: they would not fill one.
#[cfg(target_os = "linux")]
const MIN_HUGE_PAGE_BYTES: usize = 4 << 20;
/// Smaller tables are left to the system.
#[cfg(target_os = "linux")]
const MIN_ADVISED_BYTES: usize = 1 << 16;

/// A table of `count` copies of `value`. An error if memory is refused.
pub fn table<T: Copy>(count: usize, value: T) -> Result<Vec<T>, TryReserveError> {
    let mut table = with_capacity(count)?;
    table.resize(count, value);
    Ok(table)
}

/// An empty table with memory for `count` items, all of which are going to be written. An error if memory is
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
