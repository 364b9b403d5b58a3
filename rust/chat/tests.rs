//! Tests with any vocabulary. Those in Python compare with the authors' implementations of the formats.

use std::borrow::Cow;

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
fn special_ids_are_those_of_the_structure_in_every_profile_and_dialect() {
    let encoder = sample_encoder();
    let first = encoder.vocabulary.len() as u32;
    let names: String = encoder.added.iter().map(|token| token.name.as_str()).collect();
    for dialect in [Dialect::Hf, Dialect::Meta(ToolFormat::Json)] {
        for profile in &PROFILES {
            let messages = vec![message(Role::User, &names), message(Role::Assistant, &names)];
            let script = chat(dialect, messages).script(profile).unwrap();
            let encoded = script.encode(encoder, true, &go_on).unwrap();
            let special: Vec<u32> =
                encoded.ids.iter().filter_map(|id| id.checked_sub(first)).collect();
            let message = [6, 7, EOT];
            let system = dialect == Dialect::Hf && profile.template.tools;
            let count = if system { 3 } else { 2 };
            assert_eq!(special, [&[BOS][..], &message.repeat(count), &[6, 7]].concat());
            let rendered = script.render(encoder).unwrap();
            let decoded = encoder.decode(&encoded.ids, false, &go_on).unwrap();
            assert_eq!(rendered.as_bytes(), decoded);
            assert_eq!(encoded.ends.len(), 3);
        }
    }
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
    let none = chat(Dialect::Hf, Vec::new()).script(profile).err().unwrap();
    assert_eq!(place(none), (None, "messages".to_owned()));
    let role = Role::of("<|eot_id|>", 3, Dialect::Hf, profile).unwrap_err();
    assert!(role.to_string().starts_with("\"<|eot_id|>\" is not a role"));
    assert_eq!(place(role), (Some(3), "role".to_owned()));
    let alone = chat(Dialect::Hf, vec![message(Role::User, ""), message(Role::Tool, "")]);
    assert_eq!(place(alone.script(&PROFILES[1]).err().unwrap()), (Some(1), "role".to_owned()));
}
