//! The lemmas of this folder by brute force: certain merges, boundaries and windows give what the rule
//! gives as it is written. With vocabularies of random tokens and random ranks, where parts rank above
//! their whole and some tokens are never reached, and with Meta's.

use std::sync::Arc;

use proptest::prelude::*;

use crate::bpe::few_bytes::{FEW_BYTES, merge_few_bytes};
use crate::bpe::merge::MergeMemory;
use crate::bpe::short_merge::{SHORT_BYTES, ShortMerge};
use crate::encode::Encoder;
use crate::machine::code_path::CodePath;
use crate::reference::{self, best_encoder, cases, go_on, ranks_of, vocabulary_of};
use crate::text::span::Span;
use crate::vocabulary::Vocabulary;

/// What merging a word of up to [`SHORT_BYTES`] bytes gives.
fn merged(vocabulary: &Vocabulary, bytes: &[u8]) -> Vec<u32> {
    let (mut word, mut ids) = (ShortMerge::default(), [0; SHORT_BYTES]);
    word.begin(vocabulary.certain(), bytes);
    word.filter(vocabulary.pairs());
    word.look_up(vocabulary.pairs());
    let count = word.finish(vocabulary.pairs(), &mut ids);
    ids[..count].to_vec()
}

/// The same for a word of two to [`FEW_BYTES`] bytes, if it is not one token.
fn few(vocabulary: &Vocabulary, word: &[u8]) -> Vec<u32> {
    let (ids, count) = merge_few_bytes(vocabulary.certain(), vocabulary.pairs(), word);
    ids[..count].to_vec()
}

/// A vocabulary of tokens made of `letters`, some of them parts of characters, of any ranks.
fn vocabularies(letters: &'static [&'static str]) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let letter = prop::sample::select(letters);
    let token = prop::collection::vec(letter, 1..6)
        .prop_map(|letters| letters.concat().into_bytes())
        .prop_flat_map(|bytes| (Just(bytes), 0..3usize, 0..3usize))
        .prop_map(|(bytes, first, last)| {
            let last = bytes.len().saturating_sub(last).max(first + 1).min(bytes.len());
            bytes[first.min(last - 1)..last].to_vec()
        });
    let tokens = prop::collection::hash_set(token, 0..60);
    (tokens, any::<u64>()).prop_map(|(tokens, seed)| {
        let mut tokens: Vec<Vec<u8>> = tokens.into_iter().filter(|token| token.len() > 1).collect();
        tokens.extend((0..=255u8).map(|byte| vec![byte]));
        // Any order, bytes among them.
        tokens.sort_by_cached_key(|token| {
            let mut hash = seed;
            for &byte in token {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
            }
            hash
        });
        tokens
    })
}

/// Tokens that merging gives, mostly: for each text also its characters, and what it begins with, the shortest
/// first.
fn with_beginnings(tokens: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut all = tokens.to_vec();
    for text in tokens.iter().filter_map(|token| str::from_utf8(token).ok()) {
        for (at, character) in text.char_indices() {
            let bytes = &text.as_bytes()[at..at + character.len_utf8()];
            all.extend((1..=bytes.len()).map(|length| bytes[..length].to_vec()));
            all.push(text.as_bytes()[..at + bytes.len()].to_vec());
        }
    }
    all.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    all.dedup();
    all
}

fn vocabulary(tokens: &[Vec<u8>]) -> Arc<Vocabulary> {
    Arc::new(vocabulary_of(tokens))
}

const ASCII: &[&str] = &["a", "b", "c"];
const MIXED: &[&str] = &["a", "b", "é", "ß", "я", "漢", "字", "ก", "😀", "𠀀"];

