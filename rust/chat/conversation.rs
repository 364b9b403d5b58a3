//! A conversation: its roles, messages and tool calls, and the checks that both dialects share.

use std::borrow::Cow;

use crate::error::{Check, Error};
use crate::profile::Profile;

/// The format of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The templates on Hugging Face.
    Hf,
    /// Meta's class, with one of its formats for calls of custom tools.
    Meta(ToolFormat),
}

/// How Meta's class writes the call of a custom tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolFormat {
    /// `{"type": "function", "name": "f", "parameters": {"a": 1}}`.
    Json,
    /// `<function=f>{"a": 1}</function>`.
    FunctionTag,
    /// `[f(a=1)]`.
    PythonList,
}

impl Dialect {
    /// The dialect with these names; the second matters to `meta` only.
    pub fn find(dialect: &str, tool_format: &str) -> Option<Self> {
        let format = match tool_format {
            "json" => ToolFormat::Json,
            "function_tag" => ToolFormat::FunctionTag,
            "python_list" => ToolFormat::PythonList,
            _ => return None,
        };
        match dialect {
            "hf" => Some(Self::Hf),
            "meta" => Some(Self::Meta(format)),
            _ => None,
        }
    }

    /// The roles that a message may have.
    pub(super) fn roles(self, profile: &Profile) -> &'static [&'static str] {
        match self {
            _ if !profile.template.tools => &["system", "user", "assistant"],
            Self::Hf => &["system", "user", "assistant", "tool", "ipython"],
            Self::Meta(_) => &["system", "user", "assistant", "tool"],
        }
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

impl Role {
    /// The role that message `index` calls `name`.
    pub fn of(
        name: &str,
        index: usize,
        dialect: Dialect,
        profile: &Profile,
    ) -> Result<Self, Error> {
        let roles = dialect.roles(profile);
        match name {
            _ if !roles.contains(&name) => {
                let (known, profile) = (roles.join(", "), profile.name);
                let name = quoted(name);
                let reason =
                    format!("{name} is not a role of profile {profile}; its roles are {known}");
                Err(fault(index, "role", reason))
            }
            "system" => Ok(Self::System),
            "user" => Ok(Self::User),
            "assistant" => Ok(Self::Assistant),
            _ => Ok(Self::Tool),
        }
    }

    /// Its name in the header of a message.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "ipython",
        }
    }
}

/// A part of a message's content.
pub enum ContentPart<'c> {
    /// Text.
    Text(Cow<'c, str>),
    /// An image, which is one special token.
    Image,
}

/// A call of a tool.
pub struct Call<'c> {
    /// The tool.
    pub name: Cow<'c, str>,
    /// Its name as JSON.
    pub quoted_name: Cow<'c, str>,
    /// The arguments as one JSON object.
    pub json: Cow<'c, str>,
    /// The arguments one by one.
    pub arguments: Vec<Argument<'c>>,
}

/// An argument of a call.
pub struct Argument<'c> {
    /// Its name.
    pub name: Cow<'c, str>,
    /// Its value, if that is text.
    pub text: Option<Cow<'c, str>>,
    /// Its value as JSON.
    pub json: Cow<'c, str>,
}

/// A message.
pub struct Message<'c> {
    /// Who speaks.
    pub role: Role,
    /// What is said; what a tool gave, as the dialect writes it.
    pub content: Vec<ContentPart<'c>>,
    /// The tools that are called; `None` if none are.
    pub calls: Option<Vec<Call<'c>>>,
    /// What Meta's class adds to a user's content.
    pub context: Option<Vec<ContentPart<'c>>>,
    /// Whether the assistant's turn goes on after it, as Meta's class is told.
    pub turn_goes_on: bool,
}

/// How the conversation ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The last message's end.
    Closed,
    /// The header of the assistant's next message.
    Prompt,
    /// The last message without its end: it is to be continued.
    Open,
}

