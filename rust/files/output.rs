//! From a chunk of a file to its output: counts or ids, of a text or of the records of a JSONL file.

use std::mem::take;
use std::path::Path;
use std::sync::Arc;

use crate::encode::Encoder;
use crate::encode::options::Options;
use crate::error::{Check, Error, slice};
use crate::files::jsonl::{field_of, why_not};
use crate::files::packed_limits::PackedLimits;
use crate::files::reader::{CutRule, FileChunk, Refusal};
use crate::text::unicode::count_chars;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What is wanted of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// The number of tokens.
    Tokens,
    /// All of [`Totals`].
    Totals,
    /// The ids.
    Ids,
}

/// What some texts add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Texts: 1 for a text file, the records of a JSONL file.
    pub texts: u64,
    /// Ids, with BOS and EOS of each text if they are asked for.
    pub tokens: u64,
    /// Bytes of text, unpacked.
    pub bytes: u64,
    /// Characters of text; a byte that is not UTF-8 is one.
    pub characters: u64,
    /// Whether some bytes were not UTF-8. They are counted all the same.
    pub invalid_utf8: bool,
    /// Ids of the record that has the most, the first of several.
    pub longest: u64,
    /// Its line, from 1; 0 without records.
    pub longest_line: usize,
    /// Records with more ids than the limit.
    pub above: u64,
    /// Lines that were skipped, since they have no text to count.
    pub skipped: u64,
}

/// A line that was skipped, from 1, and why.
pub type SkippedLine = (usize, String);

/// What is wanted of JSONL files besides the ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// The field that is encoded.
    pub field: String,
    /// A line without such a text is skipped, and no error.
    pub skips: bool,
    /// Records with more ids are counted.
    pub limit: Option<u64>,
}

impl Totals {
    /// Takes a record in, or the longest of several that follow: the first of equals stays.
    fn note_record(&mut self, tokens: u64, line: usize) {
        if line > 0 && (self.longest_line == 0 || tokens > self.longest) {
            (self.longest, self.longest_line) = (tokens, line);
        }
    }
}

/// The counts or ids of a chunk, or of several chunks that follow each other.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ChunkOutput {
    /// Counts, if they are wanted.
    pub totals: Totals,
    /// The ids, if they are wanted.
    pub ids: Vec<u32>,
    /// Where the ids of each record end.
    pub ends: Vec<usize>,
    /// It is that of the first chunk of its file.
    pub is_first: bool,
    /// It is the only output of a file that was left out, for this reason.
    pub refused: Option<Refusal>,
    /// The first line that was skipped.
    pub first_skipped: Option<SkippedLine>,
}

impl ChunkOutput {
    /// How many bytes of memory it holds.
    pub fn held(&self) -> usize {
        self.ids.capacity() * size_of::<u32>() + self.ends.capacity() * size_of::<usize>()
    }

    /// Whether it has neither ids nor records.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.ends.is_empty()
    }

    /// Adds the output that follows it.
    pub fn join(&mut self, next: Self) -> Result<(), Error> {
        let Totals { texts, tokens, bytes, characters, invalid_utf8, .. } = next.totals;
        self.totals.texts += texts;
        self.totals.tokens += tokens;
        self.totals.bytes += bytes;
        self.totals.characters += characters;
        self.totals.invalid_utf8 |= invalid_utf8;
        self.totals.skipped += next.totals.skipped;
        self.totals.above += next.totals.above;
        self.totals.note_record(next.totals.longest, next.totals.longest_line);
        self.refused = self.refused.or(next.refused);
        if self.first_skipped.is_none() {
            self.first_skipped = next.first_skipped;
        }
        if self.is_empty() {
            (self.ids, self.ends) = (next.ids, next.ends);
            return Ok(());
        }
        let base = self.ids.len();
        self.ids.try_reserve(next.ids.len())?;
        self.ids.extend(next.ids);
        self.ends.try_reserve(next.ends.len())?;
        self.ends.extend(next.ends.into_iter().map(|end| base + end));
        Ok(())
    }
}

/// How each chunk is encoded, and what is wanted of it.
pub struct EncodeTask {
    encoder: Arc<Encoder>,
    records: Option<Records>,
    kind: OutputKind,
    /// How a chunk is encoded: without BOS and EOS, which are for texts.
    options: Options,
    /// Whether a text begins with BOS.
    bos: bool,
    /// Whether a text ends with EOS.
    eos: bool,
    /// How much packed files may be when they are unpacked.
    pub limits: PackedLimits,
}

