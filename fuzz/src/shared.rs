//! What several targets use: the vocabulary and its encoders, and texts that are put together of pieces.

use std::sync::{Arc, OnceLock};

use arbitrary::Arbitrary;
use llama3_tok::added::{AddedToken, Selection};
use llama3_tok::encode::offsets::Offsets;
use llama3_tok::machine::code_path::CodePath;
use llama3_tok::profile::{PROFILES, Roles};
use llama3_tok::text::pretokenize::PATTERN;
use llama3_tok::{Content, Encoder, Error, Options, Vocabulary};

#[path = "../../rust/reference/obvious.rs"]
pub mod obvious;
#[path = "../../rust/reference/obvious_added.rs"]
pub mod obvious_added;

use obvious::{RankMap, rank_file, sample_tokens};

/// A check that never stops anything.
pub fn go_on() -> Result<(), Error> {
    Ok(())
}

/// Meta's vocabulary, if `LLAMA3_TOK_VOCAB` names it, else the small one: a new one with a number of its own, so that
/// it shares no cache with others.
pub fn vocabulary() -> Arc<Vocabulary> {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    let file = FILE.get_or_init(|| match std::env::var("LLAMA3_TOK_VOCAB") {
        Ok(path) => std::fs::read(path).expect("LLAMA3_TOK_VOCAB names a file"),
        Err(_) => rank_file(&sample_tokens()).into_bytes(),
    });
    let vocabulary = Vocabulary::parse(&Content::new(file), "vocabulary");
    Arc::new(vocabulary.expect("the vocabulary is read"))
}

/// The small vocabulary, for targets whose seeds know its ids.
pub fn small_vocabulary() -> Arc<Vocabulary> {
    let content = Content::new(rank_file(&sample_tokens()));
    Arc::new(Vocabulary::parse(&content, "vocabulary").expect("the vocabulary is read"))
}

/// The ranks of a vocabulary, for the obvious encoder.
pub fn ranks_of(vocabulary: &Vocabulary) -> RankMap {
    vocabulary.iter().map(|(id, token)| (token.to_vec(), id)).collect()
}

/// An encoder for every code path of this processor, which keeps nothing in a cache and so merges everything; and the
/// fastest once more with a cache.
pub fn encoders(vocabulary: &Arc<Vocabulary>, profile: &str) -> Vec<Encoder> {
    let new = || {
        let encoder = Encoder::new(Arc::clone(vocabulary), "vocabulary", profile);
        encoder.expect("the vocabulary has the tokens of a release")
    };
    let paths = CodePath::available().into_iter();
    paths.map(|path| new().on_path(path).with_cache(0)).chain([new()]).collect()
}

/// The same without special tokens, for targets that make a vocabulary of each input.
pub fn plain_encoders(vocabulary: &Arc<Vocabulary>) -> Vec<Encoder> {
    let new = || {
        let vocabulary = Arc::clone(vocabulary);
        let encoder = Encoder::with_added(vocabulary, "", Vec::new(), Roles::default(), None);
        encoder.expect("nothing is added")
    };
    let paths = CodePath::available().into_iter();
    paths.map(|path| new().on_path(path).with_cache(0)).chain([new()]).collect()
}

/// A part of a text: any bytes, the name of a special token, or the beginning of one.
#[derive(Arbitrary, Debug)]
pub enum Piece<'a> {
    /// Bytes as they are.
    Bytes(&'a [u8]),
    /// Something so many times.
    Repeated(&'a [u8], u8),
    /// A whole name.
    Name(u8),
    /// So many bytes of a name.
    Beginning(u8, u8),
}

/// Names that structure has come first, so that a small number is one of them.
pub fn name_of(profile: usize, number: u8) -> String {
    let names = PROFILES[profile].special_names();
    names[usize::from(number) % 16].clone()
}

/// The most bytes of a text: what the obvious ways do with it takes time that grows with its square.
pub const MAX_BYTES: usize = 1 << 9;

/// The text of pieces, with names of a release.
pub fn text_of(pieces: &[Piece], profile: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => text.extend_from_slice(bytes),
            Piece::Repeated(bytes, times) => text.extend(bytes.repeat(usize::from(*times))),
            Piece::Name(number) => text.extend(name_of(profile, *number).bytes()),
            Piece::Beginning(number, length) => {
                let name = name_of(profile, *number);
                text.extend(name.bytes().take(usize::from(*length)));
            }
        }
        if text.len() > MAX_BYTES {
            text.truncate(MAX_BYTES);
            break;
        }
    }
    text
}

/// Which special tokens are chosen.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Chosen {
    /// None of them.
    None,
    /// All of them.
    All,
    /// Of the first 16 those whose bit is set.
    Some(u16),
}

impl Chosen {
    /// Whether the special token with this index in its release is chosen.
    pub fn has(self, index: usize) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(bits) => index < 16 && bits >> index & 1 == 1,
        }
    }

    /// The same for an encoder of a release.
    pub fn selection(self, encoder: &Encoder) -> Selection {
        let tokens = encoder.added.iter().enumerate();
        let named = |name: &AddedToken| name.name.clone();
        match self {
            Self::None => Selection::None,
            Self::All => Selection::All,
            Self::Some(_) => {
                let names: Vec<String> = tokens
                    .filter(|(index, _)| self.has(*index))
                    .map(|(_, one)| named(one))
                    .collect();
                encoder.added.select(&names, encoder.profile()).expect("the names are its own")
            }
        }
    }
}

/// The ids of a text.
pub fn ids_of(encoder: &Encoder, text: &[u8], options: &Options) -> Result<Vec<u32>, Error> {
    let mut ids = Vec::new();
    encoder.encode(text, options, &mut ids, &go_on)?;
    Ok(ids)
}

/// Whether counting and offsets say what `ids` are: the tokens' spans follow each other, cover the text, and are their
/// bytes, but for added tokens, which may take white space with them.
pub fn agree(encoder: &Encoder, text: &[u8], options: &Options, ids: &[u32]) {
    assert_eq!(encoder.count(text, options, &go_on).unwrap(), ids.len());
    let mut offsets = Offsets::new(&encoder.vocabulary);
    encoder.encode(text, options, &mut offsets, &go_on).unwrap();
    assert_eq!(offsets.ids, ids);
    let mut at = 0;
    for (span, &id) in offsets.spans.iter().zip(ids) {
        assert_eq!(span.start, at);
        at = span.end;
        let bytes = &text[span.clone()];
        if encoder.added.get(id).is_none() {
            assert_eq!(encoder.token_bytes(id), Some(bytes));
        }
    }
    assert_eq!(at, text.len());
}
