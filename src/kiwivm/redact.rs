//! Removes keys from text of the API, a proxy or an error, in every encoding that such text may use: percent encoding,
//! HTML entities, JSON escapes, any of these within another, base64 and hexadecimal.

use std::ops::Range;

const REDACTED: &str = "[redacted]";
/// Minimum length of a truncated key at the end of a text, not counting `private_`. Fewer characters reveal nothing, and
/// a name may end like this.
const MIN_TRUNCATED_KEY: usize = 4;
/// Number of bytes searched for keys. Labels and messages are truncated to far less.
const MAX_SEARCHED: usize = 4096;
/// Number of bytes kept of a longer text. [`MAX_SEARCHED`] may cut off a key that begins behind them.
const MAX_KEPT: usize = 3072;
/// Encodings within each other, for example a JSON error, quoted in an HTML page, in a URL parameter.
const MAX_NESTING: usize = 3;
/// Minimum length of a run of base64 characters. A shorter one contains no secret.
const MIN_BASE64: usize = 8;
/// Prefix of the keys that KiwiVM issues. The key of another VPS is as secret as that of the call.
const KEY_PREFIX: &[u8] = b"private_";
/// Minimum number of letters and digits after the prefix.
const MIN_KEY_DIGITS: usize = 24;

/// Replaces the key, a truncated key at the end of the text, and anything that looks like a key of KiwiVM. Truncates
/// long text.
pub(super) fn redact(text: &str, key: &str) -> String {
    let searched = truncated(text, MAX_SEARCHED);
    let mut secret = vec![false; searched.len()];
    for decoded in decode_all(searched) {
        decoded.mark_secrets(key.as_bytes(), &mut secret);
    }
    let kept = if searched.len() == text.len() {
        text
    } else {
        truncated(text, MAX_KEPT)
    };
    let mut redacted = String::with_capacity(kept.len());
    let mut was_secret = false;
    for (position, character) in kept.char_indices() {
        let is_secret = secret[position];
        if !is_secret {
            redacted.push(character);
        } else if !was_secret {
            redacted.push_str(REDACTED);
        }
        was_secret = is_secret;
    }
    redacted
}

