//! The obvious encoder and what it needs: nothing but the standard library, a regex engine, and the pattern.
//!
//! Whoever takes this file in names the pattern: the core's tests, and the fuzz targets, which see only what is
//! public.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use super::PATTERN;

/// The rank of each token.
pub type RankMap = HashMap<Vec<u8>, u32>;

/// The pretokens of a text. For the regex engine, an invalid byte is replaced by a private-use character, which
/// is neither letter, number nor space.
pub fn pretokens(text: &[u8]) -> Vec<Vec<u8>> {
    static REGEX: OnceLock<fancy_regex::Regex> = OnceLock::new();
    let regex = REGEX.get_or_init(|| fancy_regex::Regex::new(PATTERN).unwrap());
    // The text for the engine, and the bytes that each of its characters stands for.
    let (mut lossless, mut bytes) = (String::new(), Vec::new());
    for chunk in text.utf8_chunks() {
        lossless.push_str(chunk.valid());
        bytes.extend(chunk.valid().chars().map(|char| char.to_string().into_bytes()));
        lossless.extend(chunk.invalid().iter().map(|_| '\u{F0000}'));
        bytes.extend(chunk.invalid().iter().map(|&byte| vec![byte]));
    }
    let mut bytes = bytes.into_iter();
    let cut = regex.find_iter(&lossless).map(|found| found.unwrap().as_str().chars().count());
    cut.map(|length| bytes.by_ref().take(length).flatten().collect()).collect()
}

/// Merges from single bytes: the leftmost pair of the lowest rank, until there is none.
pub fn merge(ranks: &RankMap, pretoken: &[u8]) -> Vec<u32> {
    let mut parts: Vec<Vec<u8>> = pretoken.iter().map(|&byte| vec![byte]).collect();
    loop {
        let pairs = parts.windows(2).enumerate();
        let ranked = pairs.filter_map(|(at, pair)| Some((*ranks.get(&pair.concat())?, at)));
        let Some((_, at)) = ranked.min() else { break };
        let right = parts.remove(at + 1);
        parts[at].extend(right);
    }
    parts.iter().map(|part| ranks[part]).collect()
}

/// The ids of a text without special tokens.
pub fn encode(ranks: &RankMap, text: &[u8]) -> Vec<u32> {
    let ids = |pretoken: Vec<u8>| match ranks.get(&pretoken) {
        Some(&id) => vec![id],
        None => merge(ranks, &pretoken),
    };
    pretokens(text).into_iter().flat_map(ids).collect()
}

/// A rank file of `tokens`.
pub fn rank_file(tokens: &[Vec<u8>]) -> String {
    let lines = tokens.iter().enumerate();
    lines.map(|(rank, token)| format!("{} {rank}\n", base64(token))).collect()
}

/// Bytes in base64, with padding.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encode = |chunk: &[u8]| {
        let bits =
            chunk.iter().chain([0, 0].iter()).take(3).fold(0, |bits, &b| bits << 8 | b as usize);
        let digit = |at: usize| match at <= chunk.len() {
            true => DIGITS[bits >> (18 - 6 * at) & 63] as char,
            false => '=',
        };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(encode).collect()
}

/// The tokens of a small vocabulary that stands in for Meta's where that is not at hand: the bytes, what
/// merging the project's own words gives, and tokens that no merge reaches.
pub fn sample_tokens() -> Vec<Vec<u8>> {
    let mut tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    let mut known: HashSet<Vec<u8>> = tokens.iter().cloned().collect();
    let words =
        pretokens(concat!(include_str!("../lib.rs"), "don't 12345 \n\n  漢字 Ünï").as_bytes());
    let mut words: Vec<Vec<Vec<u8>>> =
        words.iter().map(|word| word.iter().map(|&byte| vec![byte]).collect()).collect();
    for _ in 0..400 {
        let mut pairs: HashMap<Vec<u8>, usize> = HashMap::new();
        for pair in words.iter().flat_map(|word| word.windows(2)) {
            *pairs.entry(pair.concat()).or_default() += 1;
        }
        pairs.retain(|pair, _| !known.contains(pair));
        let best = pairs.into_iter().max_by_key(|(pair, count)| (*count, pair.clone()));
        let best = best.unwrap().0;
        for word in &mut words {
            let mut at = 0;
            while at + 1 < word.len() {
                if [word[at].as_slice(), &word[at + 1]].concat() == best {
                    let right = word.remove(at + 1);
                    word[at].extend(right);
                }
                at += 1;
            }
        }
        known.insert(best.clone());
        tokens.push(best);
    }
    tokens.extend([" Việt", "qzxqzx", "  \t  \t", "zzzzz"].map(|text| text.into()));
    tokens
}
