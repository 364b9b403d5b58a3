//! The chat templates as published with the models on Hugging Face: 3, 3.1 (also 3.3), 3.2 text and
//! 3.2 vision. Their typing errors are part of the format that the models were given.
//!
//! Where a template would write something that can't be meant (the Python form of a list, a message
//! of another role as the user's), there is an error instead.

use std::borrow::Cow;

use crate::chat::conversation::{
    Call, Chat, ContentPart, Ending, Message, Role, check_now_and_then, fault, no_images, overall,
    quoted,
};
use crate::chat::script::{Script, write_part};
use crate::error::{Check, Error, always};
use crate::profile::{BOS, EOM, EOT, PYTHON_TAG, Profile, Template};

/// The date in the templates. Their newer versions use today's date; here the same call gives the same
/// ids next year.
const DATE: &str = "26 Jul 2024";

/// One sentence follows the other without a space, as published.
const CALL_FORMAT: &str = "Respond in the format {\"name\": function name, \"parameters\": dictionary \
                           of argument name and its value}.Do not use variables.\n\n";
const IN_SYSTEM: &str = "You have access to the following functions. To call a function, please \
                         respond with JSON for a function call.";
const IN_USER: &str = "Given the following functions, please respond with a JSON for a function \
                       call with its proper arguments that best answers the given prompt.\n\n";

pub(super) fn write(
    chat: &Chat,
    profile: &Profile,
    script: &mut Script,
    check: &Check,
) -> Result<(), Error> {
    let template = profile.template;
    refuse(chat, profile, check)?;
    script.special(BOS)?;
    let mut messages = chat.messages.iter().enumerate().peekable();
    if template.tools {
        let system = messages.next_if(|(_, message)| message.role == Role::System);
        // Without a system message, the template writes one of its own, unless a message has an image.
        if system.is_some() || !messages.clone().any(|(_, message)| has_image(message)) {
            if system.is_some() {
                script.message_ends()?;
            }
            script.header(Role::System)?;
            write_system(chat, script)?;
            if let Some((index, message)) = system {
                write_trimmed(&message.content, script)?;
                chat.end(index, EOT, script)?;
            } else {
                script.special(EOT)?;
            }
        }
        if system.is_none() {
            script.message_ends()?;
        }
        if let Some(tools) = chat.tools.as_ref().filter(|_| chat.tools_in_user) {
            let (index, message) = always(messages.next(), "no message has the tools")?;
            script.header(Role::User)?;
            script.text(IN_USER)?;
            write_tools(tools, script)?;
            write_trimmed(&message.content, script)?;
            chat.end(index, EOT, script)?;
        }
    } else {
        script.message_ends()?;
    }
    for (index, message) in messages {
        check_now_and_then(index, check)?;
        write_message(chat, template, profile, index, message, script)?;
    }
    if chat.ending == Ending::Prompt {
        script.header(Role::Assistant)?;
    }
    Ok(())
}

/// Refuses what the templates refuse, or would not write.
fn refuse(chat: &Chat, profile: &Profile, check: &Check) -> Result<(), Error> {
    let template = profile.template;
    let unknown = |field: &str| {
        Err(overall(field, format!("the template of profile {} has no place for it", profile.name)))
    };
    if chat.tools.is_some() && !template.tools {
        return unknown("tools");
    }
    if chat.builtin_tools.is_some() && !template.builtin_tools {
        return unknown("builtin_tools");
    }
    if chat.date.is_some() && !template.tools {
        return unknown("date");
    }
    for (index, message) in chat.messages.iter().enumerate() {
        check_now_and_then(index, check)?;
        if has_image(message) && !template.images {
            return Err(no_images(index, profile));
        }
        if let Some([_, _, ..]) = message.calls.as_deref() {
            let reason = "the published template takes one call a message";
            return Err(fault(index, "tool_calls", reason));
        }
    }
    if chat.tools.is_none() || !chat.tools_in_user {
        return Ok(());
    }
    let is_system = |(_, message): &(usize, &Message)| message.role == Role::System;
    let mut messages = chat.messages.iter().enumerate().peekable();
    messages.next_if(is_system);
    match messages.next() {
        None => Err(overall(
            "messages",
            "tools go into the first user message, and there is no user message",
        )),
        Some((index, message)) if message.role != Role::User => {
            let reason = "tools go into the first message after the system message, which must be \
                          a user's; tools_in=\"system\" has them there";
            Err(fault(index, "role", reason))
        }
        Some((index, message)) if has_image(message) => {
            let reason = "tools go into this message, which then can't have an image; \
                          tools_in=\"system\" has them there";
            Err(fault(index, "content", reason))
        }
        Some(_) => Ok(()),
    }
}

/// What every system message begins with.
fn write_system(chat: &Chat, script: &mut Script) -> Result<(), Error> {
    if chat.builtin_tools.is_some() || chat.tools.is_some() {
        script.text("Environment: ipython\n")?;
    }
    if let Some(tools) = &chat.builtin_tools {
        script.text("Tools: ")?;
        let named = tools.iter().filter(|tool| *tool != "code_interpreter");
        for (number, tool) in named.enumerate() {
            script.text(if number > 0 { ", " } else { "" })?;
            script.text(tool)?;
        }
        script.text("\n\n")?;
    }
    script.text("Cutting Knowledge Date: December 2023\nToday Date: ")?;
    script.text(chat.date.as_deref().unwrap_or(DATE))?;
    script.text("\n\n")?;
    if let Some(tools) = chat.tools.as_ref().filter(|_| !chat.tools_in_user) {
        script.text(IN_SYSTEM)?;
        write_tools(tools, script)?;
    }
    Ok(())
}

