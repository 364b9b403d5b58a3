//! Texts that lie in buffers, as those of an Arrow column do: nothing is made for each but where it begins
//! and ends. A row may be null; it has no ids, BOS and EOS included.

use crate::encode::Encoder;
use crate::encode::options::Options;
use crate::encode::parallel::Ragged;
use crate::error::{Check, Error, always};

/// Rows between two calls of the check, a fraction of a millisecond.
const CHECK_ROWS: usize = 1 << 16;

/// Where the text of each row is. `starts` and `ends` are bytes of a buffer, and have one item for each row.
pub struct Slices<'a> {
    /// What the texts are parts of.
    pub buffers: &'a [&'a [u8]],
    /// Which buffer the text of each row is in; the first without it.
    pub buffer_of: Option<&'a [i32]>,
    /// Where each text begins; a negative number for a null row.
    pub starts: &'a [i64],
    /// Where each text ends.
    pub ends: &'a [i64],
}

impl<'a> Slices<'a> {
    /// The texts of the rows that are not null.
    fn texts(&self, check: &Check) -> Result<Vec<&'a [u8]>, Error> {
        let mut texts = Vec::new();
        texts.try_reserve_exact(self.starts.len())?;
        for (row, (&start, &end)) in self.starts.iter().zip(self.ends).enumerate() {
            if row % CHECK_ROWS == 0 {
                check()?;
            }
            if start >= 0 {
                texts.push(self.text(row, start, end)?);
            }
        }
        Ok(texts)
    }

    fn text(&self, row: usize, start: i64, end: i64) -> Result<&'a [u8], Error> {
        let number = match self.buffer_of {
            Some(buffer_of) => buffer_of.get(row).and_then(|&number| usize::try_from(number).ok()),
            None => Some(0),
        };
        let buffer = number.and_then(|number| self.buffers.get(number).copied());
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let text = buffer.zip(range).and_then(|(buffer, (start, end))| buffer.get(start..end));
        text.ok_or(Error::DamagedColumn { row, start, end, length: buffer.map(<[u8]>::len) })
    }

    /// The same error about the row of the column, which may have null rows before it.
    fn in_column(&self, error: Error) -> Error {
        let Error::Item { index, error, .. } = error else { return error };
        let mut rows = self.starts.iter().enumerate().filter(|(_, start)| **start >= 0);
        match always(rows.nth(index), "an error is about a row that does not exist") {
            Ok((row, _)) => error.in_item("column", row),
            Err(error) => error,
        }
    }

    /// What is there for each text as an item for each row: `null` for a null row.
    fn by_row<T: Copy>(
        &self,
        items: Vec<T>,
        null: impl Fn(Option<T>) -> T,
        check: &Check,
    ) -> Result<Vec<T>, Error> {
        if items.len() == self.starts.len() {
            return Ok(items);
        }
        let (mut rows, mut items) = (Vec::new(), items.into_iter());
        rows.try_reserve_exact(self.starts.len())?;
        for (row, &start) in self.starts.iter().enumerate() {
            if row % CHECK_ROWS == 0 {
                check()?;
            }
            rows.push(match start >= 0 {
                true => always(items.next(), "a row that is not null has no result")?,
                false => null(rows.last().copied()),
            });
        }
        Ok(rows)
    }
}

impl Encoder {
    /// The ids of each row, end to end.
    pub fn encode_slices(
        &self,
        slices: &Slices,
        threads: usize,
        options: &Options,
        check: &Check,
    ) -> Result<Ragged, Error> {
        let texts = slices.texts(check)?;
        let ragged = self.encode_ragged(&texts, threads, options, check);
        let Ragged { ids, mut offsets } = ragged.map_err(|error| slices.in_column(error))?;
        if texts.len() < slices.starts.len() {
            // The end of each row's ids; those of a null row end where they begin.
            offsets.remove(0);
            let mut ends = slices.by_row(offsets, |before| before.unwrap_or(0), check)?;
            ends.try_reserve(1)?;
            ends.insert(0, 0);
            offsets = ends;
        }
        Ok(Ragged { ids, offsets })
    }

