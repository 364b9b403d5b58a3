use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::encode::Encoder;
use crate::encode::options::Options;
use crate::error::tests::sees_a_fault;
use crate::profile::Roles;
use crate::reference::{added_in, cases, go_on, sample_encoder};
use crate::text::cuts;
use crate::vocabulary::Vocabulary;
use crate::vocabulary::content::Content;

fn release(profile: &str) -> AddedTokens {
    AddedTokens::of_release(Profile::find(profile).unwrap(), 128_000).unwrap()
}

fn select(added: &AddedTokens, names: &[&str]) -> Selection {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    added.select(&names, "").unwrap()
}

#[test]
fn splitting_takes_the_leftmost_allowed_token() {
    let added = release("llama3.1");
    let text = b"a<|<|eot_id|><|eom_id|><|eot_id|";
    let split = |selection: &Selection| {
        added.split(text, selection, &go_on).map(Result::unwrap).collect::<Vec<_>>()
    };
    assert_eq!(
        split(&Selection::All),
        [
            Section::Text(0..3),
            Section::Added(3..13, 128_009),
            Section::Added(13..23, 128_008),
            Section::Text(23..32),
        ]
    );
    let only = select(&added, &["<|eom_id|>"]);
    assert_eq!(
        split(&only),
        [Section::Text(0..13), Section::Added(13..23, 128_008), Section::Text(23..32)]
    );
    assert_eq!(split(&Selection::None), [Section::Text(0..32)]);
    let spans = |selection: &Selection| added.spans(text, selection, &go_on).unwrap();
    assert_eq!(spans(&Selection::All), [(3, 13, 128_009), (13, 23, 128_008)]);
    assert_eq!(spans(&only), [(13, 23, 128_008)]);
    assert!(spans(&Selection::None).is_empty());
    assert_eq!(
        split(&added.complement(&only)),
        [Section::Text(0..3), Section::Added(3..13, 128_009), Section::Text(13..32)]
    );
}

#[test]
fn a_check_that_fails_stops_a_text_of_nothing_but_names() {
    let stop = || Err(Error::Interrupted);
    let text = b"<|eot_id|>".repeat(10_000);
    for added in [release("llama3.1"), AddedTokens::with_window(odd_tokens(), FEW_BYTES).unwrap()] {
        let mut sections = added.split(&text, &Selection::All, &stop);
        assert!(sections.position(|section| section.is_err()).unwrap() < 10_000);
    }
}

#[test]
fn the_disallowed_check_names_the_first_token_and_its_offset() {
    let added = release("llama3");
    let error = added.refuse("é <|eot_id|>".as_bytes(), &Selection::All, &go_on).unwrap_err();
    assert!(matches!(
        error,
        Error::DisallowedSpecialToken { token, offset: 3 } if token == "<|eot_id|>"
    ));
    // `<|eom_id|>` is not a token of this profile, and a name that is not selected is text.
    assert!(added.refuse(b"<|eom_id|>", &Selection::All, &go_on).is_ok());
    let other = select(&added, &["<|end_of_text|>"]);
    assert!(added.refuse(b"<|eot_id|>", &other, &go_on).is_ok());
    assert!(added.select(&["<|eom_id|>".to_owned()], "llama3").is_err());
}

#[test]
fn a_selection_of_another_profile_is_an_error_and_finds_no_less() {
    let vision = release("llama3.2-vision");
    let of_another = select(&release("llama3.1"), &["<|eot_id|>"]);
    let text = b"<|image|>";
    assert!(sees_a_fault(|| vision.refuse(text, &of_another, &go_on)));
    assert!(sees_a_fault(|| {
        vision.split(text, &of_another, &go_on).collect::<Result<Vec<_>, _>>()
    }));
    let long = b"<|image|> and so on".repeat(3);
    assert!(sees_a_fault(|| vision.last_cut(&long, &of_another, &Selection::None, &go_on)));
}

#[test]
fn a_name_of_no_token_is_an_error_and_cuts_no_text() {
    let mut added = AddedTokens::new(odd_tokens()).unwrap();
    let text = b"some words <think> and so on, and so on";
    let cut =
        |added: &AddedTokens| added.last_cut(text, &Selection::None, &Selection::None, &go_on);
    assert!(cut(&added).unwrap().is_some());
    added.tokens.clear();
    assert!(sees_a_fault(|| cut(&added)));
}

#[test]
fn the_largest_id_is_counted_in_full() {
    let last = AddedToken { id: u32::MAX, name: "<x>".to_owned(), ..Default::default() };
    assert_eq!(AddedTokens::new(vec![last]).unwrap().end(), 1 << 32);
}

