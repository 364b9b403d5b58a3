//! The text of one field of a JSON record, as bytes: what is not UTF-8 in it is not lost.

use memchr::memmem;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

/// Says what is wrong with a record that [`field_of`] can't read.
pub fn why_not(record: &[u8], error: &serde_json::Error) -> String {
    if memchr::memchr(0, record).is_some() {
        return "this is not UTF-8; if it is UTF-16, convert it first".to_owned();
    }
    // The record is one line of the file, so the parser's own line number misleads.
    let reason = error.to_string();
    let reason = reason.split_once(" at line ").map_or(&*reason, |(reason, _)| reason);
    // Of valid JSON without such a field the parser's reason says enough.
    if !error.is_syntax() && !error.is_eof() {
        return reason.to_owned();
    }
    match ["NaN", "Infinity"].iter().find(|word| memmem::find(record, word.as_bytes()).is_some()) {
        Some(word) => format!("this is not valid JSON: {reason}; JSON has no {word}"),
        None => format!("this is not valid JSON: {reason}"),
    }
}

/// The text of `field` in a JSON object. Lone surrogates become U+FFFD, as in a Python `str`; other
/// bytes that are not UTF-8 stay as they are.
pub fn field_of(record: &[u8], field: &str) -> Result<Vec<u8>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(record);
    let text = Field(field).deserialize(&mut deserializer)?;
    deserializer.end()?;
    let mut text = text.ok_or_else(|| serde_json::Error::custom(format!("no field {field:?}")))?;
    if !has_surrogate(record) {
        replace_surrogates(&mut text);
    }
    Ok(text)
}

/// The JSON parser writes an escaped lone surrogate as the three bytes ED A0..BF 80..BF, which valid
/// UTF-8 never has; U+FFFD is also three bytes. A record that has such bytes itself keeps them.
fn replace_surrogates(text: &mut [u8]) {
    let mut at = 0;
    while let Some(more) = text.get(at..).and_then(|rest| memchr::memchr(0xED, rest)) {
        at += more;
        // At the end there may be fewer than three bytes.
        let three = text.get_mut(at..).and_then(|rest| rest.first_chunk_mut());
        if let Some(bytes @ [0xED, 0xA0..=0xBF, 0x80..=0xBF]) = three {
            *bytes = [0xEF, 0xBF, 0xBD];
        }
        at += 1;
    }
}

fn has_surrogate(text: &[u8]) -> bool {
    memchr::memchr_iter(0xED, text)
        .any(|at| matches!(text.get(at..), Some([0xED, 0xA0..=0xBF, 0x80..=0xBF, ..])))
}

/// Reads an object for one field; of several with its name the last counts.
struct Field<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = Option<Vec<u8>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<Vec<u8>>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut text = None;
        while let Some(key) = map.next_key_seed(Text(self.0))? {
            if key == self.0.as_bytes() {
                text = Some(map.next_value_seed(Text(self.0))?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(text)
    }
}

/// Reads a JSON string as bytes.
struct Text<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Text<'_> {
    type Value = Vec<u8>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Text<'_> {
    type Value = Vec<u8>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(formatter, "a string in the field {:?}", self.0)
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(bytes.to_vec())
    }
}
