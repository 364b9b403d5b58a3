//! The format of `llama_models.llama3.chat_format.ChatFormat` and `ToolUtils.encode_tool_call`, llama-models
//! 0.3.0. Content is not trimmed, and the system message is the caller's alone. Text is encoded where
//! the class encodes it: the header's newlines, each part of the content and each call by themselves.
//!
//! The class is not followed where what it writes can't be read again, by itself or by Python:
//!
//! - calls of search, calculator and image tools begin with `<|python_tag|>`, as those of the code
//!   interpreter do;
//! - strings in calls are Python literals, so quotes and backslashes in them are escaped;
//! - a dictionary in a Python list is `{"a": 1}`, not `{a=1}`;
//! - several calls are one Python list, not several side by side.

use crate::chat::conversation::{
    Argument, Call, Chat, ContentPart, Ending, Message, Role, ToolFormat, check_now_and_then,
    fault, overall, quoted,
};
use crate::chat::script::{Script, write_part};
use crate::error::{Check, Error};
use crate::profile::{BOS, EOM, EOT, PYTHON_TAG, Profile};

/// The built-in tools whose one argument is a query.
const QUERY_TOOLS: [&str; 3] = ["brave_search", "wolfram_alpha", "photogen"];
const CODE_INTERPRETER: &str = "code_interpreter";

pub(super) fn write(
    chat: &Chat,
    format: ToolFormat,
    profile: &Profile,
    script: &mut Script,
    check: &Check,
) -> Result<(), Error> {
    let given = [
        ("tools", chat.tools.is_some()),
        ("builtin_tools", chat.builtin_tools.is_some()),
        ("date", chat.date.is_some()),
    ];
    if let Some((field, _)) = given.iter().find(|(_, is_given)| *is_given) {
        let reason = "Meta's format has no place for it; write it into the system message";
        return Err(overall(field, reason));
    }
    script.special(BOS)?;
    script.message_ends()?;
    for (index, message) in chat.messages.iter().enumerate() {
        check_now_and_then(index, check)?;
        if message.turn_goes_on && !profile.template.tools {
            let reason = format!("profile {} has no token for it", profile.name);
            return Err(fault(index, "stop_reason", reason));
        }
        header(message.role, script)?;
        script.learn(message.role == Role::Assistant)?;
        let calls = message.calls.as_deref().unwrap_or_default();
        if calls.first().is_some_and(is_builtin) {
            script.special(PYTHON_TAG)?;
        }
        write_content(&message.content, index, profile, script)?;
        if let Some(context) = message.context.as_ref().filter(|_| message.role == Role::User) {
            script.text("\n\n")?;
            script.cut()?;
            write_content(context, index, profile, script)?;
        }
        write_calls(calls, index, format, script)?;
        chat.end(index, end_of(message), script)?;
    }
    if chat.ending == Ending::Prompt {
        header(Role::Assistant, script)?;
    }
    Ok(())
}

fn header(role: Role, script: &mut Script) -> Result<(), Error> {
    script.header(role)?;
    script.cut()
}

fn end_of(message: &Message) -> u32 {
    if message.role == Role::Assistant && message.turn_goes_on { EOM } else { EOT }
}

fn write_content(
    content: &[ContentPart],
    index: usize,
    profile: &Profile,
    script: &mut Script,
) -> Result<(), Error> {
    for part in content {
        write_part(part, index, profile, script)?;
        script.cut()?;
    }
    Ok(())
}

fn is_builtin(call: &Call) -> bool {
    call.name == CODE_INTERPRETER || QUERY_TOOLS.contains(&&*call.name)
}

