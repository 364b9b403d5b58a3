//! AVX-512: one register of 64 bytes, whose comparisons give 64 bits at once, and whose bytes can be
//! compressed.

use std::arch::x86_64::*;

use super::{
    Feature, HASH_ADDENDS, HASH_SHIFT, KEYS_AT_ONCE, KeyMask, KeyMasks, Lanes, Masks, Vectorized,
    WINDOW, detected, keys_one_by_one,
};

/// Eight bytes of one bit each.
const BITS: i64 = i64::from_le_bytes([1, 2, 4, 8, 16, 32, 64, 128]);

/// The numbers of a window's bytes.
static NUMBERS: [u8; WINDOW] = {
    let mut numbers = [0; WINDOW];
    let mut at = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
    while at < WINDOW {
        numbers[at] = at as u8;
        at += 1;
    }
    numbers
};

/// The instruction set extensions that it needs besides those of AVX2.
pub const FEATURES: &[Feature] =
    &detected!["avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vbmi", "avx512vbmi2"];

/// A processor with AVX-512 and its additions for bytes, as Intel's since Ice Lake and AMD's since Zen 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512(());

impl Avx512 {
    /// `None` where the instructions are missing.
    pub fn new() -> Option<Self> {
        let has_all = FEATURES.iter().all(|(_, is_found)| is_found());
        (has_all && super::avx2::Avx2::new().is_some()).then_some(Self(()))
    }
}

impl Lanes for Avx512 {
    const HAS_FAST_SEARCH: bool = true;

    #[inline]
    fn run<W: Vectorized>(self, work: W) -> W::Output {
        #[target_feature(
            enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt"
        )]
        fn run<W: Vectorized>(lanes: Avx512, work: W) -> W::Output {
            work.run(lanes)
        }
        #[expect(unsafe_code, reason = "a value of this type says that the instructions exist")]
        // SAFETY: `Avx512::new` alone makes one, after it has checked the processor.
        unsafe {
            run(self, work)
        }
    }

    #[inline(always)]
    fn last_window(self, text: &[u8]) -> [u8; WINDOW] {
        #[expect(unsafe_code, reason = "a value of this type says that the instructions exist")]
        // SAFETY: `Avx512::new` alone makes one, after it has checked the processor.
        unsafe {
            last_window(text)
        }
    }

    #[inline(always)]
    fn masks(self, window: &[u8; WINDOW]) -> Masks {
        #[expect(unsafe_code, reason = "a value of this type says that the instructions exist")]
        // SAFETY: `Avx512::new` alone makes one, after it has checked the processor.
        unsafe {
            masks(window)
        }
    }

    #[inline(always)]
    fn bytes_in_set(self, window: &[u8; WINDOW], set: u64) -> u64 {
        #[expect(unsafe_code, reason = "a value of this type says that the instructions exist")]
        // SAFETY: as in `masks`.
        unsafe {
            among(window, set)
        }
    }

    #[inline(always)]
    fn bytes_equal(self, window: &[u8; WINDOW], byte: u8) -> u64 {
        #[expect(unsafe_code, reason = "a value of this type says that the instructions exist")]
        // SAFETY: as in `masks`.
        unsafe {
            equal(load(window), byte)
        }
    }

    #[inline(always)]
    fn bit_positions(self, bits: u64, base: u32, positions: &mut [u32; WINDOW]) {
        #[expect(unsafe_code, reason = "a value of this type says that the instructions exist")]
        // SAFETY: as in `masks`.
        unsafe {
            write_bit_positions(bits, base, positions);
        }
    }

    #[inline(always)]
    fn keys(
        self,
        text: &[u8],
        bounds: &[u32; KEYS_AT_ONCE + 1],
        masks: &KeyMasks,
        keys: &mut [u128; KEYS_AT_ONCE],
        hashes: &mut [u32; KEYS_AT_ONCE],
    ) {
        #[expect(unsafe_code, reason = "a value of this type says that the instructions exist")]
        // SAFETY: as in `masks`.
        unsafe {
            make_keys(text, bounds, masks, keys, hashes);
        }
    }

    #[inline(always)]
    fn find_key(self, line: &[u64; 8], key: u128, mask: u128) -> usize {
        #[expect(unsafe_code, reason = "a value of this type says that the instructions exist")]
        // SAFETY: as in `masks`.
        let same = unsafe { same_halves(line, key, mask) };
        super::last_match(same)
    }

    #[inline(always)]
    fn cache_key_matches(self, line: &[u64; 8], key: &[u64; 4]) -> u8 {
        #[expect(unsafe_code, reason = "a value of this type says that the instructions exist")]
        // SAFETY: as in `masks`.
        unsafe {
            cache_key_matches(line, key)
        }
    }
}

