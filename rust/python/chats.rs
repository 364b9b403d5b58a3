//! Many conversations at once.

use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::chat::{GivenChat, Text, chat, messages_of, profile};
use super::convert::{array, look_for_signals, try_collect};
use super::core::Core;
use super::detach::detached;
use super::raise::raise;
use crate::chat::encode_all;

/// `uint32[n]` ids, `uint8[n]` mask, `int64[chats + 1]` offsets, `int64` ends, and the conversations that can't be
/// written, each with its exception.
type Encoded<'py> = (
    Bound<'py, PyArray1<u32>>,
    Bound<'py, PyArray1<u8>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i64>>,
    Vec<(usize, PyErr)>,
);

/// A conversation: its messages, the descriptions of its tools if it has its own, and whether the header of an
/// answer follows.
type GivenParts<'py> = (Bound<'py, PyList>, Option<Vec<Text<'py>>>, bool);

/// The ids of conversations end to end, which are written as `format`, a conversation without messages, says; those
/// of a conversation that its format can't hold are none. `ends` has for each other one where its first message
/// begins, where each message ends, and where it ends. The mask has no numbers if none is asked for.
#[pyfunction]
pub(super) fn encode_chats<'py>(
    core: &Bound<'py, Core>,
    format: GivenChat<'py>,
    chats: &Bound<'py, PyList>,
    masks: bool,
    threads: usize,
) -> PyResult<Encoded<'py>> {
    let (py, encoder, profile) = (core.py(), &core.get().encoder, profile(core)?);
    let given = chats.iter().enumerate().map(|(index, chat)| {
        look_for_signals(py, index)?;
        let (messages, tools, prompt) = chat.extract::<GivenParts>()?;
        Ok((messages_of(&messages)?, tools, prompt))
    });
    let given = try_collect(chats.len(), given)?;
    let mut errors = Vec::new();
    let chats = given.iter().enumerate().map(|(index, (messages, tools, prompt))| {
        let chat = chat(&format, messages, tools.as_deref(), *prompt, profile)?;
        Ok(chat.map_err(|error| errors.push((index, error))).ok())
    });
    let chats = try_collect(given.len(), chats)?;
    let encoded =
        detached(py, None, |check, _| encode_all(&chats, encoder, profile, masks, threads, check))?;
    let places = |places: Vec<usize>| {
        array(py, try_collect(places.len(), places.iter().map(|&place| Ok(place as i64)))?)
    };
    errors.extend(encoded.errors);
    errors.sort_by_key(|(index, _)| *index);
    let errors = errors.into_iter().map(|(index, error)| (index, raise(py, error)));
    Ok((
        array(py, encoded.all.ids)?,
        array(py, encoded.all.mask)?,
        places(encoded.offsets)?,
        places(encoded.all.ends)?,
        errors.collect(),
    ))
}
