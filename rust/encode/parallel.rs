//! Encoding on all threads: batches of texts, and the chunks of a large text.

use crate::added::Section;
use crate::encode::Encoder;
use crate::encode::groups::{for_each_group, groups, map_groups};
use crate::encode::options::Options;
use crate::encode::sink::{Count, Sink};
use crate::error::{Check, Error, always, slice};
use crate::text::cuts::last_cut;

/// From so many bytes on a single text is encoded by several threads.
const MIN_PARALLEL_BYTES: usize = 1 << 20;
/// About how many bytes a chunk of a large text has.
const CHUNK_BYTES: usize = 1 << 18;

/// A chunk of a large text, which is encoded by itself.
enum Chunk<'t> {
    Text(&'t [u8]),
    Added(u32),
}

impl Chunk<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Added(_) => 1,
        }
    }
}

/// Cuts `text` where that changes no ids, into chunks of about [`CHUNK_BYTES`] bytes. A text that can't
/// be cut is one chunk.
fn text_chunks<'t>(
    mut text: &'t [u8],
    check: &Check,
) -> impl Iterator<Item = Result<&'t [u8], Error>> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let mut size = CHUNK_BYTES;
        loop {
            // The last chunk is what is left.
            let Some(head) = text.get(..size) else { return Some(Ok(std::mem::take(&mut text))) };
            // Without a cut, or with nothing before it, twice as many bytes are tried.
            let cut = match last_cut(head, check) {
                Ok(cut) => cut,
                Err(error) => return Some(Err(error)),
            };
            match cut.and_then(|cut| text.split_at_checked(cut)) {
                Some((chunk @ [_, ..], rest)) => {
                    text = rest;
                    return Some(Ok(chunk));
                }
                _ => size *= 2,
            }
        }
    })
}

/// Reserves memory for all ids, of which there are about as many for each byte as in a part of the text. What is
/// not written takes none. Growing step by step would leave the steps behind.
fn reserve_like(ids: &mut Vec<u32>, ids_of_part: usize, part: usize, all: usize) {
    if ids.capacity() == 0 && part > 0 {
        let expected = (ids_of_part as f64 * all as f64 / part as f64 * 1.1) as usize;
        // If this is refused, less may still be granted.
        let _ = ids.try_reserve(expected);
    }
}

const OTHER_OFFSETS: &str = "the offsets of texts are those of other ids";

/// The ids of several texts end to end.
pub struct Ragged {
    /// The ids.
    pub ids: Vec<u32>,
    /// Where the ids of each text begin, and where those of the last one end.
    pub offsets: Vec<usize>,
}

impl Ragged {
    /// The ids of each text.
    pub fn texts(&self) -> impl Iterator<Item = Result<&[u32], Error>> {
        // There is one offset more than texts.
        let ends = self.offsets.iter().skip(1);
        let ids = |(&start, &end)| always(self.ids.get(start..end), OTHER_OFFSETS);
        self.offsets.iter().zip(ends).map(ids)
    }

    fn with_capacity(texts: usize) -> Result<Self, Error> {
        let mut empty = Self { ids: Vec::new(), offsets: Vec::new() };
        empty.offsets.try_reserve_exact(texts + 1)?;
        empty.offsets.push(0);
        Ok(empty)
    }

    /// Adds more texts at the end.
    fn append(&mut self, more: &Self) -> Result<(), Error> {
        let base = self.ids.len();
        self.ids.take(&more.ids)?;
        self.offsets.try_reserve(more.offsets.len())?;
        self.offsets.extend(more.offsets.iter().skip(1).map(|offset| base + offset));
        Ok(())
    }
}

impl Encoder {
    /// The ids of `text`, which are those of [`Encoder::encode`]; a large text is encoded in chunks by
    /// all processors.
    pub fn encode_parallel(
        &self,
        text: &[u8],
        options: &Options,
        check: &Check,
    ) -> Result<Vec<u32>, Error> {
        if text.len() < MIN_PARALLEL_BYTES {
            let mut ids = Vec::new();
            return self.encode(text, options, &mut ids, check).map(|()| ids);
        }
        let bos = options.bos.then(|| self.roles.bos()).transpose()?;
        let eos = options.eos.then(|| self.roles.eos()).transpose()?;
        let chunks = self.chunks(text, options, check)?;
        let work = |_, group: &[Chunk], check: &Check| {
            let mut ids = Vec::new();
            for chunk in group {
                match chunk {
                    Chunk::Text(text) => self.encode_plain(text, &mut ids, check)?,
                    Chunk::Added(id) => ids.take(&[*id])?,
                }
            }
            Ok((ids, group.iter().map(Chunk::len).sum::<usize>()))
        };
        let mut all: Vec<u32> = Vec::new();
        for_each_group(&chunks, Chunk::len, usize::MAX, check, work, |(ids, bytes)| {
            if all.is_empty() && bytes == text.len() {
                all = ids; // a text that can't be cut
                return Ok(());
            }
            reserve_like(&mut all, ids.len(), bytes, text.len());
            all.take(&ids)
        })?;
        all.try_reserve(2)?;
        if let Some(bos) = bos {
            all.insert(0, bos);
        }
        all.extend(eos);
        Ok(all)
    }

