//! The fields of a `tokenizer.json`, as serde reads them: without a copy where there are no escapes, and
//! with memory that may be refused.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// How the reason begins where memory was refused.
pub(super) const REFUSED: &str = "memory is refused";

#[derive(serde::Deserialize)]
pub(super) struct File<'a> {
    #[serde(borrow)]
    pub(super) model: Option<Model<'a>>,
    /// `None` if the file does not have the field. An empty list says that there are no added tokens.
    #[serde(borrow, default, deserialize_with = "given")]
    pub(super) added_tokens: Option<List<Added<'a>>>,
    #[serde(borrow)]
    pub(super) normalizer: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) pre_tokenizer: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) post_processor: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
pub(super) struct Added<'a> {
    pub(super) id: u32,
    #[serde(borrow)]
    pub(super) content: Text<'a>,
    #[serde(default)]
    pub(super) special: bool,
    #[serde(default)]
    pub(super) single_word: bool,
    #[serde(default)]
    pub(super) lstrip: bool,
    #[serde(default)]
    pub(super) rstrip: bool,
    pub(super) normalized: Option<bool>,
}

#[derive(serde::Deserialize)]
pub(super) struct Model<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Option<Text<'a>>,
    pub(super) dropout: Option<f64>,
    #[serde(borrow)]
    pub(super) unk_token: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) continuing_subword_prefix: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) end_of_word_suffix: Option<Text<'a>>,
    #[serde(default)]
    pub(super) byte_fallback: bool,
    #[serde(default)]
    pub(super) ignore_merges: bool,
    #[serde(borrow, default)]
    pub(super) vocab: Vocab<'a>,
    #[serde(borrow, default)]
    pub(super) merges: List<Merge<'a>>,
}

/// A text: a part of the file, unless it has escapes.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

/// The tokens with their ids, as they are written; `None` for what is not an object.
#[derive(Default)]
pub(super) struct Vocab<'a>(pub(super) Option<Vec<(Text<'a>, &'a RawValue)>>);

/// Written as `"left right"` by older versions, as `["left", "right"]` by newer ones.
pub(super) enum Merge<'a> {
    Text(Text<'a>),
    Pair(Text<'a>, Text<'a>),
}

/// A list whose memory may be refused.
pub(super) struct List<T>(pub(super) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// A field that is there, which must have a value: `null` is not one.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn refused<E: de::Error>(_: std::collections::TryReserveError) -> E {
    E::custom(REFUSED)
}

fn copied<E: de::Error>(text: &str) -> Result<Text<'static>, E> {
    let mut copy = String::new();
    copy.try_reserve_exact(text.len()).map_err(refused)?;
    copy.push_str(text);
    Ok(Text(Cow::Owned(copy)))
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfText;
        impl<'a> Visitor<'a> for OfText {
            type Value = Text<'a>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'a str) -> Result<Text<'a>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'a>, E> {
                copied(text)
            }
        }
        deserializer.deserialize_str(OfText)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Merge<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMerge;
        impl<'a> Visitor<'a> for OfMerge {
            type Value = Merge<'a>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a merge, as a string or as two")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'a str) -> Result<Merge<'a>, E> {
                Ok(Merge::Text(Text(Cow::Borrowed(text))))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Merge<'a>, E> {
                copied(text).map(Merge::Text)
            }

            fn visit_seq<S: SeqAccess<'a>>(self, mut parts: S) -> Result<Merge<'a>, S::Error> {
                let pair = (parts.next_element()?, parts.next_element()?);
                match (pair, parts.next_element::<IgnoredAny>()?) {
                    ((Some(left), Some(right)), None) => Ok(Merge::Pair(left, right)),
                    _ => Err(de::Error::custom("a merge is not of two parts")),
                }
            }
        }
        deserializer.deserialize_any(OfMerge)
    }
}

impl<'a, T: Deserialize<'a>> Deserialize<'a> for List<T> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfList<T>(PhantomData<T>);
        impl<'a, T: Deserialize<'a>> Visitor<'a> for OfList<T> {
            type Value = List<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a list")
            }

            fn visit_seq<S: SeqAccess<'a>>(self, mut items: S) -> Result<List<T>, S::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element()? {
                    all.try_reserve(1).map_err(refused)?;
                    all.push(item);
                }
                Ok(List(all))
            }
        }
        deserializer.deserialize_seq(OfList(PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Vocab<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfVocab;
        impl<'a> Visitor<'a> for OfVocab {
            type Value = Vocab<'a>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("an object of tokens and ids")
            }

            fn visit_unit<E>(self) -> Result<Vocab<'a>, E> {
                Ok(Vocab(None))
            }

            fn visit_seq<S: SeqAccess<'a>>(self, mut items: S) -> Result<Vocab<'a>, S::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Vocab(None))
            }

            fn visit_map<M: MapAccess<'a>>(self, mut entries: M) -> Result<Vocab<'a>, M::Error> {
                let mut all = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    all.try_reserve(1).map_err(refused)?;
                    all.push(entry);
                }
                Ok(Vocab(Some(all)))
            }
        }
        deserializer.deserialize_any(OfVocab)
    }
}
