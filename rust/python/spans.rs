//! Where tokens stand in a text, and where it is truncated, in Python's characters.

use std::ops::Range;

use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::types::PySlice;

use super::convert::{array, bytes_of, is_bytes, joined_pairs};
use super::detach::detached;
use crate::encode::Encoder;
use crate::encode::offsets::{Characters, Offsets, char_spans};
use crate::encode::options::Options;
use crate::error::slice;
use crate::text::unicode::count_chars;

/// Ranges between two looks for signals, some milliseconds.
const CHECK_RANGES: usize = 1 << 18;

/// Ids, byte ranges and character ranges.
pub(super) type Spans<'py> =
    (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray2<i64>>, Bound<'py, PyArray2<i64>>);

pub(super) fn spans<'py>(
    encoder: &Encoder,
    text: &Bound<'py, PyAny>,
    options: &Options,
) -> PyResult<Spans<'py>> {
    let py = text.py();
    let bytes = bytes_of(text, || "text".to_owned())?;
    let wide = joined_pairs(text)?;
    let (ids, spans, chars) = detached(py, None, |check, _| {
        let mut sink = Offsets::new(&encoder.vocabulary);
        encoder.encode(&bytes, options, &mut sink, check)?;
        let chars = char_spans(&bytes, &wide, &sink.spans, check)?;
        Ok((sink.ids, sink.spans, chars))
    })?;
    Ok((array(py, ids)?, ranges(py, &spans)?, ranges(py, &chars)?))
}

fn ranges<'py>(py: Python<'py>, ranges: &[Range<usize>]) -> PyResult<Bound<'py, PyArray2<i64>>> {
    let mut flat = Vec::new();
    let refused = |_| PyMemoryError::new_err("out of memory");
    flat.try_reserve_exact(2 * ranges.len()).map_err(refused)?;
    for ranges in ranges.chunks(CHECK_RANGES) {
        py.check_signals()?;
        flat.extend(ranges.iter().flat_map(|range| [range.start as i64, range.end as i64]));
    }
    array(py, flat)?.reshape([ranges.len(), 2])
}

pub(super) fn truncate<'py>(
    encoder: &Encoder,
    text: &Bound<'py, PyAny>,
    limit: usize,
    from_end: bool,
    options: &Options,
) -> PyResult<Bound<'py, PyAny>> {
    let bytes = bytes_of(text, || "text".to_owned())?;
    let is_bytes = is_bytes(text);
    let wide = joined_pairs(text)?;
    let place = detached(text.py(), None, |check, _| {
        let place = match from_end {
            false => encoder.longest_prefix(&bytes, limit, options, check)?,
            true => encoder.longest_suffix(&bytes, limit, options, check)?,
        };
        // Most texts have no surrogates, and counting their characters is fast.
        Ok(match (is_bytes, wide.is_empty()) {
            (true, _) => place,
            (false, true) => count_chars(slice(&bytes, ..place)?).0,
            (false, false) => {
                let mut characters = Characters::new(&bytes, &wide);
                let place = characters.at(place).start;
                characters.check()?;
                place
            }
        })
    })?;
    let kept = if from_end { place..text.len()? } else { 0..place };
    text.get_item(PySlice::new(text.py(), kept.start as isize, kept.end as isize, 1))
}
