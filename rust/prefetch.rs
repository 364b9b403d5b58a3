//! Asking for memory before it is needed.

/// Begins to load the cache line that `item` begins in. Nothing else happens.
///
/// Without it, the loads behind one that waits for memory begin only as far ahead as the processor
/// looks, a dozen lookups; see DESIGN.md for what that costs.
#[inline(always)]
pub fn prefetch<T>(item: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let address: *const T = item;
        #[expect(unsafe_code, reason = "the intrinsic takes a pointer; without it nothing is done")]
        // SAFETY: the address is that of a reference, and prefetching is a hint that reads nothing.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(address.cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = item;
}
