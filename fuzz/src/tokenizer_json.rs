//! Any `tokenizer.json`: refused, or the tokens are those that it says, and merging by the order of its merges gives
//! the ids that merging by ranks gives.

use std::collections::HashMap;
use std::sync::Arc;

use llama3_tok::added::Selection;
use llama3_tok::profile::Roles;
use llama3_tok::text::pretokenize::PATTERN;
use llama3_tok::{Content, Encoder, Options, Vocabulary};
use serde_json::{Value, json};

use crate::shared::obvious::pretokens;
use crate::shared::{agree, ids_of};

/// The most bytes of the text that is encoded with a vocabulary.
const MAX_BYTES: usize = 300;

/// The input is a file; after `+` it has lines that are put into a sound file: more tokens, merges, added tokens, and
/// more of the whole.
pub fn check(data: &[u8]) {
    let data = match data {
        [b'+', lines @ ..] => with_lines(lines),
        _ => data.to_vec(),
    };
    let Ok(vocabulary) = Vocabulary::parse(&Content::new(&data), "file") else { return };
    if !data.trim_ascii_start().starts_with(b"{") {
        return;
    }
    let file: Value = serde_json::from_slice(&data).expect("what is read is JSON");
    let model = &file["model"];
    let tokens = model["vocab"].as_object().expect("the vocabulary is an object");
    assert_eq!(vocabulary.len(), tokens.len());
    for (token, id) in tokens {
        let id = id.as_u64().expect("an id is a number") as u32;
        assert_eq!(vocabulary.token(id), Some(bytes_of(token).as_slice()));
    }
    let named = |one: &Value| one["content"].as_str().expect("a name is a text").to_owned();
    let added = file["added_tokens"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut names: Vec<String> = added.iter().map(named).collect();
    names.sort();
    let mut found: Vec<String> =
        vocabulary.added().unwrap_or_default().iter().map(|one| one.name.clone()).collect();
    found.sort();
    assert_eq!(found, names);
    encodes(Arc::new(vocabulary), model);
}

/// A sound file with lines put into it.
fn with_lines(lines: &[u8]) -> Vec<u8> {
    let mut lines = lines.split(|&byte| byte == b'\n');
    let mut next = || lines.next().unwrap_or_default();
    let (tokens, merges, added, more) = (next(), next(), next(), next());
    let single: Vec<String> =
        alphabet().iter().zip(0..).map(|(char, id)| format!("{}:{id}", json!(char))).collect();
    [
        br#"{"pre_tokenizer":"#.as_slice(),
        pre_tokenizer().to_string().as_bytes(),
        br#","model":{"type":"BPE","ignore_merges":true,"vocab":{"#,
        single.join(",").as_bytes(),
        tokens,
        br#"},"merges":["#,
        merges,
        br#"]},"added_tokens":["#,
        added,
        b"]",
        more,
        b"}",
    ]
    .concat()
}

/// A file of tokens and merges as the core writes them, one on each line.
pub fn json_of(tokens: &str, merges: &str) -> Vec<u8> {
    let vocab: serde_json::Map<String, Value> =
        tokens.split('\n').zip(0..).map(|(token, id)| (token.to_owned(), json!(id))).collect();
    let merges: Vec<&str> = merges.split('\n').filter(|merge| !merge.is_empty()).collect();
    let model = json!({"type": "BPE", "ignore_merges": true, "vocab": vocab, "merges": merges});
    json!({"pre_tokenizer": pre_tokenizer(), "model": model}).to_string().into_bytes()
}

fn pre_tokenizer() -> Value {
    let split = json!({
        "type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": false,
    });
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false});
    json!({"type": "Sequence", "pretokenizers": [split, byte_level]})
}

/// GPT-2's alphabet: printable characters of Latin-1 are their own bytes, and the others follow from U+0100 on.
fn alphabet() -> Vec<char> {
    let mut others = '\u{100}'..;
    let of = |byte: u8| match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE.. => char::from(byte),
        _ => others.next().expect("there are more characters"),
    };
    (0..=u8::MAX).map(of).collect()
}

fn bytes_of(token: &str) -> Vec<u8> {
    let alphabet = alphabet();
    let byte = |char| alphabet.iter().position(|&one| one == char).expect("it is in the alphabet");
    token.chars().map(|char| byte(char) as u8).collect()
}

/// The ids of a text that has all long tokens are those that the file's merges give, in their order.
fn encodes(vocabulary: Arc<Vocabulary>, model: &Value) {
    let (mut merges, mut count) = (HashMap::new(), 0);
    for merge in model["merges"].as_array().into_iter().flatten() {
        let (left, right) = match merge {
            Value::String(text) => text.split_once(' ').expect("a merge is of two parts"),
            pair => (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()),
        };
        merges.insert((bytes_of(left), bytes_of(right)), count);
        count += 1;
    }
    let long = vocabulary.iter().filter(|(_, token)| token.len() > 1);
    let text: Vec<u8> = long.flat_map(|(_, token)| token).copied().take(MAX_BYTES).collect();
    let mut expected = Vec::new();
    for pretoken in pretokens(&text) {
        match vocabulary.id(&pretoken) {
            Some(id) => expected.push(id),
            None => {
                let parts = merged(&merges, &pretoken);
                expected.extend(parts.iter().map(|part| vocabulary.id(part).unwrap()));
            }
        }
    }
    let added = vocabulary.added().unwrap_or_default().to_vec();
    let (with_added, roles) = (Arc::clone(&vocabulary), Roles::default());
    let plain = Encoder::with_added(Arc::clone(&vocabulary), "", Vec::new(), roles.clone(), None);
    assert_eq!(ids_of(&plain.unwrap(), &text, &Options::default()).unwrap(), expected);
    // Names that no tokenizer can have, as an empty one, are refused here.
    let names: String = added.iter().map(|token| token.name.as_str()).collect();
    let Ok(encoder) = Encoder::with_added(with_added, "", added, roles, None) else { return };
    let options = Options { allowed: Selection::All, ..Options::default() };
    let ids = ids_of(&encoder, names.as_bytes(), &options).unwrap();
    agree(&encoder, names.as_bytes(), &options, &ids);
}

/// The leftmost pair of the earliest merge is joined, until there is none.
fn merged(merges: &HashMap<(Vec<u8>, Vec<u8>), usize>, pretoken: &[u8]) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = pretoken.iter().map(|&byte| vec![byte]).collect();
    loop {
        let pairs = parts.windows(2).enumerate();
        let known = pairs
            .filter_map(|(at, pair)| Some((*merges.get(&(pair[0].clone(), pair[1].clone()))?, at)));
        let Some((_, at)) = known.min() else { return parts };
        let right = parts.remove(at + 1);
        parts[at].extend(right);
    }
}
