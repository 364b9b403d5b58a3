use std::io::Write;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::added::{Selection, tests as added};
use crate::encode::Encoder;
use crate::encode::options::Options;
use crate::error::tests::sees_a_fault;
use crate::files::output::{OutputKind, Records, Totals};
use crate::reference::{cases, go_on, sample_encoder};
use crate::text::unicode::count_chars;

fn encoder() -> Arc<Encoder> {
    let vocabulary = Arc::clone(&sample_encoder().vocabulary);
    Arc::new(Encoder::new(vocabulary, "sample", "llama3.1").unwrap())
}

/// A folder of files that goes away with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file, packed as its name says.
    fn file(&self, name: &str, text: &[u8]) -> InputFile {
        let path = self.0.join(name);
        let data = match path.extension().unwrap().to_str().unwrap() {
            "gz" => {
                [gzip(&text[..text.len() / 3]), gzip(b""), gzip(&text[text.len() / 3..])].concat()
            }
            "zst" => zstd::encode_all(text, 1).unwrap(),
            _ => text.to_vec(),
        };
        std::fs::write(&path, data).unwrap();
        named(&path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text).unwrap();
    packed.finish().unwrap()
}

fn named(path: &Path) -> InputFile {
    InputFile { path: path.to_owned(), is_standard_input: false, reading: Reading::default() }
}

fn select(encoder: &Encoder, names: &[&str]) -> Selection {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    encoder.added.select(&names, "").unwrap()
}

fn task(
    encoder: &Arc<Encoder>,
    field: Option<&str>,
    want: OutputKind,
    options: Options,
) -> EncodeTask {
    let records = |field: &str| Records { field: field.to_owned(), ..Records::default() };
    EncodeTask::new(Arc::clone(encoder), field.map(records), want, options)
}

/// The results of all files, whole.
fn all(stream: &FileStream) -> Vec<Result<ChunkOutput, Error>> {
    std::iter::from_fn(|| stream.next_file(&go_on).transpose()).collect()
}

fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        Just("<|eot_id|>".into()),
        Just("<|eom_id|>".into()),
        Just("<|reserved_special_token_24|>".into()),
        "<\\|?(eot|eot_id|reserved_special_token_2)?[|_>]?",
        "[a-c ,.'\n\r0-9é漢<|>]{1,9}",
        " {1,4}|\n{1,4}|[!<|>]{1,6}",
    ];
    let fragment = fragment.prop_map(|text: String| text.into_bytes());
    let invalid = prop::collection::vec(prop::sample::select(vec![b'\xE2', b'\x82', 255]), 1..3);
    prop::collection::vec(prop_oneof![9 => fragment, 1 => invalid], 0..30)
        .prop_map(|fragments| fragments.concat())
}

