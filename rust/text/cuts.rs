//! Where a text may be cut without changing its ids, whatever is on the other side of the cut.

use crate::error::{CHECK_BYTES, Check, Error};
use crate::text::unicode::{Class, char_at};

/// The last position where `text` may be cut whatever follows it: the ids of the two sides, end to end,
/// are those of the whole. `None` if there is none yet.
///
/// The pattern always cuts after a letter or number that a character of another class follows, and
/// after a newline that anything but white space follows. No alternative has such a position in its
/// middle, what decides about the left side does not look beyond it, and there is no lookbehind. The
/// character after the cut must be seen whole, so the last three bytes, which may be the beginning
/// of one, are left out.
pub fn last_cut(text: &[u8], check: &Check) -> Result<Option<usize>, Error> {
    let mut window = 256;
    loop {
        let from = text.len().saturating_sub(window);
        if let Some(cut) = last_cut_from(text, from, check)? {
            return Ok(Some(cut));
        }
        if from == 0 {
            return Ok(None);
        }
        window *= 4;
    }
}

/// Whether the pattern always cuts between two neighbours of these classes: see [`last_cut`].
pub fn is_cut(before: Class, after: Class) -> bool {
    match before {
        Class::Letter | Class::Number => after != before,
        Class::Newline => !matches!(after, Class::Newline | Class::Space),
        Class::Space | Class::Other => false,
    }
}

/// The first such position after `from` and before `end`, where a character must begin. What is before
/// `from` may be any text.
pub fn first_cut(
    text: &[u8],
    from: usize,
    end: usize,
    check: &Check,
) -> Result<Option<usize>, Error> {
    let (mut at, mut before) = (from + tail_bytes(text, from), Class::Other);
    let mut next_check = at.saturating_add(CHECK_BYTES);
    while at < end
        && let Some((class, length)) = char_at(text, at)
    {
        if is_cut(before, class) {
            return Ok(Some(at));
        }
        before = class;
        at += length;
        if at >= next_check {
            check()?;
            next_check = at + CHECK_BYTES;
        }
    }
    Ok(None)
}

/// How many bytes at `from` may belong to a character that begins earlier: these are continuation bytes,
/// since any other byte begins a character, valid or not. At the end of the text and beyond there are
/// none.
fn tail_bytes(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    rest.iter().take_while(|&&byte| byte & 0xC0 == 0x80).count()
}

fn last_cut_from(text: &[u8], from: usize, check: &Check) -> Result<Option<usize>, Error> {
    let skip = tail_bytes(text, from);
    let mut next_check = from.saturating_add(CHECK_BYTES);
    let (mut at, mut cut, mut before) = (from + skip, None, Class::Other);
    while at + 4 <= text.len()
        && let Some((class, length)) = char_at(text, at)
    {
        if is_cut(before, class) {
            cut = Some(at);
        }
        before = class;
        at += length;
        if at >= next_check {
            check()?;
            next_check = at + CHECK_BYTES;
        }
    }
    Ok(cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{go_on, sample_encoder};

    /// Whatever follows the cut, the ids of both sides are those of the whole.
    #[test]
    fn a_cut_changes_no_ids() {
        let encoder = sample_encoder();
        let ids = |text: &[u8]| {
            let mut ids = Vec::new();
            encoder.encode(text, &crate::Options::default(), &mut ids, &go_on).unwrap();
            ids
        };
        let text = "It's 12 o'clock!  Über\u{a0}漢字，かな。 x'ſ\r\n \n  ''  end\u{3000}9'\n'll2re٣é1\n|-\n😀";
        let bytes = text.repeat(3).into_bytes();
        let mut cuts = 0;
        for end in 0..=bytes.len() {
            let Some(cut) = last_cut(&bytes[..end], &go_on).unwrap() else { continue };
            cuts += 1;
            assert!(cut + 4 <= end);
            assert_eq!([ids(&bytes[..cut]), ids(&bytes[cut..])].concat(), ids(&bytes), "{end}");
        }
        assert!(cuts > bytes.len() / 2);
        for lines in ["|---|\n", "😀\r\n", "0af1", "'re2"] {
            let cut = last_cut(lines.repeat(100).as_bytes(), &go_on).unwrap();
            assert!(cut.unwrap() > lines.len() * 98);
        }
        assert_eq!(last_cut(&[b'a'; 5000], &go_on).unwrap(), None);
        let far = [b"a,".as_slice(), &[b'a'; 5000]].concat();
        assert_eq!(last_cut(&far, &go_on).unwrap(), Some(1));
    }
}