impl EncodeTask {
    /// Encodes each file as a text as `options` say, or with `records` a field of each record of JSONL files.
    pub fn new(
        encoder: Arc<Encoder>,
        records: Option<Records>,
        kind: OutputKind,
        mut options: Options,
    ) -> Self {
        let (bos, eos) = (take(&mut options.bos), take(&mut options.eos));
        Self { encoder, records, kind, options, bos, eos, limits: PackedLimits::default() }
    }

    /// Whether the files are JSONL, so that each may have several texts.
    pub fn has_records(&self) -> bool {
        self.records.is_some()
    }

    /// Where a file may be cut into chunks.
    pub fn cut_rule(&self) -> CutRule<'_> {
        match self.records {
            Some(_) => CutRule::Lines,
            None => CutRule::Text(&self.encoder.added, &self.options),
        }
    }

    /// The output of a chunk of the file `path`.
    pub fn run(&self, path: &Path, chunk: &FileChunk, check: &Check) -> Result<ChunkOutput, Error> {
        let mut output = ChunkOutput { is_first: chunk.first, ..ChunkOutput::default() };
        let Some(Records { field, skips, limit }) = &self.records else {
            output.totals.texts = u64::from(chunk.last);
            let added = self.add(&mut output, chunk.text()?, chunk.first, chunk.last, check);
            added.map_err(|error| error.shifted_by(chunk.offset).in_file(path, None))?;
            return Ok(output);
        };
        let text = chunk.text()?;
        let text = text.strip_prefix(BYTE_ORDER_MARK).filter(|_| chunk.first).unwrap_or(text);
        let (mut start, ends) = (0, memchr::memchr_iter(b'\n', text).chain([text.len()]));
        for (line, end) in (chunk.line + 1..).zip(ends) {
            let record = slice(text, start..end)?;
            start = end + 1;
            if record.trim_ascii().is_empty() {
                continue;
            }
            let text = match field_of(record, field) {
                Ok(text) => text,
                Err(error) if *skips => {
                    output.totals.skipped += 1;
                    output.first_skipped.get_or_insert_with(|| (line, why_not(record, &error)));
                    continue;
                }
                Err(error) => {
                    let (path, reason) = (path.to_owned(), why_not(record, &error));
                    return Err(Error::Input { path, line: Some(line), reason });
                }
            };
            let before = output.totals.tokens;
            let added = self.add(&mut output, &text, true, true, check);
            added.map_err(|error| error.in_file(path, Some(line)))?;
            output.totals.texts += 1;
            let tokens = output.totals.tokens - before;
            output.totals.note_record(tokens, line);
            output.totals.above += u64::from(limit.is_some_and(|limit| tokens > limit));
            if self.kind == OutputKind::Ids {
                output.ends.try_reserve(1)?;
                output.ends.push(output.ids.len());
            }
            check()?;
        }
        Ok(output)
    }

    /// Adds a text, or a chunk of one: `first` and `last` say whether the text begins and ends with it.
    fn add(
        &self,
        output: &mut ChunkOutput,
        text: &[u8],
        first: bool,
        last: bool,
        check: &Check,
    ) -> Result<(), Error> {
        let (encoder, totals) = (&self.encoder, &mut output.totals);
        match self.kind {
            OutputKind::Tokens => totals.tokens += self.count(text, first, last, check)?,
            OutputKind::Totals => {
                let (characters, valid) = count_chars(text);
                totals.tokens += self.count(text, first, last, check)?;
                totals.bytes += text.len() as u64;
                totals.characters += characters as u64;
                totals.invalid_utf8 |= !valid;
            }
            OutputKind::Ids => {
                output.ids.try_reserve(2)?;
                if self.bos && first {
                    output.ids.push(encoder.roles.bos()?);
                }
                encoder.encode(text, &self.options, &mut output.ids, check)?;
                output.ids.try_reserve(1)?;
                if self.eos && last {
                    output.ids.push(encoder.roles.eos()?);
                }
            }
        }
        Ok(())
    }

    /// How many ids a text has, or the part of one, with BOS before the first and EOS after the last.
    fn count(&self, text: &[u8], first: bool, last: bool, check: &Check) -> Result<u64, Error> {
        let (bos, eos) = (self.bos && first, self.eos && last);
        let ends = self.encoder.added_ends(&Options { bos, eos, ..Options::default() })?;
        Ok((self.encoder.count(text, &self.options, check)? + ends) as u64)
    }
}
