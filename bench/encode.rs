//! What each stage of the core takes, one group a stage: to see where a change to the core shows and
//! where it does not. How the whole compares with other tokenizers is what `compare.py` measures.
//!
//! ```text
//! cargo bench                           all groups, about two minutes
//! cargo bench -- '^merge-short/'        one group
//! cargo bench -- /english               one text, in all groups
//! ```
//!
//! | group | |
//! | --- | --- |
//! | `cut` | text into pretokens, on each path that the processor has |
//! | `special` | splitting at special tokens: a text with many, and one without any |
//! | `lookup` | is a pretoken a token? for all pretokens of a text |
//! | `merge-short` | merging each pretoken of a text that is none, once, with nothing remembered |
//! | `merge-long` | merging 16 KiB without a cut: runs, random letters |
//! | `encode-warm` | a text that the thread has encoded before |
//! | `encode-cold` | the same on a thread that has encoded nothing |
//! | `count` | as `encode-warm`, but only how many ids |
//! | `decode` | ids into bytes |
//! | `batch` | documents of about 3 KB, on all processors |
//! | `load` | a vocabulary file, with stored merges (Meta's file alone) and with computed ones |
//!
//! Texts are the files of the folder `LLAMA3_TOK_CORPORA`, else those that every checkout has
//! (`texts.rs`). The vocabulary is that of `LLAMA3_TOK_VOCAB`; without it the groups that need none run.
//!
//! Before a stage is timed its result is compared with the plain way: the scanner that reads one
//! character after the other, a hash map of the tokens, merges by the rule itself, every special name
//! tried at every position. A wrong answer ends the run.

mod texts;

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};

use llama3_tok::added::{AddedTokens, Section, Selection};
use llama3_tok::bpe::index::NONE;
use llama3_tok::bpe::merge::MergeMemory;
use llama3_tok::machine::code_path::CodePath;
use llama3_tok::text::pretokenize::{PretokenEnds, Pretokens};
use llama3_tok::text::span::Span;
use llama3_tok::{Content, Encoder, Error, Options, Profile, Vocabulary};

use texts::{Random, Text, documents, texts};

const PROFILE: &str = "llama3.1";
/// Longer pretokens than this are for `merge-long`.
const SHORT: usize = 64;
/// Bytes of a long pretoken. The plain way takes time in the square of it.
const LONG: usize = 1 << 14;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
        .sample_size(20)
        .nresamples(10_000)
        .without_plots()
        .configure_from_args();
    let texts = texts();
    cut(&mut criterion, &texts);
    special(&mut criterion, &texts);
    match std::env::var_os("LLAMA3_TOK_VOCAB") {
        Some(file) => with_vocabulary(&mut criterion, &texts, &file),
        None => eprintln!(
            "LLAMA3_TOK_VOCAB is not set: the groups that need a vocabulary are skipped. Set it to \
             Meta's tokenizer.model (where llama3_tok is installed, `llama3-tok doctor` says which file \
             it found)"
        ),
    }
    criterion.final_summary();
}

fn with_vocabulary(criterion: &mut Criterion, texts: &[Text], file: &OsStr) {
    let data = std::fs::read(file).expect("the file LLAMA3_TOK_VOCAB is read");
    let encoder = encoder(&data);
    let plain = Plain::new(&encoder.vocabulary);
    let expected: Vec<Vec<u32>> = texts.iter().map(|text| plain.ids(&text.text)).collect();
    let texts_and_ids: Vec<_> = texts.iter().zip(expected.iter().map(Vec::as_slice)).collect();
    lookup(criterion, texts, &encoder.vocabulary, &plain);
    merge_short(criterion, texts, &encoder.vocabulary, &plain);
    merge_long(criterion, &encoder.vocabulary, &plain);
    encode_warm(criterion, &texts_and_ids, &encoder);
    encode_cold(criterion, &texts_and_ids, &encoder);
    count(criterion, &texts_and_ids, &encoder);
    decode(criterion, &texts_and_ids, &encoder);
    batch(criterion, texts, &encoder, &plain);
    load(criterion, texts, &data);
}

fn encoder(data: &[u8]) -> Encoder {
    let vocabulary = Vocabulary::parse(&Content::new(data), "LLAMA3_TOK_VOCAB");
    let vocabulary = Arc::new(vocabulary.unwrap_or_else(|error| panic!("{error}")));
    Encoder::new(vocabulary, "LLAMA3_TOK_VOCAB", PROFILE).unwrap_or_else(|error| panic!("{error}"))
}

// The plain way

