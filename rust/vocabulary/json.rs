//! Reading a `tokenizer.json` of Hugging Face's tokenizers as a vocabulary.
//!
//! Only what gives Llama 3's ids is accepted: byte-level BPE with `ignore_merges`, the Llama 3
//! pattern, and merges that are exactly what the ranks say. Anything else is refused by its name in
//! the file, since it would be a tokenizer with other ids. The post-processor, which puts tokens around a
//! text, is handed on as it is: a caller gets such tokens by `bos=` and `eos=`. Truncation and padding
//! are not read.

use serde::Deserialize;

use crate::added::AddedToken;
use crate::bpe::token_bytes::{MAX_TOKENS, TokenBytes};
use crate::text::pretokenize::PATTERN;
use crate::vocabulary::byte_level::Alphabet;
use crate::vocabulary::{Fault, Vocabulary};

#[derive(Deserialize)]
struct File {
    model: Option<Model>,
    #[serde(default)]
    added_tokens: Vec<Added>,
    normalizer: Option<serde_json::Value>,
    pre_tokenizer: Option<serde_json::Value>,
    post_processor: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    normalized: Option<bool>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    dropout: Option<f64>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    #[serde(default)]
    vocab: serde_json::Value,
    #[serde(default)]
    merges: Vec<Merge>,
}

/// Written as `"left right"` by older versions, as `["left", "right"]` by newer ones.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Text(String),
    Pair(String, String),
}

/// Reads and checks the file.
pub(crate) fn read(data: &[u8]) -> Result<Vocabulary, Fault> {
    let file: File = serde_json::from_slice(data).map_err(|error| {
        Fault::in_line(
            error.line(),
            format!("this is not the tokenizer.json of a BPE model: {error}"),
        )
    })?;
    let Some(model) = &file.model else {
        let reason = "this is JSON without a \"model\", so no tokenizer.json";
        return Err(Fault::without_line(reason.to_owned()));
    };
    check_settings(&file, model).map_err(Fault::without_line)?;
    let alphabet = Alphabet::new();
    let tokens = read_tokens(model, &alphabet).map_err(Fault::without_line)?;
    let mut vocabulary = Vocabulary::new(tokens)?;
    check_merges(&vocabulary, &model.merges, &alphabet).map_err(Fault::without_line)?;
    let added =
        read_added(&file.added_tokens, &vocabulary, &alphabet).map_err(Fault::without_line)?;
    vocabulary.set_added(added, file.post_processor.map(|value| value.to_string()));
    Ok(vocabulary)
}

/// Refuses every setting that would give other ids, by name.
fn check_settings(file: &File, model: &Model) -> Result<(), String> {
    // Older files do not name the type.
    let kind = model.kind.as_deref().unwrap_or("BPE");
    if kind != "BPE" {
        return Err(format!("model.type is {kind:?}; only \"BPE\" is Llama 3's"));
    }
    if !model.ignore_merges {
        return Err("model.ignore_merges is not true; Llama 3 emits a pretoken that is in the \
                    vocabulary whole, and without it some ids differ"
            .to_owned());
    }
    let texts = [
        ("unk_token", &model.unk_token),
        ("continuing_subword_prefix", &model.continuing_subword_prefix),
        ("end_of_word_suffix", &model.end_of_word_suffix),
    ];
    for (name, value) in texts {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            return Err(format!("model.{name} is {value:?}; Llama 3 has none"));
        }
    }
    if let Some(dropout) = model.dropout.filter(|&dropout| dropout != 0.0) {
        return Err(format!("model.dropout is {dropout}; Llama 3 has none"));
    }
    if model.byte_fallback {
        return Err(
            "model.byte_fallback is true; Llama 3 has every byte in its vocabulary".to_owned()
        );
    }
    if let Some(normalizer) = &file.normalizer {
        return Err(format!("there is a normalizer {}; Llama 3 has none", kind_of(normalizer)));
    }
    check_pre_tokenizer(file.pre_tokenizer.as_ref().unwrap_or(&serde_json::Value::Null))
}

/// Llama 3's is a sequence of a split by the pattern and the byte-level alphabet.
fn check_pre_tokenizer(value: &serde_json::Value) -> Result<(), String> {
    let steps = value.get("pretokenizers").and_then(|steps| steps.as_array());
    let Some([split, byte_level]) = steps.map(Vec::as_slice) else {
        return Err(format!(
            "pre_tokenizer is {}; Llama 3's is a Sequence of Split and ByteLevel",
            kind_of(value)
        ));
    };
    let pattern = split.pointer("/pattern/Regex").and_then(|pattern| pattern.as_str());
    match pattern {
        Some(PATTERN) => {}
        Some(other) => return Err(format!("the pattern {other:?} is not Llama 3's")),
        None => {
            return Err(format!(
                "the first pre_tokenizer is {}, not Llama 3's Split",
                kind_of(split)
            ));
        }
    }
    let settings: [(_, _, serde_json::Value); 6] = [
        (split, "type", "Split".into()),
        (split, "behavior", "Isolated".into()),
        (split, "invert", false.into()),
        (byte_level, "type", "ByteLevel".into()),
        (byte_level, "add_prefix_space", false.into()),
        (byte_level, "use_regex", false.into()),
    ];
    for (step, name, expected) in settings {
        let found = step.get(name).unwrap_or(&serde_json::Value::Null);
        if *found != expected {
            return Err(format!("{name} of {} is {found}; Llama 3's is {expected}", kind_of(step)));
        }
    }
    Ok(())
}

