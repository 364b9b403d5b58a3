//! Bytes to tokens: what is a token as a whole, and what merging gives.
//!
//! ```text
//! tokens     the bytes of all tokens
//! key        a short byte string as one word
//! index      a small hash table of ids
//! split      how merging forms a token
//! pieces     vocab-first: is a byte string, whole, a token?
//! plain      the rule of merging as it is written
//! pairs      which two tokens merging joins
//! certain    pairs of bytes that are joined whatever stands around them
//! short      merging up to 62 bytes: the rule itself, from what is certain
//! segments   places that no merge crosses
//! prefixes   the tokens that a text begins with
//! merge      merging any number of bytes, window by window or from left to right
//! ```

pub mod tokens;
pub mod key;
pub mod index;
pub mod split;
pub mod pieces;
pub mod plain;
pub mod pairs;
pub mod certain;
pub mod short;
pub mod segments;
pub mod prefixes;
pub mod merge;
#[cfg(test)]
mod tests;

use crate::machine::huge_pages;

/// A table of `count` copies of `value`. Where memory is refused the process ends, as it does for all that a
/// vocabulary is made of.
fn table<T: Copy>(count: usize, value: T) -> Vec<T> {
    huge_pages::table(count, value).unwrap_or_else(|_| vec![value; count])
}

/// An array on the heap that never was on the stack, where a large one would be too much for some threads.
fn boxed<T: Copy, const N: usize>(value: T) -> Box<[T; N]> {
    #[cold]
    #[inline(never)]
    fn on_the_stack<T: Copy, const N: usize>(value: T) -> Box<[T; N]> {
        Box::new([value; N])
    }
    let boxed = table(N, value).into_boxed_slice().try_into();
    // It has just that length, so this never comes to pass.
    boxed.unwrap_or_else(|_| on_the_stack(value))
}
