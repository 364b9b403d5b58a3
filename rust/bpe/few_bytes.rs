//! Merging a word of two to four bytes that merging does not make one token, by two merges at most.
//!
//! Such words are mostly single characters that no token has as a whole. The first merge is of two single
//! bytes, and [`CertainMerges`] has the token of each two. It leaves two pairs at most, of which the one of
//! the lower rank is joined. Any other merge would make the whole word one token.

use crate::bpe::certain_merges::CertainMerges;
use crate::bpe::index::NONE;
use crate::bpe::pairs::Pairs;
use crate::steps;

/// The longest word.
pub const FEW_BYTES: usize = 4;

/// The ids of a word, and how many they are: those after them mean nothing. None for a word that has more bytes
/// than [`FEW_BYTES`], or only one.
#[inline(always)]
pub fn merge_few_bytes(
    certain: &CertainMerges,
    pairs: &Pairs,
    word: &[u8],
) -> ([u32; FEW_BYTES], usize) {
    steps::count();
    let id = |byte: u8| certain.byte_token(byte);
    let two = |x: u8, y: u8| certain.pair(x, y).token();
    match *word {
        [a, b] => ([id(a), id(b), 0, 0], 2),
        [a, b, c] => last_merge([id(a), id(b), id(c)], two(a, b), two(b, c)),
        [a, b, c, d] => {
            let [ab, bc, cd] = [two(a, b), two(b, c), two(c, d)];
            let [a, b, c, d] = [a, b, c, d].map(id);
            // The lowest rank, and of equals the leftmost.
            let lowest = ab.min(bc).min(cd);
            if lowest == NONE {
                ([a, b, c, d], 4)
            } else if lowest == ab {
                last_merge([ab, c, d], pairs.join(ab, c), cd)
            } else if lowest == bc {
                last_merge([a, bc, d], pairs.join(a, bc), pairs.join(bc, d))
            } else {
                last_merge([a, b, cd], ab, pairs.join(b, cd))
            }
        }
        // A single byte is a token.
        _ => ([0; FEW_BYTES], 0),
    }
}

/// The ids of three parts, given the tokens that the first two and the last two make.
#[inline(always)]
fn last_merge([a, b, c]: [u32; 3], ab: u32, bc: u32) -> ([u32; FEW_BYTES], usize) {
    if ab == NONE && bc == NONE {
        ([a, b, c, 0], 3)
    } else if ab <= bc {
        ([ab, c, 0, 0], 2)
    } else {
        ([a, bc, 0, 0], 2)
    }
}
