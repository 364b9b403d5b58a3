//! The masks of a window with AVX-512: one register, whose comparisons give 64 bits at once.

use std::arch::x86_64::*;

use super::masks::{self, Classify, Ends, Masks, SURE_LETTERS, WINDOW};

/// [`masks::fill`] with these instructions, which must exist: only [`super::Path`] calls it.
pub fn fill(text: &[u8], from: usize, ends: &mut Ends) {
    #[target_feature(enable = "avx512f,avx512bw,bmi1,bmi2,lzcnt,popcnt")]
    fn fill(text: &[u8], from: usize, ends: &mut Ends) {
        masks::fill::<Avx512>(text, from, ends);
    }
    #[expect(unsafe_code, reason = "the caller has asked the processor")]
    // SAFETY: `Path::available` offers this path only where the instructions exist, and nobody else
    // makes a `Path`.
    unsafe {
        fill(text, from, ends)
    }
}

/// Processors with AVX-512 for bytes.
pub struct Avx512;

impl Classify for Avx512 {
    #[inline(always)]
    fn masks(window: &[u8; WINDOW]) -> Masks {
        #[expect(unsafe_code, reason = "a trait's function can't ask for instructions")]
        // SAFETY: called by `fill` above alone, where the instructions exist.
        unsafe {
            masks(window)
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn masks(window: &[u8; WINDOW]) -> Masks {
    let bytes = load(window);
    let newline = equal(bytes, b'\n') | equal(bytes, b'\r');
    let blank = equal(bytes, b' ');
    let mut sure_letter = 0;
    for (first, last) in SURE_LETTERS {
        sure_letter |= within(bytes, first, last);
    }
    let lower = _mm512_or_si512(bytes, _mm512_set1_epi8(0x20));
    Masks {
        letter: within(lower, b'a', b'z'),
        number: within(bytes, b'0', b'9'),
        newline,
        space: (blank | within(bytes, b'\t', b'\r')) & !newline,
        blank,
        apostrophe: equal(bytes, b'\''),
        wide: _mm512_movepi8_mask(bytes),
        tail: within(bytes, 0x80, 0xBF),
        sure_letter,
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(bytes: &[u8; WINDOW]) -> __m512i {
    #[expect(unsafe_code, reason = "loads go through a pointer")]
    // SAFETY: the array has the 64 bytes that are read; no alignment is asked for.
    unsafe {
        _mm512_loadu_si512(bytes.as_ptr().cast())
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn equal(bytes: __m512i, byte: u8) -> u64 {
    _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(byte as i8))
}

/// Bytes from `first` to `last`: their distance from `first` is at most that of `last`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn within(bytes: __m512i, first: u8, last: u8) -> u64 {
    let distance = _mm512_sub_epi8(bytes, _mm512_set1_epi8(first as i8));
    _mm512_cmple_epu8_mask(distance, _mm512_set1_epi8((last - first) as i8))
}
