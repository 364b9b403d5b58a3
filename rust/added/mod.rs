//! Added tokens: tokens that a text has by their names, whatever the ranks say.
//!
//! Most are special (`<|eot_id|>`): their names are plain text unless the caller selects them
//! ([`Selection`]). Others (`<think>`) are ordinary tokens, which every text may have. A release of Llama 3
//! has only special ones; a folder may have both.
//!
//! **The rule**, which is that of the library tokenizers (in its module `added_vocabulary`): of the
//! names that begin first the longest is taken. It is a token, unless it is special and not selected, or
//! it must be a whole word and is only a part of one; then its characters are text. A token with
//! `lstrip` or `rstrip` takes the white space before or after it. The text between tokens is then
//! searched again, for the names of tokens that are `normalized`.
//!
//! One thing is different here: no two tokens ever share characters. In that library, a name that begins
//! inside the white space that another token took is a token as well.

mod token;
mod names;
mod last_cut;
#[cfg(test)]
pub(crate) mod tests;

use std::ops::Range;

use self::names::{NameMatch, NameSearch, Names, WINDOW_BYTES};
pub use self::token::AddedToken;
use crate::error::{CHECK_BYTES, Check, Error, always};
use crate::profile::Profile;

/// The added tokens of a release or of a folder.
pub struct AddedTokens {
    /// Ascending by id; of several with one id the last is the one to decode.
    tokens: Vec<AddedToken>,
    /// The names of the tokens that are not normalized, and of those that are.
    names: [Names; 2],
    /// Whether some tokens are not special, so that every text is searched for them.
    has_ordinary: bool,
    /// Whether all names have the form of those of releases, and no token has a flag besides `special`.
    is_simple: bool,
}

/// Which special tokens are meant.
#[derive(Clone, Debug)]
pub enum Selection {
    /// No special token.
    None,
    /// Every special token.
    All,
    /// Those whose flag is set: one flag for each added token.
    Some(Vec<bool>),
}

impl Selection {
    /// Whether nothing is selected.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// A section of a text, by added tokens.
#[derive(Debug, PartialEq, Eq)]
pub enum Section {
    /// Ordinary text.
    Text(Range<usize>),
    /// An added token, with its id: a special one that the caller allowed, or an ordinary one.
    Added(Range<usize>, u32),
}

impl AddedTokens {
    /// The special tokens of a release, whose ids begin at `first`.
    pub fn of_release(release: &Profile, first: u32) -> Result<Self, Error> {
        let token = |(name, id)| AddedToken { id, name, special: true, ..AddedToken::default() };
        let tokens = release.special_names().into_iter().zip(first..).map(token).collect();
        Self::new(tokens)
    }

    /// Any tokens. No name may be empty, or occur twice.
    pub fn new(tokens: Vec<AddedToken>) -> Result<Self, Error> {
        Self::with_window(tokens, WINDOW_BYTES)
    }

    /// The same, which reads `window` bytes of a text at a time.
    fn with_window(mut tokens: Vec<AddedToken>, window: usize) -> Result<Self, Error> {
        tokens.sort_by_key(|token| token.id);
        let names = |normalized| {
            let tokens = tokens.iter().enumerate();
            let kind = tokens.filter(|(_, token)| token.normalized == normalized);
            Names::new(kind.map(|(index, token)| (token.name.clone(), index)).collect(), window)
        };
        let names = [names(false)?, names(true)?];
        let has_ordinary = tokens.iter().any(|token| !token.special);
        let asks = |token: &AddedToken| token.single_word || token.lstrip || token.rstrip;
        let [first, second] = &names;
        let is_simple = first.are_simple() && second.is_empty() && !tokens.iter().any(asks);
        Ok(Self { tokens, names, has_ordinary, is_simple })
    }

    /// All of them, ascending by id.
    pub fn iter(&self) -> impl Iterator<Item = &AddedToken> {
        self.tokens.iter()
    }

    /// One more than the largest id, 0 if there are none.
    pub fn end(&self) -> usize {
        self.tokens.last().map_or(0, |token| token.id as usize + 1)
    }

    /// The token with an id.
    pub fn get(&self, id: u32) -> Option<&AddedToken> {
        let next = self.tokens.partition_point(|token| token.id <= id);
        self.tokens.get(next.checked_sub(1)?).filter(|token| token.id == id)
    }

    /// Whether an id is a special token's.
    pub fn is_special(&self, id: u32) -> bool {
        self.get(id).is_some_and(|token| token.special)
    }

    /// Whether a special token has an id below `first`.
    pub fn has_special_below(&self, first: u32) -> bool {
        self.tokens.iter().take_while(|token| token.id < first).any(|token| token.special)
    }

