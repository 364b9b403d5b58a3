//! Ids in pieces: the text of all of them at once, of which nothing is held that is certain.

use std::sync::OnceLock;

use arbitrary::{Arbitrary, Unstructured};
use llama3_tok::Encoder;
use llama3_tok::encode::decode::TextDecoder;

use crate::decode::Id;
use crate::shared::{encoders, go_on, small_vocabulary};

/// Pieces of ids, and of bytes that are pushed as they are.
#[derive(Arbitrary, Debug)]
struct Input<'a> {
    skip_special: bool,
    pieces: Vec<Piece<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Piece<'a> {
    Ids(Vec<Id>),
    Bytes(&'a [u8]),
}

/// The input is put together of pieces.
pub fn check(data: &[u8]) {
    static ENCODER: OnceLock<Encoder> = OnceLock::new();
    let encoder = ENCODER.get_or_init(|| {
        let mut encoders = encoders(&small_vocabulary(), "llama3.1");
        encoders.pop().expect("there is a code path")
    });
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let (mut stream, mut told, mut all) = (TextDecoder::default(), String::new(), Vec::new());
    let mut count = 0;
    for piece in &input.pieces {
        let mut bytes = Vec::new();
        match piece {
            Piece::Bytes(piece) => bytes.extend_from_slice(piece),
            Piece::Ids(ids) => {
                let ids: Vec<i64> = ids.iter().map(|id| id.of(encoder)).collect();
                let skip = input.skip_special;
                // A negative id is an error.
                let decoded =
                    encoder.decode_lenient_into(&mut bytes, &ids, count, skip, "\u{FFFD}", &go_on);
                if decoded.is_err() {
                    continue;
                }
                count += ids.len();
            }
        }
        told.push_str(&stream.push(&bytes).unwrap());
        all.extend_from_slice(&bytes);
        is_a_beginning(stream.held());
        assert!(all.ends_with(stream.held()));
    }
    told.push_str(stream.flush());
    assert_eq!(told, String::from_utf8_lossy(&all));
    assert_eq!(stream.flush(), "");
    assert!(stream.held().is_empty());
}

/// What is held is the beginning of some character, or nothing.
fn is_a_beginning(held: &[u8]) {
    match std::str::from_utf8(held) {
        Ok(text) => assert_eq!(text, ""),
        Err(error) => assert_eq!((error.valid_up_to(), error.error_len()), (0, None)),
    }
}