proptest! {
    #![proptest_config(cases(1_000))]

    /// Certain merges and the rule, for any ranks.
    #[test]
    fn short_words_follow_the_rule_for_any_vocabulary(
        tokens in prop_oneof![vocabularies(ASCII), vocabularies(MIXED)],
        words in prop::collection::vec(
            prop_oneof!["[abc]{1,48}", "[ab]{1,48}", "[abéß漢字ก😀]{1,12}"],
            1..20,
        ),
    ) {
        let vocabulary = vocabulary(&tokens);
        let ranks = ranks_of(&vocabulary);
        for word in words.iter().map(String::as_bytes).filter(|word| word.len() <= SHORT_BYTES) {
            prop_assert_eq!(merged(&vocabulary, word), reference::merge(&ranks, word));
        }
    }

    /// All words of two to four bytes of an alphabet, for any ranks.
    #[test]
    fn words_of_few_bytes_follow_the_rule_for_any_vocabulary(
        tokens in vocabularies(&["a", "b", "aa", "ab", "é", "漢", "😀"]),
        alphabet in prop_oneof![Just("ab"), Just("aé"), Just("é漢"), Just("😀b")],
    ) {
        let vocabulary = vocabulary(&tokens);
        let ranks = ranks_of(&vocabulary);
        let mut words = vec![vec![]];
        for _ in 0..FEW_BYTES {
            let longer = |word: &Vec<u8>| {
                let bytes = alphabet.bytes().map(|byte| [word.as_slice(), &[byte]].concat());
                bytes.collect::<Vec<_>>()
            };
            words = words.iter().flat_map(longer).collect();
            for word in &words {
                let expected = reference::merge(&ranks, word);
                if expected.len() > 1 {
                    prop_assert_eq!(few(&vocabulary, word), expected, "{:?}", word);
                }
            }
        }
    }

    /// Cuts, and the whole way from text to ids with small and large caches, on all paths.
    #[test]
    fn texts_follow_the_rule_for_any_vocabulary(
        tokens in vocabularies(MIXED),
        words in prop::collection::vec("[abéßя漢字ก😀𠀀]{1,90}", 1..8),
        cache in prop_oneof![Just(0), Just(1 << 20), Just(32 << 20)],
    ) {
        let vocabulary = vocabulary(&tokens);
        let ranks = ranks_of(&vocabulary);
        for word in &words {
            let (bytes, segments) = (word.as_bytes(), vocabulary.boundaries());
            let mut cut = vec![];
            let mut at = 0;
            while at < bytes.len() {
                let end = segments.next_boundary(bytes, at);
                cut.extend(reference::merge(&ranks, &bytes[at..end]));
                at = end;
            }
            prop_assert_eq!(cut, reference::merge(&ranks, bytes));
        }
        // Twice, so that entries of the cache are found.
        let text = words.iter().chain(&words).map(|word| format!("{word} ")).collect::<String>();
        let expected = reference::encode(&ranks, text.as_bytes());
        for path in CodePath::available() {
            let encoder = Encoder::new(Arc::clone(&vocabulary), "random", "llama3.1").unwrap();
            let encoder = encoder.on_path(path).with_cache(cache);
            prop_assert_eq!(reference::ids(&encoder, text.as_bytes()), expected.clone(), "{}", path.name());
        }
    }
}

proptest! {
    #![proptest_config(cases(1_000))]

    /// Segments that repeat themselves, and what comes after them, which begins with the same byte or another.
    #[test]
    fn runs_follow_the_rule_for_any_vocabulary(
        tokens in vocabularies(&["é", "ß", "á", "漢", "字", "a"]),
        before in "[aé漢 ]{0,3}",
        unit in "[aéßá漢字]{1,2}",
        times in prop_oneof![9 => 2..40usize, 1 => 100..300usize],
        after in "[aéßá漢字]{0,3}",
    ) {
        let vocabulary = vocabulary(&with_beginnings(&tokens));
        let text = format!("{before}{}{after}", unit.repeat(times));
        let expected = reference::encode(&ranks_of(&vocabulary), text.as_bytes());
        let encoder = Encoder::new(vocabulary, "random", "llama3.1").unwrap();
        prop_assert_eq!(reference::ids(&encoder, text.as_bytes()), expected);
    }
}

/// Random numbers, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % count
    }
}

/// Words of random bytes, of letters, of symbols, of characters in many scripts, and of tokens.
fn word(random: &mut Random, vocabulary: &Vocabulary) -> Vec<u8> {
    let length = 1 + random.below(SHORT_BYTES);
    let mut word = Vec::new();
    let kind = random.below(6);
    while word.len() < length {
        match kind {
            0 => word.push(random.below(256) as u8),
            1 => word.push(b'a' + random.below(26) as u8),
            2 => word.push(b'!' + random.below(15) as u8),
            3 => {
                let starts =
                    [0xC0, 0x370, 0x400, 0x5D0, 0x620, 0x900, 0xE01, 0x3041, 0x4E00, 0xAC00];
                let code_point = starts[random.below(starts.len())] + random.below(80) as u32;
                word.extend(char::from_u32(code_point).unwrap_or(' ').to_string().bytes());
            }
            4 => word.extend(vocabulary.token(random.below(vocabulary.len()) as u32).unwrap()),
            _ => {
                let token = vocabulary.token(random.below(vocabulary.len()) as u32).unwrap();
                word.extend(&token[..1 + random.below(token.len())]);
            }
        }
    }
    word.truncate(SHORT_BYTES);
    word
}

/// The steps are in the order of the rule, each joins two parts that are there, and the ids are the rule's.
fn steps_are_those_of_the_rule(vocabulary: &Vocabulary, word: &[u8]) {
    let mut lengths = Vec::new();
    let table = vocabulary.token_table();
    let expected = crate::bpe::plain::merge_plainly(table, word, |length| lengths.push(length));
    let steps = vocabulary.merge_steps(word, &go_on).unwrap();
    let found: Vec<usize> = steps.iter().map(|step| step.middle - step.start).collect();
    assert_eq!(found, lengths, "{word:?}");
    let mut parts: Vec<(usize, usize)> = (0..word.len()).map(|at| (at, at + 1)).collect();
    for step in steps {
        let at = parts.iter().position(|&part| part == (step.start, step.middle)).unwrap();
        assert_eq!(parts.remove(at + 1), (step.middle, step.end), "{word:?}");
        parts[at] = (step.start, step.end);
        assert_eq!(vocabulary.id(&word[step.start..step.end]), Some(step.id), "{word:?}");
    }
    let ids: Vec<u32> = parts.iter().map(|&(a, b)| vocabulary.id(&word[a..b]).unwrap()).collect();
    assert_eq!(ids, expected, "{word:?}");
}

