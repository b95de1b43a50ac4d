//! Tells from its words that a response is a refusal because of too many calls. Nobody has published one: these are the
//! words of other APIs, and those that the vendor uses for its points.

/// A page of something between here and the API may be long; what it is about stands at its beginning.
const LOOKED_AT: usize = 16 << 10;
/// Beyond this a text is no message, and words that stand in it may have nothing to do with each other.
const LONGEST_MESSAGE: usize = 1 << 10;

/// True if a body that is no success speaks of too many calls.
pub(super) fn speaks_of_it(body: &[u8]) -> bool {
    let text = words(&body[..body.len().min(LOOKED_AT)]);
    let says = |any: &[&str]| any.iter().any(|words| text.contains(words));
    says(UNMISTAKABLE)
        || (body.len() <= LONGEST_MESSAGE && says(COUNTED) && says(USED_UP) && !says(OTHER_LIMITS))
}

const UNMISTAKABLE: &[&str] = &[
    " rate limit",
    " ratelimit",
    " too many requests ",
    " too many calls ",
    " too many api ",
    " requests too fast ",
    " request was throttled ",
    " requests are throttled ",
    " slow down ",
];
/// Things that are counted, and the words for their end.
const COUNTED: &[&str] = &[
    " quota ",
    " quotas ",
    " points ",
    " requests ",
    " request limit ",
    " calls ",
    " call limit ",
    " api limit ",
    " usage limit ",
    " limit exceeded ",
    " limit reached ",
];
const USED_UP: &[&str] = &[
    " exceed",
    " exhaust",
    " deplet",
    " used up ",
    " reached ",
    " ran out ",
    " run out ",
    " out of ",
    " insufficient ",
    " not enough ",
    " no more ",
    " no points ",
    " too many ",
    " too much ",
];
/// Limits of the VPS, which have nothing to do with calls.
const OTHER_LIMITS: &[&str] = &[
    " abuse ",
    " bandwidth ",
    " transfer ",
    " traffic ",
    " disk ",
    " memory ",
    " cpu ",
    " inode",
    " snapshot",
    " backup",
];

/// Lower case, with one space around each word, whatever stood between them: `RATE_LIMIT`, `rate-limited`.
fn words(text: &[u8]) -> String {
    let mut words = String::from(" ");
    for byte in text {
        if byte.is_ascii_alphanumeric() {
            words.push(char::from(byte.to_ascii_lowercase()));
        } else if !words.ends_with(' ') {
            words.push(' ');
        }
    }
    words + " "
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_from_other_words() {
        for text in [
            "Too many requests, rate limit exceeded",
            "RATE_LIMIT_EXCEEDED",
            "You are being rate-limited",
            "ratelimited",
            "API points exhausted",
            "Quota exceeded",
            "quota_exceeded",
            "You have exceeded your request limit",
            "Not enough points left",
            "You ran out of API points",
            "Too many API calls",
            "{\"error\":1,\"message\":\"API points exhausted\"}",
            "<html><title>429 Too Many Requests</title></html>",
            "Please slow down.",
            "Request was throttled. Expected available in 30 seconds.",
            "limit reached",
        ] {
            assert!(speaks_of_it(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "Authentication failure",
            "VPS is not running",
            "VE is currently locked, try again in a few minutes",
            "Bandwidth quota exceeded",
            "Monthly transfer limit exceeded",
            "Abuse points limit reached",
            "Disk quota exceeded",
            "Too many snapshots: limit reached",
            "503 Service Temporarily Unavailable",
            "{\"remaining_points_15min\":1,\"remaining_points_24h\":2}",
        ] {
            assert!(!speaks_of_it(text.as_bytes()), "{text}");
        }
        let page = format!("<p>requests {} exceeded</p>", "x ".repeat(LONGEST_MESSAGE));
        assert!(!speaks_of_it(page.as_bytes()), "the words are far apart");
    }
}
