//! A conversation as text with marks, such as special tokens; and from there ids, a mask, or text.

use std::ops::Range;

use crate::chat::conversation::{Chat, ContentPart, Ending, Role, no_images};
use crate::encode::Encoder;
use crate::encode::offsets::Offsets;
use crate::encode::options::Options;
use crate::error::{Check, Error, always};
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
enum Mark {
    /// A special token, by its index in the profile.
    Special(u32),
    /// The text before is encoded apart from the text after.
    Cut,
    /// From here on a model learns to write the text, or no longer does.
    Learn(bool),
    /// A message ends here, or what is before the first message.
    MessageEnds,
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
    pub fn render(&self, encoder: &Encoder) -> Result<String, Error> {
        let mut rendered = String::new();
        let mut at = 0;
        for &(at_mark, mark) in &self.marks {
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

    fn slice_of(&self, range: Range<usize>) -> Result<&str, Error> {
        always(self.text.get(range), "a mark is not in the text of its conversation")
    }

    /// As ids. Text without a special token or a cut inside is encoded as one.
    pub fn encode(&self, encoder: &Encoder, masks: bool, check: &Check) -> Result<Encoded, Error> {
        let mut run = TextRun { start: 0, learned: Vec::new(), since: None };
        let mut encoded = Encoded::default();
        for &(at, mark) in &self.marks {
            match mark {
                Mark::Learn(learns) => run.learn(at, learns),
                Mark::Cut => self.flush(&mut run, at, &mut encoded, encoder, masks, check)?,
                Mark::MessageEnds => {
                    self.flush(&mut run, at, &mut encoded, encoder, masks, check)?;
                    encoded.ends.try_reserve(1)?;
                    encoded.ends.push(encoded.ids.len());
                }
                Mark::Special(index) => {
                    self.flush(&mut run, at, &mut encoded, encoder, masks, check)?;
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
        self.flush(&mut run, self.text.len(), &mut encoded, encoder, masks, check)?;
        Ok(encoded)
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
        let (text, options) = (self.slice_of(run.start..at)?.as_bytes(), Options::default());
        let before = encoded.ids.len();
        let learned = run.end(at);
        let all_learned = learned.first().is_some_and(|first| first.len() == text.len());
        if !masks || learned.is_empty() || all_learned {
            encoder.encode(text, &options, &mut encoded.ids, check)?;
            if masks {
                let count = encoded.ids.len() - before;
                encoded.mask.try_reserve(count)?;
                encoded.mask.resize(before + count, u8::from(all_learned));
            }
            return Ok(());
        }
        let mut sink = Offsets::new(&encoder.vocabulary);
        encoder.encode(text, &options, &mut sink, check)?;
        encoded.ids.try_reserve(sink.ids.len())?;
        encoded.ids.extend_from_slice(&sink.ids);
        encoded.mask.try_reserve(sink.ids.len())?;
        // A token that has any of the assistant's bytes is the assistant's.
        let is_learned = |span: &Range<usize>| {
            learned.iter().any(|range| range.start < span.end && span.start < range.end)
        };
        encoded.mask.extend(sink.spans.iter().map(|span| u8::from(is_learned(span))));
        Ok(())
    }
}

/// Text that is encoded as one, and which of it is the assistant's.
struct TextRun {
    start: usize,
    /// Ranges of the whole text, in order.
    learned: Vec<Range<usize>>,
    /// Where the assistant's text that has not ended began.
    since: Option<usize>,
}

impl TextRun {
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
            assert!(sees_a_fault(|| script.render(encoder)));
            assert!(sees_a_fault(|| script.encode(encoder, false, &go_on)));
        }
    }
}
