//! Cutting text into pretokens by the Llama 3 pattern.
//!
//! `scalar.rs` is the pattern as one reads it. `masks.rs` is the same by bits, 64 bytes at a time, with
//! the classes found by whatever the processor has, those beyond ASCII by `pages.rs`. [`Path`] chooses,
//! once for each process.

pub mod masks;
#[cfg(target_arch = "x86_64")]
mod masks_avx2;
#[cfg(target_arch = "x86_64")]
mod masks_avx512;
mod masks_portable;
mod pages;
pub mod scalar;

use std::sync::OnceLock;

pub use masks::{ENDS, Ends};
pub use scalar::Pretokens;

/// The pattern, as Meta, tiktoken and `tokenizer.json` write it. It is compared with what a
/// `tokenizer.json` says and given to the reference encoder; no regex engine runs it in production.
pub const PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// One way to cut text that this processor has. All give the same pretokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path(Way);

/// Private, so that a [`Path`] with instructions that are missing can't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// One character after the other; the only one for text that is not UTF-8.
    Scalar,
    /// Bit masks, by 64-bit words.
    Portable,
    /// Bit masks, by AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Bit masks, by AVX-512.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Path {
    /// One character after the other: the only path for text that is not UTF-8.
    pub const SCALAR: Self = Self(Way::Scalar);

    /// The ways that this processor has, the fastest last.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut, reason = "elsewhere there are no more")]
        let mut ways = vec![Way::Scalar, Way::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            // All of what comes with AVX2 since its first processors, so that code may rely on it.
            if has!("avx2") && has!("bmi1") && has!("bmi2") && has!("lzcnt") && has!("popcnt") {
                ways.push(Way::Avx2);
                if has!("avx512f") && has!("avx512bw") {
                    ways.push(Way::Avx512);
                }
            }
        }
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
            Way::Scalar => "scalar",
            Way::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Way::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Way::Avx512 => "avx512",
        }
    }

    /// Cuts `text` from `from`, where a pretoken must begin, into as many pretokens as `ends` takes;
    /// none at the text's end. The text must be valid UTF-8, but for [`Path::SCALAR`].
    #[inline]
    pub fn fill(self, text: &[u8], from: usize, ends: &mut Ends) {
        match self.0 {
            Way::Scalar => masks::fill_scalar(text, from, ends),
            Way::Portable => masks::fill::<masks_portable::Portable>(text, from, ends),
            #[cfg(target_arch = "x86_64")]
            Way::Avx2 => masks_avx2::fill(text, from, ends),
            #[cfg(target_arch = "x86_64")]
            Way::Avx512 => masks_avx512::fill(text, from, ends),
        }
    }
}