/// A conversation, and how it is to be written.
pub struct Chat<'c> {
    /// The format.
    pub dialect: Dialect,
    /// The messages.
    pub messages: Vec<Message<'c>>,
    /// The tools' descriptions, as JSON.
    pub tools: Option<Vec<Cow<'c, str>>>,
    /// The names of the built-in tools that may be called.
    pub builtin_tools: Option<Vec<Cow<'c, str>>>,
    /// Whether the tools are in the first user message; otherwise they are in the system message.
    pub tools_in_user: bool,
    /// Today's date as text; `None` for the published date.
    pub date: Option<Cow<'c, str>>,
    /// The end.
    pub ending: Ending,
}

impl Chat<'_> {
    /// What both dialects refuse.
    pub(super) fn refuse(&self, profile: &Profile, check: &Check) -> Result<(), Error> {
        let Some(last) = self.messages.len().checked_sub(1) else {
            return Err(overall("messages", "there are no messages"));
        };
        let mut open_calls = 0;
        for (index, message) in self.messages.iter().enumerate() {
            check_now_and_then(index, check)?;
            match &message.calls {
                Some(_) if message.role != Role::Assistant || !profile.template.tools => {
                    let reason = match profile.template.tools {
                        true => "only the assistant calls tools".to_owned(),
                        false => format!("profile {} has no tool calls", profile.name),
                    };
                    return Err(fault(index, "tool_calls", reason));
                }
                Some(calls) if calls.is_empty() => {
                    let reason = "the list is empty; leave it out where no tool is called";
                    return Err(fault(index, "tool_calls", reason));
                }
                _ => {}
            }
            if message.role != Role::Tool {
                open_calls = message.calls.as_ref().map_or(0, Vec::len);
            } else if open_calls == 0 {
                let reason = "a tool's result needs its call before it: an assistant's message \
                              with tool_calls, one call for each result";
                return Err(fault(index, "role", reason));
            } else {
                open_calls -= 1;
            }
            let has_image = message.content.iter().any(|part| matches!(part, ContentPart::Image));
            if has_image && !matches!(message.role, Role::User | Role::Assistant) {
                return Err(fault(index, "content", "an image can't be in a message of this role"));
            }
            if index == last && self.ending == Ending::Open {
                let field = match (&message.calls, message.role) {
                    (Some(_), _) => Some("tool_calls"),
                    (None, Role::Tool) => Some("role"),
                    _ => None,
                };
                if let Some(field) = field {
                    let reason = "only text can be continued, no call and no tool's result";
                    return Err(fault(index, field, reason));
                }
            }
        }
        Ok(())
    }
}

/// Messages, or marks, between two calls of a check: some microseconds, if their texts are short.
const CHECK_MESSAGES: usize = 256;

/// Calls `check` once for several messages or marks.
pub(super) fn check_now_and_then(index: usize, check: &Check) -> Result<(), Error> {
    if index % CHECK_MESSAGES == CHECK_MESSAGES - 1 { check() } else { Ok(()) }
}

pub(super) fn no_images(index: usize, profile: &Profile) -> Error {
    fault(index, "content", format!("profile {} has no images", profile.name))
}

/// How many characters of a text of the caller a message repeats.
const QUOTED: usize = 200;

/// A text of the caller in quotation marks, for a message; of a long one, the beginning.
pub(super) fn quoted(text: &str) -> String {
    let beginning: String = text.chars().take(QUOTED).collect();
    let is_whole = beginning.len() == text.len();
    format!("{beginning:?}{}", if is_whole { "" } else { "..." })
}

/// A fault of message `index`.
pub(super) fn fault(index: usize, field: impl Into<String>, reason: impl Into<String>) -> Error {
    Error::Chat { index: Some(index), field: field.into(), reason: reason.into() }
}

/// A fault of the whole conversation.
pub(super) fn overall(field: &str, reason: impl Into<String>) -> Error {
    Error::Chat { index: None, field: field.into(), reason: reason.into() }
}
