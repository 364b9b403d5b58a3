//! A round: some hundred pretokens that are cut and looked up together.
//!
//! ```text
//! cut       text -> bounds of pretokens                     (pretokenize/)
//! key       each pretoken -> a word and its hash            (bpe/token_key.rs)
//! prefetch  the line of the table that the hash says
//! look up   word -> id, or it is noted as missing           (bpe/token_table.rs)
//! ```
//!
//! Keys are made while the next window of text is cut, and all lines of a round are asked for before the
//! first is looked at, so the processor waits for many at a time. Nothing branches on what is found: ids
//! are written for all pretokens, those of the missing ones mean nothing. That keys are made, hashed and asked for
//! in a batch before any is used is an idea of the tokenizer gigatoken.

use crate::bpe::token_key::{KEPT, KEY};
use crate::bpe::token_table::TokenLines;
use crate::machine::code_path::CodePath;
use crate::machine::lanes::{self, KEYS_AT_ONCE, Lanes, Vectorized};
use crate::text::pretokenize::{MAX_ENDS, PretokenEnds, masks};

/// Ids that are given at a time: more than mostly stand between two missing ones.
pub const RUN: usize = 32;

/// Room for the words of a round and those made besides, since they are made sixteen at a time.
const WORDS: usize = MAX_ENDS + KEYS_AT_ONCE;

/// Words are made of places that were written at least so many places before: a processor reads what
/// two writes made only after both have reached its cache, and would wait for those of the newest window.
const LAG: usize = 16;

/// Room for the numbers of the missing ones: more than there can be, and a power of two.
const MISSING: usize = 512;
const _: () = assert!(MAX_ENDS < MISSING);

/// A round of pretokens, and memory that is used again.
#[repr(align(64))]
pub struct Round {
    words: [u128; WORDS],
    hashes: [u32; WORDS],
    /// The id of each pretoken that is a token.
    ids: [u32; MAX_ENDS + RUN],
    missing: [u16; MISSING],
    missing_count: usize,
    ends: PretokenEnds,
}

impl Default for Round {
    fn default() -> Self {
        Self {
            words: [0; WORDS],
            hashes: [0; WORDS],
            ids: [0; MAX_ENDS + RUN],
            missing: [0; MISSING],
            missing_count: 0,
            ends: PretokenEnds::default(),
        }
    }
}

impl Round {
    /// A round whose ends have a wrong limit, for the test that this is told.
    #[cfg(test)]
    pub fn with_limit(limit: usize) -> Self {
        Self { ends: PretokenEnds::with_limit(limit), ..Self::default() }
    }

    /// Cuts the text from `from` on and looks up what was cut. `is_valid` says that the text is UTF-8.
    #[inline]
    pub fn fill(
        &mut self,
        path: CodePath,
        text: &[u8],
        from: usize,
        is_valid: bool,
        lines: TokenLines,
    ) {
        let by_bits = is_valid && !path.is_scalar();
        path.run(Fill { round: self, text, from, by_bits, lines });
    }

    /// Where pretokens end.
    #[inline(always)]
    pub fn ends(&self) -> &PretokenEnds {
        &self.ends
    }

    /// The pretokens that are not in the table, by number.
    #[inline(always)]
    pub fn missing(&self) -> &[u16] {
        // As many as were written: at most one for each end.
        self.missing.get(..self.missing_count).unwrap_or(&[])
    }

    /// The hash of the key of pretoken `number`.
    #[inline(always)]
    pub fn hash(&self, number: usize) -> Option<u32> {
        self.hashes.get(number).copied()
    }

    /// Ids from that of pretoken `number` on, and what stands after them.
    #[inline(always)]
    pub fn ids_from(&self, number: usize) -> Option<&[u32; RUN]> {
        self.ids.get(number..)?.first_chunk()
    }
}

struct Fill<'a> {
    round: &'a mut Round,
    text: &'a [u8],
    from: usize,
    by_bits: bool,
    lines: TokenLines<'a>,
}

impl Vectorized for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { round, text, from, by_bits, lines } = self;
        let Round { words, hashes, ids, missing, missing_count, ends } = round;
        // What the round's places are in. After the text's end there is nothing.
        let rest = text.get(from..).unwrap_or(&[]);
        let mut made = 0;
        if by_bits {
            masks::fill(lanes, text, from, ends, |ends| {
                while made + LAG + KEYS_AT_ONCE <= ends.len() {
                    make_sixteen(lanes, rest, ends, made, words, hashes, lines);
                    made += KEYS_AT_ONCE;
                }
            });
            while made + KEYS_AT_ONCE <= ends.len() {
                make_sixteen(lanes, rest, ends, made, words, hashes, lines);
                made += KEYS_AT_ONCE;
            }
        } else {
            masks::fill_scalar(text, from, ends);
        }
        // There always are so many words: more ends are an error, see `PretokenEnds::are_complete`.
        let (words_left, hashes_left) = (words.iter_mut().skip(made), hashes.iter_mut().skip(made));
        let bounds = ends.bounds_from(made).windows(2);
        for ((bounds, word), hash) in bounds.zip(words_left).zip(hashes_left) {
            let &[start, end] = bounds else { continue };
            let length = end.wrapping_sub(start) as usize;
            *word = lanes::key_of(lanes::load_16_bytes(rest, start as usize), length, &KEPT);
            *hash = lanes::hash(*word);
            lines.prefetch(*hash);
        }
        *missing_count = look_up(lanes, ends.len(), words, hashes, ids, missing, lines);
    }
}

/// Writes the ids of the first `count` pretokens, and the numbers of those that are missing. Gives how
/// many are.
#[inline(always)]
fn look_up<L: Lanes>(
    lanes: L,
    count: usize,
    words: &[u128; WORDS],
    hashes: &[u32; WORDS],
    ids: &mut [u32; MAX_ENDS + RUN],
    missing: &mut [u16; MISSING],
    lines: TokenLines,
) -> usize {
    let (mut number, mut missing_count) = (0, 0);
    // There always are so many: more ends are an error, see `PretokenEnds::are_complete`.
    let (words, hashes) = (words.get(..count).unwrap_or(&[]), hashes.get(..count).unwrap_or(&[]));
    let ids = ids.get_mut(..count).unwrap_or(&mut []);
    for ((&word, &hash), id) in words.iter().zip(hashes).zip(ids) {
        let line = lines.of(hash);
        let found = lanes.find_key(&line.0, word, KEY);
        *id = line.id(found);
        #[expect(clippy::indexing_slicing, reason = "modulo the length: no check, no panic")]
        {
            missing[missing_count % MISSING] = number;
        }
        number += 1;
        missing_count += found / 8;
    }
    missing_count
}

/// Makes the words of sixteen pretokens and asks for their lines.
#[inline(always)]
fn make_sixteen<L: Lanes>(
    lanes: L,
    text: &[u8],
    ends: &PretokenEnds,
    from: usize,
    words: &mut [u128; WORDS],
    hashes: &mut [u32; WORDS],
    lines: TokenLines,
) {
    let words = words.get_mut(from..).and_then(|words| words.first_chunk_mut());
    let hashes = hashes.get_mut(from..).and_then(|hashes| hashes.first_chunk_mut());
    // There always are so many: more ends are an error, see `PretokenEnds::are_complete`.
    if let (Some(bounds), Some(words), Some(hashes)) = (ends.bounds_of(from), words, hashes) {
        lanes.keys(text, bounds, &KEPT, words, hashes);
        for &hash in &*hashes {
            lines.prefetch(hash);
        }
    }
}
