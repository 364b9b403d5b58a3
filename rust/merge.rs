//! Byte-pair merges for a pretoken that is no token as a whole.
//!
//! The rule, as tiktoken has it: begin with single bytes; as long as two neighbours together are a
//! token, join the pair whose token has the lowest rank, the leftmost of equals.
//! [`merge_plainly`] does just that. [`merge`] finds the same tokens from left to right, without
//! running the merges, in time linear in the length:
//!
//! **Lemma.** Tokens `t1 t2 ...`, each of which merging gives from its own bytes alone, are what merging
//! gives from all the bytes if and only if for each two neighbours merging gives `ti tj` from the bytes
//! of both alone. *Proof.* Call a merge crossing if it joins bytes of two of the `t`. As long as none
//! has happened, what is inside one `t` does not depend on what is outside, and of the pairs inside and
//! between two neighbours the one chosen first is the least of them, whatever is done elsewhere. So
//! the merges within two neighbours run in the order in which they run on the two alone, and the first
//! crossing merge of all is a crossing merge of two neighbours alone. No crossing merge for any two
//! thus means none at all. The other direction is the same argument. ∎
//!
//! So the tokens of a beginning of the text are the beginning of its tokens, and of all ways to go on,
//! one fits. `merge` tries the longest token that fits its predecessor, or the same token again where
//! there were two, and goes back where nothing fits: a place that it went back from is never entered
//! again, since only one sequence of tokens leads there. Each place is left at most once for each
//! length that a token may have.
//!
//! **Do two tokens fit** (`fits`)? The merges inside each token run in the order of their ranks if every
//! part ranks below what it is a part of. Then the states at the border can be enumerated backwards:
//! undo whichever of the two tokens was formed later, look whether the parts that met before would have
//! been joined first, and so on down to bytes. For the few tokens with a part that ranks higher the two
//! are merged plainly.

use crate::error::{Check, Error};
use crate::index::NONE;
use crate::pairs::Pairs;
use crate::pieces::{KEY_BYTES, Pieces};
use crate::prefixes::{Lengths, Prefixes};
use crate::vocab::Tokens;
use crate::work;

/// Steps between two calls of `check`, some milliseconds.
const CHECK_STEPS: usize = 1 << 16;

/// What merging needs to know of a vocabulary. It never changes.
pub struct Merger {
    pairs: Pairs,
    prefixes: Prefixes,
}

/// Memory that merging uses again.
#[derive(Default)]
pub struct Merging {
    ids: Vec<u32>,
    /// The places in the pretoken from which nothing goes on.
    dead: Places,
    memo: Memo,
}

impl Merging {
    /// Forgets what it knows of another vocabulary than `owner`, which is not 0.
    pub fn begin(&mut self, owner: u64) {
        if self.memo.owner != owner {
            self.memo = Memo { owner, words: Vec::new() };
        }
    }
}

/// Which two tokens were found to fit, or not. The latest answer for each hash is kept.
#[derive(Default)]
struct Memo {
    owner: u64,
    /// 1, left, right and the answer, from the highest bit down; 0 where there is none.
    words: Vec<u64>,
}

impl Memo {
    /// 128 KB.
    const BITS: u32 = 14;

    #[inline(always)]
    fn recall(&mut self, left: u32, right: u32, fits: impl FnOnce() -> bool) -> bool {
        let question = (1 << 20 | u64::from(left)) << 20 | u64::from(right);
        let at = question.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - Self::BITS);
        if let Some(word) = self.words.get(at as usize)
            && word >> 1 == question
        {
            return word & 1 == 1;
        }
        let answer = fits();
        if self.words.is_empty() && self.words.try_reserve_exact(1 << Self::BITS).is_ok() {
            self.words.resize(1 << Self::BITS, 0);
        }
        if let Some(word) = self.words.get_mut(at as usize) {
            *word = question << 1 | u64::from(answer);
        }
        answer
    }
}

