//! The obvious encoder, slow and easy to believe: the oracle of the tests, never used in production.
//!
//! The pattern runs on a regex engine with backtracking, the vocabulary is a hash map, and merging
//! looks through everything again after each step. It shares nothing with the modules that it
//! judges except the content of the vocabulary and the text of the pattern.
//!
//! ```text
//! obvious         ids of a text
//! obvious_added   added tokens in a text
//! ```
//!
//! The fuzz targets (`fuzz/`) use these two files as well.

use std::io::Write;
use std::sync::{Arc, OnceLock};

use proptest::prelude::*;

mod obvious;
mod obvious_added;

use crate::added::AddedToken;
use crate::bpe::merge::MergeMemory;
use crate::encode::Encoder;
use crate::encode::options::Options;
use crate::error::Error;
use crate::machine::code_path::CodePath;
use crate::text::pretokenize::{PATTERN, PretokenEnds, Pretokens};
use crate::text::span::Span;
use crate::vocabulary::Vocabulary;
use crate::vocabulary::content::Content;
pub use obvious::{RankMap, encode, merge, pretokens, rank_file, sample_tokens};
pub use obvious_added::added_in;

/// A check that never stops anything.
pub fn go_on() -> Result<(), Error> {
    Ok(())
}

/// Says that the rest of the running test is skipped. Rust has no other way to say so.
pub fn skipped(reason: &str) {
    let thread = std::thread::current();
    say(&format!("skipped: {}: {reason}", thread.name().unwrap_or("a test")));
}

/// Says something to whoever runs the tests. What `eprintln!` writes is only shown of tests that fail.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

pub fn ranks_of(vocabulary: &Vocabulary) -> RankMap {
    let ids = 0..vocabulary.len() as u32;
    ids.map(|id| (vocabulary.token(id).unwrap().to_vec(), id)).collect()
}

/// The vocabulary of `tokens`, read from a rank file of them.
pub fn vocabulary_of(tokens: &[Vec<u8>]) -> Vocabulary {
    Vocabulary::parse(&Content::new(rank_file(tokens)), "sample").unwrap()
}

/// With the small vocabulary that stands in for Meta's where that is not at hand.
pub fn sample_encoder() -> &'static Encoder {
    static ENCODER: OnceLock<Encoder> = OnceLock::new();
    ENCODER.get_or_init(|| {
        let vocabulary = vocabulary_of(&sample_tokens());
        Encoder::new(Arc::new(vocabulary), "sample", "llama3.1").unwrap()
    })
}

/// Meta's vocabulary, if `LLAMA3_TOK_VOCAB` names it, else the small one.
pub fn best_encoder() -> &'static (Encoder, RankMap) {
    static ENCODER: OnceLock<(Encoder, RankMap)> = OnceLock::new();
    ENCODER.get_or_init(|| {
        let vocabulary = match std::env::var("LLAMA3_TOK_VOCAB") {
            Ok(path) => {
                let content = Content::new(std::fs::read(&path).unwrap());
                Arc::new(Vocabulary::parse(&content, &path).unwrap())
            }
            Err(_) => {
                say("LLAMA3_TOK_VOCAB is not set: a small vocabulary stands in for Meta's");
                sample_encoder().vocabulary.clone()
            }
        };
        let ranks = ranks_of(&vocabulary);
        (Encoder::new(vocabulary, "meta", "llama3.1").unwrap(), ranks)
    })
}

pub fn ids(encoder: &Encoder, text: &[u8]) -> Vec<u32> {
    let mut ids = Vec::new();
    encoder.encode(text, &Options::default(), &mut ids, &go_on).unwrap();
    ids
}

/// The ends of all pretokens from `from` on.
fn all_ends(path: CodePath, text: &[u8], from: usize) -> Vec<usize> {
    let (mut all, mut ends, mut at) = (Vec::new(), PretokenEnds::default(), from);
    loop {
        path.fill(text, at, &mut ends, &go_on);
        if ends.is_empty() {
            return all;
        }
        all.extend(ends.iter());
        at = ends.last();
    }
}

/// Valid UTF-8 over several windows, with runs of all lengths.
pub fn long_texts() -> impl Strategy<Value = Vec<u8>> {
    let unit = "[ \\t\\r\\n\u{a0}\u{3000}a-c1'!.é漢\u{301}😀٣ſ]";
    let run = (unit, 1..140usize).prop_map(|(unit, count)| unit.repeat(count));
    let valid = texts().prop_map(|text| String::from_utf8_lossy(&text).into_owned());
    let part = prop_oneof![6 => valid, 4 => scripts(), 1 => run];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat().into_bytes())
}

