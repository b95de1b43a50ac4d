//! Takes a key out of text that came from outside, in every encoding that such text may use: percent and form encoding,
//! entities of HTML, escapes of JSON, any of them within another, base64 and hexadecimal.

use std::ops::Range;

const REDACTED: &str = "[redacted]";
/// Text may end as a key begins; fewer letters than these tell nothing of a key. With `private_` all of them begin, and
/// names may end so.
const LEAST_BEGUN: usize = 4;
/// No more text than this is looked at, in bytes. Labels and messages are cut far before.
const LONGEST: usize = 4096;
/// A key that begins later may be cut by that limit, so nothing later is kept.
const LONGEST_KEPT: usize = 3072;
/// An error in JSON, quoted in a page of HTML, in a parameter of a URL.
const MOST_ENCODINGS: usize = 3;
/// A shorter run of letters is no base64 of anything that matters.
const LEAST_BASE64: usize = 8;
/// The keys that KiwiVM hands out, by their beginning and their number of letters and digits. That of another VPS is as
/// secret as that of the call.
const KEY_FORM: (&[u8], usize) = (b"private_", 24);

/// The text without the key, without what may be its beginning at the end, and without what has the form of a key.
pub(super) fn redact(text: &str, key: &str) -> String {
    let whole = text.len() <= LONGEST;
    let looked_at = beginning(text, LONGEST);
    let mut secret = vec![false; looked_at.len()];
    for view in views(looked_at) {
        view.mark(key.as_bytes(), &mut secret);
    }
    let kept = if whole {
        text
    } else {
        beginning(text, LONGEST_KEPT)
    };
    let mut redacted = String::with_capacity(kept.len());
    let mut within = false;
    for (at, letter) in kept.char_indices() {
        if secret[at] && !within {
            redacted.push_str(REDACTED);
        } else if !secret[at] {
            redacted.push(letter);
        }
        within = secret[at];
    }
    redacted
}