proptest! {
    #![proptest_config(cases(1_000))]

    /// Chunks have the ids of the whole text, with names of any form, of special and of ordinary tokens.
    #[test]
    fn files_in_pieces_have_the_tokens_with_odd_names_of_the_whole(
        text in added::texts(),
        chunk in 1usize..40,
        threads in 1usize..9,
        all_allowed: bool,
    ) {
        let encoder = Arc::new(added::encoder(added::odd_tokens()));
        let allowed = || if all_allowed { Selection::All } else { Selection::None };
        let options = || Options { allowed: allowed(), ..Options::default() };
        let (mut expected, text) = (Vec::new(), text.as_bytes());
        encoder.encode(text, &options(), &mut expected, &go_on).unwrap();
        let folder = Folder::new("odd");
        let file = vec![folder.file("a.txt", text)];
        let task = task(&encoder, None, OutputKind::Ids, options());
        let results = all(&FileStream::with_sizes(task, file, threads, chunk, 100));
        prop_assert_eq!(&results[0].as_ref().unwrap().ids, &expected);
    }

    /// Chunks of a few bytes end everywhere, also inside the names of special tokens.
    #[test]
    fn files_in_pieces_have_the_ids_and_the_error_of_the_whole(
        text in fragments(),
        chunk in 1usize..40,
        threads in 1usize..9,
        (allowed, disallowed) in (0usize..4, 0usize..4),
        kind in prop::sample::select(vec!["txt", "gz", "zst"]),
    ) {
        let encoder = encoder();
        let selections = [vec![], vec!["<|eot_id|>"], vec!["<|eom_id|>", "<|eot_id|>"]];
        let selection = |choice: usize| match selections.get(choice) {
            Some(names) => select(&encoder, names),
            None => Selection::All,
        };
        let options = || Options {
            bos: true,
            eos: chunk % 2 == 0,
            allowed: selection(allowed),
            disallowed: selection(disallowed),
        };
        let mut expected = Vec::new();
        let whole = encoder.encode(&text, &options(), &mut expected, &go_on);
        let folder = Folder::new("chunks");
        let file = || vec![folder.file(&format!("a.{kind}"), &text)];
        let stream = |want, options| {
            let task = task(&encoder, None, want, options);
            FileStream::with_sizes(task, file(), threads, chunk, 100)
        };
        let results = all(&stream(OutputKind::Ids, options()));
        prop_assert_eq!(results.len(), 1);
        match (&whole, &results[0]) {
            (Ok(()), Ok(index)) => prop_assert_eq!(&index.ids, &expected),
            (
                Err(Error::DisallowedSpecialToken { token, offset }),
                Err(Error::File { error, path, line: None }),
            ) => {
                prop_assert_eq!(path, &file()[0].path);
                prop_assert!(matches!(
                    &**error,
                    Error::DisallowedSpecialToken { token: same, offset: id }
                        if (same, id) == (token, offset)
                ), "{error} instead of {offset}");
            }
            _ => prop_assert!(false, "{whole:?} but {results:?}"),
        }
        if whole.is_ok() {
            let outputs = stream(OutputKind::Ids, options());
            let outputs = std::iter::from_fn(|| outputs.next_output(&go_on).transpose());
            let outputs: Vec<_> = outputs.map(|index| index.unwrap().ids).collect();
            prop_assert_eq!(outputs.concat(), expected);
        }
        let totals = all(&stream(OutputKind::Totals, Options::default()))[0].as_ref().unwrap().totals;
        let (characters, valid) = count_chars(&text);
        prop_assert_eq!(totals, Totals {
            texts: 1,
            tokens: encoder.count(&text, &Options::default(), &go_on).unwrap() as u64,
            bytes: text.len() as u64,
            characters: characters as u64,
            invalid_utf8: !valid,
            ..Totals::default()
        });
    }

    #[test]
    fn records_have_the_ids_of_each_and_errors_their_line(
        texts in prop::collection::vec("[a-c \n\"é<|>0-9]{0,20}|<\\|eot_id\\|>", 0..20),
        bad in prop::option::of(0usize..20),
        chunk in 1usize..200,
        threads in 1usize..9,
    ) {
        let encoder = encoder();
        let mut data = b"\xEF\xBB\xBF".to_vec();
        for (line, text) in texts.iter().enumerate() {
            let text = serde_json::to_string(text).unwrap();
            data.extend(if bad == Some(line) {
                format!("{{\"text\": {text}")
            } else {
                format!("{{\"x\": [1], \"text\": {text}}}")
            }.bytes());
            data.extend(if line % 3 == 2 { &b"\r\n\n"[..] } else { b"\n" });
        }
        let folder = Folder::new("records");
        let options = || Options { bos: true, allowed: Selection::All, ..Options::default() };
        let task = task(&encoder, Some("text"), OutputKind::Ids, options());
        let files = vec![folder.file("a.gz", &data)];
        let stream = FileStream::with_sizes(task, files, threads, chunk, 100);
        let result = stream.next_file(&go_on);
        if let Some(bad) = bad.filter(|bad| *bad < texts.len()) {
            // A blank line follows every third.
            let expected = bad + bad / 3 + 1;
            let Err(Error::Input { line, .. }) = result else { panic!("{result:?}") };
            prop_assert_eq!(line, Some(expected));
            return Ok(());
        }
        let index = result.unwrap().unwrap();
        prop_assert_eq!(index.ends.len(), texts.len());
        let mut start = 0;
        for (text, end) in texts.iter().zip(index.ends) {
            let mut ids = Vec::new();
            encoder.encode(text.as_bytes(), &options(), &mut ids, &go_on).unwrap();
            prop_assert_eq!(&index.ids[start..end], &ids);
            start = end;
        }
    }
}

