//! Any ids: their tokens end to end, or an error that names the first that is no token.

use std::sync::OnceLock;

use arbitrary::{Arbitrary, Unstructured};
use llama3_tok::{Encoder, Error, Options};

use crate::shared::{encoders, go_on, ids_of, small_vocabulary};

/// An id.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Id {
    /// One of the vocabulary.
    Token(u16),
    /// A special token.
    Special(u8),
    /// Any number.
    Any(i64),
}

impl Id {
    /// The id that it is for an encoder.
    pub fn of(self, encoder: &Encoder) -> i64 {
        let size = encoder.vocabulary.len() as i64;
        match self {
            Self::Token(number) => i64::from(number) % size,
            Self::Special(number) => size + i64::from(number),
            Self::Any(number) => number,
        }
    }
}

/// Ids, as many times as it says.
#[derive(Arbitrary, Debug)]
struct Input {
    times: u8,
    skip_special: bool,
    table: bool,
    ids: Vec<Id>,
}

/// The most ids: some chunks of those that are decoded together.
const MAX_IDS: usize = 3_000;

/// The input says which ids.
pub fn check(data: &[u8]) {
    // With the table to decode with, and without.
    static ENCODERS: OnceLock<[Encoder; 2]> = OnceLock::new();
    let encoders = ENCODERS.get_or_init(|| {
        [false, true].map(|has_table| {
            let vocabulary = small_vocabulary();
            if has_table {
                vocabulary.make_decode_table();
            }
            encoders(&vocabulary, "llama3.1").pop().expect("there is a code path")
        })
    });
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let (encoder, skip) = (&encoders[usize::from(input.table)], input.skip_special);
    let ids: Vec<i64> = input.ids.iter().map(|id| id.of(encoder)).collect();
    let times = usize::from(input.times).max(1);
    let ids: Vec<i64> =
        ids.iter().cycle().take((ids.len() * times).min(MAX_IDS)).copied().collect();

    let (mut expected, mut lenient, mut wrong) = (Vec::new(), Ok(Vec::new()), None);
    for (position, &id) in ids.iter().enumerate() {
        let token = u32::try_from(id).ok().and_then(|id| Some((id, encoder.token_bytes(id)?)));
        match token {
            Some((id, _)) if skip && encoder.added.is_special(id) => {}
            Some((_, bytes)) => {
                expected.extend_from_slice(bytes);
                lenient.iter_mut().for_each(|all| all.extend_from_slice(bytes));
            }
            None => {
                wrong = wrong.or(Some((id, position)));
                match id {
                    0.. => lenient.iter_mut().for_each(|all| all.extend_from_slice(b"<?>")),
                    _ => lenient = lenient.and(Err((id, position))),
                }
            }
        }
    }
    same(encoder.decode(&ids, skip, &go_on), wrong.map_or(Ok(expected), Err));
    let mut bytes = Vec::new();
    let decoded = encoder.decode_lenient_into(&mut bytes, &ids, 0, skip, "<?>", &go_on);
    same(decoded.map(|()| bytes), lenient);
    of_other_widths(encoder, &ids, skip);
    canonical(encoder, &ids, wrong);
}

/// The bytes, or which id is wrong and where it stands.
type Expected = Result<Vec<u8>, (i64, usize)>;

fn same(found: Result<Vec<u8>, Error>, expected: Expected) {
    match (found, expected) {
        (Ok(found), Ok(expected)) => assert_eq!(found, expected),
        (Err(Error::InvalidTokenId { id, position, .. }), Err(expected)) => {
            assert_eq!((id, position), expected);
        }
        (found, expected) => panic!("{found:?}, and not {expected:?}"),
    }
}

/// Ids of other widths are the same ids.
fn of_other_widths(encoder: &Encoder, ids: &[i64], skip: bool) {
    let shown = |found: Result<Vec<u8>, Error>| found.map_err(|error| error.to_string());
    let expected = shown(encoder.decode(ids, skip, &go_on));
    let narrow: Result<Vec<i32>, _> = ids.iter().map(|&id| i32::try_from(id)).collect();
    if let Ok(ids) = narrow {
        assert_eq!(shown(encoder.decode(&ids, skip, &go_on)), expected);
    }
    let unsigned: Result<Vec<u32>, _> = ids.iter().map(|&id| u32::try_from(id)).collect();
    if let Ok(ids) = unsigned {
        assert_eq!(shown(encoder.decode(&ids, skip, &go_on)), expected);
    }
}

/// Ids are canonical if what is between two special ones gives them again.
fn canonical(encoder: &Encoder, ids: &[i64], wrong: Option<(i64, usize)>) {
    let found = encoder.is_canonical(ids, &go_on);
    if let Some(expected) = wrong {
        same(found.map(|_| Vec::new()), Err(expected));
        return;
    }
    let ids: Vec<u32> = ids.iter().map(|&id| id as u32).collect();
    let expected = ids.split(|&id| encoder.added.is_special(id)).all(|ids| {
        let text = encoder.decode(ids, false, &go_on).unwrap();
        ids_of(encoder, &text, &Options::default()).unwrap() == ids
    });
    assert_eq!(found.unwrap(), expected);
}
