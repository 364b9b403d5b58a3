//! The loop from text to ids, compared with the slow encoder and with itself.

use super::*;
use crate::added::Selection;
use crate::encode::offsets::Offsets;
use crate::machine::lanes::WINDOW;
use crate::reference::{self, sample_encoder};
use crate::text::span::Span;

#[test]
fn the_sinks_agree() {
    let encoder = sample_encoder();
    let options = Options { bos: true, eos: true, allowed: Selection::All, ..Options::default() };
    let text = "The quick <|eot_id|> brown\n\nfox's 12345 Ünïcödé <|nope|>".as_bytes();
    let (mut ids, mut count) = (Vec::new(), Count::default());
    let mut offsets = Offsets::new(&encoder.vocabulary);
    encoder.encode(text, &options, &mut ids, &reference::go_on).unwrap();
    encoder.encode(text, &options, &mut offsets, &reference::go_on).unwrap();
    encoder.encode(text, &options, &mut count, &reference::go_on).unwrap();
    assert_eq!(offsets.ids, ids);
    assert_eq!(count.0, ids.len());
    let mut at = 0;
    for (range, &id) in offsets.spans.iter().zip(&ids) {
        assert_eq!(range.start, at);
        at = range.end;
        if !range.is_empty() {
            assert_eq!(encoder.token_bytes(id), Some(&text[range.clone()]));
        }
    }
    assert_eq!(at, text.len());
}

/// A round that cuts more windows than it has room for gives an error, not fewer ids.
#[test]
fn a_round_that_loses_pretokens_is_an_error() {
    let encoder = sample_encoder();
    let text = "a1".repeat(300);
    for path in CodePath::available() {
        let encoder = Encoder::new(Arc::clone(&encoder.vocabulary), "sample", "llama3.1");
        let encoder = encoder.unwrap().on_path(path);
        let count = |limit: usize| {
            let round = Round::with_limit(limit);
            let mut scratch = Scratch { round, ..Scratch::default() };
            let mut ids = Vec::new();
            let result = encoder.encode_plain_with(
                text.as_bytes(),
                &mut ids,
                &mut scratch,
                &reference::go_on,
            );
            result.map(|()| ids.len())
        };
        let right = encoder.count(text.as_bytes(), &Options::default(), &reference::go_on).unwrap();
        assert_eq!(count(MAX_ENDS - WINDOW).unwrap(), right);
        let mut faults = 0;
        for limit in (0..MAX_ENDS + 2 * WINDOW).chain([usize::MAX]) {
            match count(limit) {
                Ok(count) => assert_eq!(count, right, "{} {limit}", path.name()),
                Err(Error::Internal(_)) => faults += 1,
                Err(error) => panic!("{error}"),
            }
        }
        // Such as 0, which cuts nothing, and limits beyond the room for ends.
        assert!(faults > WINDOW, "{faults} on {}", path.name());
    }
}

/// Ids don't depend on what the cache holds: as small and as large as it may be, with a million other
/// pretokens between.
#[test]
fn ids_do_not_depend_on_the_cache() {
    let (encoder, ranks) = reference::best_encoder();
    let text = "The caching Straße über 漢字かな交じり文 Привет, мир ".repeat(3)
        + &"unsplittablyverylongwordofmorethanthirtyonebytes ภาษาไทยไม่มีวรรค ".repeat(2);
    let expected = reference::encode(ranks, text.as_bytes());
    let many: String = (0..1_000_000u32).map(|n| format!(" q{n:x}z")).collect();
    for path in CodePath::available() {
        for cache in [0, 1, 1 << 20, cache::DEFAULT_LIMIT, 32 << 20] {
            let encoder = Encoder::new(Arc::clone(&encoder.vocabulary), "meta", "llama3.1");
            let encoder = encoder.unwrap().on_path(path).with_cache(cache);
            for _ in 0..3 {
                assert_eq!(reference::ids(&encoder, text.as_bytes()), expected);
            }
            if path == CodePath::best() || cache == cache::DEFAULT_LIMIT {
                encoder.count(many.as_bytes(), &Options::default(), &reference::go_on).unwrap();
                assert_eq!(reference::ids(&encoder, text.as_bytes()), expected);
            }
            let info = encoder.cache_info();
            assert!(info.bytes <= cache, "{info:?}");
        }
    }
}

