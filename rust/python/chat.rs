//! Conversations: what `python/llama3_tok/chat/messages.py` makes of dictionaries, as the core takes it.

use std::borrow::Cow;

use numpy::PyArray1;
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use super::convert::{array, list_of, list_of_rows, look_for_signals, str_of, try_collect};
use super::core::Core;
use super::detach::detached;
use super::raise::raise;
use crate::chat::{
    Argument, Call, Chat, ContentPart, Dialect, Encoded, Ending, Message, Role, Script,
};
use crate::error::{Check, Error};
use crate::profile::Profile;

pub(super) type Text<'py> = Bound<'py, PyString>;
/// `uint32[n]` and `uint8[n]`.
type IdsAndMask<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u8>>);
/// Texts, and `None` where an image is.
type Parts<'py> = Vec<Option<Text<'py>>>;

/// An argument of a call. Not JSON: the value itself, if it is a text.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct GivenArgument<'py> {
    name: Text<'py>,
    text: Option<Text<'py>>,
    json: Text<'py>,
}

/// A call of a tool.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct GivenCall<'py> {
    name: Text<'py>,
    quoted_name: Text<'py>,
    json: Text<'py>,
    arguments: Vec<GivenArgument<'py>>,
}

/// Roles whose texts are results of tools, which the formats write in ways of their own.
const RESULTS: [&str; 2] = ["ipython", "tool"];

/// A message: a role and a text, as people write it, or all that it may have.
pub(super) enum GivenMessage<'py> {
    Plain(Text<'py>, Text<'py>),
    Full(FullMessage<'py>),
}

impl<'py> FromPyObject<'_, 'py> for GivenMessage<'py> {
    type Error = PyErr;

    fn extract(message: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Ok(match plain(&message)? {
            Some((role, content)) => Self::Plain(role, content),
            None => Self::Full(message.extract()?),
        })
    }
}

/// The role and the text of a message that is a dictionary with nothing else, and no result of a tool.
fn plain<'py>(message: &Bound<'py, PyAny>) -> PyResult<Option<(Text<'py>, Text<'py>)>> {
    let py = message.py();
    let Ok(message) = message.cast_exact::<PyDict>() else { return Ok(None) };
    if message.len() != 2 {
        return Ok(None);
    }
    let role = message.get_item(intern!(py, "role"))?;
    let content = message.get_item(intern!(py, "content"))?;
    let (Some(role), Some(content)) = (role, content) else { return Ok(None) };
    let (Ok(role), Ok(content)) =
        (role.cast_into_exact::<PyString>(), content.cast_into_exact::<PyString>())
    else {
        return Ok(None);
    };
    let is_result = RESULTS.iter().any(|name| role == *name);
    Ok((!is_result).then_some((role, content)))
}

/// Whether all messages are dictionaries of a role and a text, which the functions here take as they are.
#[pyfunction]
fn are_plain(messages: &Bound<PyList>) -> PyResult<bool> {
    for (index, message) in messages.iter().enumerate() {
        look_for_signals(messages.py(), index)?;
        if plain(&message)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A message that is more than a role and a text.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(super) struct FullMessage<'py> {
    role: Text<'py>,
    content: Parts<'py>,
    calls: Option<Vec<GivenCall<'py>>>,
    context: Option<Parts<'py>>,
    turn_goes_on: bool,
}

/// A conversation, checked as far as Python's types go.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(super) struct GivenChat<'py> {
    dialect: String,
    tool_format: String,
    /// Not taken over yet: what a signal handler raises would become a TypeError here.
    messages: Bound<'py, PyList>,
    tools: Option<Vec<Text<'py>>>,
    builtin_tools: Option<Vec<Text<'py>>>,
    tools_in_user: bool,
    date: Option<Text<'py>>,
    add_generation_prompt: bool,
    continue_final_message: bool,
}

/// Adds the functions to the module.
pub(super) fn add(module: &Bound<PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(are_plain, module)?)?;
    module.add_function(wrap_pyfunction!(encode_chat, module)?)?;
    module.add_function(wrap_pyfunction!(encode_chat_array, module)?)?;
    module.add_function(wrap_pyfunction!(encode_chat_masked, module)?)?;
    module.add_function(wrap_pyfunction!(chat_ends, module)?)?;
    module.add_function(wrap_pyfunction!(render_chat, module)?)
}

#[pyfunction]
fn encode_chat<'py>(core: &Bound<'py, Core>, chat: GivenChat) -> PyResult<Bound<'py, PyList>> {
    list_of(core.py(), &encoded(core, &chat, false)?.ids)
}

/// The ids as `uint32[n]`.
#[pyfunction]
fn encode_chat_array<'py>(
    core: &Bound<'py, Core>,
    chat: GivenChat,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    array(core.py(), encoded(core, &chat, false)?.ids)
}

/// The same, and `uint8[n]`, 1 where they are the assistant's.
#[pyfunction]
fn encode_chat_masked<'py>(core: &Bound<'py, Core>, chat: GivenChat) -> PyResult<IdsAndMask<'py>> {
    let Encoded { ids, mask, .. } = encoded(core, &chat, true)?;
    Ok((array(core.py(), ids)?, array(core.py(), mask)?))
}

