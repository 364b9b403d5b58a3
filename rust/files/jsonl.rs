//! The text of one field of a JSON record, as bytes: what is not UTF-8 in it is not lost.
//!
//! `a.b` is the field of that name or, if there is none, the field `b` of the object in the field `a`.

use memchr::memmem;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use crate::error::{Check, Error, slice};

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
    let text = deserializer.deserialize_map(Field { name: field, rest: field })?;
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
#[derive(Clone, Copy)]
struct Field<'a> {
    /// As the caller wrote it, for messages.
    name: &'a str,
    /// What is left of it in this object.
    rest: &'a str,
}

impl<'a> Field<'a> {
    /// What of the field is to be found in the object that is the value of `key`.
    fn inside(self, key: &[u8]) -> Option<Self> {
        let rest = self.rest.as_bytes().strip_prefix(key)?;
        let rest = self.rest.get(self.rest.len() - rest.len()..)?.strip_prefix('.')?;
        Some(Self { rest, ..self })
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<Vec<u8>>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut text, mut nested) = (None, None);
        while let Some(key) = map.next_key_seed(Text(self.name))? {
            if key == self.rest.as_bytes() {
                text = Some(map.next_value_seed(Text(self.name))?);
            } else if let Some(inside) = self.inside(&key) {
                nested = map.next_value_seed(Inside(inside))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(text.or(nested))
    }
}

/// Reads any value for a field: what is not an object has none.
struct Inside<'a>(Field<'a>);

impl<'de> DeserializeSeed<'de> for Inside<'_> {
    type Value = Option<Vec<u8>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inside<'_> {
    type Value = Option<Vec<u8>>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        self.0.visit_map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
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

/// The texts of a field of all records of a chunk.
#[derive(Default)]
pub struct Column {
    /// The texts, end to end.
    pub text: Vec<u8>,
    /// Where each begins, and the end of the last one.
    pub offsets: Vec<i64>,
    /// The line of each in the chunk, from 0.
    pub lines: Vec<i64>,
    /// Where these lines begin in the chunk.
    pub starts: Vec<i64>,
    /// The lines whose record has no such text, with the reason.
    pub faults: Vec<(i64, String)>,
}

/// The texts of `field` of the records of `chunk`, one on each line; blank lines are none.
pub fn column(chunk: &[u8], field: &str, check: &Check) -> Result<Column, Error> {
    let mut column = Column { offsets: vec![0], ..Column::default() };
    // Texts are hardly ever longer than their records.
    column.text.try_reserve(chunk.len())?;
    let mut next = 0;
    let ends = memchr::memchr_iter(b'\n', chunk).chain([chunk.len()]);
    for (line, end) in (0..).zip(ends) {
        let start = next;
        next = end + 1;
        let record = slice(chunk, start..end)?;
        if record.trim_ascii().is_empty() {
            continue;
        }
        match field_of(record, field) {
            Ok(text) => {
                column.text.try_reserve(text.len())?;
                column.text.extend_from_slice(&text);
                column.offsets.try_reserve(1)?;
                column.offsets.push(column.text.len() as i64);
                column.lines.try_reserve(1)?;
                column.lines.push(line);
                column.starts.try_reserve(1)?;
                column.starts.push(start as i64);
            }
            Err(error) => {
                column.faults.try_reserve(1)?;
                column.faults.push((line, why_not(record, &error)));
            }
        }
        check()?;
    }
    Ok(column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::go_on;

    #[test]
    fn a_field_inside_another_is_found_by_both_names() {
        let text = |record: &str, field| {
            let text = field_of(record.as_bytes(), field).map_err(|error| error.to_string());
            text.map(|text| String::from_utf8(text).unwrap())
        };
        for (record, field) in [
            (r#"{"a": {"b": "x"}}"#, "a.b"),
            (r#"{"a": {"b": {"c": "x"}, "b.c": 1}}"#, "a.b.d.e"),
            (r#"{"a.b": "x", "a": {"b": "y"}}"#, "a.b"),
            (r#"{"a": {"b": "y"}, "a.b": "x"}"#, "a.b"),
            (r#"{"a.b": {"c": "x"}}"#, "a.b.c"),
            (r#"{"a": [1, {"b": 2}], "a.b": "x"}"#, "a.b"),
            (r#"{"a": null, "aa": {"b": 1}, "a.b": "x"}"#, "a.b"),
        ] {
            let expected = if field == "a.b.d.e" { Err(()) } else { Ok("x".to_owned()) };
            assert_eq!(text(record, field).map_err(|_| ()), expected, "{record}");
        }
        for value in
            ["null", "true", "-1", "1", "1.5", "\"b\"", "[[{}]]", "{}", r#"{"c": {"b": 1}}"#]
        {
            let error = text(&format!(r#"{{"a": {value}}}"#), "a.b").unwrap_err();
            assert!(error.starts_with("no field \"a.b\""), "{error}");
        }
        let error = text(r#"{"a": {"b": 1}}"#, "a.b").unwrap_err();
        assert!(error.contains("expected a string in the field \"a.b\""), "{error}");
    }

    #[test]
    fn a_column_has_the_texts_with_their_lines_and_the_faults() {
        let chunk = b"{\"t\": \"one\"}\n\n{\"t\": \"\"}\r\n{\"s\": 1}\n  \n{\"t\": \"two\\n\"}";
        let column = column(chunk, "t", &go_on).unwrap();
        assert_eq!(column.text, b"onetwo\n");
        assert_eq!(column.offsets, [0, 3, 3, 7]);
        assert_eq!(column.lines, [0, 2, 5]);
        assert!(matches!(&column.faults[..], [(3, reason)] if reason.contains("no field \"t\"")));
        let none = super::column(b"", "t", &go_on).unwrap();
        assert_eq!((none.offsets, none.lines.len()), (vec![0], 0));
    }
}