    /// How many ids `text` has; a large one is counted in parts by all processors.
    pub fn count_parallel(
        &self,
        text: &[u8],
        options: &Options,
        check: &Check,
    ) -> Result<usize, Error> {
        if text.len() < MIN_PARALLEL_BYTES {
            return self.count(text, options, check);
        }
        let ends = self.added_ends(options)?;
        let chunks = self.chunks(text, options, check)?;
        let groups = map_groups(&chunks, Chunk::len, usize::MAX, check, |_, group, check| {
            let mut count = Count::default();
            for chunk in group {
                match chunk {
                    Chunk::Text(text) => self.encode_plain(text, &mut count, check)?,
                    Chunk::Added(_) => count.0 += 1,
                }
            }
            Ok(count.0)
        })?;
        Ok(groups.iter().sum::<usize>() + ends)
    }

    /// A text as added tokens and chunks of the text between them.
    fn chunks<'t>(
        &self,
        text: &'t [u8],
        options: &Options,
        check: &Check,
    ) -> Result<Vec<Chunk<'t>>, Error> {
        self.added.refuse(text, &options.disallowed, check)?;
        let mut chunks = Vec::new();
        for section in self.added.split(text, &options.allowed, check) {
            match section? {
                Section::Added(_, id) => {
                    chunks.try_reserve(1)?;
                    chunks.push(Chunk::Added(id));
                }
                Section::Text(range) => {
                    for chunk in text_chunks(slice(text, range)?, check) {
                        chunks.try_reserve(1)?;
                        chunks.push(Chunk::Text(chunk?));
                    }
                }
            }
        }
        Ok(chunks)
    }

    /// Encodes each text; gives the ids of each group of texts.
    pub fn encode_batch<B: AsRef<[u8]> + Sync>(
        &self,
        texts: &[B],
        threads: usize,
        options: &Options,
        check: &Check,
    ) -> Result<Vec<Ragged>, Error> {
        let mut groups = Vec::new();
        self.for_each_batch(texts, threads, options, check, |group| {
            groups.try_reserve(1)?;
            groups.push(group);
            Ok(())
        })?;
        Ok(groups)
    }

    /// Encodes each text, and gives the ids of groups of texts to `take`, in order.
    fn for_each_batch<B: AsRef<[u8]> + Sync>(
        &self,
        texts: &[B],
        threads: usize,
        options: &Options,
        check: &Check,
        take: impl FnMut(Ragged) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let cost = |text: &B| text.as_ref().len();
        let work = |first: usize, group: &[B], check: &Check| {
            let mut ragged = Ragged::with_capacity(group.len())?;
            self.encode_group(first, group, options, &mut ragged, check)?;
            Ok(ragged)
        };
        for_each_group(texts, cost, threads, check, work, take)
    }

    /// The ids of each text, end to end.
    pub fn encode_ragged<B: AsRef<[u8]> + Sync>(
        &self,
        texts: &[B],
        threads: usize,
        options: &Options,
        check: &Check,
    ) -> Result<Ragged, Error> {
        let mut all = Ragged::with_capacity(texts.len())?;
        if threads > 1 {
            self.for_each_batch(texts, threads, options, check, |group| {
                if all.ids.is_empty() {
                    let bytes = |texts: &[B]| texts.iter().map(|text| text.as_ref().len()).sum();
                    let first = slice(texts, 0..group.offsets.len().saturating_sub(1))?;
                    reserve_like(&mut all.ids, group.ids.len(), bytes(first), bytes(texts));
                }
                all.append(&group)
            })?;
            return Ok(all);
        }
        // On one thread all ids are written to their final memory; groups are only for `check`.
        for group in groups(texts, |text| text.as_ref().len()) {
            check()?;
            let first = group.start;
            let group = slice(texts, group)?;
            self.encode_group(first, group, options, &mut all, check)?;
        }
        Ok(all)
    }

    /// Adds the ids of consecutive texts; `first` is the index of the first.
    fn encode_group<B: AsRef<[u8]>>(
        &self,
        first: usize,
        group: &[B],
        options: &Options,
        ragged: &mut Ragged,
        check: &Check,
    ) -> Result<(), Error> {
        for (index, text) in (first..).zip(group) {
            let encoded = self.encode(text.as_ref(), options, &mut ragged.ids, check);
            encoded.map_err(|error| error.in_item("texts", index))?;
            ragged.offsets.push(ragged.ids.len());
        }
        Ok(())
    }

    /// Counts each text's ids.
    pub fn count_batch<B: AsRef<[u8]> + Sync>(
        &self,
        texts: &[B],
        threads: usize,
        options: &Options,
        check: &Check,
    ) -> Result<Vec<i64>, Error> {
        let cost = |text: &B| text.as_ref().len();
        let groups = map_groups(texts, cost, threads, check, |first, group, check| {
            let counts = (first..).zip(group).map(|(index, text)| {
                let count = self.count(text.as_ref(), options, check);
                Ok(count.map_err(|error| error.in_item("texts", index))? as i64)
            });
            counts.collect::<Result<Vec<_>, Error>>()
        })?;
        let mut counts = Vec::new();
        counts.try_reserve_exact(texts.len())?;
        groups.into_iter().for_each(|group| counts.extend(group));
        Ok(counts)
    }

    /// Decodes each sequence of ids; parameters and errors as in [`Encoder::decode`].
    pub fn decode_batch(
        &self,
        sequences: &[Ids],
        threads: usize,
        skip_special: bool,
        check: &Check,
    ) -> Result<Vec<Vec<Vec<u8>>>, Error> {
        map_groups(sequences, Ids::len, threads, check, |first, group, check| {
            let indexed = (first..).zip(group);
            let texts = indexed.map(|(index, ids)| {
                let decoded = match ids {
                    Ids::U32(ids) => self.decode(ids, skip_special, check),
                    Ids::I32(ids) => self.decode(ids, skip_special, check),
                    Ids::I64(ids) => self.decode(ids, skip_special, check),
                };
                decoded.map_err(|error| error.in_item("sequences", index))
            });
            texts.collect()
        })
    }
}

