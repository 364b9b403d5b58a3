//! NEON: four registers of 16 bytes, one comparison for each class.
//!
//! NEON has no instruction that takes one bit of each byte. Instead, the second of the two ways in Geoff
//! Langdale, "Fitting My Head Through The ARM Holes" (2019), written for simdjson, is used: the window
//! is loaded so that neighbours are in four different registers, and the highest bits of the comparisons
//! are shifted into one byte. Niles Salter, "Use interleaved vectors for parsing on ARM" (2024),
//! recommends it where there are several masks. Of the two ways it is also the shorter one as compiled:
//! nine instructions for a mask after its comparisons, while the first way, which adds neighbours, takes
//! sixteen (Rust 1.96 no longer finds the instruction for it).

use std::arch::aarch64::*;

use super::{Feature, Lanes, Masks, Vectorized, WINDOW, detected};

/// Eight bytes of one bit each.
const BITS: u64 = u64::from_le_bytes([1, 2, 4, 8, 16, 32, 64, 128]);

/// The instruction set extension that it needs.
pub const FEATURES: &[Feature] = &detected!["neon"];

/// A processor with NEON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neon(());

impl Neon {
    /// `None` where the instructions are missing.
    pub fn new() -> Option<Self> {
        let has_all = FEATURES.iter().all(|(_, is_found)| is_found());
        has_all.then_some(Self(()))
    }
}

impl Lanes for Neon {
    const HAS_FAST_SEARCH: bool = true;

    #[inline]
    fn run<W: Vectorized>(self, work: W) -> W::Output {
        #[target_feature(enable = "neon")]
        fn run<W: Vectorized>(lanes: Neon, work: W) -> W::Output {
            work.run(lanes)
        }
        #[expect(unsafe_code, reason = "a value of this type says that the instructions exist")]
        // SAFETY: `Neon::new` alone makes one, after it has checked the processor.
        unsafe {
            run(self, work)
        }
    }

    #[inline(always)]
    fn masks(self, window: &[u8; WINDOW]) -> Masks {
        #[expect(unsafe_code, reason = "a value of this type says that the instructions exist")]
        // SAFETY: `Neon::new` alone makes one, after it has checked the processor.
        unsafe {
            masks(window)
        }
    }

    #[inline(always)]
    fn bytes_in_set(self, window: &[u8; WINDOW], set: u64) -> u64 {
        #[expect(unsafe_code, reason = "a value of this type says that the instructions exist")]
        // SAFETY: as in `masks`.
        unsafe {
            among(load(window), set)
        }
    }

    #[inline(always)]
    fn bytes_equal(self, window: &[u8; WINDOW], byte: u8) -> u64 {
        #[expect(unsafe_code, reason = "a value of this type says that the instructions exist")]
        // SAFETY: as in `masks`.
        unsafe {
            mask(load(window), |part| equal(part, byte))
        }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn masks(window: &[u8; WINDOW]) -> Masks {
    let bytes = load(window);
    let newline = mask(bytes, |part| vorrq_u8(equal(part, b'\n'), equal(part, b'\r')));
    let blank = mask(bytes, |part| equal(part, b' '));
    Masks {
        letter: mask(bytes, |part| within(vorrq_u8(part, vdupq_n_u8(0x20)), b'a', b'z')),
        number: mask(bytes, |part| within(part, b'0', b'9')),
        newline,
        space: (blank | mask(bytes, |part| within(part, b'\t', b'\r'))) & !newline,
        blank,
        apostrophe: mask(bytes, |part| equal(part, b'\'')),
        wide: mask(bytes, |part| part),
        tail: mask(bytes, |part| within(part, 0x80, 0xBF)),
    }
}

/// Bytes whose low six bits are in `set`: its byte by the upper three, and in that the bit by the
/// lower three.
#[inline]
#[target_feature(enable = "neon")]
fn among(bytes: [uint8x16_t; 4], set: u64) -> u64 {
    let seven = vdupq_n_u8(7);
    let [set, bits] = [set, BITS].map(|eight| vreinterpretq_u8_u64(vdupq_n_u64(eight)));
    mask(bytes, |part| {
        let upper = vandq_u8(vshrq_n_u8::<3>(part), seven);
        let lower = vandq_u8(part, seven);
        vtstq_u8(vqtbl1q_u8(set, upper), vqtbl1q_u8(bits, lower))
    })
}

/// The bytes of a window: of each four neighbours one in each register.
#[inline]
#[target_feature(enable = "neon")]
fn load(window: &[u8; WINDOW]) -> [uint8x16_t; 4] {
    #[expect(unsafe_code, reason = "loads go through a pointer")]
    // SAFETY: the array has the 64 bytes that are read; no alignment is required.
    let uint8x16x4_t(a, b, c, d) = unsafe { vld4q_u8(window.as_ptr()) };
    [a, b, c, d]
}

/// One bit for each byte: the highest that `test` leaves in it.
#[inline]
#[target_feature(enable = "neon")]
fn mask(bytes: [uint8x16_t; 4], test: impl Fn(uint8x16_t) -> uint8x16_t) -> u64 {
    let [a, b, c, d] = bytes.map(test);
    // Upper bits of the first stay, below them come those of the second: b a, d c, d c b a.
    let four = vsriq_n_u8::<2>(vsriq_n_u8::<1>(d, c), vsriq_n_u8::<1>(b, a));
    // The same four in the lower half of each byte, then eight of two bytes in one.
    let twice = vreinterpretq_u16_u8(vsriq_n_u8::<4>(four, four));
    vget_lane_u64::<0>(vreinterpret_u64_u8(vshrn_n_u16::<4>(twice)))
}

#[inline]
#[target_feature(enable = "neon")]
fn equal(bytes: uint8x16_t, byte: u8) -> uint8x16_t {
    vceqq_u8(bytes, vdupq_n_u8(byte))
}

/// Bytes from `first` to `last`: their distance from `first` is at most that of `last`.
#[inline]
#[target_feature(enable = "neon")]
fn within(bytes: uint8x16_t, first: u8, last: u8) -> uint8x16_t {
    vcleq_u8(vsubq_u8(bytes, vdupq_n_u8(first)), vdupq_n_u8(last - first))
}
