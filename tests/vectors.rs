//! The shared vectors against the core, with Meta's vocabulary if `LLAMA3_TOK_VOCAB` names it.

use std::io::Write;
use std::sync::Arc;

use llama3_tok::added::Selection;
use llama3_tok::{Content, Encoder, Options, Vocabulary};

#[derive(serde::Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    bos: bool,
    eos: bool,
    special: bool,
}

#[test]
fn golden_texts_have_their_ids() {
    let Ok(path) = std::env::var("LLAMA3_TOK_VOCAB") else {
        // Not by `eprintln!`, whose text is only shown of tests that fail.
        let line = "skipped: LLAMA3_TOK_VOCAB does not name Meta's vocabulary";
        return writeln!(std::io::stderr(), "{line}").unwrap();
    };
    let content = Content::new(std::fs::read(&path).unwrap());
    let vocabulary = Vocabulary::parse(&content, &path).unwrap();
    let encoder = Encoder::new(Arc::new(vocabulary), &path, "llama3.1").unwrap();
    let vectors = include_str!("vectors/golden.jsonl");
    assert!(!vectors.is_empty());
    for line in vectors.lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        let allowed = if case.special { Selection::All } else { Selection::None };
        let options =
            Options { bos: case.bos, eos: case.eos, allowed, disallowed: Selection::None };
        let mut ids = Vec::new();
        encoder.encode(case.text.as_bytes(), &options, &mut ids, &|| Ok(())).unwrap();
        assert_eq!(ids, case.ids, "{:?}", case.text);
        let text = encoder.decode(&ids, !case.special, &|| Ok(())).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), case.text);
    }
}
