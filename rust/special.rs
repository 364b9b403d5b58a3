//! Special tokens: finding their names in text, which never becomes one unless the caller selects it
//! ([`Selection`]).
//!
//! Every name begins with `<|`, ends with `|>` and has no other `|`, so no name is the beginning of
//! another: at most one name can stand at a position, and "the longest first" needs no search.

use std::ops::Range;

use memchr::memmem;

use crate::encode::{CHECK_BYTES, Options};
use crate::error::{Check, Error, always, slice};
use crate::profile::Profile;

/// How many openings of names are looked at between two calls of `check`, a millisecond.
const CHECK_OPENINGS: usize = 1 << 15;

/// How every special token's name begins.
const OPENING: &[u8] = b"<|";

/// The special tokens of a profile, behind a vocabulary of a certain size.
pub struct Specials {
    /// The profile.
    pub profile: &'static Profile,
    /// The id of the first special token: the size of the vocabulary.
    pub first: u32,
    names: Vec<String>,
    /// (name, place), sorted by name.
    by_name: Vec<(String, u32)>,
    opening: memmem::Finder<'static>,
}

/// Which special tokens are meant.
pub enum Selection {
    /// No special token.
    None,
    /// Every special token of the profile.
    All,
    /// These: one flag for each place.
    Some(Vec<bool>),
}

impl Selection {
    /// Whether nothing is selected.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Every special token that is not selected.
    pub fn complement(&self) -> Self {
        match self {
            Self::None => Self::All,
            Self::All => Self::None,
            Self::Some(flags) => Self::Some(flags.iter().map(|flag| !flag).collect()),
        }
    }

    fn has(&self, place: u32) -> Result<bool, Error> {
        match self {
            Self::None => Ok(false),
            Self::All => Ok(true),
            Self::Some(flags) => {
                let flag = flags.get(place as usize).copied();
                always(flag, "a selection of special tokens is that of another profile")
            }
        }
    }
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub enum Segment {
    /// Ordinary text.
    Text(Range<usize>),
    /// A special token that the caller allowed, with its id.
    Special(Range<usize>, u32),
}

impl Specials {
    /// The special tokens of `profile`, whose ids begin at `first`.
    pub fn new(profile: &'static Profile, first: u32) -> Self {
        let names = profile.special_names();
        let mut by_name: Vec<(String, u32)> = names.iter().cloned().zip(0..).collect();
        by_name.sort();
        Self { profile, first, names, by_name, opening: memmem::Finder::new(OPENING) }
    }

    /// The names in the order of their ids.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The name of a special id.
    pub fn name(&self, id: u32) -> Option<&str> {
        let place = id.checked_sub(self.first)?;
        self.names.get(place as usize).map(String::as_str)
    }

    /// The id of a special token's name.
    pub fn id(&self, name: &[u8]) -> Option<u32> {
        let found = self.by_name.binary_search_by(|(known, _)| known.as_bytes().cmp(name));
        let (_, place) = self.by_name.get(found.ok()?)?;
        Some(self.first + place)
    }

    /// Selects by name; a name that the profile does not have is an error.
    pub fn select(&self, names: &[String]) -> Result<Selection, Error> {
        if names.is_empty() {
            return Ok(Selection::None);
        }
        let mut flags = vec![false; self.names.len()];
        for name in names {
            let place = self.id(name.as_bytes()).map(|id| (id - self.first) as usize);
            match place.and_then(|place| flags.get_mut(place)) {
                Some(flag) => *flag = true,
                None => {
                    let (token, profile) = (name.clone(), self.profile.name);
                    return Err(Error::UnknownSpecialToken { token, profile });
                }
            }
        }
        Ok(Selection::Some(flags))
    }

    /// An error if `text` has a special token of `disallowed`: the first one, with its place.
    #[inline]
    pub fn refuse(&self, text: &[u8], disallowed: &Selection, check: &Check) -> Result<(), Error> {
        if disallowed.is_none() {
            return Ok(());
        }
        match self.find(text, 0, disallowed, check)? {
            Some((range, id)) => {
                let name = always(self.name(id), "a special token has no name")?;
                Err(Error::DisallowedSpecialToken { token: name.to_owned(), offset: range.start })
            }
            None => Ok(()),
        }
    }

