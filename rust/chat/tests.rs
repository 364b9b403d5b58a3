//! Tests with any vocabulary. Those in Python compare with the authors' implementations of the formats.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;

use super::*;
use crate::encode::options::Options;
use crate::profile::{BOS, EOT, PROFILES};
use crate::reference::{go_on, sample_encoder};

fn message(role: Role, text: &str) -> Message<'_> {
    let content = vec![ContentPart::Text(Cow::Borrowed(text))];
    Message { role, content, calls: None, context: None, turn_goes_on: false }
}

fn chat<'c>(dialect: Dialect, messages: Vec<Message<'c>>) -> Chat<'c> {
    Chat {
        dialect,
        messages,
        tools: None,
        builtin_tools: None,
        tools_in_user: true,
        date: None,
        ending: Ending::Prompt,
    }
}

#[test]
fn text_without_a_mark_between_is_encoded_as_one() {
    let encoder = sample_encoder();
    let encode = |text: &str| {
        let mut ids = Vec::new();
        encoder.encode(text.as_bytes(), &Options::default(), &mut ids, &go_on).unwrap();
        ids
    };
    let mut script = Script::default();
    script.text("\n\n").unwrap();
    script.learn(true).unwrap();
    script.text("\nthe end").unwrap();
    script.learn(false).unwrap();
    script.text("ing").unwrap();
    let joined = script.encode(encoder, true, &go_on).unwrap();
    assert_eq!(joined.ids, encode("\n\n\nthe ending"));
    assert_eq!(joined.mask.len(), joined.ids.len());

    let mut script = Script::default();
    script.text("\n\n").unwrap();
    script.cut().unwrap();
    script.text("\nthe").unwrap();
    let cut = script.encode(encoder, false, &go_on).unwrap();
    assert_eq!(cut.ids, [encode("\n\n"), encode("\nthe")].concat());
    assert!(cut.mask.is_empty());
}

#[test]
fn a_token_with_any_learned_byte_is_learned() {
    let encoder = sample_encoder();
    let text = "some words, and others\n\nthat follow";
    for start in 0..text.len() {
        for end in start..=text.len() {
            let mut script = Script::default();
            script.text(&text[..start]).unwrap();
            script.learn(true).unwrap();
            script.text(&text[start..end]).unwrap();
            script.learn(false).unwrap();
            script.text(&text[end..]).unwrap();
            let encoded = script.encode(encoder, true, &go_on).unwrap();
            let mut at = 0;
            for (&id, &learned) in encoded.ids.iter().zip(&encoded.mask) {
                let end_of_token = at + encoder.token_bytes(id).unwrap().len();
                assert_eq!(learned == 1, start < end_of_token && at < end && start < end);
                at = end_of_token;
            }
            assert_eq!(at, text.len());
        }
    }
}

#[test]
fn several_learned_parts_of_one_text_are_told_apart() {
    let encoder = sample_encoder();
    let text = "some words, and others\n\nthat follow";
    let cuts = [0, 3, 5, 11, 14, 22, 26, text.len()];
    for a in 0..cuts.len() {
        for b in a..cuts.len() {
            for c in b..cuts.len() {
                let ranges = [cuts[a]..cuts[b], cuts[c]..text.len()];
                let mut script = Script::default();
                script.text(&text[..cuts[a]]).unwrap();
                script.learn(true).unwrap();
                script.text(&text[ranges[0].clone()]).unwrap();
                script.learn(false).unwrap();
                script.text(&text[cuts[b]..cuts[c]]).unwrap();
                script.learn(true).unwrap();
                script.text(&text[ranges[1].clone()]).unwrap();
                let encoded = script.encode(encoder, true, &go_on).unwrap();
                let mut at = 0;
                for (&id, &learned) in encoded.ids.iter().zip(&encoded.mask) {
                    let end = at + encoder.token_bytes(id).unwrap().len();
                    let overlaps = |range: &Range<usize>| range.start.max(at) < range.end.min(end);
                    let expected = ranges.iter().any(overlaps);
                    assert_eq!(learned == 1, expected, "{ranges:?} {at}..{end}");
                    at = end;
                }
                assert_eq!(at, text.len());
            }
        }
    }
}

