//! A text in pieces: its ids are those of the whole, as soon as they are given, and a text with a forbidden token is
//! refused as the whole is.

use std::sync::{Arc, OnceLock};

use arbitrary::{Arbitrary, Unstructured};
use llama3_tok::encode::incremental::IncrementalEncoder;
use llama3_tok::profile::PROFILES;
use llama3_tok::{Encoder, Options};

use crate::shared::{Chosen, Piece, encoders, go_on, ids_of, text_of, vocabulary};

/// Texts one after the other, each in pieces.
#[derive(Arbitrary, Debug)]
struct Input<'a> {
    profile: u8,
    allowed: Chosen,
    disallowed: Chosen,
    bos: bool,
    eos: bool,
    texts: Vec<Vec<Pushed<'a>>>,
}

/// What is pushed at once, in pieces of so many bytes; 0 for all at once.
#[derive(Arbitrary, Debug)]
struct Pushed<'a> {
    pieces: Vec<Piece<'a>>,
    step: u8,
}

/// The input is put together of pieces.
pub fn check(data: &[u8]) {
    static ENCODERS: OnceLock<Vec<Arc<Encoder>>> = OnceLock::new();
    let encoders = ENCODERS.get_or_init(|| {
        let vocabulary = vocabulary();
        let of = |name| encoders(&vocabulary, name).pop().expect("there is a code path");
        PROFILES.iter().map(|profile| Arc::new(of(profile.name))).collect()
    });
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let number = usize::from(input.profile) % PROFILES.len();
    let encoder = &encoders[number];
    let options = || Options {
        bos: input.bos,
        eos: input.eos,
        allowed: input.allowed.selection(encoder),
        disallowed: input.disallowed.selection(encoder),
    };
    let mut incremental = IncrementalEncoder::new(Arc::clone(encoder), options()).unwrap();
    for text in &input.texts {
        let (mut whole, mut ids) = (Vec::new(), Vec::new());
        for Pushed { pieces, step } in text {
            let pushed = text_of(pieces, number);
            let step = if *step == 0 { pushed.len().max(1) } else { usize::from(*step) };
            for piece in pushed.chunks(step) {
                let before = (ids.clone(), incremental.pending().to_vec(), incremental.bytes());
                match incremental.push(piece, &mut ids, &go_on) {
                    Ok(()) => whole.extend_from_slice(piece),
                    Err(error) => {
                        // It is as before, and the whole is refused for the same token.
                        let now = (ids, incremental.pending().to_vec(), incremental.bytes());
                        assert_eq!(now, before);
                        whole.extend_from_slice(piece);
                        let refused = ids_of(encoder, &whole, &options()).unwrap_err();
                        assert_eq!(error.to_string(), refused.to_string());
                        return;
                    }
                }
                assert_eq!(incremental.bytes(), whole.len());
                assert!(whole.ends_with(incremental.pending()));
            }
        }
        let settled = ids.clone();
        let finished = incremental.finish(&mut ids, &go_on);
        match (finished, ids_of(encoder, &whole, &options())) {
            (Ok(()), Ok(expected)) => {
                assert_eq!(ids, expected);
                assert!(expected.starts_with(&settled));
            }
            (Err(error), Err(refused)) => {
                assert_eq!(error.to_string(), refused.to_string());
                return;
            }
            (found, expected) => panic!("{found:?}, and of the whole {expected:?}"),
        }
        assert!(incremental.pending().is_empty());
    }
}
