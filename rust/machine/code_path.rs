//! The code path: which instructions the encode loop uses, chosen once for each process.

use once_cell::race::OnceBox;

use crate::error::Error;
#[cfg(target_arch = "x86_64")]
use crate::machine::lanes::avx2;
#[cfg(target_arch = "x86_64")]
use crate::machine::lanes::avx512;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
use crate::machine::lanes::neon;
use crate::machine::lanes::portable::Portable;
use crate::machine::lanes::{Lanes, Vectorized};

/// The environment variable that names a code path, to find out whether a fault depends on it.
pub const VARIABLE: &str = "LLAMA3_TOK_PATH";

/// A code path that this processor can run. All give the same ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodePath(Kind);

/// Private, so that no [`CodePath`] can be made whose instructions are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Portable words; all text is cut one character after the other, which the other paths do only with text
    /// that is not UTF-8.
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

impl CodePath {
    /// Text is cut one character after the other. (On the other paths only text that is not UTF-8 is.)
    pub const SCALAR: Self = Self(Kind::Scalar(Portable));

    /// The paths that this processor has, the fastest last.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut, reason = "elsewhere there are no more")]
        let mut kinds = vec![Kind::Scalar(Portable), Kind::Portable(Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            kinds.extend(avx2::Avx2::new().map(Kind::Avx2));
            kinds.extend(avx512::Avx512::new().map(Kind::Avx512));
        }
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        kinds.extend(neon::Neon::new().map(Kind::Neon));
        kinds.into_iter().map(Self).collect()
    }

    /// The fastest one.
    pub fn best() -> Self {
        static BEST: OnceBox<CodePath> = OnceBox::new();
        *BEST.get_or_init(|| Box::new(Self::available().pop().unwrap_or(Self::SCALAR)))
    }

    /// The one that the environment variable [`VARIABLE`] names, which is read once; else the fastest.
    pub fn chosen() -> Result<Self, Error> {
        // Without a lock, which a process that is forked meanwhile would find locked for ever.
        static CHOSEN: OnceBox<Result<CodePath, String>> = OnceBox::new();
        let chosen = CHOSEN.get_or_init(|| {
            Box::new(match std::env::var_os(VARIABLE) {
                Some(name) if !name.is_empty() => Self::named(&name.to_string_lossy()),
                _ => Ok(Self::best()),
            })
        });
        chosen.clone().map_err(|given| {
            let names: Vec<&str> = Self::available().into_iter().map(Self::name).collect();
            Error::UnknownCodePath { given, known: names.join(", ") }
        })
    }