/// The tokens in a hash map: the slow twin of all that needs a vocabulary, as `rust/reference.rs` is
/// in the tests.
struct Plain<'v>(HashMap<&'v [u8], u32>);

impl<'v> Plain<'v> {
    fn new(vocabulary: &'v Vocabulary) -> Self {
        let tokens = (0..).map_while(|id| Some((vocabulary.token(id)?, id)));
        Self(tokens.collect())
    }

    /// The rank of a token, or [`NONE`], which is above all ranks.
    fn rank(&self, bytes: &[u8]) -> u32 {
        self.0.get(bytes).copied().unwrap_or(NONE)
    }

    /// Joins the leftmost pair of the lowest rank until there is none.
    fn merge(&self, bytes: &[u8]) -> Vec<u32> {
        let mut starts: Vec<usize> = (0..=bytes.len()).collect();
        let mut pairs: Vec<u32> = bytes.windows(2).map(|pair| self.rank(pair)).collect();
        while let Some((at, &rank)) = pairs.iter().enumerate().min_by_key(|(_, rank)| **rank)
            && rank != NONE
        {
            starts.remove(at + 1);
            pairs.remove(at);
            for changed in at.saturating_sub(1)..pairs.len().min(at + 1) {
                pairs[changed] = self.rank(&bytes[starts[changed]..starts[changed + 2]]);
            }
        }
        starts.windows(2).map(|ends| self.rank(&bytes[ends[0]..ends[1]])).collect()
    }

    fn ids(&self, text: &str) -> Vec<u32> {
        let pretokens = pretokens_of(text.as_bytes()).map(|range| &text.as_bytes()[range]);
        let ids = |pretoken| match self.rank(pretoken) {
            NONE => self.merge(pretoken),
            id => vec![id],
        };
        pretokens.flat_map(ids).collect()
    }
}

/// Looks for each name at each `<`.
fn split_plainly(added: &AddedTokens, text: &str) -> Vec<Section> {
    let (mut sections, mut at) = (Vec::new(), 0);
    for (start, _) in text.match_indices('<') {
        let fits = |(name, _): &(&String, u32)| text[start..].starts_with(name.as_str());
        let names = added.iter().map(|token| (&token.name, token.id));
        if let Some((name, id)) = names.filter(fits).max_by_key(|(name, _)| name.len()) {
            sections.extend((at < start).then_some(Section::Text(at..start)));
            at = start + name.len();
            sections.push(Section::Added(start..at, id));
        }
    }
    sections.extend((at < text.len()).then_some(Section::Text(at..text.len())));
    sections
}

// The stages

fn span(range: &Range<usize>) -> Span {
    Span { start: range.start, end: range.end }
}

/// The pretokens of a text, as byte ranges.
fn pretokens_of(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    Pretokens::new(text, &go_on).map(Result::unwrap)
}

fn go_on() -> Result<(), Error> {
    Ok(())
}

type Group<'c> = BenchmarkGroup<'c, WallTime>;

fn stage<'c>(criterion: &'c mut Criterion, name: &str) -> Group<'c> {
    let mut group = criterion.benchmark_group(name);
    // Most passes take milliseconds: as many of them in each sample, not more and more.
    group.sampling_mode(SamplingMode::Flat);
    group
}

/// Times `work`, which is about so many bytes of text.
fn time<T>(group: &mut Group, name: &str, bytes: usize, mut work: impl FnMut() -> T) {
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(name, |bencher| bencher.iter(&mut work));
}

fn cut(criterion: &mut Criterion, texts: &[Text]) {
    let mut group = stage(criterion, "cut");
    let each = |path: CodePath, text: &[u8], take: &mut dyn FnMut(&PretokenEnds)| {
        let (mut ends, mut at) = (PretokenEnds::default(), 0);
        while at < text.len() {
            path.fill(text, at, &mut ends, &go_on);
            take(&ends);
            assert!(!ends.is_empty(), "some pretoken begins before the text's end");
            at = ends.last();
        }
    };
    for path in CodePath::available() {
        for text in texts {
            let (name, bytes) = (format!("{}/{}", path.name(), text.name), text.text.as_bytes());
            let mut cuts = Vec::new();
            each(path, bytes, &mut |ends| cuts.extend(ends.iter()));
            let expected = pretokens_of(bytes).map(|range| range.end);
            assert!(cuts.into_iter().eq(expected), "cut: {name}");
            time(&mut group, &name, bytes.len(), || {
                each(path, black_box(bytes), &mut |ends| _ = black_box(ends));
            });
        }
    }
}

