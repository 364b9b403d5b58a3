//! UTF-8 to UTF-16, 64 bytes at a time, for text that is mostly not ASCII.
//!
//! The last bytes of characters are compressed to the front of a register, and so are the bytes one and
//! two before them that belong to the same characters. Shifted and joined, these are the UTF-16 units.
//! Whether the bytes are valid is decided by bit operations, as in `pretokenize/masks.rs`. Characters of
//! four bytes, which are seldom, are converted one by one.
//!
//! Only with AVX-512: without it, and for other text, Python's decoder reads UTF-8 itself. The twin that
//! tests compare with is the standard library's `encode_utf16`. Decoding ids to multilingual text becomes
//! a third faster; docs/measurements.md has the numbers.

use std::arch::x86_64::*;

/// Bytes that are read in a step, and the most units that it writes.
const STEP_BYTES: usize = 64;

/// Whether this processor has the instructions.
pub fn is_available() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("avx512f") && has!("avx512bw") && has!("avx512vbmi2") && has!("bmi1") && has!("popcnt")
}

/// Writes the UTF-16 units of `bytes` to `units`, which only grows; gives how many there are. `None` if
/// the bytes are not UTF-8, or if the processor lacks the instructions. The caller then lets Python
/// decode them, so `None` is always safe.
pub fn transcode(bytes: &[u8], units: &mut Vec<u16>) -> Option<usize> {
    if !is_available() {
        return None;
    }
    if units.len() < bytes.len() + STEP_BYTES {
        units.try_reserve(bytes.len() + STEP_BYTES - units.len()).ok()?;
        units.resize(bytes.len() + STEP_BYTES, 0);
    }
    #[expect(unsafe_code, reason = "the processor was asked, which the compiler can't know")]
    // SAFETY: `is_available` has found the instructions that `run` names.
    unsafe {
        run(bytes, units)
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,bmi1,popcnt")]
fn run(bytes: &[u8], units: &mut [u16]) -> Option<usize> {
    let (mut at, mut count) = (0, 0);
    while let Some(window) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let (read, written) = step(window, units.get_mut(count..)?.first_chunk_mut()?)?;
        (at, count) = (at + read, count + written);
        if read == 0 {
            let (wide, _) = window.split_at(4);
            count += write_chars(wide, units.get_mut(count..)?)?;
            at += 4;
        }
    }
    Some(count + write_chars(bytes.get(at..)?, units.get_mut(count..)?)?)
}

/// Writes the units of a few bytes, one character after the other.
fn write_chars(bytes: &[u8], units: &mut [u16]) -> Option<usize> {
    let mut count = 0;
    for unit in std::str::from_utf8(bytes).ok()?.encode_utf16() {
        *units.get_mut(count)? = unit;
        count += 1;
    }
    Some(count)
}

/// Writes the units of the characters that are whole in `window`, up to the first one of four bytes.
/// Gives how many bytes those have, and how many units they are. `None` if they are not UTF-8.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,bmi1,popcnt")]
fn step(window: &[u8; STEP_BYTES], units: &mut [u16; STEP_BYTES]) -> Option<(usize, usize)> {
    let bytes = load(window);
    let within = |first: u8, last: u8| {
        let distance = _mm512_sub_epi8(bytes, _mm512_set1_epi8(first as i8));
        _mm512_cmple_epu8_mask(distance, _mm512_set1_epi8((last - first) as i8))
    };
    let tail = within(0x80, 0xBF);
    let (two, three, four) = (within(0xC2, 0xDF), within(0xE0, 0xEF), within(0xF0, 0xFF));
    let cut = two & 1 << 63 | three & 0b11 << 62;
    let read = (cut | four).trailing_zeros();
    // If nothing was read, no bit is set; a shift by 64 is not possible.
    let whole = u64::MAX.checked_shr(64 - read).unwrap_or(0);
    // Right after these characters another one begins, so that byte must not belong to them.
    let seen = whole << 1 | 1;
    let tails = (two | three) << 1 | three << 2;
    let low = within(0x80, 0x9F);
    let wrong = tails ^ tail // as many as the first byte says
        | within(0xC0, 0xC1) & whole
        | within(0xE0, 0xE0) << 1 & low // longer than need be
        | within(0xED, 0xED) << 1 & tail & !low; // surrogates
    if wrong & seen != 0 {
        return None;
    }
    let ends = !(tail >> 1) & whole;
    let before = _mm512_alignr_epi32::<12>(bytes, _mm512_setzero_si512());
    let one_before = _mm512_maskz_mov_epi8(tail, _mm512_alignr_epi8::<15>(bytes, before));
    let second = tail & tail << 1;
    let two_before = _mm512_maskz_mov_epi8(second, _mm512_alignr_epi8::<14>(bytes, before));
    let bits = |bytes, bits| {
        _mm512_maskz_compress_epi8(ends, _mm512_and_si512(bytes, _mm512_set1_epi8(bits)))
    };
    let (last, middle, first) = (bits(bytes, 0x7F), bits(one_before, 0x3F), bits(two_before, 0x0F));
    let joined = |last, middle, first| {
        let (last, middle) = (_mm512_cvtepu8_epi16(last), _mm512_cvtepu8_epi16(middle));
        let first = _mm512_slli_epi16::<12>(_mm512_cvtepu8_epi16(first));
        _mm512_or_si512(_mm512_or_si512(last, _mm512_slli_epi16::<6>(middle)), first)
    };
    let lower = |bytes| _mm512_castsi512_si256(bytes);
    let upper = |bytes| _mm512_extracti64x4_epi64::<1>(bytes);
    store(
        units,
        joined(lower(last), lower(middle), lower(first)),
        joined(upper(last), upper(middle), upper(first)),
    );
    Some((read as usize, ends.count_ones() as usize))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; STEP_BYTES]) -> __m512i {
    #[expect(unsafe_code, reason = "loads go through a pointer")]
    // SAFETY: the array has the 64 bytes that are read; no alignment is required.
    unsafe {
        _mm512_loadu_si512(bytes.as_ptr().cast())
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(units: &mut [u16; STEP_BYTES], first: __m512i, second: __m512i) {
    let target: *mut __m512i = units.as_mut_ptr().cast();
    #[expect(unsafe_code, reason = "stores go through a pointer")]
    // SAFETY: the array has the 128 bytes that are written; no alignment is required.
    unsafe {
        _mm512_storeu_si512(target, first);
        _mm512_storeu_si512(target.add(1), second);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn agrees(bytes: &[u8]) {
        if !is_available() {
            return;
        }
        let mut units = Vec::new();
        let found = transcode(bytes, &mut units).map(|count| &units[..count]);
        let expected: Option<Vec<u16>> =
            std::str::from_utf8(bytes).ok().map(|text| text.encode_utf16().collect());
        assert_eq!(found, expected.as_deref(), "{bytes:X?}");
    }

    #[test]
    fn units_without_room_are_not_left_out() {
        let mut units = [0; 3];
        assert_eq!(write_chars("я😀".as_bytes(), &mut units), Some(3));
        assert_eq!(write_chars("я😀".as_bytes(), &mut units[..2]), None);
    }

    #[test]
    fn every_character_on_every_place_of_a_step() {
        for place in 0..STEP_BYTES {
            for code in (0..=0x2FFF).chain(0xCFF0..=0x103FF).step_by(7).chain(0x10FFF0..=0x10FFFF) {
                let Some(character) = char::from_u32(code) else { continue };
                agrees(format!("{}{character}{}", "x".repeat(place), "яx".repeat(40)).as_bytes());
            }
        }
    }

    #[test]
    fn every_wrong_pair_of_bytes_on_the_critical_places() {
        for place in [0, 1, 30, 60, 61, 62, 63, 64, 65] {
            for first in 0x7F..=0xFF {
                for second in [
                    0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xE0, 0xED, 0xF0,
                    0xFF,
                ] {
                    for third in [0x20, 0x80, 0xBF, 0xC2, 0xE1, 0xF1] {
                        for fourth in [0x20, 0x80, 0xE1, 0xF1] {
                            let mut bytes = vec![b'x'; place];
                            bytes.extend([first, second, third, fourth]);
                            bytes.extend("😀語".repeat(20).bytes());
                            agrees(&bytes);
                            bytes.truncate(place + 3);
                            agrees(&bytes);
                        }
                    }
                }
            }
        }
    }

    fn some_char() -> impl Strategy<Value = char> {
        use proptest::char::range;
        let ascii = range(' ', '~');
        let two = range('\u{80}', '\u{7FF}');
        let three = range('\u{800}', '\u{FFFF}');
        prop_oneof![4 => ascii, 4 => two, 4 => three, 1 => range('😀', '😿')]
    }

    proptest! {
        #[test]
        fn texts_and_damaged_texts(
            chars in proptest::collection::vec(some_char(), 0..200),
            damage in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let mut bytes = String::from_iter(chars).into_bytes();
            if let (Some((place, byte)), false) = (damage, bytes.is_empty()) {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            agrees(&bytes);
        }
    }
}
