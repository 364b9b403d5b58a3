//! Runs each committed input once: the corpora in `corpus/`, and in `crashes/` what once was a fault.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use checks::TARGETS;

/// The inputs in a folder, in order; none if there is no such folder.
fn inputs(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_input_passes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for (target, check) in TARGETS {
        let corpus = inputs(&root.join("corpus").join(target));
        assert!(!corpus.is_empty(), "{target} has no corpus");
        for path in corpus.into_iter().chain(inputs(&root.join("crashes").join(target))) {
            let data = fs::read(&path).unwrap();
            if catch_unwind(AssertUnwindSafe(|| check(&data))).is_err() {
                wrong.push(path);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn every_target_has_a_program_and_every_corpus_a_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    let programs = inputs(&root.join("fuzz_targets"));
    let mut stems: Vec<&str> =
        programs.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
    stems.sort_by_key(|stem| names.iter().position(|name| name == stem));
    assert_eq!(stems, names);
}