#[test]
fn many_at_once_are_what_each_is_alone_whatever_the_threads() {
    let encoder = sample_encoder();
    let profile = &PROFILES[1];
    let texts: Vec<String> = (0..3000).map(|n| format!("{n} words, ").repeat(n % 60)).collect();
    // Some are left out, and some can't be written.
    let made = texts.iter().enumerate().map(|(n, text)| {
        let messages = match n % 7 {
            3 => Vec::new(),
            _ => vec![message(Role::User, text), message(Role::Assistant, "an answer")],
        };
        (n % 5 != 4).then(|| chat(Dialect::Hf, messages))
    });
    let chats: Vec<Option<Chat>> = made.collect();
    for threads in [1, 2, 1000] {
        for masks in [false, true] {
            let several = encode_all(&chats, encoder, profile, masks, threads, &go_on).unwrap();
            assert_eq!(several.offsets.len(), chats.len() + 1);
            let mut ends = several.all.ends.iter();
            let mut errors = several.errors.iter().map(|(index, _)| *index);
            for (index, chat) in chats.iter().enumerate() {
                let range = several.offsets[index]..several.offsets[index + 1];
                match chat.as_ref().map(|chat| chat.script(profile, &go_on)) {
                    Some(Ok(script)) => {
                        let alone = script.encode(encoder, masks, &go_on).unwrap();
                        assert_eq!(several.all.ids[range.clone()], alone.ids);
                        if masks {
                            assert_eq!(several.all.mask[range.clone()], alone.mask);
                        }
                        for end in alone.ends.into_iter().chain([alone.ids.len()]) {
                            assert_eq!(ends.next(), Some(&(range.start + end)));
                        }
                    }
                    Some(Err(_)) => {
                        assert_eq!(errors.next(), Some(index));
                        assert!(range.is_empty());
                    }
                    None => assert!(range.is_empty()),
                }
            }
            assert_eq!((ends.next(), errors.next()), (None, None));
            assert_eq!(several.all.mask.len(), if masks { several.all.ids.len() } else { 0 });
            let stop = || Err(Error::Interrupted);
            let stopped = encode_all(&chats, encoder, profile, masks, threads, &stop);
            assert!(matches!(stopped, Err(Error::Interrupted)));
        }
    }
}

#[test]
fn special_ids_are_those_of_the_structure_in_every_profile_and_dialect() {
    let encoder = sample_encoder();
    let first = encoder.vocabulary.len() as u32;
    let names: String = encoder.added.iter().map(|token| token.name.as_str()).collect();
    for dialect in [Dialect::Hf, Dialect::Meta(ToolFormat::Json)] {
        for profile in &PROFILES {
            let messages = vec![message(Role::User, &names), message(Role::Assistant, &names)];
            let script = chat(dialect, messages).script(profile, &go_on).unwrap();
            let encoded = script.encode(encoder, true, &go_on).unwrap();
            let special: Vec<u32> =
                encoded.ids.iter().filter_map(|id| id.checked_sub(first)).collect();
            let message = [6, 7, EOT];
            let system = dialect == Dialect::Hf && profile.template.tools;
            let count = if system { 3 } else { 2 };
            assert_eq!(special, [&[BOS][..], &message.repeat(count), &[6, 7]].concat());
            let rendered = script.render(encoder, &go_on).unwrap();
            let decoded = encoder.decode(&encoded.ids, false, &go_on).unwrap();
            assert_eq!(rendered.as_bytes(), decoded);
            assert_eq!(encoded.ends.len(), 3);
        }
    }
}

#[test]
fn each_name_of_a_dialect_and_a_format_is_its_own() {
    let formats = [
        ("json", ToolFormat::Json),
        ("function_tag", ToolFormat::FunctionTag),
        ("python_list", ToolFormat::PythonList),
    ];
    for (name, format) in formats {
        assert_eq!(Dialect::find("meta", name), Some(Dialect::Meta(format)));
        assert_eq!(Dialect::find("hf", name), Some(Dialect::Hf));
        assert_eq!(Dialect::find("", name), None);
    }
    assert_eq!(Dialect::find("meta", "xml"), None);
}

#[test]
fn every_profile_has_a_dialect_that_there_is() {
    for profile in &PROFILES {
        assert!(Dialect::find(profile.dialect, "json").is_some(), "{}", profile.name);
    }
}

#[test]
fn an_error_says_which_message() {
    let profile = &PROFILES[0];
    let place = |error: Error| match error {
        Error::Chat { index, field, .. } => (index, field),
        other => panic!("{other}"),
    };
    let none = chat(Dialect::Hf, Vec::new()).script(profile, &go_on).err().unwrap();
    assert_eq!(place(none), (None, "messages".to_owned()));
    let role = Role::of("<|eot_id|>", 3, Dialect::Hf, profile).unwrap_err();
    assert!(role.to_string().starts_with("\"<|eot_id|>\" is not a role"));
    assert_eq!(place(role), (Some(3), "role".to_owned()));
    let alone = chat(Dialect::Hf, vec![message(Role::User, ""), message(Role::Tool, "")]);
    assert_eq!(
        place(alone.script(&PROFILES[1], &go_on).err().unwrap()),
        (Some(1), "role".to_owned())
    );
}

#[test]
fn a_long_conversation_calls_the_check_at_each_stage() {
    const MESSAGES: usize = 10_000;
    // Of 256 messages or marks each; the last ones may be fewer.
    let least = MESSAGES / 256;
    let (encoder, profile) = (sample_encoder(), &PROFILES[1]);
    let calls = Cell::new(0);
    let counted = || {
        calls.set(calls.get() + 1);
        Ok(())
    };
    for (dialect, passes) in [(Dialect::Hf, 3), (Dialect::Meta(ToolFormat::Json), 2)] {
        let messages = (0..MESSAGES).map(|_| message(Role::User, "Hi")).collect();
        let script = chat(dialect, messages).script(profile, &counted).unwrap();
        assert!(calls.take() >= passes * least);
        script.encode(encoder, true, &counted).unwrap();
        assert!(calls.take() >= 4 * least);
        script.render(encoder, &counted).unwrap();
        assert!(calls.take() >= 4 * least);
        ChatSource::new(encoder, &script, &counted).unwrap();
        assert!(calls.take() >= 4 * least);
    }
}