/// Names that begin with, contain and follow each other, that look like tags, with all flags. None is a
/// token of the sample vocabulary.
pub fn odd_tokens() -> Vec<AddedToken> {
    let token = |name: &str, flags: &str| AddedToken {
        id: 0,
        name: name.to_owned(),
        special: flags.contains('s'),
        single_word: flags.contains('w'),
        lstrip: flags.contains('l'),
        rstrip: flags.contains('r'),
        normalized: flags.contains('n'),
    };
    let mut tokens = vec![
        token("<|eot_id|>", "s"),
        token("<|im_start|>", "s"),
        token("<think>", ""),
        token("</think>", "n"),
        token("<｜User｜>", "s"),
        token("qj", "n"),
        token("qjx", "nw"),
        token("xqj", "w"),
        token("j x", ""),
        token("<m>", "slr"),
        token("x<", "l"),
        token("日", "nr"),
    ];
    for (id, token) in (1000..).zip(&mut tokens) {
        token.id = id;
    }
    tokens
}

/// So few bytes that names go on from one window to the next.
const FEW_BYTES: usize = 16;

pub fn encoder(tokens: Vec<AddedToken>) -> Encoder {
    let vocabulary = Arc::clone(&sample_encoder().vocabulary);
    let (bos, eos) = (Some(tokens[0].id), Some(tokens[1].id));
    let roles = Roles { bos, eos, ..Roles::default() };
    let added = AddedTokens::with_window(tokens.clone(), FEW_BYTES).unwrap();
    let mut encoder = Encoder::with_added(vocabulary, "odd", tokens, roles, None).unwrap();
    encoder.added = added;
    encoder
}

pub fn texts() -> impl Strategy<Value = String> {
    let parts = [
        "<|eot_id|>",
        "<|im_start|>",
        "<think>",
        "</think>",
        "<｜User｜>",
        "qj",
        "qjx",
        "xqj",
        "j x",
        "<m>",
        "x<",
        "日",
        "<",
        "|>",
        "<|",
        "q",
        "j",
        "x",
        " ",
        "\n",
        "\t",
        "1",
        ".",
        "_",
        "<thin",
        "｜>",
        "eot_id",
        "über",
        // A mark, a joiner and a tie belong to words, though none is a letter or digit.
        "\u{337}",
        "\u{200D}",
        "\u{203F}",
        "\u{3000}",
        "  ",
        "word",
    ];
    prop::collection::vec(prop::sample::select(parts.to_vec()), 0..25)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(cases(5_000))]

    #[test]
    fn tokens_are_found_as_the_rule_says(text in texts(), all: bool, few: bool) {
        let window = if few { FEW_BYTES } else { WINDOW_BYTES };
        let added = AddedTokens::with_window(odd_tokens(), window).unwrap();
        let allowed = if all { Selection::All } else { Selection::None };
        let sections = added.split(text.as_bytes(), &allowed, &go_on).map(Result::unwrap);
        let (mut at, mut found) = (0, Vec::new());
        for section in sections {
            let (Section::Text(range) | Section::Added(range, _)) = &section;
            prop_assert_eq!(range.start, at);
            at = range.end;
            if let Section::Added(range, id) = section {
                found.push((range, id));
            }
        }
        prop_assert_eq!(at, text.len());
        prop_assert_eq!(found, added_in(&odd_tokens(), &text, all));
    }

    /// Whatever is on the other side of a cut, the ids are those of the whole.
    #[test]
    fn a_cut_changes_no_ids(text in texts(), rest in texts(), all: bool, release: bool) {
        let odd = encoder(odd_tokens());
        let encoder = if release { sample_encoder() } else { &odd };
        let allowed = || if all { Selection::All } else { Selection::None };
        let ids = |text: &str| {
            let options = Options { allowed: allowed(), ..Options::default() };
            let mut ids = Vec::new();
            encoder.encode(text.as_bytes(), &options, &mut ids, &go_on).unwrap();
            ids
        };
        let cut = encoder.added.last_cut(text.as_bytes(), &allowed(), &Selection::None, &go_on);
        if let Some(cut) = cut.unwrap() {
            let (left, right) = text.split_at(cut);
            let whole = text.clone() + &rest;
            prop_assert_eq!([ids(left), ids(&(right.to_owned() + &rest))].concat(), ids(&whole));
        }
    }
}

/// Nothing in the rest is a place to cut, so the last one is what the names before make it.
#[test]
fn a_text_is_cut_after_a_token_and_not_after_a_name_that_is_text() {
    let added = AddedTokens::new(odd_tokens()).unwrap();
    let rest = "!".repeat(100);
    let cut = |text: &str, allowed: &Selection| {
        let text = format!("{text}{rest}");
        added.last_cut(text.as_bytes(), allowed, &Selection::None, &go_on).unwrap()
    };
    assert_eq!(cut("<think>", &Selection::None), Some(7));
    assert_eq!(cut("<think><|eot_id|>", &Selection::None), Some(7));
    assert_eq!(cut("<think><|eot_id|>", &Selection::All), Some(17));
    assert_eq!(cut("<|eot_id|>", &Selection::All), Some(10));
    assert_eq!(cut("words", &Selection::All), Some(5));
    // Cut before or after it, `xqj` would be a whole word and a token.
    assert_eq!(cut("j xxqj", &Selection::None), None);
    let text = format!("xqj{}", "a".repeat(100));
    let cut = added.last_cut(text.as_bytes(), &Selection::None, &Selection::None, &go_on);
    assert_eq!(cut.unwrap(), None);
}

