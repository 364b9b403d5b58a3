//! Any added tokens, with names that overlap and with all flags: found as the rule says.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arbitrary::{Arbitrary, Unstructured};
use llama3_tok::added::{AddedToken, Selection};
use llama3_tok::encode::incremental::IncrementalEncoder;
use llama3_tok::profile::Roles;
use llama3_tok::{Encoder, Options, Vocabulary};

use crate::shared::obvious::{self, RankMap};
use crate::shared::obvious_added::added_in;
use crate::shared::{MAX_BYTES, agree, go_on, ids_of, ranks_of, vocabulary};

/// A token.
#[derive(Arbitrary, Debug)]
struct Given<'a> {
    name: &'a str,
    special: bool,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
}

/// A part of a text.
#[derive(Arbitrary, Debug)]
enum Part<'a> {
    Text(&'a str),
    Name(u8),
}

/// Tokens, and a text that comes in pieces.
#[derive(Arbitrary, Debug)]
struct Input<'a> {
    all: bool,
    tokens: Vec<Given<'a>>,
    parts: Vec<Part<'a>>,
    pieces: Vec<u8>,
}

/// The most added tokens: the rule is tried with each at every position.
const MAX_TOKENS: usize = 40;

/// The input is put together of tokens and parts.
pub fn check(data: &[u8]) {
    static VOCABULARY: OnceLock<(Arc<Vocabulary>, RankMap)> = OnceLock::new();
    let (vocabulary, ranks) = VOCABULARY.get_or_init(|| {
        let vocabulary = vocabulary();
        let ranks = ranks_of(&vocabulary);
        (vocabulary, ranks)
    });
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let tokens: Vec<AddedToken> = (ranks.len() as u32..)
        .zip(input.tokens.iter().take(MAX_TOKENS))
        .map(|(id, given)| AddedToken {
            id,
            name: given.name.to_owned(),
            special: given.special,
            single_word: given.single_word,
            lstrip: given.lstrip,
            rstrip: given.rstrip,
            normalized: given.normalized,
        })
        .collect();
    let encoder = Encoder::with_added(
        Arc::clone(vocabulary),
        "added",
        tokens.clone(),
        Roles::default(),
        None,
    );
    // A name that is empty, that is there twice, or that is one of the vocabulary's tokens.
    let Ok(encoder) = encoder else { return };
    let text = text_of(&input.parts, &tokens);
    let found = added_in(&tokens, &text, input.all);
    let mut expected = Vec::new();
    let mut at = 0;
    for (Range { start, end }, id) in found {
        expected.extend(obvious::encode(ranks, &text.as_bytes()[at..start]));
        expected.push(id);
        at = end;
    }
    expected.extend(obvious::encode(ranks, &text.as_bytes()[at..]));
    let allowed = || if input.all { Selection::All } else { Selection::None };
    let options = Options { allowed: allowed(), ..Options::default() };
    assert_eq!(ids_of(&encoder, text.as_bytes(), &options).unwrap(), expected);
    agree(&encoder, text.as_bytes(), &options, &expected);
    in_pieces(encoder, text.as_bytes(), options, &input.pieces, &expected);
}

fn text_of(parts: &[Part], tokens: &[AddedToken]) -> String {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Text(part) => text.push_str(part),
            Part::Name(number) if !tokens.is_empty() => {
                text.push_str(&tokens[usize::from(*number) % tokens.len()].name);
            }
            Part::Name(_) => {}
        }
        if text.len() > MAX_BYTES {
            break;
        }
    }
    text
}

/// However the text is divided, its ids are the same.
fn in_pieces(encoder: Encoder, text: &[u8], options: Options, pieces: &[u8], expected: &[u32]) {
    let mut incremental = IncrementalEncoder::new(Arc::new(encoder), options).unwrap();
    let (mut ids, mut at) = (Vec::new(), 0);
    for &piece in pieces {
        let end = (at + usize::from(piece)).min(text.len());
        incremental.push(&text[at..end], &mut ids, &go_on).unwrap();
        assert_eq!(ids, expected[..ids.len()]);
        at = end;
    }
    incremental.push(&text[at..], &mut ids, &go_on).unwrap();
    incremental.finish(&mut ids, &go_on).unwrap();
    assert_eq!(ids, expected);
}
