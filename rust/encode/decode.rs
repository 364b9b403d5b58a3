//! Ids to bytes, and bytes to text as they come ([`TextDecoder`]).

use crate::encode::Encoder;
use crate::error::{Check, Error, always, slice};
use crate::vocabulary::decode_table::{DecodeTable, SLOT_BYTES};

/// Ids of a chunk: they are decoded into memory near the processor, and then added to the result.
const CHUNK_IDS: usize = 1 << 10;
/// Chunks between two calls of `check`, some tenths of a millisecond.
const CHECK_CHUNKS: usize = 1 << 6;
/// How many ids ahead the table is prefetched.
const AHEAD: usize = 32;
/// From so many ids on the table is worth making.
pub const MIN_IDS_TO_MAKE_TABLE: usize = 1 << 14;
/// From so many ids on the table is worth using: the memory of a chunk is cleared first, which takes as
/// long as decoding six ids one by one.
const MIN_IDS_TO_USE_TABLE: usize = 1 << 3;

impl Encoder {
    /// The bytes of `ids`, special tokens as their names or, if `skip_special`, left out.
    ///
    /// Ids are `u32`, `i32` or `i64`; one that no token has is [`Error::InvalidTokenId`], and then
    /// nothing is decoded.
    pub fn decode<I: Copy + Into<i64>>(
        &self,
        ids: &[I],
        skip_special: bool,
        check: &Check,
    ) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.decode_into(&mut bytes, ids, 0, skip_special, check)?;
        Ok(bytes)
    }

    /// Adds the bytes of `ids` to `bytes`. `before` other ids come before them, for the position in an error.
    pub fn decode_into<I: Copy + Into<i64>>(
        &self,
        bytes: &mut Vec<u8>,
        ids: &[I],
        before: usize,
        skip_special: bool,
        check: &Check,
    ) -> Result<(), Error> {
        // The table has the bytes of every token of the vocabulary, special or not.
        let skips_some = skip_special && self.added.has_special_below(self.vocabulary.len() as u32);
        if ids.len() >= MIN_IDS_TO_USE_TABLE
            && !skips_some
            && let Some(table) = self.vocabulary.decode_table()
        {
            return self.decode_with(table, bytes, ids, before, skip_special, check);
        }
        for (number, ids) in (0..).zip(ids.chunks(CHUNK_IDS)) {
            for (position, &id) in (before + number * CHUNK_IDS..).zip(ids) {
                add(bytes, self.decode_one(id.into(), position, skip_special)?)?;
            }
            check_after(number, check)?;
        }
        Ok(())
    }

    /// The same with the table. In a function of its own: a few ids do without the memory of a chunk on the stack.
    #[inline(never)]
    fn decode_with<I: Copy + Into<i64>>(
        &self,
        table: &DecodeTable,
        bytes: &mut Vec<u8>,
        ids: &[I],
        before: usize,
        skip_special: bool,
        check: &Check,
    ) -> Result<(), Error> {
        let mut buffer = [0; CHUNK_IDS * SLOT_BYTES];
        for (number, ids) in (0..).zip(ids.chunks(CHUNK_IDS)) {
            let before = before + number * CHUNK_IDS;
            self.decode_chunk(bytes, ids, before, skip_special, table, &mut buffer)?;
            check_after(number, check)?;
        }
        Ok(())
    }

    /// The same, but an id that no token has becomes `unknown`: models may have more rows than their tokenizer has
    /// tokens. A negative id is an error as always.
    pub fn decode_lenient_into<I: Copy + Into<i64>>(
        &self,
        bytes: &mut Vec<u8>,
        ids: &[I],
        before: usize,
        skip_special: bool,
        unknown: &str,
        check: &Check,
    ) -> Result<(), Error> {
        for (index, &id) in ids.iter().enumerate() {
            let id = id.into();
            match self.decode_one(id, before + index, skip_special) {
                Ok(token) => add(bytes, token)?,
                Err(Error::InvalidTokenId { .. }) if id >= 0 => add(bytes, unknown.as_bytes())?,
                Err(error) => return Err(error),
            }
            if index % (CHUNK_IDS * CHECK_CHUNKS) == CHUNK_IDS * CHECK_CHUNKS - 1 {
                check()?;
            }
        }
        Ok(())
    }

    /// The same for a chunk, with the table.
    fn decode_chunk<I: Copy + Into<i64>>(
        &self,
        bytes: &mut Vec<u8>,
        ids: &[I],
        before: usize,
        skip_special: bool,
        table: &DecodeTable,
        buffer: &mut [u8; CHUNK_IDS * SLOT_BYTES],
    ) -> Result<(), Error> {
        let mut count = 0;
        for (position, &id) in ids.iter().enumerate() {
            if let Some(&ahead) = ids.get(position + AHEAD) {
                table.prefetch(ahead.into());
            }
            // A token without a slot, or without room for one, is decoded below.
            if let Some((slot, length)) = table.get(id.into())
                && let Some(target) = buffer.get_mut(count..).and_then(<[u8]>::first_chunk_mut)
            {
                *target = slot;
                count += length;
                continue;
            }
            let token = self.decode_one(id.into(), before + position, skip_special)?;
            add(bytes, slice(buffer, ..count)?)?;
            add(bytes, token)?;
            count = 0;
        }
        add(bytes, slice(buffer, ..count)?)
    }

    /// The bytes of any id; none of a special one if `skip_special`. `position` is where the id stands, for the
    /// error.
    pub fn decode_one(&self, id: i64, position: usize, skip_special: bool) -> Result<&[u8], Error> {
        let known = u32::try_from(id).ok().and_then(|id| Some((id, self.token_bytes(id)?)));
        match known {
            Some((id, _)) if skip_special && self.added.is_special(id) => Ok(b""),
            Some((_, bytes)) => Ok(bytes),
            None => Err(Error::InvalidTokenId { id, position, vocab_size: self.vocab_size() }),
        }
    }
}

