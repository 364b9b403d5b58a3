//! A round: some hundred pretokens that are cut and looked up together.
//!
//! ```text
//! cut       text -> where pretokens begin and end             (text/pretokenize/)
//! key       each pretoken -> its key, and the key's hash      (bpe/token_key.rs)
//! prefetch  the line of the token table that the hash names
//! look up   key -> id, or the pretoken is noted as missing    (bpe/token_table.rs)
//! ```
//!
//! Keys are made while the next window of text is cut. All lines of a round are prefetched before the
//! first is read, so that the processor waits for many at a time. Nothing branches on what is found: an
//! id is written for each pretoken, and means nothing for a missing one. That keys are made, hashed and
//! prefetched in a batch before any is used is an idea of the tokenizer gigatoken.

use crate::bpe::token_key::{KEY, KEY_MASKS};
use crate::bpe::token_table::TokenLines;
use crate::error::{Check, Error};
use crate::machine::code_path::CodePath;
use crate::machine::lanes::{self, KEYS_AT_ONCE, Lanes, Vectorized};
use crate::text::pretokenize::{MAX_ENDS, PretokenEnds, masks};

/// Ids that are emitted at a time: there are mostly fewer between two missing pretokens.
pub const IDS_AT_ONCE: usize = 32;

/// Room for the keys of a round. They are made sixteen at a time, so there may be some more of them than
/// pretokens.
const MAX_KEYS: usize = MAX_ENDS + KEYS_AT_ONCE;

/// Keys are made only of pretokens that are at least so many before the last one. A load that covers two
/// recent stores waits until both are in the cache, and the offsets of the newest window have just been
/// stored.
const KEY_LAG: usize = 16;

/// Room for the numbers of missing pretokens: more than there can be, and a power of two.
const MISSING_CAPACITY: usize = 512;
const _: () = assert!(MAX_ENDS < MISSING_CAPACITY);

/// A round of pretokens, and memory that is used again.
#[repr(align(64))]
pub struct Round {
    keys: [u128; MAX_KEYS],
    hashes: [u32; MAX_KEYS],
    /// The id of each pretoken; it means nothing for a missing one.
    ids: [u32; MAX_ENDS + IDS_AT_ONCE],
    missing: [u16; MISSING_CAPACITY],
    missing_count: usize,
    ends: PretokenEnds,
}

impl Default for Round {
    fn default() -> Self {
        Self {
            keys: [0; MAX_KEYS],
            hashes: [0; MAX_KEYS],
            ids: [0; MAX_ENDS + IDS_AT_ONCE],
            missing: [0; MISSING_CAPACITY],
            missing_count: 0,
            ends: PretokenEnds::default(),
        }
    }
}

impl Round {
    /// A round whose ends have a wrong limit, for the test that this is an error.
    #[cfg(test)]
    pub fn with_limit(limit: usize) -> Self {
        Self { ends: PretokenEnds::with_limit(limit), ..Self::default() }
    }

    /// Cuts the text from `from` on into pretokens and looks these up. `is_valid` says that the text is
    /// UTF-8. The work is [`FillRound`]'s `run` below, compiled for each kind of processor; `lines` are those
    /// of the token table.
    #[inline]
    pub fn fill(
        &mut self,
        path: CodePath,
        text: &[u8],
        from: usize,
        is_valid: bool,
        lines: TokenLines,
        check: &Check,
    ) {
        let use_masks = is_valid && !path.is_scalar();
        path.run(FillRound { round: self, text, from, use_masks, lines, check });
    }

    /// Where pretokens end.
    #[inline(always)]
    pub fn ends(&self) -> &PretokenEnds {
        &self.ends
    }

    /// Why the ends are not complete.
    #[cold]
    pub fn fault(&mut self) -> Error {
        self.ends.fault()
    }

    /// The numbers of the pretokens that are not in the lines of the token table.
    #[inline(always)]
    pub fn missing(&self) -> &[u16] {
        // At most one for each end. There is room for all, unless there are too many ends, which
        // `PretokenEnds::are_complete` tells.
        debug_assert!(self.missing_count <= self.missing.len() || !self.ends.are_complete());
        self.missing.get(..self.missing_count).unwrap_or(&[])
    }

    /// The hash of the key of pretoken `number`.
    #[inline(always)]
    pub fn hash(&self, number: usize) -> Option<u32> {
        self.hashes.get(number).copied()
    }