/// Nor on what was overwritten: words that are too long for a line, some new and some again, so that the ring
/// goes round, grows, and goes round again.
#[test]
fn ids_do_not_depend_on_what_was_overwritten_in_the_cache() {
    let (encoder, _) = reference::best_encoder();
    let with_cache = |bytes| {
        let encoder = Encoder::new(Arc::clone(&encoder.vocabulary), "meta", "llama3.1");
        encoder.unwrap().with_cache(bytes)
    };
    let without = with_cache(0);
    let mut state = 1u64;
    let mut below = move |most: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % most
    };
    let letters: Vec<char> = "堀田仙台市出身何故か教員用éßбв".chars().collect();
    let words: Vec<String> = (0..12_000)
        .map(|_| (0..14 + below(20)).map(|_| letters[below(letters.len())]).collect())
        .collect();
    let expected: Vec<Vec<u32>> =
        words.iter().map(|word| reference::ids(&without, word.as_bytes())).collect();
    for (turn, limit) in (0..120).zip([1 << 20, 2 << 20, cache::DEFAULT_LIMIT].into_iter().cycle())
    {
        // A thread of its own, whose cache is empty.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let encoder = with_cache(limit);
                let check = |numbers: &mut dyn Iterator<Item = usize>| {
                    for number in numbers {
                        let found = reference::ids(&encoder, words[number].as_bytes());
                        assert!(
                            found == expected[number],
                            "word {number}, turn {turn}, {limit} bytes"
                        );
                    }
                };
                // New words, so that growing does not pay; then some of them again, so that it does;
                // then a few new ones, for which the cache grows; then all, the last ones first.
                let count = 1_500 + 31 * turn;
                check(&mut (0..count));
                for _ in 0..4 {
                    check(&mut (count - 400..count));
                }
                check(&mut (count..count + 20));
                check(&mut (0..count).rev());
            });
        });
    }
}

#[test]
fn whole_texts_are_encoded_counted_and_decoded_in_one_call() {
    let (encoder, options) = (sample_encoder(), Options::default());
    for (text, expected) in [
        (&b"some words"[..], "some words"),
        (b"", ""),
        // Each wrong byte is a token of its own, and comes back as the character that stands for it.
        (b"one \xff\xfe two", "one \u{FFFD}\u{FFFD} two"),
    ] {
        let ids = encoder.ids(text, &options).unwrap();
        assert_eq!(encoder.decode(&ids, false, &|| Ok(())).unwrap(), text);
        assert_eq!(encoder.count_of(text, &options).unwrap(), ids.len());
        assert_eq!(encoder.text(&ids).unwrap(), expected);
    }
    assert!(encoder.text(&[u32::MAX]).is_err());
}

#[test]
fn a_check_that_fails_stops_a_long_text_and_a_long_merge() {
    let encoder = sample_encoder();
    let stop = || Err(Error::Interrupted);
    for text in ["some words ".repeat(20_000), "z".repeat(200_000)] {
        let result = encoder.count(text.as_bytes(), &Options::default(), &stop);
        assert!(matches!(result, Err(Error::Interrupted)));
    }
    // One word, so that only merging calls `check`: a run, and letters in no order.
    let mixed = (0..2_000_000u64).map(|n| b'a' + (n.wrapping_mul(n) * 7 % 26) as u8).collect();
    for word in [vec![b'z'; 2_000_000], mixed] {
        let mut memory = crate::bpe::merge::MergeMemory::default();
        let result = encoder.vocabulary.merge(
            CodePath::best(),
            &word,
            Span::all_of(&word),
            &mut memory,
            &stop,
        );
        assert!(matches!(result, Err(Error::Interrupted)));
    }
}