/// How many ids stand before the first message, and up to the end of each.
#[pyfunction]
fn chat_ends<'py>(core: &Bound<'py, Core>, chat: GivenChat) -> PyResult<Bound<'py, PyList>> {
    list_of_rows(core.py(), encoded(core, &chat, false)?.ends)
}

#[pyfunction]
fn render_chat<'py>(core: &Bound<'py, Core>, chat: GivenChat) -> PyResult<Bound<'py, PyString>> {
    let encoder = &core.get().encoder;
    let text = with_script(core, &chat, |script, check| script.render(encoder, check))?;
    PyString::from_bytes(core.py(), text.as_bytes())
}

fn encoded(core: &Bound<Core>, chat: &GivenChat, masks: bool) -> PyResult<Encoded> {
    let encoder = &core.get().encoder;
    with_script(core, chat, |script, check| script.encode(encoder, masks, check))
}

/// Gives a conversation as text and special tokens to `work`, detached from the interpreter.
pub(super) fn with_script<T: Send>(
    core: &Bound<Core>,
    given: &GivenChat,
    work: impl FnOnce(&Script, &Check) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let (py, profile) = (core.py(), profile(core)?);
    let messages = messages_of(&given.messages)?;
    let chat = chat(given, &messages, None, given.add_generation_prompt, profile)?;
    let chat = chat.map_err(|error| raise(py, error))?;
    detached(py, None, |check, _| work(&chat.script(profile, check)?, check))
}

/// Takes messages over from Python.
pub(super) fn messages_of<'py>(given: &Bound<'py, PyList>) -> PyResult<Vec<GivenMessage<'py>>> {
    let messages = given.iter().enumerate().map(|(index, message)| {
        look_for_signals(given.py(), index)?;
        message.extract()
    });
    try_collect(given.len(), messages)
}

/// The release whose conversations the core writes.
pub(super) fn profile(core: &Bound<Core>) -> PyResult<&'static Profile> {
    let unknown =
        || PyValueError::new_err("the core knows no format of this folder's conversations");
    core.get().encoder.release.ok_or_else(unknown)
}

/// A conversation as the core has it, with the tools of `format` unless it has its own; an error of its own if
/// a role is none of the release.
pub(super) fn chat<'a>(
    format: &'a GivenChat,
    given: &'a [GivenMessage],
    tools: Option<&'a [Text]>,
    add_generation_prompt: bool,
    profile: &Profile,
) -> PyResult<Result<Chat<'a>, Error>> {
    let dialect = Dialect::find(&format.dialect, &format.tool_format)
        .ok_or_else(|| PyValueError::new_err("no such dialect or tool format"))?;
    let mut messages = Vec::new();
    let refused = |_| PyMemoryError::new_err("out of memory");
    messages.try_reserve_exact(given.len()).map_err(refused)?;
    for (index, given) in given.iter().enumerate() {
        let (GivenMessage::Plain(name, _) | GivenMessage::Full(FullMessage { role: name, .. })) =
            given;
        look_for_signals(name.py(), index)?;
        match Role::of(&str_of(name)?, index, dialect, profile) {
            Ok(role) => messages.push(message(given, role)?),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(Chat {
        dialect,
        messages,
        tools: tools.or(format.tools.as_deref()).map(texts).transpose()?,
        builtin_tools: format.builtin_tools.as_deref().map(texts).transpose()?,
        tools_in_user: format.tools_in_user,
        date: format.date.as_ref().map(str_of).transpose()?,
        ending: match (format.continue_final_message, add_generation_prompt) {
            (true, _) => Ending::Open,
            (false, true) => Ending::Prompt,
            (false, false) => Ending::Closed,
        },
    }))
}

fn message<'a>(given: &'a GivenMessage, role: Role) -> PyResult<Message<'a>> {
    let given = match given {
        GivenMessage::Full(given) => given,
        GivenMessage::Plain(_, text) => {
            let content = vec![ContentPart::Text(str_of(text)?)];
            return Ok(Message { role, content, calls: None, context: None, turn_goes_on: false });
        }
    };
    let calls = given.calls.as_ref().map(|calls| calls.iter().map(call).collect());
    Ok(Message {
        role,
        content: parts(&given.content)?,
        calls: calls.transpose()?,
        context: given.context.as_deref().map(parts).transpose()?,
        turn_goes_on: given.turn_goes_on,
    })
}

fn parts<'a>(given: &'a [Option<Text>]) -> PyResult<Vec<ContentPart<'a>>> {
    let part = |part: &'a Option<Text>| {
        part.as_ref().map_or(Ok(ContentPart::Image), |text| str_of(text).map(ContentPart::Text))
    };
    try_collect(given.len(), given.iter().map(part))
}

fn call<'a>(given: &'a GivenCall) -> PyResult<Call<'a>> {
    let argument = |given: &'a GivenArgument| {
        let text = given.text.as_ref().map(str_of).transpose()?;
        let (name, json) = (str_of(&given.name)?, str_of(&given.json)?);
        Ok(Argument { name, text, json })
    };
    Ok(Call {
        name: str_of(&given.name)?,
        quoted_name: str_of(&given.quoted_name)?,
        json: str_of(&given.json)?,
        arguments: given.arguments.iter().map(argument).collect::<PyResult<_>>()?,
    })
}

fn texts<'a>(given: &'a [Text]) -> PyResult<Vec<Cow<'a, str>>> {
    try_collect(given.len(), given.iter().map(str_of))
}
