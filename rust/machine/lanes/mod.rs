//! A few operations on bytes and words that processors do differently, written for each kind of processor.
//!
//! [`Lanes`] is the list of them. Everything else in the core is written once, over this trait, and
//! compiled for each kind. [`crate::machine::code_path::CodePath::run`] chooses the kind, and what runs
//! inside uses its instructions. `portable.rs` is for any processor, and the twin that the others are
//! compared with; tests of exactness run on all paths.
//!
//! That one visitor chooses the instructions for a whole piece of work, and that a value proves that they
//! exist, is how the crate `pulp` does it; this is smaller and has only what is needed here.

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
pub mod neon;
pub mod portable;

/// The name of an instruction set extension, and a function that says whether this processor has it.
pub type Feature = (&'static str, fn() -> bool);

/// The [`Feature`]s with some names.
#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_endian = "little")))]
macro_rules! detected {
    ($($name:tt),*) => {
        [$(($name, {
            #[cfg(target_arch = "x86_64")]
            { || std::arch::is_x86_feature_detected!($name) }
            #[cfg(target_arch = "aarch64")]
            { || std::arch::is_aarch64_feature_detected!($name) }
        })),*]
    };
}
#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_endian = "little")))]
use detected;

/// The instruction set extensions that some code path needs, of those that this processor has.
pub fn features() -> Vec<&'static str> {
    let all: &[&[Feature]] = &[
        #[cfg(target_arch = "x86_64")]
        avx2::FEATURES,
        #[cfg(target_arch = "x86_64")]
        avx512::FEATURES,
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        neon::FEATURES,
    ];
    let found = all.iter().copied().flatten().filter(|(_, is_found)| is_found());
    found.map(|(name, _)| *name).collect()
}

/// Bytes in a window of text, one bit of a word for each.
pub const WINDOW: usize = 64;
/// Byte strings whose keys are made at a time.
pub const KEYS_AT_ONCE: usize = 16;

/// The classes of a window's bytes, one bit each, the first byte lowest. A character of several
/// bytes has its class in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Masks {
    /// `\p{L}`
    pub letter: u64,
    /// `\p{N}`
    pub number: u64,
    /// `[\r\n]`
    pub newline: u64,
    /// `\s` without the newlines
    pub space: u64,
    /// U+0020 alone
    pub blank: u64,
    /// U+0027 alone
    pub apostrophe: u64,
    /// Bytes of characters beyond ASCII
    pub wide: u64,
    /// Bytes that do not begin a character
    pub tail: u64,
}

/// How the key of a byte string is made of its first 16 bytes: `bytes & keep | set`.
#[derive(Clone, Copy)]
#[repr(align(32))]
pub struct KeyMask {
    /// The bits of the text that are kept.
    pub keep: u128,
    /// The bits that are set in any case.
    pub set: u128,
}

/// The mask for each length; the last one is for all longer strings.
pub type KeyMasks = [KeyMask; 16];

/// The operations. A value of a type with this trait exists only where its instructions do.
pub trait Lanes: Copy {
    /// Whether [`Lanes::bytes_in_set`] and [`Lanes::bytes_equal`] take a few instructions for a whole window.
    const HAS_FAST_SEARCH: bool;

    /// Runs `work` with these instructions, in a function of its own.
    fn run<W: Vectorized>(self, work: W) -> W::Output;

    /// A window of the bytes of a text, of which there are fewer, and zeros after.
    #[inline(always)]
    fn last_window(self, text: &[u8]) -> [u8; WINDOW] {
        debug_assert!(text.len() < WINDOW);
        let mut window = [0; WINDOW];
        window.iter_mut().zip(text).for_each(|(target, &byte)| *target = byte);
        window
    }

    /// The classes of the ASCII characters in a window; of other characters only `wide` and `tail`.
    fn masks(self, window: &[u8; WINDOW]) -> Masks;

    /// The bytes whose low six bits are in `set`.
    fn bytes_in_set(self, window: &[u8; WINDOW], set: u64) -> u64;

    /// The bytes that are `byte`.
    fn bytes_equal(self, window: &[u8; WINDOW], byte: u8) -> u64;