/// Truncates text to at most `length` bytes, at the boundary of a character.
fn truncated(text: &str, length: usize) -> &str {
    let mut end = length.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Returns the text itself and every result of decoding it up to [`MAX_NESTING`] times, in any order.
fn decode_all(text: &str) -> Vec<DecodedText> {
    let mut all = vec![DecodedText::of(text)];
    let mut first_new = 0;
    for _ in 0..MAX_NESTING {
        let end = all.len();
        for index in first_new..end {
            for decode in [percent, entity, escape] {
                if let Some(decoded) = all[index].decoded(decode)
                    && all.iter().all(|known| known.bytes != decoded.bytes)
                {
                    all.push(decoded);
                }
            }
        }
        first_new = end;
    }
    all
}

/// Decoded bytes, and the range of the original text that each was decoded from.
struct DecodedText {
    bytes: Vec<u8>,
    origins: Vec<Range<usize>>,
}

/// The decoded bytes of one encoded character, and the number of encoded bytes. A character that is cut off at the end
/// has no decoded bytes.
type DecodedBytes = (Vec<u8>, usize);

impl DecodedText {
    fn of(text: &str) -> Self {
        Self {
            bytes: text.bytes().collect(),
            origins: (0..text.len()).map(|index| index..index + 1).collect(),
        }
    }

    /// Decodes one encoding. Returns `None` if the text does not use it.
    fn decoded(&self, decode: fn(&[u8]) -> Option<DecodedBytes>) -> Option<Self> {
        let mut text = Self {
            bytes: Vec::new(),
            origins: Vec::new(),
        };
        let mut position = 0;
        let mut changed = false;
        while position < self.bytes.len() {
            let decoded = decode(&self.bytes[position..]);
            changed |= decoded.is_some();
            let (bytes, length) = decoded.unwrap_or_else(|| (vec![self.bytes[position]], 1));
            let origin = self.origin(position, length);
            text.origins.extend(bytes.iter().map(|_| origin.clone()));
            text.bytes.extend(bytes);
            position += length;
        }
        changed.then_some(text)
    }

    /// Returns the range of the original text that these bytes were decoded from.
    fn origin(&self, position: usize, length: usize) -> Range<usize> {
        self.origins[position].start..self.origins[position + length - 1].end
    }

    /// Marks the secret bytes of the original text.
    fn mark_secrets(&self, key: &[u8], secret: &mut [bool]) {
        let mut mark = |position: usize, length: usize| {
            secret[self.origin(position, length)].fill(true);
        };
        for position in 0..self.bytes.len() {
            let rest = &self.bytes[position..];
            // A key is easily guessed from its upper or lower case.
            let is_key = |part: &[u8]| part.eq_ignore_ascii_case(key);
            if rest.get(..key.len()).is_some_and(is_key) {
                mark(position, key.len());
            } else if let Some(length) = issued_key(rest) {
                mark(position, length);
            }
        }
        let mut position = 0;
        for run in self.bytes.split(|byte| !is_base64(*byte)) {
            let end = position + run.len();
            let is_last = end == self.bytes.len();
            if run.len() >= MIN_BASE64 && encodes_key(run, key, is_last) {
                let rest = &self.bytes[end..];
                let padding = rest.iter().take_while(|byte| **byte == b'=').count();
                mark(position, run.len() + padding);
            }
            position = end + 1;
        }
        if let Some(length) = truncated_key(&self.bytes, key) {
            // A part of an encoded character may follow, so mark everything up to the end.
            secret[self.origins[self.bytes.len() - length].start..].fill(true);
        }
    }
}

/// Returns the length of a truncated key at the end.
fn truncated_key(bytes: &[u8], key: &[u8]) -> Option<usize> {
    let prefix = if key.starts_with(KEY_PREFIX) {
        KEY_PREFIX.len()
    } else {
        0
    };
    (prefix + MIN_TRUNCATED_KEY..key.len())
        .rev()
        .find(|length| bytes.ends_with(&key[..*length]))
}

/// Returns the length of a key at the beginning that KiwiVM may have issued.
fn issued_key(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.strip_prefix(KEY_PREFIX)?;
    let digits = rest
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    (digits >= MIN_KEY_DIGITS).then_some(KEY_PREFIX.len() + digits)
}

/// Returns true if the text contains a key that KiwiVM may have issued.
pub(crate) fn contains_issued_key(text: &str) -> bool {
    (0..text.len()).any(|start| issued_key(&text.as_bytes()[start..]).is_some())
}

/// Decodes `%2F`.
fn percent(bytes: &[u8]) -> Option<DecodedBytes> {
    let digits = bytes.strip_prefix(b"%")?;
    number(digits, 2, 16).map(|byte| match byte {
        Some(byte) => (vec![u8::try_from(byte).unwrap_or_default()], 3),
        None => (Vec::new(), bytes.len()),
    })
}

/// Decodes `&amp;`, `&#38;` and `&#x26;`, also with leading zeros and without the semicolon.
fn entity(bytes: &[u8]) -> Option<DecodedBytes> {
    /// Maximum length of an entity that is cut off at the end: the digits of any character and some zeros.
    const MAX_CUT_OFF: usize = 12;
    let name = bytes.strip_prefix(b"&")?;
    let end = name
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'#');
    let Some(end) = end else {
        return (name.len() <= MAX_CUT_OFF).then_some((Vec::new(), bytes.len()));
    };
    let semicolon = usize::from(name[end] == b';');
    let name = &name[..end];
    let Some(number) = name.strip_prefix(b"#") else {
        let (_, character) = ENTITIES
            .iter()
            .find(|(entity, _)| entity.as_bytes() == name)?;
        return Some((vec![*character], 1 + end + semicolon));
    };
    let hex = number.strip_prefix(b"x").or(number.strip_prefix(b"X"));
    let (number, radix) = hex.map_or((number, 10), |hex| (hex, 16));
    let is_digit = |byte: &&u8| char::from(**byte).is_digit(radix);
    let digits = number.iter().take_while(is_digit).count();
    let code = std::str::from_utf8(&number[..digits]).ok()?;
    let character = char::from_u32(u32::from_str_radix(code, radix).ok()?)?;
    let semicolon = if digits == number.len() { semicolon } else { 0 };
    let length = 1 + end - (number.len() - digits) + semicolon;
    Some((utf8(character), length))
}

/// The entities of all ASCII punctuation that has one.
const ENTITIES: [(&str, u8); 37] = [
    ("amp", b'&'),
    ("lt", b'<'),
    ("gt", b'>'),
    ("quot", b'"'),
    ("apos", b'\''),
    ("excl", b'!'),
    ("num", b'#'),
    ("dollar", b'$'),
    ("percnt", b'%'),
    ("lpar", b'('),
    ("rpar", b')'),
    ("ast", b'*'),
    ("midast", b'*'),
    ("plus", b'+'),
    ("comma", b','),
    ("period", b'.'),
    ("sol", b'/'),
    ("colon", b':'),
    ("semi", b';'),
    ("equals", b'='),
    ("quest", b'?'),
    ("commat", b'@'),
    ("lsqb", b'['),
    ("lbrack", b'['),
    ("bsol", b'\\'),
    ("rsqb", b']'),
    ("rbrack", b']'),
    ("Hat", b'^'),
    ("lowbar", b'_'),
    ("UnderBar", b'_'),
    ("grave", b'`'),
    ("lcub", b'{'),
    ("lbrace", b'{'),
    ("verbar", b'|'),
    ("vert", b'|'),
    ("rcub", b'}'),
    ("rbrace", b'}'),
];