/// A set of places in a pretoken, one bit each.
#[derive(Default)]
struct Places(Vec<u64>);

impl Places {
    /// Empties it and makes room for the places from 0 to `length`.
    fn begin(&mut self, length: usize) -> Result<(), Error> {
        // A word more, for `behind`.
        let words = length / 64 + 2;
        self.0.clear();
        self.0.try_reserve(words)?;
        self.0.resize(words, 0);
        Ok(())
    }

    fn add(&mut self, place: usize) {
        if let Some(word) = self.0.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }

    #[inline(always)]
    fn has(&self, place: usize) -> bool {
        self.0.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    /// How far behind `place` the next ones stand, up to 15 bytes, as lengths.
    #[inline(always)]
    fn behind(&self, place: usize) -> Lengths {
        let word = |at: usize| self.0.get(at).copied().map_or(0, u128::from);
        let both = word(place / 64) | word(place / 64 + 1) << 64;
        (both >> (place % 64)) as Lengths & ((1 << (KEY_BYTES + 1)) - 1)
    }
}

impl Merger {
    /// What `pairs` and complete `pieces` say.
    pub fn new(tokens: &Tokens, pieces: &Pieces, pairs: Pairs) -> Self {
        Self { pairs, prefixes: Prefixes::build(tokens, pieces) }
    }

    /// Asks for what [`Merger::merge`] will look at first.
    #[inline]
    pub fn ask(&self, pieces: &Pieces, text: &[u8], start: usize, end: usize) {
        self.prefixes.ask(pieces, text, start, end);
    }

    /// The ids that merging gives from `text[start..end]`.
    pub fn merge<'m>(
        &self,
        (tokens, pieces): (&Tokens, &Pieces),
        text: &[u8],
        (start, end): (usize, usize),
        Merging { ids, dead, memo }: &'m mut Merging,
        check: &Check,
    ) -> Result<&'m [u32], Error> {
        dead.begin(end - start)?;
        ids.clear();
        let (mut at, mut steps) = (start, 0);
        while at < end {
            steps += 1;
            work::done();
            if steps % CHECK_STEPS == 0 {
                check()?;
            }
            if let [.., before, again] = *ids.as_slice()
                && before == again
            {
                // A run goes on, most likely. Each token of it fits the one before, as the last two do.
                let token = tokens.get(again).unwrap_or_default();
                let rest = text.get(at..end).unwrap_or_default();
                let count = repeats(rest, token, |length| !dead.has(at + length - start));
                ids.try_reserve(count)?;
                ids.resize(ids.len() + count, again);
                at += count * token.len();
                if at == end {
                    break;
                }
            }
            let last = ids.last().copied();
            let fits = |id: u32, length: usize| {
                !dead.has(at + length - start)
                    && last.is_none_or(|last| {
                        memo.recall(last, id, || self.fits(tokens, pieces, last, id))
                    })
            };
            let place = (text, at, end);
            match self.prefixes.longest((tokens, pieces), place, dead.behind(at - start), fits) {
                Some((id, length)) => {
                    ids.try_reserve(1)?;
                    ids.push(id);
                    at += length;
                }
                None => {
                    dead.add(at - start);
                    // Never at the first place, since some sequence fits.
                    let last = ids.pop().and_then(|id| tokens.get(id));
                    at -= last.map_or(0, <[u8]>::len);
                }
            }
        }
        Ok(ids)
    }

    /// [`Prefixes::longest`], no length excluded.
    #[inline]
    pub fn longest(
        &self,
        tables: (&Tokens, &Pieces),
        place: (&[u8], usize, usize),
        accept: impl FnMut(u32, usize) -> bool,
    ) -> Option<(u32, usize)> {
        self.prefixes.longest(tables, place, 0, accept)
    }

    /// [`Merger::fits`], remembered.
    #[inline]
    pub fn remembered(
        &self,
        (tokens, pieces): (&Tokens, &Pieces),
        (left, right): (u32, u32),
        Merging { memo, .. }: &mut Merging,
    ) -> bool {
        memo.recall(left, right, || self.fits(tokens, pieces, left, right))
    }

    /// Whether merging the bytes of two tokens, each of which it gives alone, gives the two.
    #[inline]
    fn fits(&self, tokens: &Tokens, pieces: &Pieces, left: u32, right: u32) -> bool {
        let (mut left, mut right) = (left, right);
        let (mut before, mut after) = (pieces.entry(left), pieces.entry(right));
        if !before.is_regular() || !after.is_regular() {
            return fits_plainly(tokens, pieces, left, right);
        }
        // A pair that ranks below this would have been joined before what was undone.
        let mut limit = NONE;
        while self.pairs.find(pieces, (left, before), (right, after)) >= limit {
            let (left_is_byte, right_is_byte) = (before.is_byte(), after.is_byte());
            if left_is_byte & right_is_byte {
                return true;
            }
            // Which of the two was formed later can't be predicted: selections, not branches. Of equal
            // ranks the pair in the middle is more to the left than that inside the right token.
            let undo_left = !left_is_byte & (right_is_byte | (left > right));
            let part = if undo_left { before.right() } else { after.left() };
            limit = if undo_left { left } else { right + 1 };
            let entry = pieces.entry(part);
            left = if undo_left { part } else { left };
            before = if undo_left { entry } else { before };
            right = if undo_left { right } else { part };
            after = if undo_left { after } else { entry };
        }
        false
    }
}