fn write_calls(
    calls: &[Call],
    index: usize,
    format: ToolFormat,
    script: &mut Script,
) -> Result<(), Error> {
    let mut in_list = false;
    for (number, call) in calls.iter().enumerate() {
        let position = CallPosition { index, number };
        let is_listed = format == ToolFormat::PythonList && !is_builtin(call);
        match (in_list, is_listed) {
            (false, true) => script.text("[")?,
            (true, true) => script.text(", ")?,
            (true, false) => {
                script.text("]")?;
                script.cut()?;
            }
            (false, false) => {}
        }
        in_list = is_listed;
        if is_builtin(call) {
            write_builtin(call, &position, script)?;
        } else {
            match format {
                ToolFormat::Json => {
                    script.text("{\"type\": \"function\", \"name\": ")?;
                    script.text(&call.quoted_name)?;
                    script.text(", \"parameters\": ")?;
                    script.text(&call.json)?;
                    script.text("}")?;
                }
                ToolFormat::FunctionTag => {
                    script.text("<function=")?;
                    script.text(&call.name)?;
                    script.text(">")?;
                    script.text(&call.json)?;
                    script.text("</function>")?;
                }
                ToolFormat::PythonList => write_python(call, &position, script)?,
            }
        }
        if !in_list {
            script.cut()?;
        }
    }
    if in_list {
        script.text("]")?;
        script.cut()?;
    }
    Ok(())
}

/// Where a call is.
struct CallPosition {
    index: usize,
    number: usize,
}

impl CallPosition {
    fn fault(&self, argument: &str, reason: impl Into<String>) -> Error {
        let (number, name) = (self.number, quoted(argument));
        let field = format!("tool_calls[{number}].function.arguments[{name}]");
        fault(self.index, field, reason)
    }
}

fn write_builtin(call: &Call, position: &CallPosition, script: &mut Script) -> Result<(), Error> {
    let is_code = call.name == CODE_INTERPRETER;
    let name = if is_code { "code" } else { "query" };
    let given = call.arguments.iter().find(|argument| argument.name == name);
    let Some((argument, text)) = given.and_then(|given| Some((given, given.text.as_ref()?))) else {
        return Err(position.fault(name, format!("{} needs it, a str", call.name)));
    };
    if is_code {
        return script.text(text);
    }
    script.text(&call.name)?;
    script.text(".call(query=")?;
    script.text(&argument.json)?;
    script.text(")")
}

/// `f(a=1, b="x")`.
fn write_python(call: &Call, position: &CallPosition, script: &mut Script) -> Result<(), Error> {
    script.text(&call.name)?;
    script.text("(")?;
    for (number, argument) in call.arguments.iter().enumerate() {
        script.text(if number > 0 { ", " } else { "" })?;
        script.text(&argument.name)?;
        script.text("=")?;
        write_literal(argument, position, script)?;
    }
    script.text(")")
}

/// A JSON value as Python's literal. They differ in the words outside strings alone: a JSON string is
/// the Python literal of the same string.
fn write_literal(
    argument: &Argument,
    position: &CallPosition,
    script: &mut Script,
) -> Result<(), Error> {
    let mut rest: &str = &argument.json;
    while let Some(at) = rest.find(|c: char| c == '"' || c.is_ascii_alphabetic()) {
        let (before, value) = rest.split_at(at);
        script.text(before)?;
        let is_string = value.starts_with('"');
        let end = if is_string { end_of_string(value) } else { end_of_word(value) };
        let (value, after) = value.split_at(end);
        script.text(match value {
            "true" => "True",
            "false" => "False",
            "null" => "None",
            "NaN" | "Infinity" => {
                let reason = format!("{value} has no literal in Python");
                return Err(position.fault(&argument.name, reason));
            }
            string_or_exponent => string_or_exponent,
        })?;
        rest = after;
    }
    script.text(rest)
}

/// The bytes of the string that `json` begins with.
fn end_of_string(json: &str) -> usize {
    let mut escaped = false;
    let closing = json.bytes().skip(1).position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    closing.map_or(json.len(), |at| at + 2)
}

/// The bytes of the word that `json` begins with.
fn end_of_word(json: &str) -> usize {
    json.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(json.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_ends_with_its_quotation_mark_and_a_word_before_what_is_no_letter() {
        let strings = [r#""""#, r#""a""#, r#""a\"b""#, r#""\\""#, r#""\\\"""#, r#""true, null""#];
        for string in strings {
            assert_eq!(end_of_string(string), string.len(), "{string}");
            assert_eq!(end_of_string(&format!("{string}: \"x\"")), string.len(), "{string}");
        }
        for after in ["", ",", "]", " null", "1", "\""] {
            assert_eq!(end_of_word(&format!("null{after}")), 4);
        }
    }
}