    /// The id of a token's name.
    pub fn id(&self, name: &[u8]) -> Option<u32> {
        let index = self.names.iter().find_map(|names| names.index(name))?;
        Some(self.tokens.get(index)?.id)
    }

    /// Whether some are ordinary tokens, which every text may have.
    pub fn has_ordinary(&self) -> bool {
        self.has_ordinary
    }

    /// Whether no text can have one of them.
    #[inline]
    pub fn none_in(&self, allowed: &Selection) -> bool {
        allowed.is_none() && !self.has_ordinary
    }

    /// Whether they are the same as `others`, `normalized` aside: if all names are special, it changes
    /// nothing.
    pub fn are_those_of(&self, others: &[AddedToken]) -> bool {
        self.tokens.len() == others.len()
            && self.tokens.iter().zip(others).all(|(ours, theirs)| {
                *ours == AddedToken { normalized: ours.normalized, ..theirs.clone() }
            })
    }

    /// How they differ from others, for a message.
    pub fn first_difference(&self, others: &[AddedToken]) -> String {
        let ours = self.tokens.iter();
        let differs = ours.zip(others).find(|(ours, theirs)| {
            **ours != AddedToken { normalized: ours.normalized, ..(*theirs).clone() }
        });
        match differs {
            Some((ours, theirs)) if (ours.id, &ours.name) == (theirs.id, &theirs.name) => {
                format!("the flags of {:?} differ", theirs.name)
            }
            Some((ours, theirs)) => {
                format!(
                    "{} is {:?} in the file, and {:?} in the profile",
                    theirs.id, theirs.name, ours.name
                )
            }
            None => format!("the file has {}, and the profile {}", others.len(), self.tokens.len()),
        }
    }

    /// Selects by name. A name that is not an added token's is an error, which names `profile`.
    pub fn select(&self, names: &[String], profile: &str) -> Result<Selection, Error> {
        if names.is_empty() {
            return Ok(Selection::None);
        }
        let mut flags = vec![false; self.tokens.len()];
        for name in names {
            let index = self.names.iter().find_map(|kind| kind.index(name.as_bytes()));
            match index.and_then(|index| flags.get_mut(index)) {
                Some(flag) => *flag = true,
                None => {
                    let (token, profile) = (name.clone(), profile.to_owned());
                    return Err(Error::UnknownSpecialToken { token, profile });
                }
            }
        }
        Ok(Selection::Some(flags))
    }

    /// Every special token that is not selected.
    pub fn complement(&self, selection: &Selection) -> Selection {
        match selection {
            Selection::None => Selection::All,
            Selection::All => Selection::None,
            Selection::Some(flags) => {
                let both = self.tokens.iter().zip(flags);
                Selection::Some(both.map(|(token, flag)| token.special && !flag).collect())
            }
        }
    }

    fn selects(&self, selection: &Selection, index: usize) -> Result<bool, Error> {
        let special = always(self.tokens.get(index), NO_TOKEN)?.special;
        match selection {
            Selection::None => Ok(false),
            Selection::All => Ok(special),
            Selection::Some(flags) => {
                let flag = flags.get(index).copied();
                always(flag, "a selection of special tokens is that of another profile")
            }
        }
    }

    /// An error if `text` has a token of `disallowed`: the first one, with its offset.
    #[inline]
    pub fn refuse(&self, text: &[u8], disallowed: &Selection, check: &Check) -> Result<(), Error> {
        if disallowed.is_none() {
            return Ok(());
        }
        let mut matches = NameMatches::new(self, text, check);
        while let Some(found) = matches.next(&|index| self.selects(disallowed, index))? {
            if found.is_token {
                let token = always(self.tokens.get(found.index), NO_TOKEN)?.name.clone();
                return Err(Error::DisallowedSpecialToken { token, offset: found.name.start });
            }
        }
        Ok(())
    }