/// Calls `check` after each [`CHECK_CHUNKS`] chunks.
fn check_after(number: usize, check: &Check) -> Result<(), Error> {
    if number % CHECK_CHUNKS == CHECK_CHUNKS - 1 { check() } else { Ok(()) }
}

fn add(bytes: &mut Vec<u8>, more: &[u8]) -> Result<(), Error> {
    bytes.try_reserve(more.len())?;
    bytes.extend_from_slice(more);
    Ok(())
}

/// Bytes to text as they come. Text is given as soon as no further byte can change it.
///
/// In all it is the text of `String::from_utf8_lossy`, and of Python's `errors="replace"`: what is not
/// UTF-8 becomes U+FFFD, one for each longest beginning of a character and one for each other byte. Only
/// the beginning of a character at the end is held, at most three bytes.
#[derive(Clone, Default)]
pub struct TextDecoder {
    held: Vec<u8>,
}

impl TextDecoder {
    /// The bytes held.
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// The text of the held bytes and `bytes`; up to three of the last ones may then be held.
    pub fn push(&mut self, bytes: &[u8]) -> Result<String, Error> {
        add(&mut self.held, bytes)?;
        let mut text = String::new();
        // Each U+FFFD stands for at least one byte.
        text.try_reserve(self.held.len())?;
        let mut rest = self.held.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, rest_from_error) = always(
                        rest.split_at_checked(error.valid_up_to()),
                        "an error is outside of its text",
                    )?;
                    text.push_str(always(
                        std::str::from_utf8(valid).ok(),
                        "it is valid up to there",
                    )?);
                    rest = rest_from_error;
                    let Some(length) = error.error_len() else { break };
                    text.try_reserve(REPLACEMENT.len_utf8() + rest.len())?;
                    text.push(REPLACEMENT);
                    rest = slice(rest, length..)?;
                }
            }
        }
        self.held = rest.to_vec();
        Ok(text)
    }

    /// Ends the text: held bytes, which are the beginning of a character without its end, become U+FFFD.
    pub fn flush(&mut self) -> &'static str {
        let is_empty = std::mem::take(&mut self.held).is_empty();
        if is_empty { "" } else { "\u{FFFD}" }
    }
}