/// Names that need the general way although no token has a flag.
#[test]
fn a_text_that_may_end_with_a_name_of_any_form_is_cut_before_that() {
    let name = "3!!!!!!!!!x".to_owned();
    let added = vec![AddedToken { id: 1000, name, special: true, ..Default::default() }];
    let added = AddedTokens::new(added).unwrap();
    let cut = |text: &[u8], allowed: &Selection| {
        added.last_cut(text, allowed, &Selection::None, &go_on).unwrap()
    };
    assert_eq!(cut(b"aa3!!!!!!!!!", &Selection::All), None);
    assert_eq!(cut(b"aa3!!!!!!!!!", &Selection::None), Some(3));
    assert_eq!(cut(b"aa3!!!!!!!!!x?????????????", &Selection::All), Some(13));
}

#[test]
fn a_special_token_below_an_id_is_one_with_a_lower_id() {
    let added = release("llama3.1");
    assert!(added.has_special_below(128_001));
    assert!(!added.has_special_below(128_000));
}

#[test]
fn the_first_difference_of_two_lists_is_told() {
    let added = AddedTokens::new(odd_tokens()).unwrap();
    let mut others = odd_tokens();
    others[2].special = true;
    assert_eq!(added.first_difference(&others), "the flags of \"<think>\" differ");
    others[2].name = "<x>".to_owned();
    let expected = "1002 is \"<x>\" in the file, and \"<think>\" in the profile";
    assert_eq!(added.first_difference(&others), expected);
    others.truncate(2);
    assert_eq!(added.first_difference(&others), "the file has 2, and the profile 12");
}

#[test]
fn a_cut_inside_a_token_of_a_release_moves_to_its_end() {
    let added = release("llama3.1");
    let eot = select(&added, &["<|eot_id|>"]);
    let eom = select(&added, &["<|eom_id|>"]);
    let text = b"some <|eot_id|>!!!!";
    let inside = cuts::last_cut(text, &go_on).unwrap();
    assert_eq!(inside, Some(13));
    for (allowed, disallowed, expected) in [
        (&eot, &Selection::None, Some(15)),
        (&Selection::None, &eot, Some(15)),
        (&eom, &Selection::None, inside),
        (&Selection::None, &Selection::None, inside),
    ] {
        assert_eq!(added.last_cut(text, allowed, disallowed, &go_on).unwrap(), expected);
    }
    // What may become a name is left out only where a name would be a token.
    let (text, cut) = (b"some <|eot_id", |allowed| {
        added.last_cut(b"some <|eot_id", allowed, &Selection::None, &go_on).unwrap()
    });
    assert_eq!(cut(&Selection::None), cuts::last_cut(text, &go_on).unwrap());
    assert!(cut(&Selection::All) < cut(&Selection::None));
}

#[test]
fn a_text_of_many_names_can_be_cut_near_its_end() {
    let encoder = encoder(odd_tokens());
    for (unit, allowed) in [
        ("<think>qj</think>\n", Selection::None),
        ("<think>", Selection::None),
        ("<|eot_id|>", Selection::All),
        ("<|eot_id|> some words", Selection::None),
        ("some words ", Selection::All),
    ] {
        let text = unit.repeat(1000);
        let cut = encoder.added.last_cut(text.as_bytes(), &allowed, &Selection::None, &go_on);
        assert!(cut.unwrap().unwrap() > text.len() - 100, "{unit}");
    }
}

#[test]
fn a_token_of_the_vocabulary_may_be_added_and_another_id_is_refused() {
    let file = sample_encoder().vocabulary.rank_file();
    let vocabulary = &Arc::new(Vocabulary::parse(&Content::new(file.unwrap()), "f").unwrap());
    let is_word = |token: &[u8]| token.len() > 2 && token.iter().all(u8::is_ascii_alphabetic);
    let (id, bytes) = vocabulary.iter().find(|(_, token)| is_word(token)).unwrap();
    let name = std::str::from_utf8(bytes).unwrap().to_owned();
    let make = |id: u32, name: &str| {
        let token = AddedToken { id, name: name.to_owned(), special: true, ..Default::default() };
        Encoder::with_added(Arc::clone(vocabulary), "f", vec![token], Roles::default(), None)
    };
    let encoder = make(id, &name).unwrap();
    assert_eq!(encoder.vocab_size(), vocabulary.len());
    assert_eq!(encoder.decode(&[id, 32], true, &go_on).unwrap(), b" ");
    vocabulary.make_decode_table();
    assert_eq!(encoder.decode(&[id; 20], true, &go_on).unwrap(), b"");
    let first = vocabulary.len() as u32;
    for (id, name) in [(first, name.as_str()), (3, "<x>"), (first, "")] {
        assert!(matches!(make(id, name), Err(Error::Vocabulary { .. })), "{id} {name}");
    }
    let same = |id| AddedToken { id, name: "<x>".to_owned(), ..Default::default() };
    let twice = vec![same(first), same(first + 1)];
    assert!(
        Encoder::with_added(Arc::clone(vocabulary), "f", twice, Roles::default(), None).is_err()
    );
}