fn write_tools(tools: &[Cow<str>], script: &mut Script) -> Result<(), Error> {
    script.text(CALL_FORMAT)?;
    for tool in tools {
        script.text(tool)?;
        script.text("\n\n")?;
    }
    Ok(())
}

fn write_message(
    chat: &Chat,
    template: &Template,
    profile: &Profile,
    index: usize,
    message: &Message,
    script: &mut Script,
) -> Result<(), Error> {
    script.header(message.role)?;
    script.learn(message.role == Role::Assistant)?;
    let mut end = EOT;
    if let Some(calls) = &message.calls {
        let call = calls.first().filter(|_| calls.len() == 1);
        write_call(chat, index, always(call, "a message has no call, or several")?, script)?;
        if chat.builtin_tools.is_some() {
            end = EOM;
        }
    } else if message.role == Role::Tool || template.images {
        for part in &message.content {
            write_part(part, index, profile, script)?;
        }
    } else {
        write_trimmed(&message.content, script)?;
    }
    chat.end(index, end, script)
}

/// The content of such a message is not shown, as in the template.
fn write_call(chat: &Chat, index: usize, call: &Call, script: &mut Script) -> Result<(), Error> {
    let is_builtin = chat.builtin_tools.as_ref().is_some_and(|tools| tools.contains(&call.name));
    if !is_builtin {
        script.text("{\"name\": \"")?;
        script.text(&call.name)?;
        script.text("\", \"parameters\": ")?;
        script.text(&call.json)?;
        return script.text("}");
    }
    script.special(PYTHON_TAG)?;
    script.text(&call.name)?;
    script.text(".call(")?;
    for (number, argument) in call.arguments.iter().enumerate() {
        let Some(text) = &argument.text else {
            let name = quoted(&argument.name);
            let field = format!("tool_calls[0].function.arguments[{name}]");
            return Err(fault(index, field, "must be a str in the call of a built-in tool"));
        };
        script.text(if number > 0 { ", " } else { "" })?;
        script.text(&argument.name)?;
        script.text("=\"")?;
        script.text(text)?;
        script.text("\"")?;
    }
    script.text(")")
}

fn has_image(message: &Message) -> bool {
    message.content.iter().any(|part| matches!(part, ContentPart::Image))
}

/// Writes the texts of a message's content as one, without the white space at both ends.
fn write_trimmed(content: &[ContentPart], script: &mut Script) -> Result<(), Error> {
    let has_text = |part: &ContentPart| match part {
        ContentPart::Text(text) => !text.chars().all(is_space),
        ContentPart::Image => false,
    };
    let (first, last) = (content.iter().position(has_text), content.iter().rposition(has_text));
    for (number, part) in content.iter().enumerate() {
        let text = match part {
            ContentPart::Text(text) => Some(&**text),
            ContentPart::Image => None,
        };
        let mut text = always(text, "an image is where the template has no place for one")?;
        if first.is_none_or(|first| number <= first) {
            text = text.trim_start_matches(is_space);
        }
        if last.is_none_or(|last| number >= last) {
            text = text.trim_end_matches(is_space);
        }
        script.text(text)?;
    }
    Ok(())
}

/// What Python's `str.strip` takes off: Unicode's white space and four separators.
fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::error::tests::sees_a_fault;
    use crate::profile::LLAMA_3_1;
    use crate::reference::{go_on, sample_encoder};

    /// Texts of one content are one text, and that one's ends are trimmed alone.
    #[test]
    fn white_space_between_the_texts_of_a_content_stays() {
        let encoder = sample_encoder();
        for texts in
            [&["  ", " \u{1c}a\n", "\t ", "\n b ", " \u{1f}"][..], &[" a "], &["a ", "b"], &[" "]]
        {
            let text = |&text: &&'static str| ContentPart::Text(Cow::Borrowed(text));
            let content: Vec<ContentPart> = texts.iter().map(text).collect();
            let mut script = Script::default();
            write_trimmed(&content, &mut script).unwrap();
            let ids = script.encode(encoder, false, &go_on).unwrap().ids;
            let written = encoder.decode(&ids, false, &go_on).unwrap();
            let expected = texts.concat();
            let expected = expected.trim_matches(is_space);
            assert_eq!(String::from_utf8(written).unwrap(), expected);
            assert!(!expected.starts_with(' ') && !expected.ends_with('\u{1f}'));
        }
    }

    /// What `refuse` refuses is an error even if it were not refused.
    #[test]
    fn what_the_template_has_no_place_for_is_an_error_and_not_left_out() {
        let script = &mut Script::default();
        assert!(sees_a_fault(|| write_trimmed(&[ContentPart::Image], script)));
        let profile = Profile::find("llama3.1").unwrap();
        let call = || Call {
            name: "f".into(),
            quoted_name: "\"f\"".into(),
            json: "{}".into(),
            arguments: Vec::new(),
        };
        let message = Message {
            role: Role::Assistant,
            content: Vec::new(),
            calls: Some(vec![call(), call()]),
            context: None,
            turn_goes_on: false,
        };
        let chat = Chat {
            dialect: super::super::Dialect::Hf,
            messages: Vec::new(),
            tools: None,
            builtin_tools: None,
            tools_in_user: true,
            date: None,
            ending: Ending::Prompt,
        };
        assert!(sees_a_fault(|| {
            write_message(&chat, &LLAMA_3_1, profile, 0, &message, script)
        }));
    }
}