    /// Writes `base` plus the number of each set bit, ascending. What is written after those means nothing.
    #[inline(always)]
    fn bit_positions(self, bits: u64, base: u32, positions: &mut [u32; WINDOW]) {
        bit_positions_by_counting(bits, base, positions);
    }

    /// For each two neighbours of `bounds`, which are offsets in `text`, the key of the bytes between
    /// them, and the key's [`hash`]. Beyond the end of the text zeros are read.
    #[inline(always)]
    fn keys(
        self,
        text: &[u8],
        bounds: &[u32; KEYS_AT_ONCE + 1],
        masks: &KeyMasks,
        keys: &mut [u128; KEYS_AT_ONCE],
        hashes: &mut [u32; KEYS_AT_ONCE],
    ) {
        keys_one_by_one(text, bounds, masks, keys, hashes);
    }

    /// Of the four entries of a line, each a lower and an upper half, the last one that has the same
    /// bits as `key` under `mask`: the index of its upper half; 8 if there is none.
    #[inline(always)]
    fn find_key(self, line: &[u64; 8], key: u128, mask: u128) -> usize {
        find_key_one_by_one(line, key, mask)
    }

    /// For a cache key `a b c d`, a bit for each word of a line that is the same as in `a b c d a b a b`.
    #[inline(always)]
    fn cache_key_matches(self, line: &[u64; 8], key: &[u64; 4]) -> u8 {
        cache_key_matches_one_by_one(line, key)
    }
}

/// [`Lanes::keys`], one string at a time.
#[inline(always)]
pub fn keys_one_by_one(
    text: &[u8],
    bounds: &[u32; KEYS_AT_ONCE + 1],
    masks: &KeyMasks,
    keys: &mut [u128; KEYS_AT_ONCE],
    hashes: &mut [u32; KEYS_AT_ONCE],
) {
    let ranges = bounds.iter().zip(bounds.iter().skip(1));
    for ((&start, &end), (key, hash_of)) in ranges.zip(keys.iter_mut().zip(hashes)) {
        // After the last pretoken the bounds are any numbers, and what is made of them is not used.
        *key = key_of(load_16_bytes(text, start as usize), end.wrapping_sub(start) as usize, masks);
        *hash_of = hash(*key);
    }
}

/// The key of a byte string of `length` bytes that begins with `head`.
#[inline(always)]
pub fn key_of(head: u128, length: usize, masks: &KeyMasks) -> u128 {
    let [.., last] = masks;
    // All longer strings have the same mask.
    let KeyMask { keep, set } = masks.get(length).unwrap_or(last);
    head & keep | set
}

/// The next 16 bytes of a text, with zeros beyond its end.
#[inline(always)]
pub fn load_16_bytes(text: &[u8], start: usize) -> u128 {
    match text.get(start..).and_then(|rest| rest.first_chunk::<16>()) {
        Some(bytes) => u128::from_le_bytes(*bytes),
        None => load_last_bytes(text, start),
    }
}

/// [`load_16_bytes`] where fewer than 16 bytes are left.
#[inline]
fn load_last_bytes(text: &[u8], start: usize) -> u128 {
    let (bytes, missing) = match text.last_chunk::<16>() {
        // All are missing where the text ends before the start.
        Some(last) => (u128::from_le_bytes(*last), (start + 16 - text.len()).min(16)),
        None => (load_few_bytes(text), start.min(16)),
    };
    bytes.checked_shr(8 * missing as u32).unwrap_or(0)
}

/// A text of fewer than 16 bytes, with zeros after: two loads that overlap, since a copy byte by byte
/// takes longer than everything else that is done for a short text.
#[inline]
fn load_few_bytes(text: &[u8]) -> u128 {
    let overlapped = |first: u64, last: u64, width: usize| {
        u128::from(first) | u128::from(last) << (8 * (text.len() - width))
    };
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        return overlapped(u64::from_le_bytes(*first), u64::from_le_bytes(*last), 8);
    }
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        return overlapped(u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into(), 4);
    }
    text.iter().rev().fold(0, |bytes, &byte| bytes << 8 | u128::from(byte))
}

