//! Large tables on large pages, where the system has them.
//!
//! What is looked up at random in megabytes of memory waits for the address, too: a table of 16 MB is
//! 4,096 pages of 4 KB, more than a processor remembers, or 8 of 2 MB.

/// Tables below this are left alone: they would have no large page to themselves.
#[cfg(target_os = "linux")]
const LEAST: usize = 4 << 20;

/// A table of `count` copies of `value`, on large pages if it is large. An error if memory is refused.
pub fn table<T: Copy>(count: usize, value: T) -> Result<Vec<T>, std::collections::TryReserveError> {
    let mut table = Vec::new();
    table.try_reserve_exact(count)?;
    // Before the first touch, which chooses the page.
    advise(&mut table);
    table.resize(count, value);
    Ok(table)
}

#[cfg(target_os = "linux")]
fn advise<T>(table: &mut Vec<T>) {
    const PAGE: usize = 1 << 12;
    let memory = table.spare_capacity_mut();
    let bytes = size_of_val(memory);
    if bytes < LEAST {
        return;
    }
    let start = memory.as_mut_ptr();
    let before = start.addr().next_multiple_of(PAGE) - start.addr();
    #[expect(
        unsafe_code,
        reason = "the system is asked through a pointer; gain: see docs/measurements.md"
    )]
    // SAFETY: the range is inside memory that is ours alone, and has no value yet. The advice changes
    // which pages stand behind it, never what they hold. Whether it is taken does not matter.
    unsafe {
        libc::madvise(start.byte_add(before).cast(), bytes - before, libc::MADV_HUGEPAGE);
    }
}

#[cfg(not(target_os = "linux"))]
fn advise<T>(_: &mut Vec<T>) {}