/// Characters that are looked up together: of one page, of several with one first byte, of many; and
/// what meets the ends of windows: long runs of letters, numbers of several bytes.
fn scripts() -> impl Strategy<Value = String> {
    prop_oneof![
        // Two bytes: Latin and marks, Greek, Cyrillic, Armenian to Arabic, N'Ko.
        "[a-e\u{c0}-\u{17f}\u{2c0}-\u{36f} ]{1,40}",
        "[\u{370}-\u{3ff} .]{1,40}",
        "[\u{400}-\u{52f} ,]{1,40}",
        "[\u{530}-\u{6ff} ]{1,40}",
        "[\u{7c0}-\u{7ff}0-9 ]{1,20}",
        // Three: Indic, Thai, Tibetan, Georgian, Ethiopic, Khmer, signs, kana, Han with hexagrams between.
        "[\u{900}-\u{97f} ]{1,30}",
        "[\u{a80}-\u{aff}\u{b80}-\u{bff} ]{1,30}",
        "[\u{e00}-\u{fff}]{1,30}",
        "[\u{1000}-\u{137f} ]{1,30}",
        "[\u{1780}-\u{17f9}\u{200b}]{1,30}",
        "[\u{2000}-\u{206f}\u{2150}-\u{218f}\u{2460}-\u{24ff}a ]{1,20}",
        "[\u{3000}-\u{30ff}\u{4dbe}-\u{4e02}\u{ff00}-\u{ff9f}]{1,30}",
        "[\u{3400}-\u{9fff}]{1,50}",
        "[\u{1100}-\u{11ff}\u{a960}-\u{a97f}\u{abff}-\u{ac01}\u{d77e}-\u{d7ff}]{1,30}",
        "[\u{ac00}-\u{d7a3} ]{1,50}",
        // Four: Gothic, digits, emoji, Han up to where it ends.
        "[\u{10330}-\u{1034a}\u{1d7c8}-\u{1d7ff}\u{1f100}-\u{1f10f}\u{1f600}-\u{1f64f}]{1,20}",
        "[\u{20000}-\u{2ffff}\u{30000}-\u{30010}]{1,20}",
        "[^\\x00-\\x7f]{1,40}",
        "[a-c\u{430}-\u{44f}\u{4e00}-\u{4e05}\u{20000}]{30,90}",
        "[a-c]{40,90}(?:'(?:s|ll|x|re)?[a-c]{0,70}){0,3}",
        "[0-9\u{b2}\u{bc}\u{660}-\u{669}\u{966}-\u{96f}\u{2160}-\u{2163}\u{ff10}-\u{ff19}\u{1d7d8}]{1,40}",
    ]
}

/// How many cases a property runs; `PROPTEST_CASES` sets another number.
pub fn cases(count: u32) -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(count),
    }
}

/// Fragments of text that meet the corners of the pattern, end to end.
pub fn texts() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        "[ \t\r\n\u{b}\u{85}\u{a0}\u{1680}\u{2003}\u{2028}\u{3000}]{1,6}",
        "[ \r\n]{1,8}",
        "['\u{2019}](?:[sStTmMdD\u{17f}\u{212a}]|[rR][eE]|[vV][eE]|[lL]{1,2})",
        "[a-zA-Z]{1,12}",
        "[0-9]{1,7}",
        "[\u{660}-\u{669}\u{966}-\u{96f}\u{bc}\u{2160}\u{1d7d8}]{1,4}",
        "[!-/:-@\\[-`{-~]{1,5}",
        "[\u{4e00}-\u{4eff}\u{3040}-\u{30ff}\u{ac00}-\u{acff}]{1,6}",
        "[\u{300}-\u{310}\u{e01}-\u{e3a}\u{200b}-\u{200d}\u{fe0f}]{1,3}",
        "[\u{1f600}-\u{1f64f}\u{1f3fb}-\u{1f3ff}\u{200d}]{1,4}",
        "\\PC{1,4}",
        Just(" Việt".to_owned()),
        Just("<|eot_id|>".to_owned()),
    ]
    .prop_map(String::into_bytes);
    let bytes = prop_oneof![20 => fragment, 1 => prop::collection::vec(any::<u8>(), 1..4)];
    prop::collection::vec(bytes, 0..12).prop_map(|fragments| fragments.concat())
}

