use proptest::prelude::*;

use super::*;
use crate::error::tests::sees_a_fault;
use crate::reference::{best_encoder, cases, go_on, long_texts, sample_encoder, texts};
use crate::steps::tests::{steps_of, worst_inputs};

/// Small chunks, since texts are short here.
pub const FEW_BYTES: ChunkSizes = ChunkSizes { first: 1 << 4, max: 1 << 5, small: 4 };

fn search(encoder: &Encoder) -> Search<'_> {
    Search { encoder, sizes: FEW_BYTES }
}

/// The positions between characters.
fn positions(text: &[u8]) -> Vec<usize> {
    let next = |at: &usize| char_at(text, *at).map(|(_, length)| at + length);
    std::iter::successors(Some(0), next).collect()
}

/// Compares both sides with what each position gives, for every limit.
fn is_the_longest(encoder: &Encoder, text: &[u8]) -> Result<(), TestCaseError> {
    let positions = positions(text);
    let count = |text: &[u8]| encoder.count(text, &Options::default(), &go_on).unwrap();
    let beginnings: Vec<usize> = positions.iter().map(|&at| count(&text[..at])).collect();
    let ends: Vec<usize> = positions.iter().map(|&at| count(&text[at..])).collect();
    let most = *beginnings.iter().chain(&ends).max().unwrap();
    // All limits of a short text, some of a long one.
    for limit in (0..=most + 1).step_by(1 + most / 100) {
        let fits = |&tokens: &usize| tokens <= limit;
        let end = positions[beginnings.iter().rposition(fits).unwrap()];
        let start = positions[ends.iter().position(fits).unwrap()];
        let options = Options::default();
        for sizes in [FEW_BYTES, CHUNK_SIZES] {
            let search = Search { encoder, sizes };
            prop_assert_eq!(search.longest_prefix(text, limit, &options, &go_on).unwrap(), end);
            prop_assert_eq!(search.longest_suffix(text, limit, &options, &go_on).unwrap(), start);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(800))]

    #[test]
    fn the_longest_part_of_any_text_is_found(text in texts()) {
        is_the_longest(&best_encoder().0, &text)?;
        is_the_longest(sample_encoder(), &text)?;
    }
}

proptest! {
    // Fewer, since all parts of long texts are encoded.
    #![proptest_config(cases(100))]

    #[test]
    fn the_longest_part_of_long_runs_is_found(text in long_texts()) {
        is_the_longest(&best_encoder().0, &text)?;
    }
}

#[test]
fn a_base_where_no_pretoken_begins_is_an_error_and_gives_no_cut() {
    let after_the_text = Base { start: 3, after: 3, tokens: 0 };
    assert!(sees_a_fault(|| search(sample_encoder()).longest_after(
        b"abc",
        &after_the_text,
        1,
        &go_on
    )));
}

#[test]
fn a_check_that_fails_stops_the_search() {
    let search = search(sample_encoder());
    let options = Options::default();
    let stop = || Err(Error::Interrupted);
    // Too short for the checks of encoding, so that those of the search are met.
    let word = "z".repeat(3 * CHECK_CHARACTERS);
    // In each of these another loop is long: skipping in chunks, or a text that can't be cut.
    for text in [word, "a few words, ".repeat(20_000), "! ".repeat(4 * CHECK_BYTES)] {
        let found = search.longest_prefix(text.as_bytes(), text.len() / 5, &options, &stop);
        assert!(matches!(found, Err(Error::Interrupted)), "{text:.20}");
        let found = search.longest_suffix(text.as_bytes(), text.len() / 5, &options, &stop);
        assert!(matches!(found, Err(Error::Interrupted)), "{text:.20}");
    }
}

/// Steps of both sides, for a limit that cuts in the middle and for a small one.
#[test]
fn work_grows_linearly_on_the_worst_inputs() {
    let encoder = &best_encoder().0;
    let find = |text: &str, limit: usize| {
        steps_of(|| {
            search(encoder)
                .longest_prefix(text.as_bytes(), limit, &Options::default(), &go_on)
                .unwrap();
        }) + steps_of(|| {
            search(encoder)
                .longest_suffix(text.as_bytes(), limit, &Options::default(), &go_on)
                .unwrap();
        })
    };
    let (small, large) = (2_000, 20_000);
    for (name, text) in worst_inputs() {
        let (few, many) = (text(small), text(large));
        let half =
            |text: &str| encoder.count(text.as_bytes(), &Options::default(), &go_on).unwrap() / 2;
        for (of_few, of_many) in [(half(&few), half(&many)), (5, 5)] {
            let (of_few, of_many) = (find(&few, of_few), find(&many, of_many));
            let growth = of_many as f64 / of_few.max(2_000) as f64;
            // Short texts find more in the memo of merging; quadratic work would grow by 100.
            assert!(growth < 18.0, "{name}: {of_few} steps, {of_many} for 10 times as much");
            // The most steps are for runs of spaces, where a hundred tokens are possible at each
            // position.
            assert!(of_many < 300 * many.len(), "{name}: {of_many} steps");
        }
    }
}