#[test]
fn files_are_given_in_order_with_their_errors_on_any_number_of_threads() {
    let (encoder, folder) = (encoder(), Folder::new("order"));
    let text = |number: usize| "some words, 12 of them\n".repeat(number * 7 % 50).into_bytes();
    for threads in [1, 2, 8] {
        let files = (0..100).map(|number| match number % 10 {
            3 => named(&folder.0.join("missing")),
            7 => named(&folder.0),
            kind => {
                folder.file(&format!("{number}.{}", ["txt", "gz", "zst"][kind % 3]), &text(number))
            }
        });
        let task = task(&encoder, None, OutputKind::Tokens, Options::default());
        let results = all(&FileStream::with_sizes(task, files.collect(), threads, 64, 1000));
        assert_eq!(results.len(), 100);
        for (number, result) in results.into_iter().enumerate() {
            match (number % 10, result) {
                (3 | 7, Err(Error::Io { .. })) => {}
                (_, Ok(index)) => {
                    let count = encoder.count(&text(number), &Options::default(), &go_on).unwrap();
                    assert_eq!(index.totals.tokens, count as u64, "{number}");
                }
                (_, result) => panic!("{number}: {result:?}"),
            }
        }
    }
}

#[test]
fn what_nobody_takes_is_bounded_and_what_nobody_wants_ends() {
    let (encoder, folder) = (encoder(), Folder::new("bounded"));
    let text = "words and more words, ".repeat(10_000);
    let files = (0..50).map(|n| folder.file(&format!("{n}.txt"), text.as_bytes())).collect();
    let task = task(&encoder, None, OutputKind::Ids, Options::default());
    let stream = FileStream::with_sizes(task, files, 2, 1000, 20_000);
    stream.next_output(&go_on).unwrap();
    thread::sleep(Duration::from_millis(200));
    let (held, active) = {
        let state = stream.shared.lock();
        (state.held, state.active)
    };
    assert!(active == 0 && held < 40_000, "{active} threads hold {held} bytes");
    assert!(stream.read() < 60_000);
    let shared = Arc::downgrade(&stream.shared);
    stream.next_output(&go_on).unwrap();
    drop(stream);
    for _ in 0..1000 {
        if shared.strong_count() == 0 {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("something still holds it");
}

#[test]
fn after_an_interruption_nothing_follows() {
    let folder = Folder::new("interrupted");
    for threads in [1, 2] {
        let files = (0..3).map(|n| folder.file(&format!("{n}.txt"), b"text")).collect();
        let task = task(&encoder(), None, OutputKind::Ids, Options::default());
        let stream = FileStream::new(task, files, threads);
        let stop = || Err(Error::Interrupted);
        assert!(matches!(stream.next_file(&stop), Err(Error::Interrupted)));
        assert_eq!(stream.next_file(&go_on).unwrap(), None);
    }
}

#[test]
fn memory_held_is_accounted_for_to_the_last_byte() {
    let (encoder, folder) = (encoder(), Folder::new("account"));
    let text = "words and more words, <|eot_id|>".repeat(100);
    let bad = format!("{text}\n<|eom_id|>{text}");
    let files = (0..40).map(|n| match n % 4 {
        1 => named(&folder.0.join("missing")),
        2 => folder.file(&format!("{n}.gz"), bad.as_bytes()),
        _ => folder.file(&format!("{n}.txt"), text.as_bytes()),
    });
    let disallowed = select(&encoder, &["<|eom_id|>"]);
    let options = Options { allowed: Selection::All, disallowed, ..Options::default() };
    let task = task(&encoder, None, OutputKind::Ids, options);
    let stream = FileStream::with_sizes(task, files.collect(), 2, 100, 10_000);
    assert_eq!(all(&stream).iter().filter(|result| result.is_ok()).count(), 20);
    for _ in 0..100 {
        if stream.shared.lock().active == 0 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(stream.shared.lock().held, 0);
}

#[test]
fn a_result_without_a_place_is_an_error_of_its_file_and_not_dropped() {
    for index in [0, 1, 3] {
        assert!(sees_a_fault(|| {
            let mut progress = Progress { taken: 1, ..Progress::default() };
            progress.set_output(index, Ok(ChunkOutput::default()));
            progress.outputs.pop_front().flatten().unwrap()
        }));
    }
}
