//! The ids of any bytes, on every code path: those of the obvious encoder.

use std::sync::OnceLock;

use llama3_tok::encode::offsets::{Offsets, char_spans};
use llama3_tok::{Encoder, Options};

use crate::shared::obvious::{self, RankMap};
use crate::shared::{MAX_BYTES, agree, encoders, go_on, ids_of, ranks_of, vocabulary};

/// The input is the text.
pub fn check(data: &[u8]) {
    static ENCODERS: OnceLock<(Vec<Encoder>, RankMap)> = OnceLock::new();
    let (encoders, ranks) = ENCODERS.get_or_init(|| {
        let vocabulary = vocabulary();
        (encoders(&vocabulary, "llama3.1"), ranks_of(&vocabulary))
    });
    let text = &data[..data.len().min(MAX_BYTES)];
    let (options, expected) = (Options::default(), obvious::encode(ranks, text));
    for encoder in encoders {
        // Twice: what an encoder with a cache merged it then finds there.
        for _ in 0..2 {
            let ids = ids_of(encoder, text, &options).unwrap();
            assert_eq!(ids, expected, "on the path {}", encoder.path().name());
        }
    }
    let encoder = &encoders[0];
    agree(encoder, text, &options, &expected);
    assert_eq!(encoder.decode(&expected, false, &go_on).unwrap(), text);
    assert!(encoder.is_canonical(&expected, &go_on).unwrap());
    characters(encoder, text);
}

/// Each token has all characters of which it has a byte.
fn characters(encoder: &Encoder, text: &[u8]) {
    let mut offsets = Offsets::new(&encoder.vocabulary);
    encoder.encode(text, &Options::default(), &mut offsets, &go_on).unwrap();
    let found = char_spans(text, &[], &offsets.spans, &go_on).unwrap();
    // The number of the character that each byte is in.
    let (mut numbers, mut number) = (Vec::new(), 0);
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            numbers.extend(vec![number; character.len_utf8()]);
            number += 1;
        }
        for _ in chunk.invalid() {
            numbers.push(number);
            number += 1;
        }
    }
    for (span, characters) in offsets.spans.iter().zip(found) {
        assert_eq!(characters, numbers[span.start]..numbers[span.end - 1] + 1);
    }
}