/// So many bytes of a text, or a few less where a letter would be cut.
fn beginning(text: &str, length: usize) -> &str {
    let mut end = length.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The text as it is, and with encodings undone in every order.
fn views(text: &str) -> Vec<DecodedText> {
    let mut views = vec![DecodedText::of(text)];
    let mut from = 0;
    for _ in 0..MOST_ENCODINGS {
        let until = views.len();
        for at in from..until {
            for decode in [percent, entity, escape] {
                if let Some(decoded) = views[at].decoded(decode)
                    && views.iter().all(|view| view.bytes != decoded.bytes)
                {
                    views.push(decoded);
                }
            }
        }
        from = until;
    }
    views
}

/// Bytes, and where in the text each of them comes from.
struct DecodedText {
    bytes: Vec<u8>,
    from: Vec<Range<usize>>,
}

/// The bytes that an encoded letter stands for, and the number of those it takes. One that the end cuts off stands for
/// nothing.
type Letter = (Vec<u8>, usize);

impl DecodedText {
    fn of(text: &str) -> Self {
        Self {
            bytes: text.bytes().collect(),
            from: (0..text.len()).map(|at| at..at + 1).collect(),
        }
    }

    /// The same with one encoding undone; `None` if it does not occur.
    fn decoded(&self, decode: fn(&[u8]) -> Option<Letter>) -> Option<Self> {
        let mut decoded = Self {
            bytes: Vec::new(),
            from: Vec::new(),
        };
        let mut at = 0;
        let mut changed = false;
        while at < self.bytes.len() {
            let letter = decode(&self.bytes[at..]);
            changed |= letter.is_some();
            let (bytes, length) = letter.unwrap_or_else(|| (vec![self.bytes[at]], 1));
            let from = self.from[at].start..self.from[at + length - 1].end;
            decoded.from.extend(bytes.iter().map(|_| from.clone()));
            decoded.bytes.extend(bytes);
            at += length;
        }
        changed.then_some(decoded)
    }

    /// Marks the bytes of the text that are secret.
    fn mark(&self, key: &[u8], secret: &mut [bool]) {
        let mut mark = |at: usize, length: usize| {
            secret[self.from[at].start..self.from[at + length - 1].end].fill(true);
        };
        for at in 0..self.bytes.len() {
            let rest = &self.bytes[at..];
            // In upper or lower case a key is easily guessed.
            let is_key = |part: &[u8]| part.eq_ignore_ascii_case(key);
            if rest.get(..key.len()).is_some_and(is_key) {
                mark(at, key.len());
            } else if let Some(length) = form_of_a_key(rest) {
                mark(at, length);
            }
        }
        let mut at = 0;
        for run in self.bytes.split(|byte| !is_base64(*byte)) {
            let at_the_end = at + run.len() == self.bytes.len();
            if run.len() >= LEAST_BASE64 && encodes(run, key, at_the_end) {
                let behind = &self.bytes[at + run.len()..];
                let padding = behind.iter().take_while(|byte| **byte == b'=').count();
                mark(at, run.len() + padding);
            }
            at += run.len() + 1;
        }
        if let Some(length) = begun(&self.bytes, key) {
            // Behind it may be a part of an encoded letter.
            secret[self.from[self.bytes.len() - length].start..].fill(true);
        }
    }
}

/// Number of bytes at the end that are the beginning of a key.
fn begun(bytes: &[u8], key: &[u8]) -> Option<usize> {
    let common = if key.starts_with(KEY_FORM.0) {
        KEY_FORM.0.len()
    } else {
        0
    };
    (common + LEAST_BEGUN..key.len())
        .rev()
        .find(|length| bytes.ends_with(&key[..*length]))
}

fn form_of_a_key(bytes: &[u8]) -> Option<usize> {
    let (prefix, least) = KEY_FORM;
    let rest = bytes.strip_prefix(prefix)?;
    let length = rest
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    (length >= least).then_some(prefix.len() + length)
}

/// `%2F`
fn percent(bytes: &[u8]) -> Option<Letter> {
    let digits = bytes.strip_prefix(b"%")?;
    number(digits, 2, 16).map(|byte| match byte {
        Some(byte) => (vec![u8::try_from(byte).unwrap_or_default()], 3),
        None => (Vec::new(), bytes.len()),
    })
}

/// `&amp;`, `&#38;`, `&#x26;`, also with zeros before the number and without a semicolon behind it.
fn entity(bytes: &[u8]) -> Option<Letter> {
    /// More digits than any letter has, with some zeros.
    const LONGEST_NUMBER: usize = 12;
    let name = bytes.strip_prefix(b"&")?;
    let ends = name
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'#');
    let Some(ends) = ends else {
        let cut_off = name.len() <= LONGEST_NUMBER && !name.contains(&b' ');
        return cut_off.then_some((Vec::new(), bytes.len()));
    };
    let semicolon = usize::from(name[ends] == b';');
    let name = &name[..ends];
    let Some(number) = name.strip_prefix(b"#") else {
        let (_, letter) = ENTITIES
            .iter()
            .find(|(entity, _)| entity.as_bytes() == name)?;
        return Some((vec![*letter], 1 + ends + semicolon));
    };
    let hex = number.strip_prefix(b"x").or(number.strip_prefix(b"X"));
    let (number, radix) = hex.map_or((number, 10), |hex| (hex, 16));
    let is_digit = |byte: &&u8| char::from(**byte).is_digit(radix);
    let digits = number.iter().take_while(is_digit).count();
    let code = std::str::from_utf8(&number[..digits]).ok()?;
    let letter = char::from_u32(u32::from_str_radix(code, radix).ok()?)?;
    let semicolon = if digits == number.len() { semicolon } else { 0 };
    let length = 1 + ends - (number.len() - digits) + semicolon;
    Some((letter.to_string().into_bytes(), length))
}