fn special(criterion: &mut Criterion, texts: &[Text]) {
    let mut group = stage(criterion, "special");
    let profile = Profile::find(PROFILE).expect("the profile exists");
    let added = AddedTokens::of_release(profile, 128_000).expect("its names can be searched for");
    let mut split = |name: &str, text: &str| {
        let split = || added.split(black_box(text.as_bytes()), &Selection::All, &go_on);
        let sections: Result<Vec<_>, Error> = split().collect();
        let sections = sections.expect("nothing stops it");
        assert!(sections == split_plainly(&added, text), "special: {name}");
        time(&mut group, name, text.len(), || split().map(black_box).count());
    };
    for text in texts {
        let turn = |document: &str| {
            format!("<|start_header_id|>user<|end_header_id|>\n\n{document}<|eot_id|>")
        };
        let turns: String = documents(&text.text).into_iter().map(turn).collect();
        split(&format!("many/{}", text.name), &turns);
        split(&format!("none/{}", text.name), &text.text.replace("<|", "<"));
    }
}

fn lookup(criterion: &mut Criterion, texts: &[Text], vocabulary: &Vocabulary, plain: &Plain) {
    let mut group = stage(criterion, "lookup");
    for text in texts {
        let bytes = text.text.as_bytes();
        let pretokens: Vec<Range<usize>> = pretokens_of(bytes).collect();
        for range in &pretokens {
            let found = vocabulary.find(bytes, span(range));
            assert_eq!(found, plain.rank(&bytes[range.clone()]), "lookup: {range:?}");
        }
        time(&mut group, &text.name, bytes.len(), || {
            let ids = pretokens.iter().map(|range| vocabulary.find(bytes, span(range)));
            ids.fold(0u32, u32::wrapping_add)
        });
    }
}

fn merge_short(criterion: &mut Criterion, texts: &[Text], vocabulary: &Vocabulary, plain: &Plain) {
    let mut group = stage(criterion, "merge-short");
    for text in texts {
        let bytes = text.text.as_bytes();
        let mut seen = HashSet::new();
        let unseen = |range: &Range<usize>| {
            let pretoken = &bytes[range.clone()];
            pretoken.len() <= SHORT && plain.rank(pretoken) == NONE && seen.insert(pretoken)
        };
        let pretokens: Vec<Range<usize>> = pretokens_of(bytes).filter(unseen).collect();
        merge(&mut group, &text.name, bytes, &pretokens, vocabulary, plain);
    }
}

fn merge_long(criterion: &mut Criterion, vocabulary: &Vocabulary, plain: &Plain) {
    let mut group = stage(criterion, "merge-long");
    let mut random = Random(5);
    let letters: Vec<char> = ('a'..='z').collect();
    for (name, text) in [
        ("run-of-letters", "a".repeat(LONG)),
        ("run-of-spaces", " ".repeat(LONG)),
        ("random-letters", random.word(&letters, LONG..=LONG)),
        ("random-bases", random.word(&['A', 'C', 'G', 'T'], LONG..=LONG)),
    ] {
        let whole = 0..text.len();
        merge(&mut group, name, text.as_bytes(), &[whole], vocabulary, plain);
    }
}

/// Times the merging of each pretoken, with new memory in each pass.
fn merge(
    group: &mut Group,
    name: &str,
    text: &[u8],
    pretokens: &[Range<usize>],
    vocabulary: &Vocabulary,
    plain: &Plain,
) {
    let each = |take: &mut dyn FnMut(&Range<usize>, &[u32])| {
        let mut memory = MergeMemory::default();
        memory.begin(vocabulary.serial());
        for range in pretokens {
            let ids = vocabulary.merge(CodePath::best(), text, span(range), &mut memory, &go_on);
            take(range, ids.expect("nothing stops it"));
        }
    };
    each(&mut |range, ids| {
        assert!(ids == plain.merge(&text[range.clone()]), "merge: {name}, {range:?}");
    });
    let bytes = pretokens.iter().map(Range::len).sum();
    time(group, name, bytes, || each(&mut |_, ids| _ = black_box(ids)));
}

/// Encodes plain text into a list, which keeps its memory.
fn encode(encoder: &Encoder, text: &str, ids: &mut Vec<u32>) {
    ids.clear();
    let encoded = encoder.encode(text.as_bytes(), &Options::default(), ids, &go_on);
    encoded.expect("nothing stops it");
}

