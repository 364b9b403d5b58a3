//! Special tokens in a text, for every release: those that are allowed and nothing else, found by a look at every
//! position.

use std::sync::OnceLock;

use arbitrary::{Arbitrary, Unstructured};
use llama3_tok::encode::prefixes::{Kind, PrefixCache, TextSource};
use llama3_tok::profile::{BOS, EOS, PROFILES};
use llama3_tok::{Encoder, Error, Options, Profile};

use crate::shared::obvious::{self, RankMap};
use crate::shared::{Chosen, Piece, agree, encoders, go_on, ids_of, ranks_of, text_of, vocabulary};

/// A text, and what may be in it.
#[derive(Arbitrary, Debug)]
struct Input<'a> {
    profile: u8,
    allowed: Chosen,
    disallowed: Chosen,
    bos: bool,
    eos: bool,
    pieces: Vec<Piece<'a>>,
}

/// The input is put together of pieces.
pub fn check(data: &[u8]) {
    static ENCODERS: OnceLock<(Vec<Vec<Encoder>>, RankMap)> = OnceLock::new();
    let (encoders, ranks) = ENCODERS.get_or_init(|| {
        let vocabulary = vocabulary();
        let of = |profile: &Profile| encoders(&vocabulary, profile.name);
        (PROFILES.iter().map(of).collect(), ranks_of(&vocabulary))
    });
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let number = usize::from(input.profile) % PROFILES.len();
    let (profile, text) = (&PROFILES[number], text_of(&input.pieces, number));
    let first = ranks.len() as u32;
    let forbidden = sections(profile, &text, input.disallowed).into_iter();
    let forbidden = forbidden.filter_map(|(at, _, index)| Some((at, index?))).next();
    let mut expected = Vec::new();
    expected.extend(input.bos.then_some(first + BOS));
    for (at, end, index) in sections(profile, &text, input.allowed) {
        match index {
            Some(index) => expected.push(first + index as u32),
            None => expected.extend(obvious::encode(ranks, &text[at..end])),
        }
    }
    expected.extend(input.eos.then_some(first + EOS));
    for encoder in &encoders[number] {
        let options = Options {
            bos: input.bos,
            eos: input.eos,
            allowed: input.allowed.selection(encoder),
            disallowed: input.disallowed.selection(encoder),
        };
        match (ids_of(encoder, &text, &options), forbidden) {
            (Ok(ids), None) => {
                assert_eq!(ids, expected, "on the path {}", encoder.path().name());
                agree(encoder, &text, &options, &ids);
                decodes(encoder, profile, &text, &options, &ids);
                known_beginnings(encoder, &text, &options, &ids);
            }
            (Err(Error::DisallowedSpecialToken { token, offset }), Some((at, index))) => {
                assert_eq!((token, offset), (profile.special_names()[index].clone(), at));
            }
            (found, forbidden) => panic!("{found:?}, and there is {forbidden:?}"),
        }
    }
}

/// The sections of a text: from where to where, and the index of the special token that it is.
fn sections(profile: &Profile, text: &[u8], chosen: Chosen) -> Vec<(usize, usize, Option<usize>)> {
    let names = profile.special_names();
    let (mut found, mut from, mut at) = (Vec::new(), 0, 0);
    while at < text.len() {
        let here = |(_, name): &(usize, &String)| text[at..].starts_with(name.as_bytes());
        match names.iter().enumerate().find(here) {
            Some((index, name)) if chosen.has(index) => {
                found.extend((from < at).then_some((from, at, None)));
                found.push((at, at + name.len(), Some(index)));
                at += name.len();
                from = at;
            }
            _ => at += 1,
        }
    }
    found.extend((from < at).then_some((from, at, None)));
    found
}

/// Decoding gives the text between BOS and EOS.
fn decodes(encoder: &Encoder, profile: &Profile, text: &[u8], options: &Options, ids: &[u32]) {
    let names = profile.special_names();
    let (bos, eos) = (names[BOS as usize].as_bytes(), names[EOS as usize].as_bytes());
    let before = if options.bos { bos } else { b"" };
    let after = if options.eos { eos } else { b"" };
    assert_eq!(encoder.decode(ids, false, &go_on).unwrap(), [before, text, after].concat());
}

/// A cache of beginnings gives the same ids, when it knows none and when it knows them.
fn known_beginnings(encoder: &Encoder, text: &[u8], options: &Options, expected: &[u32]) {
    let cache = PrefixCache::new(1 << 16);
    let (bos, eos) = encoder.ends(options).unwrap();
    let without_ends = Options {
        bos: false,
        eos: false,
        allowed: options.allowed.clone(),
        disallowed: options.disallowed.clone(),
    };
    for _ in 0..2 {
        let source = TextSource { encoder, options: &without_ends, text };
        let mut ids: Vec<u32> = bos.into_iter().collect();
        cache.encode(Kind::Text, &source, &mut ids, &go_on).unwrap();
        ids.extend(eos);
        assert_eq!(ids, expected);
    }
}
