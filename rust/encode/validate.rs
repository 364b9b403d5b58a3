//! Checks that a vocabulary and added tokens belong together.

use crate::added::{AddedToken, AddedTokens};
use crate::error::Error;
use crate::profile::{PROFILES, Profile};
use crate::vocabulary::Vocabulary;
use crate::vocabulary::byte_level::Alphabet;

/// If the vocabulary is a `tokenizer.json`, its added tokens must be those of the release: those of another
/// release would give its ids wrong names.
pub(super) fn validate_release(
    vocabulary: &Vocabulary,
    file: &str,
    added: &AddedTokens,
    release: &Profile,
) -> Result<(), Error> {
    let Some(of_file) = vocabulary.added().filter(|of_file| !added.are_those_of(of_file)) else {
        return Ok(());
    };
    let first = vocabulary.len() as u32;
    let mut names = Vec::new();
    for other in &PROFILES {
        if AddedTokens::of_release(other, first)?.are_those_of(of_file) {
            names.push(format!("{:?}", other.name));
        }
    }
    let profile = release.name;
    let reason = match names.join(" or ") {
        names if names.is_empty() => {
            let differs = added.first_difference(of_file);
            format!(
                "its added tokens are not those of profile {profile:?}: {differs}; leave the profile out, \
                 and they are read as the file says"
            )
        }
        names => format!(
            "its special tokens are those of profile {names}, not of {profile:?}; pass profile={names}"
        ),
    };
    Err(Error::Vocabulary { file: file.to_owned(), line: None, reason })
}

/// Each name and each id must mean one token. A name that is a token of the vocabulary, as a `tokenizer.json`
/// writes it, may be an added token with the id of that token.
pub(super) fn validate_added(
    vocabulary: &Vocabulary,
    file: &str,
    added: &AddedTokens,
) -> Result<(), Error> {
    let (first, alphabet) = (vocabulary.len() as u32, Alphabet::new());
    let fault = |token: &AddedToken| {
        let AddedToken { id, name, .. } = token;
        match vocabulary.id_written(name, &alphabet) {
            _ if name.is_empty() => Some(format!("the added token with the id {id} has no name")),
            Some(known) if known != *id => Some(format!(
                "{name:?} is an ordinary token in it with the id {known}, and an added token with the id \
                 {id}"
            )),
            None if *id < first => Some(format!(
                "the added token {name:?} has the id {id}, which another token has; new ones have ids from \
                 {first} on"
            )),
            _ if added.id(name.as_bytes()) != Some(*id) => {
                Some(format!("the added token {name:?} occurs twice"))
            }
            _ => None,
        }
    };
    match added.iter().find_map(fault) {
        Some(reason) => Err(Error::Vocabulary { file: file.to_owned(), line: None, reason }),
        None => Ok(()),
    }
}