    /// Ids from that of pretoken `number` on. Those after the last pretoken mean nothing.
    #[inline(always)]
    pub fn ids_from(&self, number: usize) -> Option<&[u32; IDS_AT_ONCE]> {
        self.ids.get(number..)?.first_chunk()
    }
}

struct FillRound<'a> {
    round: &'a mut Round,
    text: &'a [u8],
    from: usize,
    use_masks: bool,
    lines: TokenLines<'a>,
    check: &'a Check<'a>,
}

impl Vectorized for FillRound<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { round, text, from, use_masks, lines, check } = self;
        let Round { keys, hashes, ids, missing, missing_count, ends } = round;
        // The bounds of the round count from here. After the text's end there is nothing, so no end.
        let rest = text.get(from..).unwrap_or(&[]);
        let mut key_count = 0;
        if use_masks {
            masks::fill(lanes, text, from, ends, check, |ends| {
                while key_count + KEY_LAG + KEYS_AT_ONCE <= ends.len() {
                    make_keys(lanes, rest, ends, key_count, keys, hashes, lines);
                    key_count += KEYS_AT_ONCE;
                }
            });
            while key_count + KEYS_AT_ONCE <= ends.len() {
                make_keys(lanes, rest, ends, key_count, keys, hashes, lines);
                key_count += KEYS_AT_ONCE;
            }
        } else {
            masks::fill_scalar(text, from, ends, check);
        }
        // There always are so many keys: more ends are an error, see `PretokenEnds::are_complete`.
        let (keys_left, hashes_left) =
            (keys.iter_mut().skip(key_count), hashes.iter_mut().skip(key_count));
        let bounds = ends.bounds_from(key_count);
        let bounds = bounds.iter().zip(bounds.iter().skip(1));
        for (((&start, &end), key), hash) in bounds.zip(keys_left).zip(hashes_left) {
            let length = end.wrapping_sub(start) as usize;
            *key = lanes::key_of(lanes::load_16_bytes(rest, start as usize), length, &KEY_MASKS);
            *hash = lanes::hash(*key);
            lines.prefetch(*hash);
        }
        *missing_count = look_up(lanes, ends.len(), keys, hashes, ids, missing, lines);
    }
}

/// Writes the ids of the first `count` pretokens, and the numbers of the missing ones. Gives how many
/// are missing.
#[inline(always)]
fn look_up<L: Lanes>(
    lanes: L,
    count: usize,
    keys: &[u128; MAX_KEYS],
    hashes: &[u32; MAX_KEYS],
    ids: &mut [u32; MAX_ENDS + IDS_AT_ONCE],
    missing: &mut [u16; MISSING_CAPACITY],
    lines: TokenLines,
) -> usize {
    let (mut number, mut missing_count) = (0, 0);
    // There always are so many: more ends are an error, see `PretokenEnds::are_complete`.
    let (keys, hashes) = (keys.get(..count).unwrap_or(&[]), hashes.get(..count).unwrap_or(&[]));
    let ids = ids.get_mut(..count).unwrap_or(&mut []);
    for ((&key, &hash), id) in keys.iter().zip(hashes).zip(ids) {
        let line = lines.of(hash);
        // 1, 3, 5 or 7, or 8 for a missing pretoken: then the id means nothing, and `found / 8` counts it.
        let found = lanes.find_key(&line.0, key, KEY);
        *id = line.id(found);
        #[expect(clippy::indexing_slicing, reason = "modulo the length: no check, no panic")]
        {
            missing[missing_count % MISSING_CAPACITY] = number;
        }
        number += 1;
        missing_count += found / 8;
    }
    missing_count
}

/// Makes the keys of sixteen pretokens and prefetches their lines.
#[inline(always)]
fn make_keys<L: Lanes>(
    lanes: L,
    text: &[u8],
    ends: &PretokenEnds,
    from: usize,
    keys: &mut [u128; MAX_KEYS],
    hashes: &mut [u32; MAX_KEYS],
    lines: TokenLines,
) {
    let keys = keys.get_mut(from..).and_then(|keys| keys.first_chunk_mut());
    let hashes = hashes.get_mut(from..).and_then(|hashes| hashes.first_chunk_mut());
    // There always are so many: more ends are an error, see `PretokenEnds::are_complete`.
    if let (Some(bounds), Some(keys), Some(hashes)) = (ends.bounds_of(from), keys, hashes) {
        lanes.keys(text, bounds, &KEY_MASKS, keys, hashes);
        for &hash in &*hashes {
            lines.prefetch(hash);
        }
    }
}
