//! Reading a rank file: one line a token, its bytes in base64, a space, its rank.
//!
//! Files are nearly always written in the order of the ranks and without a fault, and are then read in one
//! go, since reading is a third of the time that loading takes. All others are read line by line, so that
//! what is wrong is said with its line.

use base64::engine::general_purpose::STANDARD;
use base64::{DecodeError, Engine, decoded_len_estimate};

use crate::bpe::token_bytes::{MAX_TOKENS, TokenBytes};
use crate::error::always;
use crate::machine::reserve;
use crate::vocabulary::Fault;

/// The tokens of a rank file by rank, and the line of each, unless the lines are in that order.
pub(crate) fn read(data: &[u8]) -> Result<(TokenBytes, Option<Vec<usize>>), Fault> {
    match read_in_order(data) {
        Some(tokens) => Ok((tokens, None)),
        None => read_lines(data),
    }
}

/// [`read`] where the lines are in the order of the ranks and nothing is wrong.
fn read_in_order(data: &[u8]) -> Option<TokenBytes> {
    // All tokens are decoded into one piece of memory, since decoding each for itself would take twice the
    // time. The memory is enough unless tokens have more than about 20 bytes on average, and then it grows.
    let (mut bytes, mut ends) = TokenBytes::memory(data.len()).ok()?;
    bytes.resize(bytes.capacity(), 0);
    let (mut rank, mut rest, mut end) = (Decimal::ZERO, data, 0);
    while !rest.is_empty() {
        let (base64, [_, line @ ..]) = rest.split_at_checked(memchr::memchr(b' ', rest)?)? else {
            return None;
        };
        if ends.len() == MAX_TOKENS {
            return None;
        }
        let needed = end + decoded_len_estimate(base64.len());
        if needed > bytes.len() {
            bytes.try_reserve_exact(2 * needed - bytes.len()).ok()?;
            bytes.resize(2 * needed, 0);
        }
        end += STANDARD.decode_slice(base64, bytes.get_mut(end..)?).ok()?;
        ends.push(end as u32);
        rest = rank.strip(line)?;
        rank.increase();
    }
    bytes.truncate(end);
    TokenBytes::of(bytes, ends)
}

/// A number that is counted up as it is written, with a line end after it.
struct Decimal {
    line: [u8; 8],
    first: usize,
}

impl Decimal {
    const ZERO: Self = Self { line: *b"0000000\n", first: 6 };

    /// The rest of a text that begins with it. The last line may lack its end.
    #[inline]
    fn strip<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        let line = self.line.get(self.first..)?;
        text.strip_prefix(line).or((text == line.split_last()?.1).then_some(&[]))
    }

    /// Adds one. It never gets so high as ten million, see [`MAX_TOKENS`].
    fn increase(&mut self) {
        for (at, digit) in self.line.iter_mut().enumerate().rev().skip(1) {
            if *digit < b'9' {
                *digit += 1;
                self.first = self.first.min(at);
                return;
            }
            *digit = b'0';
        }
    }
}

/// What reading line by line takes at most for each byte of the file: the tokens twice, ranks and lines.
const LINES_COST: usize = 6;

/// [`read`], line by line.
fn read_lines(data: &[u8]) -> Result<(TokenBytes, Option<Vec<usize>>), Fault> {
    reserve::ask(data.len().saturating_mul(LINES_COST))?;
    let (mut by_line, mut ranks) = (TokenBytes::with_capacity(data.len()), Vec::new());
    let mut token = Vec::new();
    let body = data.strip_suffix(b"\n").unwrap_or(data);
    for (line, text) in (1..).zip(body.split(|&byte| byte == b'\n')) {
        let fault = |reason| Fault::in_line(line, reason);
        let rank = read_line(text, &mut token).map_err(|reason| match line {
            1 => format!("this is neither a rank file nor a tokenizer.json: {reason}"),
            _ => reason,
        });
        ranks.push(rank.map_err(fault)?);
        by_line.push(&token).map_err(fault)?;
    }
    let lines = lines_by_rank(&ranks)?;
    let mut tokens = TokenBytes::with_capacity(data.len());
    for &line in &lines {
        let token = (line as u32).checked_sub(1).and_then(|at| by_line.get(at));
        let token = always(token, "a rank has no line")?;
        tokens.push(token).map_err(|reason| Fault::in_line(line, reason))?;
    }
    Ok((tokens, Some(lines)))
}