/// The entities of what stands on a keyboard and is no letter or digit.
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

/// `\u002f`, `\x2f`, `\/`
fn escape(bytes: &[u8]) -> Option<Letter> {
    let rest = bytes.strip_prefix(b"\\")?;
    let cut_off = (Vec::new(), bytes.len());
    let Some(kind) = rest.first() else {
        return Some(cut_off);
    };
    let letter = match kind {
        b'u' => match number(&rest[1..], 4, 16)? {
            None => return Some(cut_off),
            Some(high @ 0xD800..0xDC00) => {
                let low = rest.get(5..).and_then(|rest| rest.strip_prefix(b"\\u"))?;
                let low = number(low, 4, 16)??;
                let code = 0x1_0000 + ((high - 0xD800) << 10) + low.checked_sub(0xDC00)?;
                return Some((char::from_u32(code)?.to_string().into_bytes(), 12));
            }
            Some(code) => return Some((char::from_u32(code)?.to_string().into_bytes(), 6)),
        },
        b'x' => match number(&rest[1..], 2, 16)? {
            None => return Some(cut_off),
            Some(code) => return Some((char::from_u32(code)?.to_string().into_bytes(), 4)),
        },
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        mark if mark.is_ascii_punctuation() => *mark,
        _ => return None,
    };
    Some((vec![letter], 2))
}

/// A number of so many digits. `Some(None)` if the end cuts it off; `None` for what is none.
#[expect(clippy::option_option, reason = "there are three cases")]
fn number(bytes: &[u8], digits: usize, radix: u32) -> Option<Option<u32>> {
    let found = bytes.iter().take(digits);
    if !found.clone().all(|byte| char::from(*byte).is_digit(radix)) {
        return None;
    }
    if found.len() < digits {
        return Some(None);
    }
    let text = std::str::from_utf8(&bytes[..digits]).ok()?;
    Some(u32::from_str_radix(text, radix).ok())
}

fn is_base64(byte: u8) -> bool {
    sextet(byte).is_some() || matches!(byte, b'\r' | b'\n')
}

/// Six bits, by either alphabet.
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

/// True if a run of base64 or hexadecimal digits has a key in it, wherever its groups begin. Long runs of base64 are
/// broken into lines.
fn encodes(run: &[u8], key: &[u8], at_the_end: bool) -> bool {
    let sextets: Vec<u32> = run.iter().filter_map(|byte| sextet(*byte)).collect();
    (0..4.min(sextets.len())).any(|begin| {
        let groups = sextets[begin..].chunks(4);
        let bytes: Vec<u8> = groups.flat_map(bytes_of).collect();
        bytes.windows(key.len()).any(|window| window == key)
            || (0..bytes.len()).any(|at| form_of_a_key(&bytes[at..]).is_some())
            || (at_the_end && begun(&bytes, key).is_some())
    }) || (0..2).any(|begin| {
        // Digits are base64 letters too.
        let digits = run.get(begin..).unwrap_or_default();
        let bytes: Vec<u8> = digits.chunks_exact(2).map(hexadecimal).collect();
        bytes.windows(key.len()).any(|window| window == key)
    })
}

/// The byte of two hexadecimal digits; 0, which is in no key, for other letters.
fn hexadecimal(digits: &[u8]) -> u8 {
    let byte = number(digits, 2, 16).flatten();
    byte.and_then(|byte| u8::try_from(byte).ok()).unwrap_or(0)
}

/// The whole bytes in a group of up to four sextets.
fn bytes_of(group: &[u32]) -> impl Iterator<Item = u8> + use<> {
    let shift = |bits: u32, sextet: &u32| bits << 6 | sextet;
    let bits = group.iter().fold(0, shift) << (6 * (4 - group.len()));
    let [_, bytes @ ..] = bits.to_be_bytes();
    bytes.into_iter().take(group.len() * 6 / 8)
}

#[cfg(test)]
mod tests;
