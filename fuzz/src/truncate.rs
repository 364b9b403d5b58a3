//! The longest beginning and the longest end of a text that have at most so many tokens, among all that there are.

use std::sync::OnceLock;

use arbitrary::{Arbitrary, Unstructured};
use llama3_tok::profile::PROFILES;
use llama3_tok::{Encoder, Error, Options};

use crate::shared::{Chosen, Piece, encoders, go_on, text_of, vocabulary};

/// A text and a limit.
#[derive(Arbitrary, Debug)]
struct Input<'a> {
    profile: u8,
    allowed: Chosen,
    bos: bool,
    eos: bool,
    limit: u8,
    pieces: Vec<Piece<'a>>,
}

/// The most bytes of a text: each of its beginnings and ends is encoded.
const MAX_BYTES: usize = 400;

/// The input is put together of pieces.
pub fn check(data: &[u8]) {
    static ENCODERS: OnceLock<Vec<Encoder>> = OnceLock::new();
    let encoders = ENCODERS.get_or_init(|| {
        let vocabulary = vocabulary();
        let of = |name| encoders(&vocabulary, name).pop().expect("there is a code path");
        PROFILES.iter().map(|profile| of(profile.name)).collect()
    });
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let number = usize::from(input.profile) % PROFILES.len();
    let (encoder, limit) = (&encoders[number], usize::from(input.limit));
    let mut text = text_of(&input.pieces, number);
    text.truncate(MAX_BYTES);
    let options = Options {
        bos: input.bos,
        eos: input.eos,
        allowed: input.allowed.selection(encoder),
        ..Options::default()
    };
    let prefix = encoder.longest_prefix(&text, limit, &options, &go_on);
    let suffix = encoder.longest_suffix(&text, limit, &options, &go_on);
    let ends = encoder.added_ends(&options).unwrap();
    if limit < ends {
        for found in [prefix, suffix] {
            assert!(matches!(found, Err(Error::NoRoom { .. })), "{found:?}");
        }
        return;
    }
    let fits = |part: &[u8]| encoder.count(part, &options, &go_on).unwrap() <= limit;
    let places = places(&text);
    let end = places.iter().rev().find(|&&at| fits(&text[..at]));
    let start = places.iter().find(|&&at| fits(&text[at..]));
    assert_eq!(prefix.unwrap(), *end.expect("the empty text fits"));
    assert_eq!(suffix.unwrap(), *start.expect("the empty text fits"));
}

/// The places between characters, where a byte outside of valid UTF-8 is one.
fn places(text: &[u8]) -> Vec<usize> {
    let (mut places, mut at) = (vec![0], 0);
    for chunk in text.utf8_chunks() {
        let lengths = chunk.valid().chars().map(char::len_utf8);
        for length in lengths.chain(chunk.invalid().iter().map(|_| 1)) {
            at += length;
            places.push(at);
        }
    }
    places
}
