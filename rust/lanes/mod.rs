//! What processors do differently: a few operations on bytes and words, written for each kind.
//!
//! [`Lanes`] is the list. Everything else in the core is written once, over it, and is compiled for
//! each kind: [`Path::run`] chooses, once for each process, and whatever runs inside has the
//! instructions. `portable.rs` is for any processor and is the twin that the others are compared
//! with; all paths are in all tests of exactness.
//!
//! That one visitor chooses the instructions for a whole piece of work, and that a value proves that they
//! exist, is how the crate `pulp` does it; what is here is smaller and knows only what is needed.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon;
mod portable;

use std::sync::OnceLock;

pub use self::portable::Portable;
use self::portable::{places_by_count, same_of_four_one_by_one, same_one_by_one};

/// Bytes in a window of text, one bit of a word for each.
pub const WINDOW: usize = 64;
/// Byte strings whose words are made at a time.
pub const STRINGS: usize = 16;

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

/// By the length of a byte string: the bits of its first 16 bytes that are kept, and those that are set.
#[derive(Clone, Copy)]
#[repr(align(32))]
pub struct Kept {
    /// The bits of the text that are kept.
    pub text: u128,
    /// The bits that are set besides.
    pub set: u128,
}

/// What is kept for each length; the last row is for all longer strings.
pub type KeptByLength = [Kept; 16];

/// The operations. A value of a type with this trait exists only where its instructions do.
pub trait Lanes: Copy {
    /// Whether [`Lanes::among`] and [`Lanes::equal`] take a few instructions for a whole window.
    const SEARCHES: bool;

    /// Does `work` with these instructions, in a function of its own.
    fn run<W: Work>(self, work: W) -> W::Output;

    /// The classes of ASCII in a window; of other characters `wide` and `tail`.
    fn masks(self, window: &[u8; WINDOW]) -> Masks;

    /// The bytes whose low six bits are in `set`.
    fn among(self, window: &[u8; WINDOW], set: u64) -> u64;

    /// The bytes that are `byte`.
    fn equal(self, window: &[u8; WINDOW], byte: u8) -> u64;

    /// Writes `base` plus the number of each set bit, ascending. What is behind those means nothing.
    #[inline(always)]
    fn places(self, bits: u64, base: u32, places: &mut [u32; WINDOW]) {
        places_by_count(bits, base, places);
    }

    /// For each two neighbours of `bounds`, which are places in `text`, the word of the text between
    /// them, as `kept` makes it, and the word's [`hash`]. Behind the text's end there are zeros.
    #[inline(always)]
    fn words(
        self,
        text: &[u8],
        bounds: &[u32; STRINGS + 1],
        kept: &KeptByLength,
        words: &mut [u128; STRINGS],
        hashes: &mut [u32; STRINGS],
    ) {
        words_one_by_one(text, bounds, kept, words, hashes);
    }

    /// Of four words, each a lower and an upper half, the last one that has the same bits as `word` in
    /// `mask`: the number of its upper half; 8 if there is none.
    #[inline(always)]
    fn same_of_four(self, four: &[u64; 8], word: u128, mask: u128) -> usize {
        same_of_four_one_by_one(four, word, mask)
    }

    /// Of eight words, a bit for each that is the same as that of a name `a b c d` in `a b c d a b a b`.
    #[inline(always)]
    fn same_words(self, words: &[u64; 8], name: &[u64; 4]) -> u8 {
        same_one_by_one(words, name)
    }
}

/// [`Lanes::words`], a string at a time.
#[inline(always)]
pub fn words_one_by_one(
    text: &[u8],
    bounds: &[u32; STRINGS + 1],
    kept: &KeptByLength,
    words: &mut [u128; STRINGS],
    hashes: &mut [u32; STRINGS],
) {
    let ranges = bounds.iter().zip(bounds.iter().skip(1));
    for ((&start, &end), (word, hash_of)) in ranges.zip(words.iter_mut().zip(hashes)) {
        *word = word_of(head(text, start as usize), end.wrapping_sub(start) as usize, kept);
        *hash_of = hash(*word);
    }
}

/// The word of a byte string of `length` bytes that begins with `head`.
#[inline(always)]
pub fn word_of(head: u128, length: usize, kept: &KeptByLength) -> u128 {
    let [.., last] = kept;
    let Kept { text, set } = kept.get(length).unwrap_or(last);
    head & text | set
}

/// The next 16 bytes of a text, with zeros where it ends.
#[inline(always)]
pub fn head(text: &[u8], start: usize) -> u128 {
    match text.get(start..).and_then(|rest| rest.first_chunk::<16>()) {
        Some(bytes) => u128::from_le_bytes(*bytes),
        None => near_the_end(text, start),
    }
}

/// [`head`] where fewer than 16 bytes are left.
#[inline]
fn near_the_end(text: &[u8], start: usize) -> u128 {
    if let Some(last) = text.last_chunk::<16>() {
        let missing = (start + 16).saturating_sub(text.len()) as u32;
        return u128::from_le_bytes(*last).checked_shr(8 * missing).unwrap_or(0);
    }
    let mut padded = [0; 16];
    // Behind the text there is nothing.
    let bytes = text.get(start..).unwrap_or(&[]);
    padded.iter_mut().zip(bytes).for_each(|(place, &byte)| *place = byte);
    u128::from_le_bytes(padded)
}

/// Odd numbers without a pattern: the fractions of the square roots of 2, 3, 5 and 7.
const ADDED: [u32; 4] = [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F373, 0xA54F_F53B];

/// A hash of a word: NH of UMAC (Black, Halevi, Krawczyk, Krovetz, Rogaway 1999), two products of
/// 32-bit numbers, of which every processor makes several at a time. The middle bits of the sum, which
/// depend on the most of the word. It has no seed: it serves a table that looks at one place only,
/// where words that collide cost nothing.
#[inline(always)]
pub fn hash(word: u128) -> u32 {
    let [a, b, c, d] = ADDED;
    let sum =
        |number: u32, added: u32| u64::from(((word >> (32 * number)) as u32).wrapping_add(added));
    let products = (sum(0, a) * sum(1, b)).wrapping_add(sum(2, c) * sum(3, d));
    (products >> HASH_SHIFT) as u32
}

/// Where in the sum of the products the hash begins.
const HASH_SHIFT: u32 = 24;

/// By which halves of four words are the same, the upper half of the last word of which both are; 8 if there
/// is none.
#[cfg(target_arch = "x86_64")]
static LAST_WHOLE: [u8; 256] = {
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

/// [`Lanes::same_of_four`], from a bit for each half that is the same.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn last_whole(same_halves: u8) -> usize {
    LAST_WHOLE.get(usize::from(same_halves)).map_or(8, |&half| usize::from(half))
}

/// Work that is compiled for each path.
pub trait Work {
    /// What it gives.
    type Output;

    /// Does it. Has to be `#[inline(always)]`, so that it is compiled with the path's instructions.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

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
    use super::*;
    use proptest::prelude::*;

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
