//! The masks of a window with AVX2: two registers of 32 bytes, one comparison a class.

use std::arch::x86_64::*;

use super::masks::{self, Classify, Ends, Masks, SURE_LETTERS, WINDOW};

/// [`masks::fill`] with these instructions, which must exist: only [`super::Path`] calls it.
pub fn fill(text: &[u8], from: usize, ends: &mut Ends) {
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn fill(text: &[u8], from: usize, ends: &mut Ends) {
        masks::fill::<Avx2>(text, from, ends);
    }
    #[expect(unsafe_code, reason = "the caller has asked the processor")]
    // SAFETY: `Path::available` offers this path only where the instructions exist, and nobody else
    // makes a `Path`.
    unsafe {
        fill(text, from, ends)
    }
}

/// Processors with AVX2.
pub struct Avx2;

impl Classify for Avx2 {
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
#[target_feature(enable = "avx2")]
fn masks(window: &[u8; WINDOW]) -> Masks {
    let (halves, _) = window.as_chunks::<32>();
    let mut all = Masks::default();
    for (half, shift) in halves.iter().zip([0, 32]) {
        let bytes = load(half);
        let add = |mask: &mut u64, found: __m256i| {
            *mask |= u64::from(_mm256_movemask_epi8(found) as u32) << shift;
        };
        let newline = or(equal(bytes, b'\n'), equal(bytes, b'\r'));
        let blank = equal(bytes, b' ');
        let space = _mm256_andnot_si256(newline, or(blank, within(bytes, b'\t', b'\r')));
        let mut sure_letter = _mm256_setzero_si256();
        for (first, last) in SURE_LETTERS {
            sure_letter = or(sure_letter, within(bytes, first, last));
        }
        let lower = or(bytes, _mm256_set1_epi8(0x20));
        add(&mut all.letter, within(lower, b'a', b'z'));
        add(&mut all.number, within(bytes, b'0', b'9'));
        add(&mut all.newline, newline);
        add(&mut all.space, space);
        add(&mut all.blank, blank);
        add(&mut all.apostrophe, equal(bytes, b'\''));
        add(&mut all.wide, bytes);
        add(&mut all.tail, within(bytes, 0x80, 0xBF));
        add(&mut all.sure_letter, sure_letter);
    }
    all
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; 32]) -> __m256i {
    #[expect(unsafe_code, reason = "loads go through a pointer")]
    // SAFETY: the array has the 32 bytes that are read; no alignment is asked for.
    unsafe {
        _mm256_loadu_si256(bytes.as_ptr().cast())
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn or(a: __m256i, b: __m256i) -> __m256i {
    _mm256_or_si256(a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn equal(bytes: __m256i, byte: u8) -> __m256i {
    _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(byte as i8))
}

/// Bytes from `first` to `last`: their distance from `first` is at most that of `last`.
#[inline]
#[target_feature(enable = "avx2")]
fn within(bytes: __m256i, first: u8, last: u8) -> __m256i {
    let distance = _mm256_sub_epi8(bytes, _mm256_set1_epi8(first as i8));
    let limit = _mm256_set1_epi8((last - first) as i8);
    _mm256_cmpeq_epi8(_mm256_min_epu8(distance, limit), distance)
}