/// One comparison.
#[inline]
#[target_feature(enable = "avx512f")]
fn cache_key_matches(line: &[u64; 8], key: &[u64; 4]) -> u8 {
    #[expect(unsafe_code, reason = "loads go through a pointer")]
    // SAFETY: the arrays have the 64 and 32 bytes that are read; no alignment is required.
    let (line, key) = unsafe {
        (_mm512_loadu_si512(line.as_ptr().cast()), _mm256_loadu_si256(key.as_ptr().cast()))
    };
    let order = _mm512_setr_epi64(0, 1, 2, 3, 0, 1, 0, 1);
    let key = _mm512_permutexvar_epi64(order, _mm512_castsi256_si512(key));
    _mm512_cmpeq_epi64_mask(line, key)
}

/// Sixteen positions a store. Two stores are done without a branch: a window seldom has more than
/// thirty-two set bits, but whether it has more than sixteen can't be predicted.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2")]
fn write_bit_positions(bits: u64, base: u32, positions: &mut [u32; WINDOW]) {
    let numbers = _mm512_maskz_compress_epi8(bits, load(&NUMBERS));
    let base = _mm512_set1_epi32(base as i32);
    let (sixteens, _) = positions.as_chunks_mut::<16>();
    // Four sixteens are sixty-four.
    const { assert!(WINDOW == 4 * 16) };
    let [a, b, c, d] = sixteens else { return };
    let write = |sixteen: &mut [u32; 16], numbers: __m128i| {
        let positions = _mm512_add_epi32(_mm512_cvtepu8_epi32(numbers), base);
        #[expect(unsafe_code, reason = "stores go through a pointer")]
        // SAFETY: the array has the 64 bytes that are written; no alignment is required.
        unsafe {
            _mm512_storeu_si512(sixteen.as_mut_ptr().cast(), positions);
        }
    };
    write(a, _mm512_castsi512_si128(numbers));
    write(b, _mm512_extracti32x4_epi32::<1>(numbers));
    if bits.count_ones() > 32 {
        write(c, _mm512_extracti32x4_epi32::<2>(numbers));
        write(d, _mm512_extracti32x4_epi32::<3>(numbers));
    }
}

/// Four keys a register: loaded and masked one by one, hashed together.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn make_keys(
    text: &[u8],
    bounds: &[u32; KEYS_AT_ONCE + 1],
    masks: &KeyMasks,
    keys: &mut [u128; KEYS_AT_ONCE],
    hashes: &mut [u32; KEYS_AT_ONCE],
) {
    let sixteen = |from: usize| {
        #[expect(unsafe_code, reason = "loads go through a pointer")]
        // SAFETY: `from` is 0 or 1, and the array has 17 numbers.
        unsafe {
            _mm512_loadu_si512(bounds.as_ptr().add(from).cast())
        }
    };
    let (starts, ends) = (sixteen(0), sixteen(1));
    // The last offset with sixteen bytes after it, as far as 32 bits reach.
    let Some(last) = text.len().checked_sub(16) else {
        return keys_one_by_one(text, bounds, masks, keys, hashes);
    };
    let last = _mm512_set1_epi32(last.min(u32::MAX as usize) as i32);
    if _mm512_cmpgt_epu32_mask(starts, last) != 0 {
        return keys_one_by_one(text, bounds, masks, keys, hashes);
    }
    // For each string, how many bytes after the first mask its mask is.
    const ROW: u32 = size_of::<KeyMask>().ilog2();
    let lengths = _mm512_sub_epi32(ends, starts);
    let row = _mm512_min_epu32(lengths, _mm512_set1_epi32(masks.len() as i32 - 1));
    let mut rows = [0u32; KEYS_AT_ONCE];
    #[expect(unsafe_code, reason = "stores go through a pointer")]
    // SAFETY: the array has the 64 bytes that are written; no alignment is required.
    unsafe {
        _mm512_storeu_si512(rows.as_mut_ptr().cast(), _mm512_slli_epi32::<ROW>(row));
    }
    let one = |number: usize| -> __m128i {
        debug_assert!(number < KEYS_AT_ONCE);
        #[expect(
            unsafe_code,
            reason = "a check for each of sixteen would cost as much as the rest"
        )]
        // SAFETY: `number` is below 16. The row is that of one of `masks`, the last one at most, see
        // `row`. The text has 16 bytes from each start on, since no start is after `last`.
        unsafe {
            let row = *rows.get_unchecked(number) as usize;
            debug_assert!(row < size_of::<KeyMasks>() && row.is_multiple_of(size_of::<KeyMask>()));
            let mask = &*masks.as_ptr().byte_add(row);
            let start = *bounds.get_unchecked(number) as usize;
            debug_assert!(start + 16 <= text.len());
            let bytes = _mm_loadu_si128(text.as_ptr().add(start).cast());
            let text = _mm_loadu_si128((&raw const mask.keep).cast());
            let set = _mm_loadu_si128((&raw const mask.set).cast());
            // set | bytes & text
            _mm_ternarylogic_epi64::<0xF8>(set, bytes, text)
        }
    };
    let four = |first: usize| {
        let four = _mm512_castsi128_si512(one(first));
        let four = _mm512_inserti32x4::<1>(four, one(first + 1));
        let four = _mm512_inserti32x4::<2>(four, one(first + 2));
        _mm512_inserti32x4::<3>(four, one(first + 3))
    };
    let [a, b, c, d] = HASH_ADDENDS.map(|number| number as i32);
    let added = _mm512_broadcast_i32x4(_mm_setr_epi32(a, b, c, d));
    // As `hash`: the first number of each four is the hash of a key.
    let hash = |four: __m512i| {
        let sums = _mm512_add_epi32(four, added);
        let products = _mm512_mul_epu32(sums, _mm512_srli_epi64::<32>(sums));
        let other = _mm512_shuffle_epi32::<0b01_00_11_10>(products);
        _mm512_srli_epi64::<HASH_SHIFT>(_mm512_add_epi64(products, other))
    };
    let all = [four(0), four(4), four(8), four(12)];
    for (keys, four) in keys.as_chunks_mut::<4>().0.iter_mut().zip(all) {
        #[expect(unsafe_code, reason = "stores go through a pointer")]
        // SAFETY: the array has the 64 bytes that are written; no alignment is required.
        unsafe {
            _mm512_storeu_si512(keys.as_mut_ptr().cast(), four);
        }
    }
    let [a, b, c, d] = all.map(hash);
    let firsts = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
    let lower = _mm512_permutex2var_epi32(a, firsts, b);
    let upper = _mm512_permutex2var_epi32(c, firsts, d);
    let sixteen = _mm512_mask_blend_epi32(0xFF00, lower, upper);
    #[expect(unsafe_code, reason = "stores go through a pointer")]
    // SAFETY: the array has the 64 bytes that are written; no alignment is required.
    unsafe {
        _mm512_storeu_si512(hashes.as_mut_ptr().cast(), sixteen);
    }
}