/// Odd numbers without a pattern: the fractions of the square roots of 2, 3, 5 and 7.
const HASH_ADDENDS: [u32; 4] = [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F373, 0xA54F_F53B];

/// A hash of a key: NH of UMAC (Black, Halevi, Krawczyk, Krovetz, Rogaway 1999), two products of 32-bit
/// numbers, of which every processor computes several at a time. It is the middle bits of the sum, which
/// depend on most of the key. It has no seed: it is for a table that looks into one line only, where
/// keys that collide cost nothing.
#[inline(always)]
pub fn hash(word: u128) -> u32 {
    let [a, b, c, d] = HASH_ADDENDS;
    let sum =
        |number: u32, added: u32| u64::from(((word >> (32 * number)) as u32).wrapping_add(added));
    let products = (sum(0, a) * sum(1, b)).wrapping_add(sum(2, c) * sum(3, d));
    (products >> HASH_SHIFT) as u32
}

/// The bit of the sum where the hash begins.
const HASH_SHIFT: u32 = 24;

/// By a bit for each half that is the same: the index of the upper half of the last entry with two same
/// halves; 8 if there is none.
#[cfg(target_arch = "x86_64")]
static LAST_MATCH: [u8; 256] = {
    let mut table = [8; 256];
    let mut halves = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
    while halves < 256 {
        let mut word = 0;
        while word < 4 {
            if halves >> (2 * word) & 3 == 3 {
                table[halves] = 2 * word as u8 + 1;
            }
            word += 1;
        }
        halves += 1;
    }
    table
};

/// [`Lanes::find_key`], given a bit for each half that is the same.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn last_match(same_halves: u8) -> usize {
    #[expect(clippy::indexing_slicing, reason = "8 bits, as many as there are: no check")]
    usize::from(LAST_MATCH[usize::from(same_halves)])
}

/// Work that is compiled for each code path.
pub trait Vectorized {
    /// Its result.
    type Output;

    /// Runs it. It must be `#[inline(always)]`, so that it is compiled with the path's instructions.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// How many positions are written before a branch on whether there are more: their number can't be
/// predicted, and each such branch would be mispredicted in most windows.
const POSITIONS_AT_ONCE: usize = 8;

/// [`Lanes::bit_positions`] by counting zeros.
#[inline(always)]
pub fn bit_positions_by_counting(mut bits: u64, base: u32, positions: &mut [u32; WINDOW]) {
    for positions in positions.as_chunks_mut::<POSITIONS_AT_ONCE>().0 {
        for position in positions {
            *position = base + bits.trailing_zeros();
            bits &= bits.wrapping_sub(1);
        }
        if bits == 0 {
            break;
        }
    }
}

/// [`Lanes::find_key`], one entry at a time.
#[inline(always)]
pub fn find_key_one_by_one(line: &[u64; 8], key: u128, mask: u128) -> usize {
    let halves = |key: u128| (key as u64, (key >> 64) as u64);
    let ((low, high), (low_mask, high_mask)) = (halves(key), halves(mask));
    let (keys, _) = line.as_chunks::<2>();
    // Selections, not branches: which one it is can't be predicted.
    (1..).step_by(2).zip(keys).fold(8, |found, (half, &[a, b])| {
        if (a ^ low) & low_mask | (b ^ high) & high_mask == 0 { half } else { found }
    })
}

/// [`Lanes::cache_key_matches`], one word at a time.
#[inline(always)]
pub fn cache_key_matches_one_by_one(line: &[u64; 8], &[a, b, c, d]: &[u64; 4]) -> u8 {
    let same =
        line.iter().zip([a, b, c, d, a, b, a, b]).map(|(&word, other)| u8::from(word == other));
    (0..).zip(same).fold(0, |all, (at, same)| all | same << at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_beyond_the_end_of_a_text_are_zeros() {
        let text: Vec<u8> = (1..=40).collect();
        for length in 0..=text.len() {
            for start in 0..length + 20 {
                let byte = |at: usize| if start + at < length { text[start + at] } else { 0 };
                let expected = u128::from_le_bytes(std::array::from_fn(byte));
                assert_eq!(load_16_bytes(&text[..length], start), expected, "{length} {start}");
            }
        }
    }
}