proptest! {
    #![proptest_config(cases(20_000))]

    #[test]
    fn pretokens_are_those_of_the_regex(text in texts()) {
        let cut: Vec<Vec<u8>> = Pretokens::new(&text, &go_on).map(|range| text[range.unwrap()].to_vec()).collect();
        prop_assert_eq!(cut, pretokens(&text));
    }

    /// Every path gives the scanner's pretokens, wherever windows begin.
    #[test]
    fn all_paths_cut_alike(text in long_texts(), from in 0..40usize) {
        let cuts: Vec<usize> = Pretokens::new(&text, &go_on).map(|range| range.unwrap().start).collect();
        let from = cuts.get(from % cuts.len().max(1)).copied().unwrap_or(0);
        let expected: Vec<usize> = Pretokens::new(&text[from..], &go_on).map(|range| from + range.unwrap().end).collect();
        for path in CodePath::available() {
            prop_assert_eq!(&all_ends(path, &text, from), &expected, "{:?}", path);
        }
    }

    #[test]
    fn ids_are_those_of_the_obvious_encoder(text in texts()) {
        let (encoder, ranks) = best_encoder();
        prop_assert_eq!(ids(encoder, &text), encode(ranks, &text));
    }

    #[test]
    fn decoding_gives_back_any_bytes(text in prop::collection::vec(any::<u8>(), 0..60)) {
        let (encoder, _) = best_encoder();
        prop_assert_eq!(encoder.decode(&ids(encoder, &text), false, &go_on).unwrap(), text);
    }
}

/// Any vocabulary of a few letters, any ranks: parts may rank above their whole, tokens may be
/// unreachable.
pub fn vocabularies() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let tokens = prop::collection::hash_set("[abc]{2,6}", 0..40);
    let long = prop::option::of("[ab]{16,40}");
    (tokens, long, any::<bool>()).prop_map(|(tokens, long, bytes_first)| {
        let tokens: Vec<Vec<u8>> = tokens.into_iter().chain(long).map(String::into_bytes).collect();
        let single: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
        if bytes_first { [single, tokens] } else { [tokens, single] }.concat()
    })
}

/// Something, then something else repeated, and so on.
fn runs(between: &'static str, unit: &'static str) -> impl Strategy<Value = String> {
    let run = (between, unit, 0..60usize, between);
    let run = run.prop_map(|(before, unit, count, after)| before + &unit.repeat(count) + &after);
    prop::collection::vec(run, 1..4).prop_map(|runs| runs.concat())
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn runs_are_merged_as_the_obvious_encoder_does(
        text in prop_oneof![
            runs("[a-z]{0,6}", "[a-z]{1,4}"),
            runs("[-=_*#.]{0,9}", "[-=_*#.]{1,3}"),
            runs("[ \t\n]{0,9}", "[ \t\n]{1,3}"),
            runs("\\PC{0,3}", "\\PC{1,2}"),
        ],
    ) {
        let (encoder, ranks) = best_encoder();
        prop_assert_eq!(ids(encoder, text.as_bytes()), encode(ranks, text.as_bytes()));
    }
}

proptest! {
    // Fewer, since each case reads a vocabulary.
    #![proptest_config(cases(2_000))]

    #[test]
    fn merging_follows_the_rule_for_any_vocabulary(
        tokens in vocabularies(),
        pretoken in prop_oneof![
            2 => "[abc]{1,64}",
            2 => "[abc]{60,300}",
            1 => "[ab]{30,200}",
            3 => runs("[abc]{0,9}", "[abc]{1,5}"),
        ],
    ) {
        let vocabulary = vocabulary_of(&tokens);
        let pretoken = pretoken.as_bytes();
        let expected = merge(&ranks_of(&vocabulary), pretoken);
        let mut memory = MergeMemory::default();
        let found = vocabulary.merge(CodePath::best(), pretoken, Span::all_of(pretoken), &mut memory, &go_on).unwrap();
        prop_assert_eq!(found, expected.as_slice());
        prop_assert_eq!(vocabulary.merge_left_to_right(pretoken, &mut memory), expected);
    }
}

#[test]
fn long_runs_are_merged_as_the_obvious_encoder_does() {
    let (encoder, ranks) = best_encoder();
    for unit in ["a", " ", "\n", "=", "漢字", "ab", "é", "-=", "zx"] {
        for length in [2, 31, 63, 64, 65, 128, 500, 1999] {
            let text: String = unit.chars().cycle().take(length).collect();
            let expected = encode(ranks, text.as_bytes());
            assert_eq!(ids(encoder, text.as_bytes()), expected, "{unit:?} {length}");
        }
    }
}
