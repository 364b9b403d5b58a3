//! Writing a vocabulary: as a rank file, and as the tokens and merges that files of other libraries need.
//!
//! What is written reads back as the same tokens with the same ids. A rank file is the one that Meta
//! would have written, byte for byte.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Check, Error, always};
use crate::vocabulary::Vocabulary;
use crate::vocabulary::byte_level;

/// The most bytes of a rank in a rank file, with the space before it and the line break after it.
const MAX_RANK_BYTES: usize = 9;
/// Tokens whose merges are looked for between two calls of a check: a millisecond.
const CHECK_TOKENS: u32 = 1 << 10;

impl Vocabulary {
    /// The vocabulary as a rank file: a line `base64 rank` for each token, in the order of the ranks.
    pub fn rank_file(&self) -> Result<Vec<u8>, Error> {
        let mut file = String::new();
        for (rank, token) in self.iter() {
            file.try_reserve(token.len().div_ceil(3) * 4 + MAX_RANK_BYTES)?;
            STANDARD.encode_string(token, &mut file);
            // Writing to a string does not fail.
            let _ = writeln!(file, " {rank}");
        }
        Ok(file.into_bytes())
    }

    /// The tokens in the byte-level alphabet, which has no line break, in the order of their ids: one on each
    /// line.
    pub fn written_tokens(&self) -> Result<String, Error> {
        let mut text = String::new();
        for (_, token) in self.iter() {
            write_token(token, &mut text)?;
            text.push('\n');
        }
        text.pop();
        Ok(text)
    }

    /// Every way to make a token of two, as `left right` in the byte-level alphabet, one on each line.
    ///
    /// They are in the order of the tokens' ids, and for one token in the order of the left part's
    /// and then the right part's: Hugging Face's conversion of rank files has them so, and takes the
    /// earliest merge where tiktoken takes the one that gives the lowest rank.
    pub fn written_merges(&self, check: &Check) -> Result<String, Error> {
        let part = |id| always(self.token(id), "a part of a token is not a token");
        // A token has fewer splits than bytes, so their memory is small.
        let (mut text, mut splits) = (String::new(), Vec::new());
        for (id, token) in self.iter() {
            if id.is_multiple_of(CHECK_TOKENS) {
                check()?;
            }
            splits.extend(self.merges_of(token));
            splits.sort_unstable();
            for (left, right) in splits.drain(..) {
                write_token(part(left)?, &mut text)?;
                text.push(' ');
                write_token(part(right)?, &mut text)?;
                text.push('\n');
            }
        }
        text.pop();
        Ok(text)
    }
}

/// Adds a token in the byte-level alphabet, with memory for one byte more.
fn write_token(token: &[u8], text: &mut String) -> Result<(), Error> {
    text.try_reserve(2 * token.len() + 1)?;
    byte_level::write(token, text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::vocabulary::Vocabulary;
    use crate::vocabulary::content::Content;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn vocabulary(more: &[Vec<u8>]) -> (Vocabulary, Vec<Vec<u8>>) {
        let mut tokens: Vec<Vec<u8>> = (0..=u8::MAX).map(|byte| vec![byte]).collect();
        tokens.extend_from_slice(more);
        let vocabulary = Vocabulary::parse(&Content::new(file_of(&tokens)), "").unwrap();
        (vocabulary, tokens)
    }

    const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    /// A rank file, written by way of bits.
    fn file_of(tokens: &[Vec<u8>]) -> Vec<u8> {
        let mut file = String::new();
        for (rank, token) in tokens.iter().enumerate() {
            let mut bits: String = token.iter().map(|byte| format!("{byte:08b}")).collect();
            while !bits.len().is_multiple_of(6) {
                bits.push_str("00");
            }
            let start = file.len();
            for at in (0..bits.len()).step_by(6) {
                let value = usize::from_str_radix(&bits[at..at + 6], 2).unwrap();
                file.push(char::from(BASE64[value]));
            }
            while !(file.len() - start).is_multiple_of(4) {
                file.push('=');
            }
            file.push_str(&format!(" {rank}\n"));
        }
        file.into_bytes()
    }

    proptest! {
        #[test]
        fn a_rank_file_is_what_was_read(
            more in prop::collection::btree_set(prop::collection::vec(any::<u8>(), 2..9), 0..20)
        ) {
            let more: Vec<Vec<u8>> = more.into_iter().collect();
            let (vocabulary, tokens) = vocabulary(&more);
            prop_assert_eq!(vocabulary.rank_file().unwrap(), file_of(&tokens));
        }
    }

    #[test]
    fn merges_are_every_split_in_the_order_of_ids_and_then_of_parts() {
        let more = ["bc", "abc", "ab", " a"].map(|token| token.as_bytes().to_vec());
        let (vocabulary, _) = vocabulary(&more);
        assert_eq!(vocabulary.written_merges(&|| Ok(())).unwrap(), "b c\na bc\nab c\na b\nĠ a");
        let written = vocabulary.written_tokens().unwrap();
        let written: Vec<&str> = written.split('\n').collect();
        assert_eq!(written.iter().collect::<BTreeSet<_>>().len(), 260);
        assert_eq!(&written[256..], ["bc", "abc", "ab", "Ġa"]);
    }
}