const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reference::{cases, go_on, sample_encoder};

    proptest! {
        #![proptest_config(cases(20_000))]

        /// In all it is the text that the standard library gives, and no byte is held whose text is certain.
        #[test]
        fn a_stream_gives_the_text_of_all_bytes_as_soon_as_it_is_certain(
            chunks in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..4),
                    prop::collection::vec(prop_oneof![
                        Just(0xE0), Just(0xED), Just(0xF0), Just(0xF4), Just(0xC2),
                        0x80..=0xBFu8, Just(b'a'),
                    ], 0..5),
                    "\\PC{1,3}".prop_flat_map(|text| {
                        let bytes = text.into_bytes();
                        (0..=bytes.len()).prop_map(move |end| bytes[..end].to_vec())
                    }),
                ],
                0..8,
            ),
        ) {
            let mut stream = TextDecoder::default();
            let mut text = String::new();
            for part in &chunks {
                text.push_str(&stream.push(part).unwrap());
                prop_assert!(stream.held().len() <= 3);
                // Some valid character begins with what is held.
                let next = |byte: u8| std::str::from_utf8(&[stream.held(), &[byte]].concat())
                    .map_or_else(|error| error.error_len().is_none(), |_| true);
                prop_assert!((0..=255).any(next));
            }
            text.push_str(stream.flush());
            let all = chunks.concat();
            prop_assert_eq!(text, String::from_utf8_lossy(&all));
            prop_assert_eq!(stream.flush(), "");
        }
    }

    #[test]
    fn ids_out_of_range_are_named_with_their_position() {
        let encoder = sample_encoder();
        let size = encoder.vocab_size() as i64;
        for bad in [-1, size, 1 << 40, i64::MIN] {
            let error = encoder.decode(&[0, bad], false, &go_on).unwrap_err();
            assert!(matches!(error, Error::InvalidTokenId { id, position: 1, .. } if id == bad));
        }
        assert_eq!(encoder.decode::<u32>(&[], false, &go_on).unwrap(), b"");
    }

    #[test]
    fn special_tokens_are_their_names_or_left_out() {
        let encoder = sample_encoder();
        let eot = encoder.token_id(b"<|eot_id|>").unwrap();
        let a = encoder.token_id(b"a").unwrap();
        assert_eq!(encoder.decode(&[a, eot, a], false, &go_on).unwrap(), b"a<|eot_id|>a");
        assert_eq!(encoder.decode(&[a, eot, a], true, &go_on).unwrap(), b"aa");
    }

    #[test]
    fn the_table_changes_nothing() {
        let encoder = sample_encoder();
        assert!(encoder.vocabulary.decode_table().is_none());
        decodes_rightly(encoder);
        encoder.vocabulary.make_decode_table();
        assert!(encoder.vocabulary.decode_table().is_some());
        decodes_rightly(encoder);
    }

    fn decodes_rightly(encoder: &Encoder) {
        // Every token at many positions of a chunk, special and long ones among them.
        let size = encoder.vocab_size() as u32;
        let ids: Vec<u32> = (0..10 * CHUNK_IDS as u32).map(|number| number * 7919 % size).collect();
        for count in [
            0,
            1,
            MIN_IDS_TO_USE_TABLE - 1,
            MIN_IDS_TO_USE_TABLE,
            CHUNK_IDS - 1,
            CHUNK_IDS,
            CHUNK_IDS + 1,
            ids.len(),
        ] {
            let ids = &ids[..count];
            for skip in [false, true] {
                let kept = ids.iter().filter(|&&id| !skip || !encoder.added.is_special(id));
                let expected: Vec<u8> =
                    kept.flat_map(|&id| encoder.token_bytes(id).unwrap()).copied().collect();
                assert_eq!(encoder.decode(ids, skip, &go_on).unwrap(), expected);
            }
        }
        let mut ids: Vec<i64> = ids.into_iter().map(i64::from).collect();
        for target in [0, 5, CHUNK_IDS, ids.len() - 1] {
            let before = std::mem::replace(&mut ids[target], i64::from(size));
            let error = encoder.decode(&ids, false, &go_on).unwrap_err();
            assert!(matches!(error, Error::InvalidTokenId { position, .. } if position == target));
            ids[target] = before;
        }
    }

    #[test]
    fn a_check_that_fails_stops_decoding() {
        let encoder = sample_encoder();
        let ids = vec![0; (CHECK_CHUNKS + 1) * CHUNK_IDS];
        let stopped = encoder.decode(&ids, false, &|| Err(Error::Interrupted));
        assert!(matches!(stopped, Err(Error::Interrupted)));
    }
}
