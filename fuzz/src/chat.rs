//! Any conversation: structure gives special ids and content never does. So the special ids are those of the same
//! conversation in which nothing that is said has a `<`, and the ids are the text as it is rendered.

use std::borrow::Cow;
use std::sync::OnceLock;

use arbitrary::{Arbitrary, Unstructured};
use llama3_tok::chat::{
    Argument, Call, Chat, ChatSource, ContentPart, Dialect, Ending, Message, Role, ToolFormat,
    encode_all,
};
use llama3_tok::encode::prefixes::{Kind, PrefixCache};
use llama3_tok::profile::PROFILES;
use llama3_tok::{Encoder, Profile};

use crate::shared::{encoders, go_on, name_of, vocabulary};

/// A conversation.
#[derive(Arbitrary, Debug)]
struct Input<'a> {
    profile: u8,
    dialect: u8,
    ending: u8,
    tools_in_user: bool,
    date: Option<Said<'a>>,
    tools: Option<Vec<Said<'a>>>,
    builtin_tools: Option<Vec<Said<'a>>>,
    messages: Vec<GivenMessage<'a>>,
}

#[derive(Arbitrary, Debug)]
struct GivenMessage<'a> {
    role: u8,
    turn_goes_on: bool,
    content: Vec<GivenPart<'a>>,
    calls: Option<Vec<GivenCall<'a>>>,
    context: Option<Vec<GivenPart<'a>>>,
}

#[derive(Arbitrary, Debug)]
enum GivenPart<'a> {
    Text(Said<'a>),
    Image,
}

#[derive(Arbitrary, Debug)]
struct GivenCall<'a> {
    name: Said<'a>,
    arguments: Vec<(Said<'a>, Value<'a>)>,
}

/// The value of an argument.
#[derive(Arbitrary, Debug)]
enum Value<'a> {
    Text(Said<'a>),
    Number(i32),
    Null,
    True,
    /// A list with a text.
    List(Said<'a>),
    /// What Python's module json writes for such a number.
    Infinity,
}

/// What somebody says: any text, the name of a special token, or that of a built-in tool.
#[derive(Arbitrary, Debug)]
enum Said<'a> {
    Text(&'a str),
    Special(u8),
    Tool(u8),
}

const TOOLS: [&str; 6] =
    ["brave_search", "wolfram_alpha", "photogen", "code_interpreter", "code", "query"];
/// What stands for `<` in the other conversation: neither white space nor in any input.
const STAND_IN: char = '\u{F8FF}';

/// How the texts of a conversation are made of the input.
#[derive(Clone, Copy)]
struct Maker {
    profile: usize,
    is_clean: bool,
}

impl Maker {
    fn text(self, said: &Said) -> String {
        let text = match said {
            Said::Text(text) => (*text).to_owned(),
            Said::Special(number) => name_of(self.profile, *number),
            Said::Tool(number) => TOOLS[usize::from(*number) % TOOLS.len()].to_owned(),
        };
        if self.is_clean { text.replace('<', &STAND_IN.to_string()) } else { text }
    }

    fn json(self, value: &Value) -> String {
        match value {
            Value::Text(said) => quoted(&self.text(said)),
            Value::Number(number) => number.to_string(),
            Value::Null => "null".to_owned(),
            Value::True => "true".to_owned(),
            Value::List(said) => format!("[1, {}]", quoted(&self.text(said))),
            Value::Infinity => "Infinity".to_owned(),
        }
    }

    fn content(self, parts: &[GivenPart]) -> Vec<ContentPart<'static>> {
        let part = |part: &GivenPart| match part {
            GivenPart::Text(said) => ContentPart::Text(Cow::Owned(self.text(said))),
            GivenPart::Image => ContentPart::Image,
        };
        parts.iter().map(part).collect()
    }

    fn call(self, given: &GivenCall) -> Call<'static> {
        let argument = |(name, value): &(Said, Value)| Argument {
            name: Cow::Owned(self.text(name)),
            text: match value {
                Value::Text(said) => Some(Cow::Owned(self.text(said))),
                _ => None,
            },
            json: Cow::Owned(self.json(value)),
        };
        let arguments: Vec<Argument> = given.arguments.iter().map(argument).collect();
        let pairs = arguments.iter().map(|one| format!("{}: {}", quoted(&one.name), one.json));
        let json = format!("{{{}}}", pairs.collect::<Vec<String>>().join(", "));
        let name = self.text(&given.name);
        let quoted_name = Cow::Owned(quoted(&name));
        Call { name: Cow::Owned(name), quoted_name, json: Cow::Owned(json), arguments }
    }

    fn texts(self, texts: &Option<Vec<Said>>) -> Option<Vec<Cow<'static, str>>> {
        let texts = texts.as_ref()?;
        Some(texts.iter().map(|said| Cow::Owned(self.text(said))).collect())
    }

    fn chat(self, input: &Input) -> Chat<'static> {
        let message = |given: &GivenMessage| Message {
            role: [Role::System, Role::User, Role::Assistant, Role::Tool]
                [usize::from(given.role) % 4],
            content: self.content(&given.content),
            calls: given
                .calls
                .as_ref()
                .map(|calls| calls.iter().map(|one| self.call(one)).collect()),
            context: given.context.as_ref().map(|parts| self.content(parts)),
            turn_goes_on: given.turn_goes_on,
        };
        let meta = |format| Dialect::Meta(format);
        Chat {
            dialect: [
                Dialect::Hf,
                meta(ToolFormat::Json),
                meta(ToolFormat::FunctionTag),
                meta(ToolFormat::PythonList),
            ][usize::from(input.dialect) % 4],
            messages: input.messages.iter().map(message).collect(),
            tools: self.texts(&input.tools),
            builtin_tools: self.texts(&input.builtin_tools),
            tools_in_user: input.tools_in_user,
            date: input.date.as_ref().map(|said| Cow::Owned(self.text(said))),
            ending: [Ending::Closed, Ending::Prompt, Ending::Open][usize::from(input.ending) % 3],
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text can be written as JSON")
}

