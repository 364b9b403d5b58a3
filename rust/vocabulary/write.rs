//! Writing a vocabulary: as a rank file, and as the tokens and merges that files of other libraries need.
//!
//! What is written reads back as the same tokens with the same ids. A rank file is the one that Meta
//! would have written, byte for byte.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Error, always};
use crate::vocabulary::Vocabulary;
use crate::vocabulary::byte_level;

impl Vocabulary {
    /// The vocabulary as a rank file: a line `base64 rank` for each token, in the order of the ranks.
    pub fn rank_file(&self) -> Vec<u8> {
        let mut file = String::new();
        for (rank, token) in self.iter() {
            STANDARD.encode_string(token, &mut file);
            file.push_str(&format!(" {rank}\n"));
        }
        file.into_bytes()
    }

    /// The tokens in the byte-level alphabet, in the order of their ids.
    pub fn written_tokens(&self) -> Vec<String> {
        let written = |(_, token): (u32, &[u8])| {
            let mut text = String::new();
            byte_level::write(token, &mut text);
            text
        };
        self.iter().map(written).collect()
    }

    /// Every way to make a token of two, as `left right` in the byte-level alphabet.
    ///
    /// They are in the order of the tokens' ids, and for one token in the order of the left part's
    /// and then the right part's: Hugging Face's conversion of rank files has them so, and takes the
    /// earliest merge where tiktoken takes the one that gives the lowest rank.
    pub fn written_merges(&self) -> Result<Vec<String>, Error> {
        let part = |id| always(self.token(id), "a part of a token is not a token");
        let (mut merges, mut splits) = (Vec::new(), Vec::new());
        for (_, token) in self.iter() {
            splits.extend(self.merges_of(token));
            splits.sort_unstable();
            for (left, right) in splits.drain(..) {
                let mut text = String::new();
                byte_level::write(part(left)?, &mut text);
                text.push(' ');
                byte_level::write(part(right)?, &mut text);
                merges.push(text);
            }
        }
        Ok(merges)
    }
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
            prop_assert_eq!(vocabulary.rank_file(), file_of(&tokens));
        }
    }

    #[test]
    fn merges_are_every_split_in_the_order_of_ids_and_then_of_parts() {
        let more = ["bc", "abc", "ab", " a"].map(|token| token.as_bytes().to_vec());
        let (vocabulary, _) = vocabulary(&more);
        assert_eq!(vocabulary.written_merges().unwrap(), ["b c", "a bc", "ab c", "a b", "Ġ a"]);
        let written = vocabulary.written_tokens();
        assert_eq!(written.iter().collect::<BTreeSet<_>>().len(), 260);
        assert_eq!(&written[256..], ["bc", "abc", "ab", "Ġa"]);
    }
}