/// The line of each rank. As many ranks as lines, none twice and none too high: every rank is there.
fn lines_by_rank(ranks: &[u32]) -> Result<Vec<usize>, Fault> {
    let mut lines = vec![0; ranks.len()];
    for (line, &rank) in (1..).zip(ranks) {
        match lines.get_mut(rank as usize) {
            Some(slot @ 0) => *slot = line,
            Some(earlier) => {
                let reason = format!("rank {rank} is already in line {earlier}");
                return Err(Fault::in_line(line, reason));
            }
            None => {
                let (count, last) = (ranks.len(), ranks.len() - 1);
                let reason =
                    format!("rank {rank} is too high: {count} tokens have the ranks 0 to {last}");
                return Err(Fault::in_line(line, reason));
            }
        }
    }
    Ok(lines)
}

/// Reads `base64 rank`: the bytes into `token`, the rank as the result.
fn read_line(line: &[u8], token: &mut Vec<u8>) -> Result<u32, String> {
    if line.is_empty() {
        return Err("the line is empty; each line is `base64 rank`".to_owned());
    }
    if line.ends_with(b"\r") {
        return Err(
            "the line ends with a carriage return; the file was converted to Windows line \
                    ends, fetch it again as binary"
                .to_owned(),
        );
    }
    let space = memchr::memchr(b' ', line);
    let Some((base64, [_, rank @ ..])) = space.and_then(|space| line.split_at_checked(space))
    else {
        return Err("no space between the base64 and the rank".to_owned());
    };
    decode_base64(base64, token)?;
    read_rank(rank)
}

fn read_rank(digits: &[u8]) -> Result<u32, String> {
    let text = digits.escape_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(format!("the rank {:?} is not a whole number", text.to_string()));
    }
    if digits.len() > 1 && digits.starts_with(b"0") {
        return Err(format!("the rank {text} begins with 0"));
    }
    let too_high =
        || format!("the rank {text} is too high; at most {MAX_TOKENS} tokens are allowed");
    let rank = digits
        .iter()
        .try_fold(0u32, |rank, digit| rank.checked_mul(10)?.checked_add(u32::from(digit - b'0')));
    rank.filter(|&rank| (rank as usize) < MAX_TOKENS).ok_or_else(too_high)
}

/// Standard base64 with padding; only the one canonical form of each byte string is accepted.
fn decode_base64(text: &[u8], bytes: &mut Vec<u8>) -> Result<(), String> {
    bytes.clear();
    let length = text.len();
    if length == 0 {
        return Err("the base64 is empty".to_owned());
    }
    let not_in_fours = || format!("the base64 has {length} characters, not a multiple of 4");
    if !length.is_multiple_of(4) {
        return Err(not_in_fours());
    }
    STANDARD.decode_vec(text, bytes).map_err(|error| match error {
        DecodeError::InvalidByte(_, byte) => {
            format!("'{}' is not a base64 character", byte.escape_ascii())
        }
        DecodeError::InvalidLastSymbol { .. } => {
            "the base64 has bits after its last byte".to_owned()
        }
        DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => not_in_fours(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reference::rank_file;

    fn contents(tokens: &TokenBytes) -> Vec<Vec<u8>> {
        tokens.iter().map(|(_, token)| token.to_vec()).collect()
    }

    proptest! {
        #[test]
        fn a_file_in_order_is_read_in_one_go(
            tokens in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 1..120),
            last_end in any::<bool>(),
        ) {
            let mut file = rank_file(&tokens).into_bytes();
            file.truncate(file.len() - usize::from(!last_end));
            prop_assert_eq!(contents(&read_in_order(&file).unwrap()), tokens.clone());
            prop_assert_eq!(contents(&read_lines(&file).unwrap().0), tokens);
        }

        /// Whatever a file has instead, reading in one go leaves it alone or reads what the lines say.
        #[test]
        fn any_other_file_is_left_to_the_lines(
            tokens in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..8), 1..14),
            at in any::<prop::sample::Index>(),
            put in prop::collection::vec(prop::sample::select(b"A=9 0\n\r-+\xFF".to_vec()), 0..4),
            kept in any::<bool>(),
        ) {
            let mut file = rank_file(&tokens).into_bytes();
            let at = at.index(file.len());
            file.splice(at..at + usize::from(!kept), put);
            if let Some(tokens) = read_in_order(&file) {
                let lines = read_lines(&file);
                prop_assert_eq!(contents(&tokens), contents(&lines.unwrap().0));
            }
        }
    }
}
