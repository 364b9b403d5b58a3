//! A conversation as text with marks, such as special tokens; and from there ids, a mask, or text.

use std::ops::Range;

use crate::chat::conversation::{Chat, ContentPart, Ending, Role, check_now_and_then, no_images};
use crate::encode::Encoder;
use crate::encode::options::Options;
use crate::error::{Check, Error, always, slice};
use crate::profile::{END_HEADER, Profile, START_HEADER};

/// The text of a conversation, and marks at positions of it.
#[derive(Default)]
pub struct Script {
    text: String,
    /// In order, each with its offset in the text.
    marks: Vec<(usize, Mark)>,
}

const NO_SPECIAL: &str = "a conversation is that of another profile";

#[derive(Clone, Copy)]
pub(super) enum Mark {
    /// A special token, by its index in the profile.
    Special(u32),
    /// The text before is encoded apart from the text after.
    Cut,
    /// From here on a model learns to write the text, or no longer does.
    Learn(bool),
    /// A message ends here, or what is before the first message.
    MessageEnds,
}

/// A part of a conversation: some of its marks, and the text between them.
pub(super) struct Part {
    pub(super) marks: Range<usize>,
    pub(super) text: Range<usize>,
}

/// The ids of a conversation.
#[derive(Default)]
pub struct Encoded {
    /// The ids.
    pub ids: Vec<u32>,
    /// One for each id, if asked for: 1 where it is the assistant's.
    pub mask: Vec<u8>,
    /// How many ids there are before the first message, and up to the end of each.
    pub ends: Vec<usize>,
}

impl Script {
    /// Forgets all but its memory.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.marks.clear();
    }

    pub(super) fn text(&mut self, text: &str) -> Result<(), Error> {
        self.text.try_reserve(text.len())?;
        self.text.push_str(text);
        Ok(())
    }

    pub(super) fn special(&mut self, index: u32) -> Result<(), Error> {
        self.mark(Mark::Special(index))
    }

    pub(super) fn cut(&mut self) -> Result<(), Error> {
        self.mark(Mark::Cut)
    }

    pub(super) fn learn(&mut self, learns: bool) -> Result<(), Error> {
        self.mark(Mark::Learn(learns))
    }

    pub(super) fn message_ends(&mut self) -> Result<(), Error> {
        self.mark(Mark::MessageEnds)
    }

    fn mark(&mut self, mark: Mark) -> Result<(), Error> {
        self.marks.try_reserve(1)?;
        self.marks.push((self.text.len(), mark));
        Ok(())
    }

    /// The header of a message.
    pub(super) fn header(&mut self, role: Role) -> Result<(), Error> {
        self.special(START_HEADER)?;
        self.text(role.name())?;
        self.special(END_HEADER)?;
        self.text("\n\n")
    }

    /// As text, with the names of special tokens, for people to read.
    pub fn render(&self, encoder: &Encoder, check: &Check) -> Result<String, Error> {
        let mut rendered = String::new();
        let mut at = 0;
        for (number, &(at_mark, mark)) in self.marks.iter().enumerate() {
            check_now_and_then(number, check)?;
            if let Mark::Special(index) = mark {
                let id = always(encoder.release_id(index), NO_SPECIAL)?;
                let name = &always(encoder.added.get(id), NO_SPECIAL)?.name;
                let text = self.slice_of(at..at_mark)?;
                rendered.try_reserve(text.len() + name.len())?;
                rendered.push_str(text);
                rendered.push_str(name);
                at = at_mark;
            }
        }
        let rest = self.slice_of(at..self.text.len())?;
        rendered.try_reserve(rest.len())?;
        rendered.push_str(rest);
        Ok(rendered)
    }

    pub(super) fn slice_of(&self, range: Range<usize>) -> Result<&str, Error> {
        always(self.text.get(range), "a mark is not in the text of its conversation")
    }

    /// As ids. Text without a special token or a cut inside is encoded as one.
    pub fn encode(&self, encoder: &Encoder, masks: bool, check: &Check) -> Result<Encoded, Error> {
        let mut encoded = Encoded::default();
        self.encode_into(encoder, masks, &mut encoded, &mut ShortRuns::default(), check)?;
        Ok(encoded)
    }

    /// The same, after the ids of other conversations, whose number is in [`Encoded::ends`].
    pub fn encode_into(
        &self,
        encoder: &Encoder,
        masks: bool,
        encoded: &mut Encoded,
        short: &mut ShortRuns,
        check: &Check,
    ) -> Result<(), Error> {
        let part = Part { marks: 0..self.marks.len(), text: 0..self.text.len() };
        self.encode_part(part, encoder, masks, encoded, short, check)
    }

    pub(super) fn marks(&self) -> &[(usize, Mark)] {
        &self.marks
    }

    pub(super) fn text_len(&self) -> usize {
        self.text.len()
    }

    /// The ids of a part that begins at the beginning or after the end of a message.
    pub(super) fn encode_part(
        &self,
        part: Part,
        encoder: &Encoder,
        masks: bool,
        encoded: &mut Encoded,
        short: &mut ShortRuns,
        check: &Check,
    ) -> Result<(), Error> {
        let mut run = TextRun { start: part.text.start, learned: Vec::new(), since: None, short };
        for (number, &(at, mark)) in slice(&self.marks, part.marks)?.iter().enumerate() {
            // Of texts that are known no encoding does.
            check_now_and_then(number, check)?;
            match mark {
                Mark::Learn(learns) => run.learn(at, learns),
                Mark::Cut => self.flush(&mut run, at, encoded, encoder, masks, check)?,
                Mark::MessageEnds => {
                    self.flush(&mut run, at, encoded, encoder, masks, check)?;
                    encoded.ends.try_reserve(1)?;
                    encoded.ends.push(encoded.ids.len());
                }
                Mark::Special(index) => {
                    self.flush(&mut run, at, encoded, encoder, masks, check)?;
                    let id = always(encoder.release_id(index), NO_SPECIAL)?;
                    encoded.ids.try_reserve(1)?;
                    encoded.ids.push(id);
                    if masks {
                        encoded.mask.try_reserve(1)?;
                        encoded.mask.push(u8::from(run.since.is_some()));
                    }
                }
            }
        }
        self.flush(&mut run, part.text.end, encoded, encoder, masks, check)
    }

    /// Encodes what has come since the last special token or cut.
    fn flush(
        &self,
        run: &mut TextRun,
        at: usize,
        encoded: &mut Encoded,
        encoder: &Encoder,
        masks: bool,
        check: &Check,
    ) -> Result<(), Error> {
        let text = self.slice_of(run.start..at)?.as_bytes();
        let before = encoded.ids.len();
        let learned = run.end(at);
        run.short.encode(text, encoder, &mut encoded.ids, check)?;
        if !masks {
            return Ok(());
        }
        encoded.mask.try_reserve(encoded.ids.len() - before)?;
        encoded.mask.resize(encoded.ids.len(), 0);
        let mut ids = encoded.ids.iter().zip(&mut encoded.mask).skip(before);
        let mut start = 0;
        for range in learned {
            // A token that has any of the assistant's bytes is the assistant's. From a range that reaches to the
            // end of the text on, all are.
            while start < range.end {
                let next = always(ids.next(), "the tokens of a conversation end before its text")?;
                let (&id, learned) = next;
                let token = encoder.vocabulary.token(id);
                let end = start + always(token, "encoding gave an id that no token has")?.len();
                *learned = u8::from(range.start < end);
                if range.start < end && range.end == text.len() {
                    ids.by_ref().for_each(|(_, learned)| *learned = 1);
                    return Ok(());
                }
                start = end;
            }
        }
        Ok(())
    }
}

