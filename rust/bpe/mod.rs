//! Bytes to tokens: what is a token as a whole, and what merging gives.
//!
//! ```text
//! token_bytes      the bytes of all tokens
//! token_key        a short byte string as one number
//! index            a small hash table of ids
//! split            how merging forms a token
//! token_table      vocab-first: is a whole byte string a token?
//! plain            the merge rule as it is written
//! pairs            which two tokens merging joins
//! certain_merges   pairs of bytes that are joined in any case
//! short_merge      merging up to 62 bytes: the rule itself, after the certain merges
//! few_bytes        merging up to four bytes that are no token
//! boundaries       positions that no merge crosses
//! prefixes         the tokens that a text begins with
//! merge            merging any number of bytes, window by window or from left to right
//! merge_steps      the order in which the rule joins, to be looked at
//! ```

pub mod token_bytes;
pub mod token_key;
pub mod index;
pub mod split;
pub mod token_table;
pub mod plain;
pub mod pairs;
pub mod certain_merges;
pub mod short_merge;
pub mod few_bytes;
pub mod boundaries;
pub mod prefixes;
pub mod merge;
pub mod merge_steps;
#[cfg(test)]
mod tests;

use crate::machine::huge_pages;

/// A table of `count` copies of `value`. Its memory was asked for beforehand, or it is small: see
/// `machine/reserve.rs`.
fn allocate_table<T: Copy>(count: usize, value: T) -> Vec<T> {
    huge_pages::table(count, value).unwrap_or_else(|_| vec![value; count])
}

/// An array on the heap that never was on the stack, which may be too small for a large one on some threads.
fn boxed_array<T: Copy, const N: usize>(value: T) -> Box<[T; N]> {
    #[cold]
    #[inline(never)]
    fn on_the_stack<T: Copy, const N: usize>(value: T) -> Box<[T; N]> {
        Box::new([value; N])
    }
    let boxed = allocate_table(N, value).into_boxed_slice().try_into();
    // It has exactly that length, so this never happens.
    boxed.unwrap_or_else(|_| on_the_stack(value))
}