    /// Cuts `text` at its ordinary added tokens and at the special ones of `allowed`. Text sections are
    /// not empty, and the sections cover the text.
    pub fn split<'a>(
        &'a self,
        text: &'a [u8],
        allowed: &'a Selection,
        check: &'a Check,
    ) -> impl Iterator<Item = Result<Section, Error>> + 'a {
        let mut matches = NameMatches::new(self, text, check);
        let mut next = None;
        let (mut at, mut next_check) = (0, CHECK_BYTES);
        std::iter::from_fn(move || {
            if at == text.len() {
                return None;
            }
            // Finding one name after another may never call `check`.
            if at >= next_check {
                next_check = at + CHECK_BYTES;
                if let Err(error) = check() {
                    return Some(Err(error));
                }
            }
            let found = match next.take() {
                Some(found) => Some(found),
                None => match matches.next_token(allowed) {
                    Ok(found) => found,
                    Err(error) => return Some(Err(error)),
                },
            };
            let start = at;
            match found {
                Some((range, id)) if range.start == start => {
                    at = range.end;
                    Some(Ok(Section::Added(range, id)))
                }
                found => {
                    at = found.as_ref().map_or(text.len(), |(range, _)| range.start);
                    next = found;
                    let text = (start < at).then_some(Section::Text(start..at));
                    Some(always(text, "an added token is before where the search began"))
                }
            }
        })
    }

    /// Where tokens stand in a text, with the white space that they take, and their ids.
    pub fn spans(
        &self,
        text: &[u8],
        allowed: &Selection,
        check: &Check,
    ) -> Result<Vec<(usize, usize, u32)>, Error> {
        let (mut matches, mut spans) = (NameMatches::new(self, text, check), Vec::new());
        while let Some((range, id)) = matches.next_token(allowed)? {
            spans.try_reserve(1)?;
            spans.push((range.start, range.end, id));
        }
        Ok(spans)
    }

    /// Where names stand in a text, in no order: of tokens, with the white space that they take, and of
    /// those that are text.
    pub(crate) fn names_in(
        &self,
        text: &[u8],
        allowed: &Selection,
        check: &Check,
    ) -> Result<Vec<Range<usize>>, Error> {
        let (mut matches, mut found) = (NameMatches::new(self, text, check), Vec::new());
        while let Some(name) = matches.next(&|index| self.wants(allowed, index))? {
            found.try_reserve(1)?;
            found.push(name.range);
        }
        Ok(found)
    }

    /// The length of the longest name.
    pub(crate) fn longest_name(&self) -> usize {
        let [first, second] = &self.names;
        first.longest.max(second.longest)
    }

    /// Whether a token is wanted: an ordinary one always, a special one if it is selected.
    fn wants(&self, allowed: &Selection, index: usize) -> Result<bool, Error> {
        Ok(!always(self.tokens.get(index), NO_TOKEN)?.special || self.selects(allowed, index)?)
    }
}

/// Names that are found between two calls of `check`: a text may have nothing else.
const NAMES_AT_ONCE: usize = 1 << 12;
const NO_TOKEN: &str = "the name of an added token is not a token's";

/// Finds the names in a text, from left to right: those of tokens that are not normalized, and, once two
/// of these are known, the others between them.
struct NameMatches<'a> {
    added: &'a AddedTokens,
    text: &'a [u8],
    check: &'a Check<'a>,
    first: NameSearch,
    /// The search for normalized names between two tokens, and the second of these.
    second: Option<(NameSearch, Option<NameMatch>)>,
    /// Up to where the text was searched for normalized names.
    from: usize,
    /// How many names were found.
    found: usize,
}

impl<'a> NameMatches<'a> {
    fn new(added: &'a AddedTokens, text: &'a [u8], check: &'a Check<'a>) -> Self {
        let first = NameSearch::new(0..text.len());
        Self { added, text, check, first, second: None, from: 0, found: 0 }
    }

    /// The next name. It is a token if `wants` is true for it and its neighbours allow it. Of names that
    /// are text, a normalized one may come after one that is further right.
    fn next(
        &mut self,
        wants: &dyn Fn(usize) -> Result<bool, Error>,
    ) -> Result<Option<NameMatch>, Error> {
        let Self { added, text, check, .. } = *self;
        let [names, normalized] = &added.names;
        self.found += 1;
        if self.found.is_multiple_of(NAMES_AT_ONCE) {
            check()?;
        }
        loop {
            if let Some((level, held)) = &mut self.second {
                if let Some(found) = level.next(text, normalized, &added.tokens, wants, check)? {
                    return Ok(Some(found));
                }
                let held = held.take();
                let is_last = held.is_none();
                self.second = None;
                if is_last {
                    self.from = text.len();
                }
                return Ok(held);
            }
            let found = self.first.next(text, names, &added.tokens, wants, check)?;
            if normalized.is_empty() || found.as_ref().is_some_and(|found| !found.is_token) {
                return Ok(found);
            }
            let from = self.from;
            let end = found.as_ref().map_or(text.len(), |found| found.range.start);
            self.from = found.as_ref().map_or(text.len(), |found| found.range.end);
            if from == end {
                return Ok(found);
            }
            self.second = Some((NameSearch::new(from..end), found));
        }
    }

    /// The next token: where it stands, with the white space that it takes, and its id.
    fn next_token(&mut self, allowed: &Selection) -> Result<Option<(Range<usize>, u32)>, Error> {
        let added = self.added;
        while let Some(found) = self.next(&|index| added.wants(allowed, index))? {
            if found.is_token {
                let token = always(added.tokens.get(found.index), NO_TOKEN)?;
                return Ok(Some((found.range, token.id)));
            }
        }
        Ok(None)
    }
}
