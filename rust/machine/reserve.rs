//! Memory that is refused: an error, and not the end of the process.
//!
//! What has the size of an input or a result is requested with `try_reserve`, and refused memory is
//! [`Error::OutOfMemory`]. The many small pieces besides, as a box, a message or a node of a map, can't be
//! requested so: there Rust ends the process. For these there is a reserve, a block of address space that nothing
//! touches, so that it takes no memory. When a small piece is refused, the block is given back to the system, and
//! the piece is requested once more. From then on the next [`check`] of long work ends it, and no other begins
//! until the block was granted again.
//!
//! Work whose infallible parts are larger, as reading a vocabulary, asks for them beforehand: [`ask`].

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::spin_loop;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use crate::error::Error;

/// Bytes of the block.
const RESERVE_BYTES: usize = 8 << 20;
/// The most bytes of a piece that the block is given back for.
const SMALL_BYTES: usize = 1 << 20;

static RESERVE: AtomicPtr<u8> = AtomicPtr::new(null_mut());
/// Whether a thread gives the block back just now. Another one that was refused memory waits for that.
static IS_GIVING: AtomicBool = AtomicBool::new(false);

/// The system's allocator, with the reserve. It is the allocator of the Python module alone.
pub struct Allocator;

#[cfg(feature = "python")]
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// An error if the reserve was needed, and is not there.
#[inline]
pub fn check() -> Result<(), Error> {
    let is_spent = cfg!(feature = "python") && RESERVE.load(Ordering::Relaxed).is_null();
    if is_spent { Err(Error::OutOfMemory) } else { Ok(()) }
}

/// Requests the reserve if it is not there. An error if it is refused: then no work may begin.
#[inline]
pub fn ready() -> Result<(), Error> {
    if check().is_ok() { Ok(()) } else { fill() }
}

/// An error if the system would not grant so many bytes now, besides the reserve. Another thread may still take
/// them first.
pub fn ask(bytes: usize) -> Result<(), Error> {
    ready()?;
    Ok(Vec::<u8>::new().try_reserve_exact(bytes)?)
}

#[cold]
fn fill() -> Result<(), Error> {
    let block = block::request();
    if block.is_null() {
        return Err(Error::OutOfMemory);
    }
    let empty = RESERVE.compare_exchange(null_mut(), block, Ordering::AcqRel, Ordering::Relaxed);
    if empty.is_err() {
        // Another thread's is in its place.
        block::give_back(block);
    }
    Ok(())
}

/// Whether a piece of so many bytes is small. Then the block is given back.
#[cold]
fn is_small(bytes: usize) -> bool {
    let small = bytes <= SMALL_BYTES;
    if small {
        // A lock of the standard library may allocate.
        while IS_GIVING.swap(true, Ordering::Acquire) {
            spin_loop();
        }
        let block = RESERVE.swap(null_mut(), Ordering::AcqRel);
        if !block.is_null() {
            block::give_back(block);
        }
        IS_GIVING.store(false, Ordering::Release);
    }
    small
}

/// The block on Linux: a mapping, since glibc keeps what is freed of its own heap, where other threads can't
/// use it.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "memory by itself, and not for a value")]
mod block {
    use std::ptr::null_mut;

    use super::RESERVE_BYTES;

    pub(super) fn request() -> *mut u8 {
        let (access, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, where the system likes, of no file.
        let block = unsafe { libc::mmap(null_mut(), RESERVE_BYTES, access, kind, -1, 0) };
        if block == libc::MAP_FAILED { null_mut() } else { block.cast() }
    }

    /// `block` is what `request` gave, and nobody else has it.
    pub(super) fn give_back(block: *mut u8) {
        // SAFETY: it is a whole mapping, and nothing is in it.
        unsafe { libc::munmap(block.cast(), RESERVE_BYTES) };
    }
}

/// The block elsewhere.
#[cfg(not(target_os = "linux"))]
#[expect(unsafe_code, reason = "memory by itself, and not for a value")]
mod block {
    use std::alloc::{GlobalAlloc, Layout, System};

    use super::RESERVE_BYTES;

    const LAYOUT: Layout = match Layout::from_size_align(RESERVE_BYTES, 16) {
        Ok(layout) => layout,
        Err(_) => Layout::new::<u128>(),
    };

    pub(super) fn request() -> *mut u8 {
        // SAFETY: the layout has a size.
        unsafe { System.alloc(LAYOUT) }
    }

    /// `block` is what `request` gave, and nobody else has it.
    pub(super) fn give_back(block: *mut u8) {
        // SAFETY: it was requested with this layout.
        unsafe { System.dealloc(block, LAYOUT) }
    }
}

#[expect(
    unsafe_code,
    reason = "an allocator can't be written otherwise; the gain is that nothing aborts"
)]
// SAFETY: each function is that of the system's allocator, called with what it was called with, once or, if that
// gave nothing, twice. Of a `realloc` that gave nothing the old memory is still there.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's duties are the same.
        let memory = unsafe { System.alloc(layout) };
        if memory.is_null() && is_small(layout.size()) {
            // SAFETY: the same.
            return unsafe { System.alloc(layout) };
        }
        memory
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's duties are the same.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if memory.is_null() && is_small(layout.size()) {
            // SAFETY: the same.
            return unsafe { System.alloc_zeroed(layout) };
        }
        memory
    }

    #[inline]
    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's duties are the same.
        let memory = unsafe { System.realloc(old, layout, size) };
        if memory.is_null() && is_small(size) {
            // SAFETY: the same; the old memory was not touched.
            return unsafe { System.realloc(old, layout, size) };
        }
        memory
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's duties are the same.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_given_back_for_small_pieces_alone_and_requested_again() {
        fill().unwrap();
        assert!(!RESERVE.load(Ordering::Relaxed).is_null());
        assert!(!is_small(SMALL_BYTES + 1));
        assert!(!RESERVE.load(Ordering::Relaxed).is_null());
        assert!(is_small(SMALL_BYTES));
        assert!(RESERVE.load(Ordering::Relaxed).is_null());
        // Nothing is left to be given back, and a small piece is tried again all the same.
        assert!(is_small(1));
        fill().unwrap();
        fill().unwrap();
        assert!(is_small(1));
        assert!(ask(usize::MAX / 2).is_err() && ask(1).is_ok());
    }
}