/// Decodes `\u002f`, `\x2f` and `\/`.
fn escape(bytes: &[u8]) -> Option<DecodedBytes> {
    let rest = bytes.strip_prefix(b"\\")?;
    let cut_off = (Vec::new(), bytes.len());
    let Some(kind) = rest.first() else {
        return Some(cut_off);
    };
    let character = match kind {
        b'u' => match number(&rest[1..], 4, 16)? {
            None => return Some(cut_off),
            Some(high @ 0xD800..0xDC00) => {
                let low = rest.get(5..).and_then(|rest| rest.strip_prefix(b"\\u"))?;
                let low = number(low, 4, 16)??;
                let code = 0x1_0000 + ((high - 0xD800) << 10) + low.checked_sub(0xDC00)?;
                return Some((utf8(char::from_u32(code)?), 12));
            }
            Some(code) => return Some((utf8(char::from_u32(code)?), 6)),
        },
        b'x' => match number(&rest[1..], 2, 16)? {
            None => return Some(cut_off),
            Some(code) => return Some((utf8(char::from_u32(code)?), 4)),
        },
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'f' => 0x0C,
        punctuation if punctuation.is_ascii_punctuation() => *punctuation,
        _ => return None,
    };
    Some((vec![character], 2))
}

fn utf8(character: char) -> Vec<u8> {
    character.to_string().into_bytes()
}

/// Parses a number with a fixed number of digits. Returns `Some(None)` if it is cut off at the end, and `None` for
/// anything else.
#[expect(clippy::option_option, reason = "there are three cases")]
fn number(bytes: &[u8], digits: usize, radix: u32) -> Option<Option<u32>> {
    let digits_found = &bytes[..digits.min(bytes.len())];
    let is_digit = |byte: &u8| char::from(*byte).is_digit(radix);
    if !digits_found.iter().all(is_digit) {
        return None;
    }
    if digits_found.len() < digits {
        return Some(None);
    }
    let text = std::str::from_utf8(digits_found).ok()?;
    Some(u32::from_str_radix(text, radix).ok())
}

fn is_base64(byte: u8) -> bool {
    sextet(byte).is_some() || matches!(byte, b'\r' | b'\n')
}

/// Decodes a base64 character of the standard or the URL-safe alphabet to six bits.
fn sextet(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

/// Returns true if a run of base64 or hexadecimal characters encodes a key, wherever its groups begin. The run may
/// contain line breaks. `is_last` is true for a run at the end of the text, which may be cut off.
fn encodes_key(run: &[u8], key: &[u8], is_last: bool) -> bool {
    let sextets: Vec<u32> = run.iter().filter_map(|byte| sextet(*byte)).collect();
    (0..4.min(sextets.len())).any(|start| {
        let groups = sextets[start..].chunks(4);
        let bytes: Vec<u8> = groups.flat_map(bytes_of).collect();
        bytes.windows(key.len()).any(|window| window == key)
            || (0..bytes.len()).any(|index| issued_key(&bytes[index..]).is_some())
            || (is_last && truncated_key(&bytes, key).is_some())
    }) || (0..2).any(|start| {
        // Hexadecimal digits are base64 characters too.
        let digits = run.get(start..).unwrap_or_default();
        let bytes: Vec<u8> = digits.chunks_exact(2).map(hexadecimal).collect();
        bytes.windows(key.len()).any(|window| window == key)
    })
}

/// Decodes two hexadecimal digits. Returns 0, which no key contains, for other characters.
fn hexadecimal(digits: &[u8]) -> u8 {
    let byte = number(digits, 2, 16).flatten();
    byte.and_then(|byte| u8::try_from(byte).ok()).unwrap_or(0)
}

/// Returns the complete bytes in a group of up to four sextets.
fn bytes_of(group: &[u32]) -> impl Iterator<Item = u8> + use<> {
    let shift = |bits: u32, sextet: &u32| bits << 6 | sextet;
    let bits = group.iter().fold(0, shift) << (6 * (4 - group.len()));
    let [_, bytes @ ..] = bits.to_be_bytes();
    bytes.into_iter().take(group.len() * 6 / 8)
}

#[cfg(test)]
mod tests;
