//! Reading a `tokenizer.json` of Hugging Face's tokenizers as a vocabulary.
//!
//! Only what gives Llama 3's ids is accepted: byte-level BPE with `ignore_merges`, the Llama 3
//! pattern, and merges that are exactly what the ranks say. Anything else is refused by its name in
//! the file, since it would be a tokenizer with other ids. The post-processor, which puts tokens around a
//! text, is handed on as it is: a caller gets such tokens by `bos=` and `eos=`. Truncation and padding
//! are not read.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::added::AddedToken;
use crate::bpe::token_bytes::{MAX_TOKENS, TokenBytes};
use crate::error::{Check, Error};
use crate::machine::{huge_pages, reserve};
use crate::text::pretokenize::PATTERN;
use crate::vocabulary::byte_level::Alphabet;
use crate::vocabulary::json_fields::{Added, File, Merge, Model, REFUSED, Text};
use crate::vocabulary::{Fault, Vocabulary};

/// The most bytes of a part whose values are read one by one. Published ones have three thousand.
const MAX_PART_BYTES: usize = 1 << 18;
/// What such a part takes at most for each byte: a node of a map, for the six bytes of `{"":0}`.
const PART_COST: usize = 128;
/// What serde_json takes at most besides for each byte of the file: one text that has escapes, which grows.
const TEXT_COST: usize = 3;
/// Merges, or tokens, that are compared between two calls of a check: a millisecond.
const CHECK_MERGES: usize = 1 << 11;
/// What an added token takes besides its name.
const ADDED_COST: usize = 256;

/// Reads and checks the file.
pub(crate) fn read(data: &[u8], check: &Check) -> Result<Vocabulary, Fault> {
    reserve::ask(data.len().saturating_mul(TEXT_COST))?;
    // In what it leaves out, serde_json would not look.
    let text = utf8(data)?;
    let file: File = serde_json::from_str(text).map_err(|error| {
        let reason = error.to_string();
        if reason.starts_with(REFUSED) {
            return Fault::Core(Error::OutOfMemory);
        }
        let reason = format!("this is not the tokenizer.json of a BPE model: {reason}");
        Fault::in_line(error.line(), reason)
    })?;
    let Some(model) = &file.model else {
        let reason = "this is JSON without a \"model\", so no tokenizer.json";
        return Err(Fault::without_line(reason.to_owned()));
    };
    check_settings(&file, model)?;
    let alphabet = Alphabet::new();
    check()?;
    let tokens = read_tokens(model, &alphabet)?;
    let mut vocabulary = Vocabulary::new(tokens, check)?;
    check_merges(&vocabulary, &model.merges.0, &alphabet, check)?;
    let added = file.added_tokens.as_ref();
    let added = added.map(|list| read_added(&list.0, &vocabulary, &alphabet)).transpose()?;
    let around = file.post_processor.map(|raw| part("post_processor", raw)).transpose()?;
    vocabulary.set_added(added, around.map(|value| value.to_string()));
    Ok(vocabulary)
}

/// The file as text.
fn utf8(data: &[u8]) -> Result<&str, Fault> {
    simdutf8::compat::from_utf8(data).map_err(|error| {
        let before = data.get(..error.valid_up_to()).unwrap_or(data);
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        Fault::in_line(line, "this is not UTF-8, so no tokenizer.json".to_owned())
    })
}

/// The values of a part of the file.
fn part(name: &str, raw: &RawValue) -> Result<Value, Fault> {
    let bytes = raw.get().len();
    if bytes > MAX_PART_BYTES {
        let reason = format!("{name} has {bytes} bytes; at most {MAX_PART_BYTES} are read");
        return Err(Fault::without_line(reason));
    }
    reserve::ask(bytes * PART_COST)?;
    serde_json::from_str(raw.get())
        .map_err(|error| Fault::without_line(format!("{name} can't be read: {error}")))
}

/// Refuses every setting that would give other ids, by name.
fn check_settings(file: &File, model: &Model) -> Result<(), Fault> {
    check_model(model).map_err(Fault::without_line)?;
    if let Some(normalizer) = file.normalizer {
        let kind = kind_of(&part("normalizer", normalizer)?);
        return Err(Fault::without_line(format!("there is a normalizer {kind}; Llama 3 has none")));
    }
    let steps = file.pre_tokenizer.map(|raw| part("pre_tokenizer", raw)).transpose()?;
    check_pre_tokenizer(&steps.unwrap_or(Value::Null)).map_err(Fault::without_line)
}

