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
use std::ptr::null_mut;

use crate::error::Error;
use crate::machine::sync::{AtomicPtr, AtomicU32, Ordering, spin_loop};

/// Bytes of the block.
const RESERVE_BYTES: usize = 8 << 20;
/// The most bytes of a piece that the block is given back for.
const SMALL_BYTES: usize = 1 << 20;

static RESERVE: Reserve = Reserve::new();

/// The system's allocator, with the reserve. It is the allocator of the Python module alone.
pub struct Allocator;

#[cfg(feature = "python")]
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// An error if the reserve was needed, and is not there.
#[inline]
pub fn check() -> Result<(), Error> {
    let is_spent = cfg!(feature = "python") && !RESERVE.is_there();
    if is_spent { Err(Error::OutOfMemory) } else { Ok(()) }
}

/// Requests the reserve if it is not there. An error if it is refused: then no work may begin.
#[inline]
pub fn ready() -> Result<(), Error> {
    if check().is_ok() { Ok(()) } else { RESERVE.fill() }
}

/// An error if the system would not grant so many bytes now, besides the reserve. Another thread may still take
/// them first.
pub fn ask(bytes: usize) -> Result<(), Error> {
    ready()?;
    Ok(Vec::<u8>::new().try_reserve_exact(bytes)?)
}

/// Whether a piece of so many bytes is small. Then the reserve is given back.
#[cold]
fn is_small(bytes: usize) -> bool {
    let small = bytes <= SMALL_BYTES;
    if small {
        RESERVE.give_back();
    }
    small
}

/// The block, or none.
struct Reserve {
    block: AtomicPtr<u8>,
    /// The process of the thread that gives the block back just now, or 0. Another one that was refused memory
    /// waits for that; but not in a process that was forked meanwhile, where that thread does not exist.
    giving: AtomicU32,
}

impl Reserve {
    const fn new() -> Self {
        Self { block: AtomicPtr::new(null_mut()), giving: AtomicU32::new(0) }
    }

    #[inline]
    fn is_there(&self) -> bool {
        !self.block.load(Ordering::Relaxed).is_null()
    }

    #[cold]
    fn fill(&self) -> Result<(), Error> {
        let block = block::request();
        if block.is_null() {
            return Err(Error::OutOfMemory);
        }
        let (acquire, relaxed) = (Ordering::AcqRel, Ordering::Relaxed);
        if self.block.compare_exchange(null_mut(), block, acquire, relaxed).is_err() {
            // Another thread's is in its place.
            block::give_back(block);
        }
        Ok(())
    }

    /// Gives the block back, if it is there. When this ends no other thread is about to.
    fn give_back(&self) {
        // A lock of the standard library may allocate.
        let this = std::process::id();
        while self.giving.swap(this, Ordering::Acquire) == this {
            spin_loop();
        }
        let block = self.block.swap(null_mut(), Ordering::AcqRel);
        if !block.is_null() {
            block::give_back(block);
        }
        self.giving.store(0, Ordering::Release);
    }
}

/// The block on Linux: a mapping, since glibc keeps what is freed of its own heap, where other threads can't
/// use it.
#[cfg(all(target_os = "linux", not(all(test, shuttle))))]
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
#[cfg(all(not(target_os = "linux"), not(all(test, shuttle))))]
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

#[cfg(all(test, shuttle))]
use tests::block;

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

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_given_back_for_small_pieces_alone_and_requested_again() {
        RESERVE.fill().unwrap();
        assert!(RESERVE.is_there());
        assert!(!is_small(SMALL_BYTES + 1));
        assert!(RESERVE.is_there());
        assert!(is_small(SMALL_BYTES));
        assert!(!RESERVE.is_there());
        // Nothing is left to be given back, and a small piece is tried again all the same.
        assert!(is_small(1));
        RESERVE.fill().unwrap();
        RESERVE.fill().unwrap();
        assert!(is_small(1));
        assert!(ask(usize::MAX / 2).is_err() && ask(1).is_ok());
    }
}

#[cfg(all(test, shuttle))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::machine::sync::thread;

    /// Blocks that were requested and not given back.
    static BLOCKS: AtomicUsize = AtomicUsize::new(0);

    /// In place of the system: a number for each block, of which none is given back twice.
    pub(super) mod block {
        use super::BLOCKS;
        use crate::machine::sync::{Ordering, thread};

        pub fn request() -> *mut u8 {
            thread::yield_now();
            BLOCKS.fetch_add(1, Ordering::SeqCst);
            Box::into_raw(Box::new(7))
        }

        #[expect(unsafe_code, reason = "what is given back twice has to be found")]
        pub fn give_back(block: *mut u8) {
            thread::yield_now();
            // SAFETY: it is a box of `request`, or this test has found a fault.
            assert_eq!(*unsafe { Box::from_raw(block) }, 7);
            BLOCKS.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn in_every_order_each_block_is_given_back_once() {
        shuttle::check_random(
            || {
                BLOCKS.store(0, Ordering::SeqCst);
                let reserve = Arc::new(Reserve::new());
                let threads = [0, 1, 2].map(|number| {
                    let reserve = Arc::clone(&reserve);
                    thread::spawn(move || {
                        for step in 0..3 {
                            match (number + step) % 3 {
                                0 => reserve.give_back(),
                                _ => reserve.fill().unwrap(),
                            }
                        }
                    })
                });
                for thread in threads {
                    thread.join().unwrap();
                }
                assert_eq!(BLOCKS.load(Ordering::SeqCst), usize::from(reserve.is_there()));
                reserve.give_back();
                assert_eq!(BLOCKS.load(Ordering::SeqCst), 0);
            },
            5_000,
        );
    }

    #[test]
    fn in_every_order_the_block_is_back_before_memory_is_tried_again() {
        shuttle::check_random(
            || {
                BLOCKS.store(0, Ordering::SeqCst);
                let reserve = Arc::new(Reserve::new());
                reserve.fill().unwrap();
                let threads = [0, 1, 2].map(|_| {
                    let reserve = Arc::clone(&reserve);
                    thread::spawn(move || {
                        reserve.give_back();
                        assert_eq!(BLOCKS.load(Ordering::SeqCst), 0);
                    })
                });
                for thread in threads {
                    thread.join().unwrap();
                }
            },
            5_000,
        );
    }
}