    /// Cuts `text` at the special tokens of `allowed`, the leftmost first. Text segments are not
    /// empty, and the segments cover the text.
    pub fn split<'a>(
        &'a self,
        text: &'a [u8],
        allowed: &'a Selection,
        check: &'a Check,
    ) -> impl Iterator<Item = Result<Segment, Error>> + 'a {
        let (mut at, mut next_check) = (0, CHECK_BYTES);
        let mut next = None;
        std::iter::from_fn(move || {
            if at == text.len() {
                return None;
            }
            // Each name may be found at once, so that looking for it asks nobody.
            if at >= next_check {
                next_check = at + CHECK_BYTES;
                if let Err(error) = check() {
                    return Some(Err(error));
                }
            }
            let found = match next.take() {
                Some(found) => Some(found),
                None => match self.find(text, at, allowed, check) {
                    Ok(found) => found,
                    Err(error) => return Some(Err(error)),
                },
            };
            let start = at;
            match found {
                Some((range, id)) if range.start == start => {
                    at = range.end;
                    Some(Ok(Segment::Special(range, id)))
                }
                found => {
                    at = found.as_ref().map_or(text.len(), |(range, _)| range.start);
                    next = found;
                    let text = (start < at).then_some(Segment::Text(start..at));
                    Some(always(text, "a special token is before where the search began"))
                }
            }
        })
    }

    /// The first special token of `selection` at or behind `from`.
    fn find(
        &self,
        text: &[u8],
        from: usize,
        selection: &Selection,
        check: &Check,
    ) -> Result<Option<(Range<usize>, u32)>, Error> {
        if selection.is_none() {
            return Ok(None);
        }
        for (count, offset) in (1..).zip(self.opening.find_iter(slice(text, from..)?)) {
            if count % CHECK_OPENINGS == 0 {
                check()?;
            }
            let start = from + offset;
            if let Some((length, place)) = self.at(slice(text, start..)?)
                && selection.has(place)?
            {
                return Ok(Some((start..start + length, self.first + place)));
            }
        }
        Ok(None)
    }

    /// What of `text` is certain, whatever follows: it may end with the beginning of a name.
    pub fn settled<'t>(&self, text: &'t [u8]) -> Result<&'t [u8], Error> {
        // Only the first byte of a name is a `<`.
        let Some(opening) = memchr::memrchr(b'<', text) else { return Ok(text) };
        let tail = slice(text, opening..)?;
        let begins = self.names.iter().any(|name| name.as_bytes().starts_with(tail));
        if begins { slice(text, ..opening) } else { Ok(text) }
    }

    /// The place `cut`, or if it is inside a special token that `options` allow or disallow, the
    /// place behind that. `text` must be settled.
    pub fn behind(&self, text: &[u8], cut: usize, options: &Options) -> Result<usize, Error> {
        let Some(opening) = memchr::memrchr(b'<', slice(text, ..cut)?) else { return Ok(cut) };
        match self.at(slice(text, opening..)?) {
            Some((length, place))
                if options.allowed.has(place)? || options.disallowed.has(place)? =>
            {
                Ok(cut.max(opening + length))
            }
            _ => Ok(cut),
        }
    }

    /// The special token that `text` begins with: its length and place.
    ///
    /// A name that is the beginning of `text` sorts before it, and any name between the two would
    /// begin with that name, which none does; so only the last name before `text` can be it.
    fn at(&self, text: &[u8]) -> Option<(usize, u32)> {
        let behind = self.by_name.partition_point(|(name, _)| name.as_bytes() <= text);
        // `None` if no name sorts before the text.
        let (name, place) = self.by_name.get(behind.checked_sub(1)?)?;
        text.starts_with(name.as_bytes()).then_some((name.len(), *place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::tests::sees_a_fault;
    use crate::reference::go_on;

    fn specials(profile: &str) -> Specials {
        Specials::new(Profile::find(profile).unwrap(), 128_000)
    }

    #[test]
    fn splitting_takes_the_leftmost_allowed_token() {
        let specials = specials("llama3.1");
        let text = b"a<|<|eot_id|><|eom_id|><|eot_id|";
        let split = |selection: &Selection| {
            specials.split(text, selection, &go_on).map(Result::unwrap).collect::<Vec<_>>()
        };
        assert_eq!(
            split(&Selection::All),
            [
                Segment::Text(0..3),
                Segment::Special(3..13, 128_009),
                Segment::Special(13..23, 128_008),
                Segment::Text(23..32),
            ]
        );
        let only = specials.select(&["<|eom_id|>".to_owned()]).unwrap();
        assert_eq!(
            split(&only),
            [Segment::Text(0..13), Segment::Special(13..23, 128_008), Segment::Text(23..32)]
        );
        assert_eq!(split(&Selection::None), [Segment::Text(0..32)]);
        assert_eq!(specials.split(b"", &Selection::All, &go_on).count(), 0);
    }

    #[test]
    fn a_check_that_fails_stops_a_text_of_many_names() {
        let specials = specials("llama3.1");
        let text = b"<|eot_id|>".repeat(100_000);
        let stop = || Err(Error::Interrupted);
        let mut segments = specials.split(&text, &Selection::All, &stop);
        assert!(segments.position(|segment| segment.is_err()).unwrap() < 10_000);
    }

    #[test]
    fn the_disallowed_check_names_the_first_token_and_its_offset() {
        let specials = specials("llama3");
        let error =
            specials.refuse("é <|eot_id|>".as_bytes(), &Selection::All, &go_on).unwrap_err();
        assert!(matches!(
            error,
            Error::DisallowedSpecialToken { token, offset: 3 } if token == "<|eot_id|>"
        ));
        // `<|eom_id|>` is no token of this profile, and a name that is not selected is text.
        assert!(specials.refuse(b"<|eom_id|>", &Selection::All, &go_on).is_ok());
        let other = specials.select(&["<|end_of_text|>".to_owned()]).unwrap();
        assert!(specials.refuse(b"<|eot_id|>", &other, &go_on).is_ok());
        assert!(specials.select(&["<|eom_id|>".to_owned()]).is_err());
    }

    #[test]
    fn a_selection_of_another_profile_is_an_error_and_finds_no_less() {
        let vision = specials("llama3.2-vision");
        let of_another = specials("llama3.1").select(&["<|eot_id|>".to_owned()]).unwrap();
        let text = b"<|image|>";
        assert!(sees_a_fault(|| vision.refuse(text, &of_another, &go_on)));
        assert!(sees_a_fault(|| {
            vision.split(text, &of_another, &go_on).collect::<Result<Vec<_>, _>>()
        }));
        let options = Options { allowed: of_another, ..Options::default() };
        assert!(sees_a_fault(|| vision.behind(text, 3, &options)));
        assert!(sees_a_fault(|| vision.behind(text, 30, &Options::default())));
        assert!(sees_a_fault(|| vision.find(text, 30, &Selection::All, &go_on)));
    }
}