    /// How many ids each row has.
    pub fn count_slices(
        &self,
        slices: &Slices,
        threads: usize,
        options: &Options,
        check: &Check,
    ) -> Result<Vec<i64>, Error> {
        let texts = slices.texts(check)?;
        let counts = self.count_batch(&texts, threads, options, check);
        slices.by_row(counts.map_err(|error| slices.in_column(error))?, |_| 0, check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::added::Selection;
    use crate::reference::{go_on, sample_encoder};

    #[test]
    fn rows_have_the_ids_of_their_texts_and_null_rows_have_none() {
        let encoder = sample_encoder();
        let (first, second) = (b"a word, \xFFand more".as_slice(), b"other words".as_slice());
        let buffers = [first, second];
        let options = Options { bos: true, eos: true, ..Options::default() };
        for nulls in [vec![], vec![0], vec![3], vec![1, 2], vec![0, 1, 2, 3]] {
            let (mut starts, ends) = (vec![2, 0, 4, 9], vec![9, 11, 4, 17]);
            nulls.iter().for_each(|&row: &usize| starts[row] = -1);
            let slices = Slices {
                buffers: &buffers,
                buffer_of: Some(&[0, 1, 1, 0]),
                starts: &starts,
                ends: &ends,
            };
            let texts: [&[u8]; 4] = [&first[2..9], second, b"", &first[9..17]];
            for threads in [1, 2] {
                let ragged = encoder.encode_slices(&slices, threads, &options, &go_on).unwrap();
                let counts = encoder.count_slices(&slices, threads, &options, &go_on).unwrap();
                assert_eq!((ragged.offsets.len(), counts.len()), (5, 4));
                for (row, ids) in ragged.texts().enumerate() {
                    let mut expected = Vec::new();
                    if !nulls.contains(&row) {
                        encoder.encode(texts[row], &options, &mut expected, &go_on).unwrap();
                    }
                    assert_eq!((ids, counts[row]), (&expected[..], expected.len() as i64));
                }
            }
        }
    }

    #[test]
    fn many_rows_and_null_rows_are_kept_apart() {
        let encoder = sample_encoder();
        let text = b"a word, ".repeat(1000);
        let starts: Vec<i64> =
            (0..200_000).map(|row| if row % 3 == 1 { -1 } else { row % 7 }).collect();
        let ends = vec![8 * 20; starts.len()];
        let buffers = [&text[..]];
        let slices = Slices { buffers: &buffers, buffer_of: None, starts: &starts, ends: &ends };
        let ragged = encoder.encode_slices(&slices, 2, &Options::default(), &go_on).unwrap();
        let mut expected = vec![Vec::new(); 7];
        for (start, ids) in expected.iter_mut().enumerate() {
            encoder.encode(&text[start..160], &Options::default(), ids, &go_on).unwrap();
        }
        for (ids, &start) in ragged.texts().zip(&starts) {
            match usize::try_from(start) {
                Ok(start) => assert_eq!(ids, expected[start]),
                Err(_) => assert!(ids.is_empty()),
            }
        }
        let stopped = || Err(Error::Interrupted);
        let result = encoder.encode_slices(&slices, 1, &Options::default(), &stopped);
        assert!(matches!(result, Err(Error::Interrupted)));
    }

    #[test]
    fn a_text_outside_of_its_buffer_is_refused() {
        let encoder = sample_encoder();
        let buffers = [b"abc".as_slice()];
        for (buffer_of, start, end) in [
            (Some(0), 0, 4),
            (Some(0), 2, 1),
            (Some(0), 4, 4),
            (None, 3, i64::MAX),
            (None, 0, -1),
            (Some(1), 0, 0),
            (Some(-1), 0, 0),
        ] {
            let (starts, ends, numbers) = ([-1, start], [7, end], [9, buffer_of.unwrap_or(0)]);
            let buffer_of = buffer_of.map(|_| numbers.as_slice());
            let slices = Slices { buffers: &buffers, buffer_of, starts: &starts, ends: &ends };
            let options = Options::default();
            let error = encoder.encode_slices(&slices, 1, &options, &go_on).err().unwrap();
            assert!(matches!(error, Error::DamagedColumn { row: 1, .. }), "{error}");
            assert!(encoder.count_slices(&slices, 1, &options, &go_on).is_err());
        }
    }

    #[test]
    fn an_error_names_the_row_whatever_is_null_before_it() {
        let encoder = sample_encoder();
        let buffers = [b"a<|eot_id|>".as_slice()];
        let slices = Slices {
            buffers: &buffers,
            buffer_of: None,
            starts: &[-1, 0, -1, 1, 0],
            ends: &[0, 1, 0, 11, 11],
        };
        let options = Options { disallowed: Selection::All, ..Options::default() };
        for threads in [1, 2] {
            let error = encoder.encode_slices(&slices, threads, &options, &go_on).err().unwrap();
            assert!(matches!(error, Error::Item { batch: "column", index: 3, .. }), "{error}");
            let error = encoder.count_slices(&slices, threads, &options, &go_on).unwrap_err();
            assert!(matches!(error, Error::Item { batch: "column", index: 3, .. }), "{error}");
        }
    }
}