    /// The path of this processor that is called `name`. The error is the name if there is none.
    fn named(name: &str) -> Result<Self, String> {
        let found = Self::available().into_iter().find(|path| path.name() == name);
        found.ok_or_else(|| name.to_owned())
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Scalar(_) => "scalar",
            Kind::Portable(_) => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => "avx512",
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Kind::Neon(_) => "neon",
        }
    }

    /// Whether text is to be cut one character after the other.
    #[inline(always)]
    pub fn is_scalar(self) -> bool {
        matches!(self.0, Kind::Scalar(_))
    }

    /// Runs `work` with this path's instructions.
    #[inline]
    pub fn run<W: Vectorized>(self, work: W) -> W::Output {
        match self.0 {
            Kind::Scalar(lanes) | Kind::Portable(lanes) => lanes.run(work),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(lanes) => lanes.run(work),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(lanes) => lanes.run(work),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Kind::Neon(lanes) => lanes.run(work),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::machine::lanes::{KEYS_AT_ONCE, KeyMask, KeyMasks, Masks, WINDOW};

    /// Every operation once, on one path.
    struct All<'a> {
        window: &'a [u8; WINDOW],
        text: &'a [u8],
        bounds: &'a [u32; KEYS_AT_ONCE + 1],
        bits: u64,
    }

    #[test]
    fn all_paths_that_the_processor_has_are_there_and_the_best_is_the_last() {
        let names: Vec<&str> = CodePath::available().into_iter().map(CodePath::name).collect();
        assert!(names.starts_with(&["scalar", "portable"]), "{names:?}");
        assert_eq!(names.last(), Some(&CodePath::best().name()));
        // What all processors of a kind have is never missing.
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        assert_eq!(names, ["scalar", "portable", "neon"]);
    }

    #[test]
    fn a_path_is_found_by_its_name_and_no_other_is_taken_in_its_place() {
        for path in CodePath::available() {
            assert_eq!(CodePath::named(path.name()), Ok(path));
        }
        assert_eq!(CodePath::named("fast"), Err("fast".to_owned()));
    }

    #[derive(Clone, Debug, PartialEq)]
    struct Found {
        masks: Masks,
        among: u64,
        equal: u64,
        positions: Vec<u32>,
        keys: [u128; KEYS_AT_ONCE],
        hashes: [u32; KEYS_AT_ONCE],
        same: usize,
        cache_key_matches: u8,
        last_window: [u8; WINDOW],
    }

    impl Vectorized for All<'_> {
        type Output = Found;

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> Found {
            let Self { window, text, bounds, bits } = self;
            let mut positions = [0; WINDOW];
            lanes.bit_positions(bits, 1000, &mut positions);
            let (mut keys, mut hashes) = ([0; KEYS_AT_ONCE], [0; KEYS_AT_ONCE]);
            lanes.keys(text, bounds, &masks(), &mut keys, &mut hashes);
            let four = std::array::from_fn(|at| (keys[at / 2] >> (64 * (at % 2))) as u64);
            let same = lanes.find_key(&four, keys[bits as usize % KEYS_AT_ONCE], u128::MAX >> 16);
            let among = lanes.bytes_in_set(window, bits);
            let equal = lanes.bytes_equal(window, bits as u8);
            let positions = positions[..bits.count_ones() as usize].to_vec();
            let key =
                std::array::from_fn(|at| if bits >> at & 1 == 1 { four[2 * at] } else { four[at] });
            let cache_key_matches = lanes.cache_key_matches(&four, &key);
            let last_window = lanes.last_window(&text[..text.len().min(bits as usize % WINDOW)]);
            let masks = lanes.masks(window);
            Found {
                masks,
                among,
                equal,
                positions,
                keys,
                hashes,
                same,
                cache_key_matches,
                last_window,
            }
        }
    }

    fn masks() -> KeyMasks {
        std::array::from_fn(|length| KeyMask {
            keep: (1 << (8 * length)) - 1,
            set: (length as u128) << 120,
        })
    }

    proptest! {
        #[test]
        fn all_paths_do_the_same(
            window in prop::collection::vec(any::<u8>(), WINDOW),
            text in prop::collection::vec(any::<u8>(), 0..300),
            lengths in prop::collection::vec(0..20u32, KEYS_AT_ONCE),
            bits in prop_oneof![any::<u64>(), (0..64u32).prop_map(|bit| 1 << bit), Just(0)],
        ) {
            let window = window.first_chunk().unwrap();
            let mut bounds = [0; KEYS_AT_ONCE + 1];
            for (at, length) in lengths.iter().enumerate() {
                bounds[at + 1] = (bounds[at] + length).min(text.len() as u32);
            }
            let all = || All { window, text: &text, bounds: &bounds, bits };
            let expected = CodePath::SCALAR.run(all());
            prop_assert_eq!(expected.among, (0..64).fold(0, |set, at| set | (bits >> (window[at] & 63) & 1) << at));
            prop_assert_eq!(&expected.positions, &(0..64).filter(|at| bits >> at & 1 == 1).map(|at| 1000 + at).collect::<Vec<_>>());
            let length = text.len().min(bits as usize % WINDOW);
            prop_assert_eq!(&expected.last_window[..length], &text[..length]);
            prop_assert!(expected.last_window[length..].iter().all(|&byte| byte == 0));
            for path in CodePath::available() {
                prop_assert_eq!(path.run(all()), expected.clone(), "{}", path.name());
            }
        }
    }
}