/// A sequence of ids to decode, as NumPy arrays and lists have them. Some may be out of range.
pub enum Ids<'a> {
    /// Of 32 bits.
    U32(&'a [u32]),
    /// Of 32 bits, perhaps negative.
    I32(&'a [i32]),
    /// Of 64 bits.
    I64(&'a [i64]),
}

impl Ids<'_> {
    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "nothing asks")]
    pub fn len(&self) -> usize {
        match self {
            Self::U32(ids) => ids.len(),
            Self::I32(ids) => ids.len(),
            Self::I64(ids) => ids.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::added::Selection;
    use crate::encode::groups::GROUP_BYTES;
    use crate::error::tests::sees_a_fault;
    use crate::reference::{go_on, sample_encoder};

    #[test]
    fn a_large_text_in_parts_has_the_ids_of_the_whole() {
        let encoder = sample_encoder();
        let words = "It's 12 o'clock!  漢字，<|eot_id|>x\r\n \n ".repeat(60_000);
        let run = "z".repeat(MIN_PARALLEL_BYTES + 5);
        for text in
            [words.as_bytes(), run.as_bytes(), &[b"\xFF\xE2, a ", words.as_bytes()].concat()]
        {
            assert!(text.len() > MIN_PARALLEL_BYTES);
            for allowed in [Selection::None, Selection::All] {
                let options = Options { bos: true, eos: true, allowed, ..Options::default() };
                let mut expected = Vec::new();
                encoder.encode(text, &options, &mut expected, &go_on).unwrap();
                assert_eq!(encoder.encode_parallel(text, &options, &go_on).unwrap(), expected);
                let count = encoder.count_parallel(text, &options, &go_on).unwrap();
                assert_eq!(count, expected.len());
            }
            let chunks: Vec<_> = text_chunks(text, &go_on).map(Result::unwrap).collect();
            assert_eq!(chunks.concat(), text);
        }
    }

    #[test]
    fn ids_end_to_end_are_those_of_each_text_whatever_the_threads() {
        let encoder = sample_encoder();
        // Several groups, and texts that are empty or larger than one.
        let mut texts: Vec<String> = (0..3000).map(|n| "a word, ".repeat(n % 40)).collect();
        texts[100] = "x y ".repeat(GROUP_BYTES);
        let texts: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        let options = Options { bos: true, ..Options::default() };
        for threads in [1, 2, 1000] {
            let ragged = encoder.encode_ragged(&texts, threads, &options, &go_on).unwrap();
            assert_eq!(ragged.offsets.len(), texts.len() + 1);
            for (ids, text) in ragged.texts().zip(&texts) {
                let mut expected = Vec::new();
                encoder.encode(text, &options, &mut expected, &go_on).unwrap();
                assert_eq!(ids.unwrap(), expected);
            }
            let stopped =
                encoder.encode_ragged(&texts, threads, &options, &|| Err(Error::Interrupted));
            assert!(matches!(stopped, Err(Error::Interrupted)));
            let none = encoder.encode_ragged(&[b""; 0], threads, &options, &go_on).unwrap();
            assert_eq!((none.ids, none.offsets), (vec![], vec![0]));
            let refused = Options { disallowed: Selection::All, ..Options::default() };
            let mut texts = texts.clone();
            texts[2900] = b"<|eot_id|>";
            let error = encoder.encode_ragged(&texts, threads, &refused, &go_on).err().unwrap();
            assert!(matches!(error, Error::Item { index: 2900, .. }));
        }
    }

    #[test]
    fn offsets_of_other_ids_are_an_error_and_no_empty_list() {
        let ragged = Ragged { ids: vec![1, 2], offsets: vec![0, 2, 3] };
        assert_eq!(ragged.texts().next().unwrap().unwrap(), [1, 2]);
        assert!(sees_a_fault(|| ragged.texts().last().unwrap()));
    }
}