/// How often a text begins with `token`, as long as `allowed` is true for the bytes up to there. Apart,
/// so that merging short words, which seldom comes here, stays small.
#[inline(never)]
fn repeats(text: &[u8], token: &[u8], allowed: impl Fn(usize) -> bool) -> usize {
    let places = text.chunks_exact(token.len().max(1)).enumerate();
    places
        .inspect(|_| work::done())
        .take_while(|&(number, place)| place == token && allowed((number + 1) * token.len()))
        .count()
}

/// [`Merger::fits`] by merging.
#[cold]
fn fits_plainly(tokens: &Tokens, pieces: &Pieces, left: u32, right: u32) -> bool {
    let bytes = |id| tokens.get(id).unwrap_or_default();
    let both = [bytes(left), bytes(right)].concat();
    let parts = merge_plainly(tokens, pieces, &both, |_| {});
    parts.as_slice() == [left, right]
}

/// Merges `bytes` by the rule itself and gives the ids. `joined` gets the length of the left one of
/// each two parts that are joined. Quadratic in the length: for bytes of one or two tokens.
pub fn merge_plainly(
    tokens: &Tokens,
    pieces: &Pieces,
    bytes: &[u8],
    mut joined: impl FnMut(usize),
) -> Vec<u32> {
    let token = |start: usize, end: usize| pieces.find(tokens, bytes, start, end);
    // Where each part begins, and the token that it is together with the next.
    let mut parts: Vec<(usize, u32)> = (0..=bytes.len()).map(|start| (start, NONE)).collect();
    let pair = |parts: &[(usize, u32)], at: usize| match (parts.get(at), parts.get(at + 2)) {
        (Some(&(start, _)), Some(&(end, _))) => token(start, end),
        _ => NONE,
    };
    for at in 0..parts.len() {
        let rank = pair(&parts, at);
        if let Some(part) = parts.get_mut(at) {
            part.1 = rank;
        }
    }
    while let Some((at, _)) =
        parts.iter().enumerate().filter(|(_, part)| part.1 != NONE).min_by_key(|(_, part)| part.1)
    {
        let (middle, _) = parts.remove(at + 1);
        joined(middle - parts.get(at).map_or(0, |part| part.0));
        for changed in at.saturating_sub(1)..=at {
            let rank = pair(&parts, changed);
            if let Some(part) = parts.get_mut(changed) {
                part.1 = rank;
            }
        }
    }
    parts.iter().zip(parts.iter().skip(1)).map(|(part, next)| token(part.0, next.0)).collect()
}