fn encode_warm(criterion: &mut Criterion, texts: &[(&Text, &[u32])], encoder: &Encoder) {
    let mut group = stage(criterion, "encode-warm");
    for &(text, expected) in texts {
        let mut ids = Vec::new();
        for _ in 0..2 {
            encode(encoder, &text.text, &mut ids);
            assert!(ids == expected, "encode-warm: {}", text.name);
        }
        time(&mut group, &text.name, text.text.len(), || {
            encode(encoder, black_box(&text.text), &mut ids);
        });
    }
}

fn encode_cold(criterion: &mut Criterion, texts: &[(&Text, &[u32])], encoder: &Encoder) {
    let mut group = stage(criterion, "encode-cold");
    group.sample_size(10);
    for &(text, expected) in texts {
        let mut ids = Vec::new();
        // The thread's own beginning and end are not timed, the memory for its cache is.
        let on_new_thread = |ids: &mut Vec<u32>| {
            let encode = || {
                let start = Instant::now();
                encode(encoder, black_box(&text.text), ids);
                start.elapsed()
            };
            thread::scope(|scope| scope.spawn(encode).join()).expect("encoding does not panic")
        };
        on_new_thread(&mut ids);
        assert!(ids == expected, "encode-cold: {}", text.name);
        group.throughput(Throughput::Bytes(text.text.len() as u64));
        group.bench_function(&text.name, |bencher| {
            bencher.iter_custom(|count| (0..count).map(|_| on_new_thread(&mut ids)).sum());
        });
    }
}

fn count(criterion: &mut Criterion, texts: &[(&Text, &[u32])], encoder: &Encoder) {
    let mut group = stage(criterion, "count");
    for &(text, expected) in texts {
        let count = || encoder.count(black_box(text.text.as_bytes()), &Options::default(), &go_on);
        assert_eq!(count().ok(), Some(expected.len()), "count: {}", text.name);
        time(&mut group, &text.name, text.text.len(), count);
    }
}

fn decode(criterion: &mut Criterion, texts: &[(&Text, &[u32])], encoder: &Encoder) {
    let mut group = stage(criterion, "decode");
    for &(text, ids) in texts {
        let decode = || encoder.decode(black_box(ids), false, &go_on);
        let decoded = decode().expect("every id is that of a token");
        assert!(decoded == text.text.as_bytes(), "decode: {}", text.name);
        time(&mut group, &text.name, text.text.len(), decode);
    }
}

fn batch(criterion: &mut Criterion, texts: &[Text], encoder: &Encoder, plain: &Plain) {
    let mut group = stage(criterion, "batch");
    for text in texts {
        let documents = documents(&text.text);
        let encode = || {
            let options = Options::default();
            let groups = encoder.encode_batch(black_box(&documents), usize::MAX, &options, &go_on);
            groups.expect("nothing stops it")
        };
        let groups = encode();
        let ids = groups.iter().flat_map(|group| group.texts());
        let ids = ids.map(|ids| ids.expect("each text has its ids"));
        let expected: Vec<Vec<u32>> = documents.iter().map(|text| plain.ids(text)).collect();
        assert!(ids.eq(expected.iter()), "batch: {}", text.name);
        time(&mut group, &text.name, text.text.len(), encode);
    }
}

fn load(criterion: &mut Criterion, texts: &[Text], data: &[u8]) {
    let mut group = stage(criterion, "load");
    group.sample_size(10);
    let (other, is_meta) = (with_last_exchanged(data), Content::new(data).is_meta());
    let files = [("stored-merges", data), ("computed-merges", &other)];
    for (name, data) in files.into_iter().skip(usize::from(!is_meta)) {
        let (encoder, mut ids) = (encoder(data), Vec::new());
        let plain = Plain::new(&encoder.vocabulary);
        for text in texts {
            encode(&encoder, &text.text, &mut ids);
            assert!(ids == plain.ids(&text.text), "load: {name}, {}", text.name);
        }
        // With the SHA-256, which is part of loading.
        time(&mut group, name, data.len(), || {
            Vocabulary::parse(&Content::new(black_box(data)), "LLAMA3_TOK_VOCAB")
        });
    }
}

/// The rank file with the tokens of the last two ranks exchanged, so that no merges are stored for it.
fn with_last_exchanged(file: &[u8]) -> Vec<u8> {
    let file = std::str::from_utf8(file).expect("a rank file is ASCII");
    let mut lines: Vec<_> = file.lines().filter_map(|line| line.split_once(' ')).collect();
    let [.., (first, _), (second, _)] = lines.as_mut_slice() else {
        panic!("a rank file has at least two lines");
    };
    std::mem::swap(first, second);
    let lines = lines.iter().map(|(token, rank)| format!("{token} {rank}\n"));
    lines.collect::<String>().into_bytes()
}
