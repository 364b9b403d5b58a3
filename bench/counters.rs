//! What the encode loop does with each pretoken, and what a pretoken takes.
//!
//! ```text
//! cargo bench --features counters --bench counters
//! cargo bench --features counters --bench counters -- english
//! ```
//!
//! Texts and vocabulary are those of `encode.rs`: the folder `LLAMA3_TOK_CORPORA`, the file
//! `LLAMA3_TOK_VOCAB`. Each text is cut into documents of 3 KB. A new thread, whose cache is empty,
//! encodes every other one, then the rest, once unseen and once again, as `compare.py` does. Three
//! threads do so one after another, and the median of their times is printed. Shares are of all
//! pretokens; of segments the number for each pretoken is printed. `rust/counters.rs` says what is
//! counted (`hit` is its `first_line`, `second` its `second_line`). Counting takes a little of the time.

mod texts;

use std::ffi::OsStr;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use llama3_tok::counters::{self, Counters};
use llama3_tok::text::pretokenize::Pretokens;
use llama3_tok::{Content, Encoder, Options, Vocabulary};

use texts::{Text, documents, texts};

const PROFILE: &str = "llama3.1";
const THREADS: usize = 3;

#[cfg(target_arch = "x86_64")]
const CLOCK: &str =
    "cycles of the time stamp counter, which runs at the same rate whatever the clock of the core";
#[cfg(not(target_arch = "x86_64"))]
const CLOCK: &str = "no cycles: this processor has no time stamp counter that a program may read";

/// The time stamp counter, where there is one.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
fn cycles() -> u64 {
    // SAFETY: RDTSC is part of x86-64, and Linux, macOS and Windows let programs execute it. It
    // reads a register and touches no memory.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn cycles() -> u64 {
    0
}

/// What one pass took.
struct Pass {
    nanoseconds: f64,
    cycles: f64,
    counters: Counters,
    ids: usize,
}

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let Some(file) = std::env::var_os("LLAMA3_TOK_VOCAB") else {
        eprintln!("LLAMA3_TOK_VOCAB is not set: it must name Meta's tokenizer.model");
        return;
    };
    let encoder = encoder(&file);
    println!("{CLOCK}\n");
    println!(
        "{:22} {:>9} {:>7} {:>7} {:>6} {:>7} {:>7} {:>7} {:>7} {:>7} {:>9}",
        "text",
        "pretokens",
        "cycles",
        "ns",
        "ids",
        "token",
        "hit",
        "second",
        "long",
        "merged",
        "segments"
    );
    let chosen =
        |text: &Text| wanted.is_empty() || wanted.iter().any(|name| text.name.contains(name));
    let mut silent = true;
    for text in texts().iter().filter(|text| chosen(text)) {
        let documents = documents(&text.text);
        let half = |first: usize| -> Vec<&str> {
            documents.iter().skip(first).step_by(2).copied().collect()
        };
        let (before, timed) = (half(0), half(1));
        let pretokens: usize =
            timed.iter().map(|text| Pretokens::new(text.as_bytes(), &|| Ok(())).count()).sum();
        let runs: Vec<[Pass; 2]> =
            (0..THREADS).map(|_| passes(&encoder, &before, &timed)).collect();
        for (at, name) in ["unseen", "again"].iter().enumerate() {
            let mut of_this: Vec<&Pass> = runs.iter().map(|run| &run[at]).collect();
            of_this.sort_by(|a, b| a.nanoseconds.total_cmp(&b.nanoseconds));
            let pass = of_this[THREADS / 2];
            silent &= pass.counters == Counters::default();
            let counted = pass.counters.pretokens;
            assert!(counted == 0 || counted == pretokens, "{counted} of {pretokens} were counted");
            print_pass(&format!("{} {name}", text.name), pretokens, pass);
        }
    }
    if silent {
        println!("\nThe encode loop counts nothing: it does not call `counters::count`.");
    }
}

fn encoder(file: &OsStr) -> Encoder {
    let data = std::fs::read(file).expect("the file LLAMA3_TOK_VOCAB is read");
    let vocabulary = Vocabulary::parse(&Content::new(data), "LLAMA3_TOK_VOCAB");
    let vocabulary = Arc::new(vocabulary.unwrap_or_else(|error| panic!("{error}")));
    Encoder::new(vocabulary, "LLAMA3_TOK_VOCAB", PROFILE).unwrap_or_else(|error| panic!("{error}"))
}

/// Encodes `before`, then `timed` twice, on a thread that has encoded nothing.
fn passes(encoder: &Encoder, before: &[&str], timed: &[&str]) -> [Pass; 2] {
    let work = || {
        let mut ids = Vec::new();
        encode(encoder, before, &mut ids);
        [(); 2].map(|()| encode(encoder, timed, &mut ids))
    };
    thread::scope(|scope| scope.spawn(work).join()).expect("encoding does not panic")
}

/// Encodes documents into one list, which keeps its memory.
fn encode(encoder: &Encoder, documents: &[&str], ids: &mut Vec<u32>) -> Pass {
    let mut number = 0;
    _ = counters::taken();
    let (start, first) = (Instant::now(), cycles());
    for document in documents {
        ids.clear();
        let encoded = encoder.encode(document.as_bytes(), &Options::default(), ids, &|| Ok(()));
        encoded.expect("nothing stops it");
        number += ids.len();
    }
    let (last, taken) = (cycles(), start.elapsed());
    Pass {
        nanoseconds: taken.as_secs_f64() * 1e9,
        cycles: last.wrapping_sub(first) as f64,
        counters: counters::taken(),
        ids: number,
    }
}

fn print_pass(name: &str, pretokens: usize, pass: &Pass) {
    let each = |amount: f64| amount / pretokens.max(1) as f64;
    let share = |count: usize| format!("{:.2}%", 100.0 * each(count as f64));
    let counters = pass.counters;
    println!(
        "{name:22} {pretokens:>9} {:>7.1} {:>7.1} {:>6.2} {:>7} {:>7} {:>7} {:>7} {:>7} {:>9.3}",
        each(pass.cycles),
        each(pass.nanoseconds),
        each(pass.ids as f64),
        share(counters.token),
        share(counters.first_line),
        share(counters.second_line),
        share(counters.long),
        share(counters.merged),
        each(counters.segments as f64),
    );
}
