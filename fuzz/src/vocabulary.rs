//! Any vocabulary: parts may rank above their whole, tokens may be unreachable. Merging follows the rule, and what is
//! written of the vocabulary reads back as the same.

use std::collections::HashSet;
use std::sync::Arc;

use arbitrary::{Arbitrary, Unstructured};
use llama3_tok::{Content, Options, Vocabulary};

use crate::shared::obvious::{self, rank_file};
use crate::shared::{go_on, ids_of, plain_encoders, ranks_of};
use crate::tokenizer_json::json_of;

/// A token or a part of a text.
#[derive(Arbitrary, Debug)]
enum Part<'a> {
    /// Of three letters, so that tokens are parts of each other.
    Letters(&'a [u8]),
    /// Any bytes.
    Bytes(&'a [u8]),
    /// Letters many times.
    Repeated(&'a [u8], u8),
}

impl Part<'_> {
    fn bytes(&self) -> Vec<u8> {
        let letters = |bytes: &[u8]| bytes.iter().map(|byte| b'a' + byte % 3).collect::<Vec<u8>>();
        match self {
            Self::Letters(bytes) => letters(bytes),
            Self::Bytes(bytes) => bytes.to_vec(),
            Self::Repeated(bytes, times) => letters(bytes).repeat(usize::from(*times)),
        }
    }
}

/// Tokens besides the single bytes, and a text.
#[derive(Arbitrary, Debug)]
struct Input<'a> {
    bytes_first: bool,
    tokens: Vec<Part<'a>>,
    text: Vec<Part<'a>>,
}

/// The most tokens besides the single bytes, since each input makes a vocabulary.
const MAX_TOKENS: usize = 60;
/// The most bytes of such a token: a few more than the most that are merged at once.
const MAX_TOKEN_BYTES: usize = 80;
/// The most bytes of a text.
const MAX_BYTES: usize = 400;

/// The input is put together of tokens and parts of a text.
pub fn check(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let mut known = HashSet::new();
    let long = input.tokens.iter().map(Part::bytes).filter(|token| token.len() > 1);
    let long: Vec<Vec<u8>> = long
        .filter(|token| token.len() <= MAX_TOKEN_BYTES && known.insert(token.clone()))
        .take(MAX_TOKENS)
        .collect();
    let single: Vec<Vec<u8>> = (0..=u8::MAX).map(|byte| vec![byte]).collect();
    let tokens = if input.bytes_first { [single, long] } else { [long, single] }.concat();
    let content = Content::new(rank_file(&tokens));
    let vocabulary = Arc::new(Vocabulary::parse(&content, "tokens").unwrap());
    let ranks = ranks_of(&vocabulary);
    assert!(tokens.iter().zip(0..).all(|(token, id)| ranks[token] == id));

    let mut text: Vec<u8> = input.text.iter().flat_map(Part::bytes).take(MAX_BYTES).collect();
    if text.is_empty() {
        text = tokens.concat().into_iter().take(MAX_BYTES).collect();
    }
    let expected = obvious::encode(&ranks, &text);
    for encoder in plain_encoders(&vocabulary) {
        let ids = ids_of(&encoder, &text, &Options::default()).unwrap();
        assert_eq!(ids, expected, "on the path {}", encoder.path().name());
    }
    for token in tokens.iter().filter(|token| token.len() > 1) {
        let steps = vocabulary.merge_steps(token, &|| Ok(())).unwrap();
        assert_eq!(steps.len(), token.len() - obvious::merge(&ranks, token).len());
    }
    is_read_back(&vocabulary);
}

/// What is written of a vocabulary reads back as the same: as a rank file, and as a `tokenizer.json`.
fn is_read_back(vocabulary: &Vocabulary) {
    let again = Vocabulary::parse(&Content::new(vocabulary.rank_file().unwrap()), "").unwrap();
    assert_eq!(vocabulary.differs_from(&again), None);
    let (tokens, merges) = (vocabulary.written_tokens(), vocabulary.written_merges(&go_on));
    let json = json_of(&tokens.unwrap(), &merges.unwrap());
    let again = Vocabulary::parse(&Content::new(json), "").unwrap();
    assert_eq!(vocabulary.differs_from(&again), None);
}