/// The ids of short texts, of which structure has the same again and again: the names of roles, and the dates.
/// Looking for one takes less time than encoding it. The first ones are kept, since what comes later is content.
#[derive(Default)]
pub struct ShortRuns {
    known: Vec<(Vec<u8>, Vec<u32>)>,
}

/// The most bytes of a text that is kept.
const SHORT_BYTES: usize = 80;
/// How many are kept.
const SHORT_RUNS: usize = 12;

impl ShortRuns {
    fn encode(
        &mut self,
        text: &[u8],
        encoder: &Encoder,
        ids: &mut Vec<u32>,
        check: &Check,
    ) -> Result<(), Error> {
        if text.is_empty() {
            return Ok(());
        }
        if text.len() <= SHORT_BYTES
            && let Some((_, known)) = self.known.iter().find(|(known, _)| known == text)
        {
            ids.try_reserve(known.len())?;
            ids.extend_from_slice(known);
            return Ok(());
        }
        let before = ids.len();
        encoder.encode(text, &Options::default(), ids, check)?;
        if text.len() <= SHORT_BYTES && self.known.len() < SHORT_RUNS {
            self.known.push((text.to_vec(), slice(ids, before..)?.to_vec()));
        }
        Ok(())
    }
}

/// Text that is encoded as one, and which of it is the assistant's.
struct TextRun<'s> {
    start: usize,
    /// Ranges of the whole text, in order.
    learned: Vec<Range<usize>>,
    /// Where the assistant's text that has not ended began.
    since: Option<usize>,
    short: &'s mut ShortRuns,
}

impl TextRun<'_> {
    fn learn(&mut self, at: usize, learns: bool) {
        if let Some(since) = self.since.take().filter(|&since| since < at) {
            self.learned.push(since..at);
        }
        self.since = learns.then_some(at);
    }

    /// The assistant's ranges, from the run's start; the next run begins at `at`.
    fn end(&mut self, at: usize) -> Vec<Range<usize>> {
        let goes_on = self.since.is_some();
        self.learn(at, goes_on);
        let start = std::mem::replace(&mut self.start, at);
        let mut learned = std::mem::take(&mut self.learned);
        for range in &mut learned {
            *range = range.start - start..range.end - start;
        }
        learned
    }
}

impl Chat<'_> {
    /// Ends message `index` with `token`, unless it stays open.
    pub(super) fn end(&self, index: usize, token: u32, script: &mut Script) -> Result<(), Error> {
        if self.ending != Ending::Open || index + 1 < self.messages.len() {
            script.special(token)?;
        }
        script.learn(false)?;
        script.message_ends()
    }
}

/// Writes a part of message `index`.
pub(super) fn write_part(
    part: &ContentPart,
    index: usize,
    profile: &Profile,
    script: &mut Script,
) -> Result<(), Error> {
    match part {
        ContentPart::Text(text) => script.text(text),
        ContentPart::Image => {
            script.special(profile.image().ok_or_else(|| no_images(index, profile))?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::tests::sees_a_fault;
    use crate::reference::{go_on, sample_encoder};

    #[test]
    fn a_mark_without_its_place_or_token_is_an_error_and_no_shorter_text() {
        let encoder = sample_encoder();
        let none = encoder.release.unwrap().count;
        for mark in [(2, Mark::Special(0)), (0, Mark::Special(none))] {
            let script = Script { text: "a".to_owned(), marks: vec![mark] };
            assert!(sees_a_fault(|| script.render(encoder, &go_on)));
            assert!(sees_a_fault(|| script.encode(encoder, false, &go_on)));
        }
    }
}