/// The input is put together of messages.
pub fn check(data: &[u8]) {
    static ENCODERS: OnceLock<Vec<Encoder>> = OnceLock::new();
    let encoders = ENCODERS.get_or_init(|| {
        let vocabulary = vocabulary();
        let of = |name| encoders(&vocabulary, name).pop().expect("there is a code path");
        PROFILES.iter().map(|profile| of(profile.name)).collect()
    });
    if String::from_utf8_lossy(data).contains(STAND_IN) {
        return;
    }
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let number = usize::from(input.profile) % PROFILES.len();
    let (encoder, profile) = (&encoders[number], &PROFILES[number]);
    let maker = |is_clean| Maker { profile: number, is_clean };
    let chat = maker(false).chat(&input);
    let clean = maker(true).chat(&input).script(profile, &go_on);
    let (script, clean) = match (chat.script(profile, &go_on), clean) {
        (Ok(script), Ok(clean)) => (script, clean),
        (Err(error), Err(_)) => {
            assert!(!error.to_string().is_empty());
            return;
        }
        (one, other) => panic!("{:?} and {:?}", one.err(), other.err()),
    };
    let encoded = script.encode(encoder, true, &go_on).unwrap();
    let specials = |ids: &[u32]| -> Vec<u32> {
        ids.iter().copied().filter(|&id| encoder.added.is_special(id)).collect()
    };
    let of_clean = clean.encode(encoder, false, &go_on).unwrap();
    assert_eq!(specials(&encoded.ids), specials(&of_clean.ids));
    let bytes = encoder.decode(&encoded.ids, false, &go_on).unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), script.render(encoder, &go_on).unwrap());

    assert_eq!(encoded.mask.len(), encoded.ids.len());
    assert_eq!(encoded.ends.len(), chat.messages.len() + 1);
    assert!(encoded.ends.is_sorted() && encoded.ends.last() <= Some(&encoded.ids.len()));
    if !chat.messages.iter().any(|message| message.role == Role::Assistant) {
        assert!(encoded.mask.iter().all(|&learned| learned == 0));
    }
    several(encoder, profile, chat, &encoded.ids, &encoded.mask);
    let cache = PrefixCache::new(1 << 16);
    for _ in 0..2 {
        let (source, mut ids) = (ChatSource::new(encoder, &script, &go_on).unwrap(), Vec::new());
        cache.encode(Kind::Chat, &source, &mut ids, &go_on).unwrap();
        assert_eq!(ids, encoded.ids);
    }
}

/// Among several conversations it has the same ids.
fn several(encoder: &Encoder, profile: &Profile, chat: Chat, ids: &[u32], mask: &[u8]) {
    let found = encode_all(&[None, Some(chat)], encoder, profile, true, 1, &go_on).unwrap();
    assert!(found.errors.is_empty());
    assert_eq!((found.all.ids.as_slice(), found.all.mask.as_slice()), (ids, mask));
    assert_eq!(found.offsets, [0, 0, ids.len()]);
}
