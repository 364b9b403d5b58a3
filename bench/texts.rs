//! The texts of `encode.rs`: the files of a folder, or what every checkout has.

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use llama3_tok::files::walk::Walk;

/// At most so much of a text, so that a pass over it is some milliseconds.
const LIMIT: usize = 1 << 20;
/// About so many bytes are a document: about a page, as in corpora.py.
const DOCUMENT: usize = 3_000;

/// A text and what it is called.
pub struct Text {
    pub name: String,
    pub text: String,
}

/// The `.txt` files of the folder `LLAMA3_TOK_CORPORA`; without it the project's own sources and
/// documents, and a generated text in many scripts.
pub fn texts() -> Vec<Text> {
    if let Some(folder) = std::env::var_os("LLAMA3_TOK_CORPORA") {
        let files = read(Path::new(&folder), &["*.txt"]);
        assert!(!files.is_empty(), "the folder LLAMA3_TOK_CORPORA has no .txt files");
        return files;
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let joined = |name: &str, globs: &[&str]| {
        let files = read(project, globs);
        Text { name: name.to_owned(), text: files.into_iter().map(|file| file.text).collect() }
    };
    let text = generated(LIMIT / 2);
    vec![
        joined("sources", &["*.rs", "*.py"]),
        joined("documents", &["*.md"]),
        Text { name: "generated".to_owned(), text },
    ]
}

/// The files below a folder that match, in the order of their paths; [`LIMIT`] bytes of each.
fn read(folder: &Path, globs: &[&str]) -> Vec<Text> {
    let globs: Vec<String> = globs.iter().map(|&glob| glob.to_owned()).collect();
    let walk = Walk { hidden: false, no_ignore: false, globs: &globs };
    let files = walk.files(folder, &|| Ok(())).expect("the folder of the texts is read");
    let text = |path: std::path::PathBuf| {
        let data = fs::read(&path).expect("a file of the texts is read");
        let mut text = String::from_utf8_lossy(&data).into_owned();
        if text.len() > LIMIT {
            let end = (0..=LIMIT).rev().find(|&at| text.is_char_boundary(at));
            text.truncate(end.unwrap_or_default());
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Text { name, text }
    };
    files.into_iter().map(|file| text(file.expect("the folder of the texts is read"))).collect()
}

/// Cuts a text into documents, at the ends of lines.
pub fn documents(text: &str) -> Vec<&str> {
    let (mut documents, mut start) = (Vec::new(), 0);
    for (at, _) in text.match_indices('\n') {
        if at + 1 - start >= DOCUMENT {
            documents.push(&text[start..=at]);
            start = at + 1;
        }
    }
    documents.push(&text[start..]);
    documents
}

/// Letters of many scripts, and emoji.
const SCRIPTS: [RangeInclusive<char>; 12] = [
    'a'..='z',
    'à'..='ž',
    'α'..='ω',
    'а'..='я',
    'א'..='ת',
    'ا'..='ي',
    'अ'..='ह',
    'ก'..='ฮ',
    'ぁ'..='ん',
    '一'..='龥',
    '가'..='힣',
    '😀'..='🙏',
];

/// Sentences of made-up words, one script each. As in texts that people write, some words come often
/// and some once.
fn generated(length: usize) -> String {
    let mut random = Random(3);
    let lexicons = SCRIPTS.map(|script| {
        let letters: Vec<char> = script.collect();
        (0..2_000).map(|_| random.word(&letters, 1..=8)).collect::<Vec<_>>()
    });
    let mut text = String::new();
    while text.len() < length {
        let words = random.one_of(&lexicons);
        for _ in 0..5 + random.below(15) {
            let often = random.below(words.len()) * random.below(words.len()) / words.len();
            text += &words[often];
            text += *random.one_of(&[" ", " ", " ", ", ", "-"]);
        }
        text += *random.one_of(&["1947. ", "?\n", "!\n\n", "…\n"]);
    }
    text
}

/// The same numbers in each run (SplitMix64).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn one_of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Letters one after the other, as many as `lengths` allows.
    pub fn word(&mut self, letters: &[char], lengths: RangeInclusive<usize>) -> String {
        let length = lengths.start() + self.below(lengths.end() - lengths.start() + 1);
        (0..length).map(|_| *self.one_of(letters)).collect()
    }
}
