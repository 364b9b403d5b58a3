//! The way to work that is chosen for the processor, once for each process.

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use crate::machine::lanes::avx2;
#[cfg(target_arch = "x86_64")]
use crate::machine::lanes::avx512;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
use crate::machine::lanes::neon;
use crate::machine::lanes::portable::Portable;
use crate::machine::lanes::{Lanes, Work};

/// One way to work that this processor has. All give the same ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path(Way);

/// Private, so that a [`Path`] with instructions that are missing can't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Plain words; text is cut one character after the other, which is the only way for text that is
    /// not UTF-8.
    Scalar(Portable),
    /// Plain words.
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    Neon(neon::Neon),
}

impl Path {
    /// Text is cut one character after the other: the only path for text that is not UTF-8.
    pub const SCALAR: Self = Self(Way::Scalar(Portable));

    /// The ways that this processor has, the fastest last.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut, reason = "elsewhere there are no more")]
        let mut ways = vec![Way::Scalar(Portable), Way::Portable(Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            ways.extend(avx2::Avx2::new().map(Way::Avx2));
            ways.extend(avx512::Avx512::new().map(Way::Avx512));
        }
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        ways.extend(neon::Neon::new().map(Way::Neon));
        ways.into_iter().map(Self).collect()
    }

    /// The fastest one.
    pub fn best() -> Self {
        static BEST: OnceLock<Path> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().pop().unwrap_or(Self::SCALAR))
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self.0 {
            Way::Scalar(_) => "scalar",
            Way::Portable(_) => "portable",
            #[cfg(target_arch = "x86_64")]
            Way::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Way::Avx512(_) => "avx512",
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Way::Neon(_) => "neon",
        }
    }

    /// Whether text is to be cut one character after the other.
    #[inline(always)]
    pub fn is_scalar(self) -> bool {
        matches!(self.0, Way::Scalar(_))
    }

    /// Does `work` with this path's instructions.
    #[inline]
    pub fn run<W: Work>(self, work: W) -> W::Output {
        match self.0 {
            Way::Scalar(lanes) | Way::Portable(lanes) => lanes.run(work),
            #[cfg(target_arch = "x86_64")]
            Way::Avx2(lanes) => lanes.run(work),
            #[cfg(target_arch = "x86_64")]
            Way::Avx512(lanes) => lanes.run(work),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Way::Neon(lanes) => lanes.run(work),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::machine::lanes::{Kept, KeptByLength, Masks, STRINGS, WINDOW};

    /// Every operation once, on one path.
    struct All<'a> {
        window: &'a [u8; WINDOW],
        text: &'a [u8],
        bounds: &'a [u32; STRINGS + 1],
        bits: u64,
    }

    #[test]
    fn all_paths_that_the_processor_has_are_there_and_the_best_is_the_last() {
        let names: Vec<&str> = Path::available().into_iter().map(Path::name).collect();
        assert!(names.starts_with(&["scalar", "portable"]), "{names:?}");
        assert_eq!(names.last(), Some(&Path::best().name()));
        // What all processors of a kind have is never missing.
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        assert_eq!(names, ["scalar", "portable", "neon"]);
    }

    type Found = (Masks, u64, u64, Vec<u32>, [u128; STRINGS], [u32; STRINGS], usize, u8);

    impl Work for All<'_> {
        type Output = Found;

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> Found {
            let Self { window, text, bounds, bits } = self;
            let mut places = [0; WINDOW];
            lanes.places(bits, 1000, &mut places);
            let (mut words, mut hashes) = ([0; STRINGS], [0; STRINGS]);
            lanes.words(text, bounds, &kept(), &mut words, &mut hashes);
            let four = std::array::from_fn(|at| (words[at / 2] >> (64 * (at % 2))) as u64);
            let same = lanes.same_of_four(&four, words[bits as usize % STRINGS], u128::MAX >> 16);
            let among = lanes.among(window, bits);
            let equal = lanes.equal(window, bits as u8);
            let places = places[..bits.count_ones() as usize].to_vec();
            let name =
                std::array::from_fn(|at| if bits >> at & 1 == 1 { four[2 * at] } else { four[at] });
            let same_words = lanes.same_words(&four, &name);
            (lanes.masks(window), among, equal, places, words, hashes, same, same_words)
        }
    }

    fn kept() -> KeptByLength {
        std::array::from_fn(|length| Kept {
            text: (1 << (8 * length)) - 1,
            set: (length as u128) << 120,
        })
    }

    proptest! {
        #[test]
        fn all_paths_do_the_same(
            window in prop::collection::vec(any::<u8>(), WINDOW),
            text in prop::collection::vec(any::<u8>(), 0..300),
            lengths in prop::collection::vec(0..20u32, STRINGS),
            bits in prop_oneof![any::<u64>(), (0..64u32).prop_map(|bit| 1 << bit), Just(0)],
        ) {
            let window = window.first_chunk().unwrap();
            let mut bounds = [0; STRINGS + 1];
            for (at, length) in lengths.iter().enumerate() {
                bounds[at + 1] = (bounds[at] + length).min(text.len() as u32);
            }
            let all = || All { window, text: &text, bounds: &bounds, bits };
            let expected = Path::SCALAR.run(all());
            prop_assert_eq!(expected.1, (0..64).fold(0, |set, at| set | (bits >> (window[at] & 63) & 1) << at));
            prop_assert_eq!(&expected.3, &(0..64).filter(|at| bits >> at & 1 == 1).map(|at| 1000 + at).collect::<Vec<_>>());
            for path in Path::available() {
                prop_assert_eq!(path.run(all()), expected.clone(), "{}", path.name());
            }
        }
    }
}