/// A bit for each half of the four entries that has the same bits as `key` under `mask`.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
fn same_halves(line: &[u64; 8], key: u128, mask: u128) -> u8 {
    let repeated = |word: u128| {
        let (low, high) = (word as i64, (word >> 64) as i64);
        _mm512_broadcast_i64x2(_mm_set_epi64x(high, low))
    };
    #[expect(unsafe_code, reason = "loads go through a pointer")]
    // SAFETY: the array has the 64 bytes that are read; no alignment is required.
    let line = unsafe { _mm512_loadu_si512(line.as_ptr().cast()) };
    // (word ^ four) & mask
    let differing = _mm512_ternarylogic_epi64::<0x28>(repeated(key), line, repeated(mask));
    _mm512_testn_epi64_mask(differing, differing)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn masks(window: &[u8; WINDOW]) -> Masks {
    let bytes = load(window);
    let newline = equal(bytes, b'\n') | equal(bytes, b'\r');
    let blank = equal(bytes, b' ');
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
    }
}

/// Bytes whose low six bits are in `set`: its byte by the upper three, and in that the bit by the
/// lower three.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn among(window: &[u8; WINDOW], set: u64) -> u64 {
    let bytes = load(window);
    let seven = _mm512_set1_epi8(7);
    let upper = _mm512_and_si512(_mm512_srli_epi16::<3>(bytes), seven);
    let lower = _mm512_and_si512(bytes, seven);
    let bit = _mm512_shuffle_epi8(_mm512_set1_epi64(BITS), lower);
    _mm512_test_epi8_mask(_mm512_shuffle_epi8(_mm512_set1_epi64(set as i64), upper), bit)
}

/// One load and one store, where a copy of a length that nobody knows would be several of each, and then the
/// first load of the whole window would wait for all of them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn last_window(text: &[u8]) -> [u8; WINDOW] {
    debug_assert!(text.len() < WINDOW);
    let mut window = [0; WINDOW];
    // Only as many as the text has, and as there is room for.
    let mask = u64::MAX.checked_shr((WINDOW - text.len().min(WINDOW)) as u32).unwrap_or(0);
    #[expect(
        unsafe_code,
        reason = "loads and stores go through a pointer; gain: see docs/measurements.md"
    )]
    // SAFETY: the mask has a bit for each byte of the text and no other, so only these are read; the window
    // has the 64 bytes that are written. No alignment is required.
    unsafe {
        let bytes = _mm512_maskz_loadu_epi8(mask, text.as_ptr().cast());
        _mm512_storeu_si512(window.as_mut_ptr().cast(), bytes);
    }
    window
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(bytes: &[u8; WINDOW]) -> __m512i {
    #[expect(unsafe_code, reason = "loads go through a pointer")]
    // SAFETY: the array has the 64 bytes that are read; no alignment is required.
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
