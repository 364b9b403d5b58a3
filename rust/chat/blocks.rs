//! A conversation as blocks of messages, for [`PrefixCache`](crate::encode::prefixes::PrefixCache).

use crate::chat::conversation::check_now_and_then;
use crate::chat::script::{Encoded, Mark, Part, Script, ShortRuns};
use crate::encode::Encoder;
use crate::encode::prefixes::{Source, WINDOW_BYTES};
use crate::error::{Check, Error, always};

/// A conversation whose ids are wanted.
pub struct ChatSource<'a> {
    encoder: &'a Encoder,
    script: &'a Script,
    /// Text and marks in order: what is between two marks, with its length before it, and the mark.
    bytes: Vec<u8>,
    /// The ends of the blocks, ascending, and the end of all.
    ends: Vec<Place>,
}

/// A position in a conversation.
#[derive(Clone, Copy, Default)]
struct Place {
    bytes: usize,
    marks: usize,
    text: usize,
}

impl<'a> ChatSource<'a> {
    /// A block ends with the first message after which it has a window's bytes.
    pub fn new(encoder: &'a Encoder, script: &'a Script, check: &Check) -> Result<Self, Error> {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        let (mut text, mut block) = (0, 0);
        let mut run = |bytes: &mut Vec<u8>, end: usize| -> Result<(), Error> {
            let part = script.slice_of(text..end)?.as_bytes();
            bytes.try_reserve(part.len() + size_of::<u64>() + 1 + size_of::<u32>())?;
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
            text = end;
            Ok(())
        };
        for (number, &(at, mark)) in script.marks().iter().enumerate() {
            check_now_and_then(number, check)?;
            match mark {
                // What is learned has the same ids.
                Mark::Learn(_) => continue,
                Mark::Special(index) => {
                    run(&mut bytes, at)?;
                    bytes.push(0);
                    bytes.extend_from_slice(&index.to_le_bytes());
                }
                Mark::Cut => {
                    run(&mut bytes, at)?;
                    bytes.push(1);
                }
                Mark::MessageEnds => {
                    run(&mut bytes, at)?;
                    bytes.push(2);
                    if bytes.len() - block >= WINDOW_BYTES {
                        block = bytes.len();
                        ends.try_reserve(1)?;
                        ends.push(Place { bytes: block, marks: number + 1, text: at });
                    }
                }
            }
        }
        run(&mut bytes, script.text_len())?;
        let end =
            Place { bytes: bytes.len(), marks: script.marks().len(), text: script.text_len() };
        ends.try_reserve(1)?;
        ends.push(end);
        Ok(Self { encoder, script, bytes, ends })
    }

    /// The place with so many bytes before it.
    fn place(&self, bytes: usize) -> Result<Place, Error> {
        if bytes == 0 {
            return Ok(Place::default());
        }
        let found = self.ends.partition_point(|end| end.bytes < bytes);
        let place = self.ends.get(found).filter(|place| place.bytes == bytes);
        always(place.copied(), "a block of a conversation ends inside a message")
    }
}

impl Source for ChatSource<'_> {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn block(&self, at: usize, _: &Check) -> Result<Option<(usize, usize)>, Error> {
        let found = self.ends.partition_point(|end| end.bytes <= at);
        // The last place is the end of all, which is not that of a block.
        let is_block = found + 1 < self.ends.len();
        Ok(self.ends.get(found).filter(|_| is_block).map(|end| (end.bytes - at, end.bytes - at)))
    }

    fn encode(
        &self,
        at: usize,
        end: usize,
        ids: &mut Vec<u32>,
        check: &Check,
    ) -> Result<(), Error> {
        let (from, to) = (self.place(at)?, self.place(end)?);
        let mut encoded = Encoded { ids: std::mem::take(ids), ..Encoded::default() };
        let mut short = ShortRuns::default();
        let part = Part { marks: from.marks..to.marks, text: from.text..to.text };
        let (script, encoder) = (self.script, self.encoder);
        let done = script.encode_part(part, encoder, false, &mut encoded, &mut short, check);
        *ids = encoded.ids;
        done
    }
}
