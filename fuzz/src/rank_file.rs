//! Any rank file: read as a reader reads it that goes by the rules and knows no shortcut.

use std::collections::HashSet;
use std::sync::Arc;

use llama3_tok::vocabulary::parse::other_format;
use llama3_tok::{Content, Options, Vocabulary};

use crate::shared::obvious::{self, base64, rank_file};
use crate::shared::{ids_of, plain_encoders, ranks_of};

/// The most bytes of a token.
const MAX_TOKEN_BYTES: usize = 1024;
/// The most bytes of the text that is encoded with a vocabulary.
const MAX_BYTES: usize = 300;

/// The input is a file; after `+` it is what comes after the lines of the single bytes.
pub fn check(data: &[u8]) {
    let single: Vec<Vec<u8>> = (0..=u8::MAX).map(|byte| vec![byte]).collect();
    let data = match data {
        [b'+', rest @ ..] => [rank_file(&single).as_bytes(), rest].concat(),
        _ => data.to_vec(),
    };
    // JSON is the next target's, and what begins as other files do is refused as these.
    if other_format(&data).is_some() || data.trim_ascii_start().starts_with(b"{") {
        let _ = Vocabulary::parse(&Content::new(&data), "file");
        return;
    }
    let expected = tokens_of(&data);
    match (Vocabulary::parse(&Content::new(&data), "file"), expected) {
        (Err(error), None) => assert!(error.to_string().starts_with("file"), "{error}"),
        (Ok(vocabulary), Some(tokens)) => {
            assert_eq!(vocabulary.len(), tokens.len());
            for ((_, found), token) in vocabulary.iter().zip(&tokens) {
                assert_eq!(found, token);
            }
            assert_eq!(vocabulary.rank_file().unwrap(), rank_file(&tokens).into_bytes());
            encodes(Arc::new(vocabulary), &tokens);
        }
        (Ok(_), None) => panic!("it is read, and the rules refuse it"),
        (Err(error), Some(_)) => panic!("the rules allow it: {error}"),
    }
}

/// The tokens of a file by the rules; `None` if one is broken.
fn tokens_of(file: &[u8]) -> Option<Vec<Vec<u8>>> {
    let lines = file.strip_suffix(b"\n").unwrap_or(file).split(|&byte| byte == b'\n');
    let mut tokens: Vec<Option<Vec<u8>>> = vec![None; lines.clone().count()];
    for line in lines {
        let line = std::str::from_utf8(line).ok()?;
        let (bytes, rank) = line.split_once(' ')?;
        let number: usize = rank.parse().ok()?;
        // No sign, and no zeros before it.
        if number.to_string() != rank || number >= 1_000_000 {
            return None;
        }
        let slot = tokens.get_mut(number)?;
        if slot.is_some() {
            return None;
        }
        *slot = Some(bytes_of(bytes)?);
    }
    let tokens: Vec<Vec<u8>> = tokens.into_iter().collect::<Option<_>>()?;
    let distinct: HashSet<&Vec<u8>> = tokens.iter().collect();
    let has_bytes = (0..=u8::MAX).all(|byte| distinct.contains(&vec![byte]));
    (has_bytes && distinct.len() == tokens.len()).then_some(tokens)
}

/// The bytes that are written so in base64, and in no other way.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        bits = bits << 6 | DIGITS.iter().position(|&digit| digit == byte)? as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    let fits = (1..=MAX_TOKEN_BYTES).contains(&bytes.len()) && base64(&bytes) == text;
    fits.then_some(bytes)
}

/// The ids of a text that has all long tokens are those of the obvious encoder.
fn encodes(vocabulary: Arc<Vocabulary>, tokens: &[Vec<u8>]) {
    let long = tokens.iter().filter(|token| token.len() > 1);
    let text: Vec<u8> = long.flatten().copied().take(MAX_BYTES).collect();
    let expected = obvious::encode(&ranks_of(&vocabulary), &text);
    let encoder = plain_encoders(&vocabulary).pop().expect("there is a code path");
    assert_eq!(ids_of(&encoder, &text, &Options::default()).unwrap(), expected);
}