#[test]
fn words_are_merged_by_the_rule_with_metas_vocabulary() {
    let vocabulary = &best_encoder().0.vocabulary;
    let count = std::env::var("LLAMA3_TOK_WORDS").map_or(50_000, |count| count.parse().unwrap());
    let (mut random, mut memory) = (Random(7), MergeMemory::default());
    memory.begin(vocabulary.serial());
    for _ in 0..count {
        let word = word(&mut random, vocabulary);
        let expected = crate::bpe::plain::merge_plainly(vocabulary.token_table(), &word, |_| {});
        assert_eq!(merged(vocabulary, &word), expected, "{word:?}");
        let found = vocabulary
            .merge(CodePath::best(), &word, Span::all_of(&word), &mut memory, &go_on)
            .unwrap();
        assert_eq!(found, expected, "{word:?}");
        let found = vocabulary.merge_left_to_right(&word, &mut memory);
        assert_eq!(found, expected, "{word:?}");
        steps_are_those_of_the_rule(vocabulary, &word);
        let mut at = 0;
        let mut cut = Vec::new();
        while at < word.len() {
            let end = vocabulary.boundaries().next_boundary(&word, at);
            cut.extend(merged(vocabulary, &word[at..end]));
            at = end;
        }
        assert_eq!(cut, expected, "{word:?}");
    }
}

/// Each character, and each word of two bytes.
#[test]
fn few_bytes_are_merged_by_the_rule_with_metas_vocabulary() {
    let vocabulary = &best_encoder().0.vocabulary;
    let characters = (0..=0x10FFFF).filter_map(char::from_u32);
    let characters = characters.map(|character| character.to_string().into_bytes());
    let pairs = (0..=u16::MAX).map(|pair| pair.to_be_bytes().to_vec());
    let mut count = 0;
    for word in characters.chain(pairs) {
        let expected = crate::bpe::plain::merge_plainly(vocabulary.token_table(), &word, |_| {});
        if expected.len() > 1 {
            assert_eq!(few(vocabulary, &word), expected, "{word:?}");
            count += 1;
        }
    }
    assert!(count > 1_000_000);
}

/// Words of several windows: both ways give what the rule gives.
#[test]
fn long_words_are_merged_by_the_rule_with_metas_vocabulary() {
    let vocabulary = &best_encoder().0.vocabulary;
    let count = std::env::var("LLAMA3_TOK_WORDS").map_or(50_000, |count| count.parse().unwrap());
    let (mut random, mut memory) = (Random(11), MergeMemory::default());
    memory.begin(vocabulary.serial());
    for _ in 0..count / 25 {
        let words = 2 + random.below(12);
        let mut long: Vec<u8> = (0..words).flat_map(|_| word(&mut random, vocabulary)).collect();
        if random.below(3) == 0 {
            // The same again and again, as in runs.
            let unit = long[..1 + random.below(9)].to_vec();
            long.extend(unit.iter().cycle().take(random.below(300)));
            long.extend(word(&mut random, vocabulary));
        }
        let expected = crate::bpe::plain::merge_plainly(vocabulary.token_table(), &long, |_| {});
        let found = vocabulary
            .merge(CodePath::best(), &long, Span::all_of(&long), &mut memory, &go_on)
            .unwrap();
        assert_eq!(found, expected, "{long:?}");
        assert_eq!(vocabulary.merge_left_to_right(&long, &mut memory), expected, "{long:?}");
        steps_are_those_of_the_rule(vocabulary, &long);
    }
}

/// A token that merging does not give can be a whole pretoken, and never a part of one.
#[test]
fn tokens_that_merging_does_not_give_are_whole_pretokens_only() {
    let (encoder, ranks) = best_encoder();
    let vocabulary = &encoder.vocabulary;
    let unreached =
        (0..vocabulary.len() as u32).filter(|&id| !vocabulary.token_table().is_reached(id));
    let mut count = 0;
    for id in unreached {
        let token = String::from_utf8_lossy(vocabulary.token(id).unwrap()).into_owned();
        count += 1;
        // As a pretoken first and then as a segment, and the other way round: a cache entry of one must
        // not be found for the other.
        for text in [
            format!("{token}\n{token}漢字 {token}\n字{token}字"),
            format!("字{token}字漢 {token}я\n{token}"),
        ] {
            for path in CodePath::available() {
                let encoder = Encoder::new(Arc::clone(vocabulary), "meta", "llama3.1").unwrap();
                let found = reference::ids(&encoder.on_path(path), text.as_bytes());
                assert_eq!(found, reference::encode(ranks, text.as_bytes()), "{text:?}");
            }
        }
    }
    assert!(count > 0);
}