fn check_model(model: &Model) -> Result<(), String> {
    // Older files do not name the type.
    let kind = model.kind.as_ref().map_or("BPE", |kind| &*kind.0);
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
        if let Some(value) = value.as_ref().map(|value| &*value.0).filter(|value| !value.is_empty())
        {
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
    Ok(())
}

/// Llama 3's is a sequence of a split by the pattern and the byte-level alphabet.
fn check_pre_tokenizer(value: &Value) -> Result<(), String> {
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
    let settings: [(_, _, Value); 6] = [
        (split, "type", "Split".into()),
        (split, "behavior", "Isolated".into()),
        (split, "invert", false.into()),
        (byte_level, "type", "ByteLevel".into()),
        (byte_level, "add_prefix_space", false.into()),
        (byte_level, "use_regex", false.into()),
    ];
    for (step, name, expected) in settings {
        let found = step.get(name).unwrap_or(&Value::Null);
        if *found != expected {
            return Err(format!("{name} of {} is {found}; Llama 3's is {expected}", kind_of(step)));
        }
    }
    Ok(())
}

fn kind_of(value: &Value) -> String {
    value.get("type").map_or_else(|| "absent".to_owned(), ToString::to_string)
}

fn read_tokens(model: &Model, alphabet: &Alphabet) -> Result<TokenBytes, Fault> {
    let fault = Fault::without_line;
    let Some(vocab) = &model.vocab.0 else {
        return Err(fault("model.vocab is not an object of tokens and ids".to_owned()));
    };
    if vocab.len() > MAX_TOKENS {
        let count = vocab.len();
        let reason = format!("model.vocab has {count} tokens; at most {MAX_TOKENS} are allowed");
        return Err(fault(reason));
    }
    let mut by_id: Vec<Option<&str>> = huge_pages::table(vocab.len(), None).map_err(Error::from)?;
    for (Text(token), id) in vocab {
        let index = id.get().parse().ok();
        let slot = index.and_then(|index: usize| by_id.get_mut(index)).ok_or_else(|| {
            let last = vocab.len() - 1;
            fault(format!("model.vocab gives {token:?} the id {id}; its ids are 0 to {last}"))
        })?;
        if let Some(earlier) = slot.replace(token) {
            let reason = format!("model.vocab gives the id {id} to {earlier:?} and to {token:?}");
            return Err(fault(reason));
        }
    }
    let mut tokens = TokenBytes::default();
    for (id, token) in by_id.into_iter().enumerate() {
        // There are as many tokens as ids, and no id twice. To skip one would shift all after it.
        let missing = || fault(format!("model.vocab has no token with the id {id}"));
        let token = token.ok_or_else(missing)?;
        let bytes = alphabet.bytes(token).map_err(fault)?;
        tokens.try_reserve(bytes.len())?;
        tokens.push(&bytes).map_err(|reason| fault(format!("model.vocab, {token:?}: {reason}")))?;
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
) -> Result<Vec<AddedToken>, Fault> {
    let mut next = vocabulary.len() as u32;
    let names: usize = added.iter().map(|token| token.content.0.len()).sum();
    reserve::ask(names.saturating_add(added.len().saturating_mul(ADDED_COST)))?;
    let mut tokens = Vec::new();
    for Added { id, content: Text(content), special, single_word, lstrip, rstrip, normalized } in
        added
    {
        let expected = vocabulary.id_written(content, alphabet).unwrap_or(next);
        if *id != expected {
            return Err(Fault::without_line(format!(
                "added_tokens gives {content:?} the id {id}; new tokens follow the vocabulary in order and \
                 without gaps, so {expected} was expected"
            )));
        }
        if expected == next {
            next += 1;
        }
        tokens.push(AddedToken {
            id: *id,
            name: content.to_string(),
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
    check: &Check,
) -> Result<(), Fault> {
    let mut splits: Vec<usize> = Vec::new();
    let mut last = 0;
    for (index, merge) in merges.iter().enumerate() {
        if index.is_multiple_of(CHECK_MERGES) {
            check()?;
        }
        let (left, right) = match merge {
            // Without a space the right part is empty, which is not a token and so refused below.
            Merge::Text(Text(text)) => text.split_once(' ').unwrap_or((text, "")),
            Merge::Pair(Text(left), Text(right)) => (&**left, &**right),
        };
        let fault = |reason: &str| {
            Fault::without_line(format!("merge {index}, {left:?} and {right:?}: {reason}"))
        };
        if matches!(merge, Merge::Text(Text(text)) if text.starts_with("#version")) {
            return Err(fault("Hugging Face's library takes it for a header and drops it"));
        }
        let bytes_of = |part| alphabet.bytes(part).map_err(Fault::without_line);
        let mut bytes = bytes_of(left)?;
        let split = bytes.len();
        let right_bytes = bytes_of(right)?;
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
            return Err(fault("the merge occurs twice"));
        }
        splits.push(split);
    }
    let mut expected = 0;
    for (id, token) in vocabulary.iter() {
        if (id as usize).is_multiple_of(CHECK_MERGES) {
            check()?;
        }
        expected += vocabulary.merges_of(token).count();
    }
    if merges.len() != expected {
        return Err(Fault::without_line(format!(
            "there are {} merges; the ranks of this vocabulary have {expected}",
            merges.len()
        )));
    }
    Ok(())
}
