//! Streams of files under a scheduler that tries orders of their threads: nothing is lost, given twice or
//! waited for in vain. `scripts/thread_orders.sh` runs these tests.

use std::path::Path;

use super::*;
use crate::encode::Encoder;
use crate::encode::options::Options;
use crate::files::output::OutputKind;
use crate::reference::{go_on, sample_encoder};

const ORDERS: usize = 2_000;

/// Texts of several chunks, one that is empty, and a name without a file.
fn files(folder: &Path) -> Vec<PathBuf> {
    let texts = ["some words, 12 of them\n".repeat(3), String::new(), "and more".repeat(4)];
    let mut paths: Vec<PathBuf> = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        let path = folder.join(format!("{number}.txt"));
        std::fs::write(&path, text).unwrap();
        paths.push(path);
    }
    paths.insert(2, folder.join("missing"));
    paths
}

/// A stream of small chunks with little room for results.
fn stream(paths: &[PathBuf], threads: usize) -> FileStream {
    let vocabulary = Arc::clone(&sample_encoder().vocabulary);
    let encoder = Arc::new(Encoder::new(vocabulary, "sample", "llama3.1").unwrap());
    let task = EncodeTask::new(encoder, None, OutputKind::Ids, Options::default());
    let files = paths.iter().map(|path| InputFile {
        path: path.clone(),
        is_standard_input: false,
        reading: Reading::default(),
    });
    FileStream::with_sizes(task, files.collect(), threads, 16, 700)
}

/// What a file gave: its ids, or nothing for one that can't be read.
fn taken(stream: &FileStream) -> Vec<Option<Vec<u32>>> {
    std::iter::from_fn(|| stream.next_file(&go_on).transpose())
        .map(|result| result.ok().map(|output| output.ids))
        .collect()
}

/// Tries orders at random, and where `no_polling`, such in which a thread rarely gives way, which find other faults
/// (Burckhardt and others, 2010): there a thread that asks again and again would never be answered.
fn try_orders(name: &str, no_polling: bool, test: impl Fn(&[PathBuf]) + Send + Sync + 'static) {
    let folder = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let paths = files(&folder);
    let test = Arc::new(move || test(&paths));
    let again = Arc::clone(&test);
    shuttle::check_random(move || test(), ORDERS);
    if no_polling {
        shuttle::check_pct(move || again(), ORDERS, 3);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn in_every_order_all_files_are_given_in_their_order() {
    let expected = std::sync::OnceLock::new();
    try_orders("orders", true, move |paths| {
        let expected = expected.get_or_init(|| taken(&stream(paths, 1)));
        assert_eq!(expected.len(), 4);
        assert!(expected[2].is_none() && expected[0].as_ref().is_some_and(|ids| ids.len() > 9));
        assert_eq!(&taken(&stream(paths, 3)), expected);
    });
}

#[test]
fn in_every_order_two_takers_get_each_chunk_once() {
    let expected = std::sync::OnceLock::new();
    // Takers poll for their turn.
    try_orders("takers", false, move |paths| {
        let expected = expected.get_or_init(|| {
            let mut ids =
                taken(&stream(paths, 1)).into_iter().flatten().flatten().collect::<Vec<_>>();
            ids.sort_unstable();
            ids
        });
        let stream = Arc::new(stream(paths, 2));
        let takers = [0, 1].map(|_| {
            let stream = Arc::clone(&stream);
            thread::spawn(move || {
                let next = || stream.next_output(&go_on).transpose();
                std::iter::from_fn(next).flatten().flat_map(|output| output.ids).collect::<Vec<_>>()
            })
        });
        let mut ids: Vec<u32> =
            takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect();
        ids.sort_unstable();
        assert_eq!(&ids, expected);
    });
}

#[test]
fn in_every_order_a_stream_that_is_dropped_ends_its_threads() {
    try_orders("dropped", false, |paths| {
        let stream = stream(paths, 3);
        stream.next_output(&go_on).unwrap();
        let shared = Arc::clone(&stream.shared);
        drop(stream);
        while shared.lock().active > 0 {
            thread::yield_now();
        }
        assert_eq!(shared.lock().held, 0);
    });
}