fn kind_of(value: &serde_json::Value) -> String {
    value.get("type").map_or_else(|| "absent".to_owned(), ToString::to_string)
}

fn read_tokens(model: &Model, alphabet: &Alphabet) -> Result<TokenBytes, String> {
    let Some(vocab) = model.vocab.as_object() else {
        return Err("model.vocab is not an object of tokens and ids".to_owned());
    };
    if vocab.len() > MAX_TOKENS {
        return Err(format!(
            "model.vocab has {} tokens; at most {MAX_TOKENS} are allowed",
            vocab.len()
        ));
    }
    let mut by_id: Vec<Option<&str>> = vec![None; vocab.len()];
    for (token, id) in vocab {
        let index = id.as_u64().and_then(|id| usize::try_from(id).ok());
        let slot = index.and_then(|index| by_id.get_mut(index)).ok_or_else(|| {
            let last = vocab.len() - 1;
            format!("model.vocab gives {token:?} the id {id}; its ids are 0 to {last}")
        })?;
        if let Some(earlier) = slot.replace(token) {
            return Err(format!("model.vocab gives the id {id} to {earlier:?} and to {token:?}"));
        }
    }
    let mut tokens = TokenBytes::default();
    for (id, token) in by_id.into_iter().enumerate() {
        // There are as many tokens as ids, and no id twice. To skip one would shift all after it.
        let token = token.ok_or_else(|| format!("model.vocab has no token with the id {id}"))?;
        let bytes = alphabet.bytes(token)?;
        tokens.push(&bytes).map_err(|reason| format!("model.vocab, {token:?}: {reason}"))?;
    }
    Ok(tokens)
}

/// The added tokens, ascending by id. Their ids must be those that Hugging Face's library gives them,
/// whatever the file says: what `model.vocab` has as it is written there has its id, and the others follow
/// the vocabulary in the order of the file.
fn read_added(
    added: &[Added],
    vocabulary: &Vocabulary,
    alphabet: &Alphabet,
) -> Result<Vec<AddedToken>, String> {
    let mut next = vocabulary.len() as u32;
    let mut tokens = Vec::new();
    for Added { id, content, special, single_word, lstrip, rstrip, normalized } in added {
        let expected = vocabulary.id_written(content, alphabet).unwrap_or(next);
        if *id != expected {
            return Err(format!(
                "added_tokens gives {content:?} the id {id}; new tokens follow the vocabulary in order and \
                 without gaps, so {expected} was expected"
            ));
        }
        if expected == next {
            next += 1;
        }
        tokens.push(AddedToken {
            id: *id,
            name: content.clone(),
            special: *special,
            single_word: *single_word,
            lstrip: *lstrip,
            rstrip: *rstrip,
            normalized: normalized.unwrap_or(!special),
        });
    }
    tokens.sort_by_key(|token| token.id);
    Ok(tokens)
}

/// The merges must be every split of every token into two tokens, in the order of the merged
/// tokens' ranks. Then the pair of the earliest merge is the pair of the lowest rank.
fn check_merges(
    vocabulary: &Vocabulary,
    merges: &[Merge],
    alphabet: &Alphabet,
) -> Result<(), String> {
    let mut splits: Vec<usize> = Vec::new();
    let mut last = 0;
    for (index, merge) in merges.iter().enumerate() {
        let (left, right) = match merge {
            // Without a space the right part is empty, which is not a token and so refused below.
            Merge::Text(text) => text.split_once(' ').unwrap_or((text, "")),
            Merge::Pair(left, right) => (left.as_str(), right.as_str()),
        };
        let fault = |reason: &str| format!("merge {index}, {left:?} and {right:?}: {reason}");
        if matches!(merge, Merge::Text(text) if text.starts_with("#version")) {
            return Err(fault("Hugging Face's library takes it for a header and drops it"));
        }
        let mut bytes = alphabet.bytes(left)?;
        let split = bytes.len();
        let right_bytes = alphabet.bytes(right)?;
        let parts_known = vocabulary.id(&bytes).is_some() && vocabulary.id(&right_bytes).is_some();
        bytes.extend_from_slice(&right_bytes);
        let merged = vocabulary.id(&bytes).filter(|_| parts_known);
        let merged = merged.ok_or_else(|| fault("not all three tokens are in the vocabulary"))?;
        if merged < last {
            return Err(fault("the merges are not in the order of the merged tokens' ids"));
        }
        if merged > last {
            splits.clear();
            last = merged;
        }
        if splits.contains(&split) {
            return Err(fault("the merge stands there twice"));
        }
        splits.push(split);
    }
    let expected: usize =
        vocabulary.iter().map(|(_, token)| vocabulary.merges_of(token).count()).sum();
    if merges.len() != expected {
        return Err(format!(
            "there are {} merges; the ranks of this vocabulary have {expected}",
            merges.len()
        ));
    }
    Ok(())
}
