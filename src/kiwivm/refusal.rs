//! Detects rate limiting from the text of a response. The vendor does not document such a response, so the phrases come
//! from other APIs and from the vendor's description of its points.

/// Bytes searched for phrases. The page of a proxy may be long, but states its subject at the beginning.
const INSPECTED_BYTES: usize = 16 << 10;
/// Size limit of an error message. In a longer text, two words may be unrelated.
const MAX_MESSAGE_SIZE: usize = 1 << 10;

/// Returns true if the body of a failed call mentions too many calls.
pub(super) fn mentions_rate_limit(body: &[u8]) -> bool {
    let text = normalized(&body[..body.len().min(INSPECTED_BYTES)]);
    let contains_any = |any: &[&str]| any.iter().any(|words| text.contains(words));
    contains_any(RATE_LIMIT_PHRASES)
        || (body.len() <= MAX_MESSAGE_SIZE
            && contains_any(COUNTED_RESOURCES)
            && contains_any(USED_UP)
            && !contains_any(OTHER_LIMITS))
}

const RATE_LIMIT_PHRASES: &[&str] = &[
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
/// Names of counted resources. A message must also contain one of [`USED_UP`].
const COUNTED_RESOURCES: &[&str] = &[
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
/// Limits of the VPS, which are unrelated to the number of calls.
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

/// Converts text to lower case with one space around each word, so that `RATE_LIMIT` and `rate-limited` match.
fn normalized(text: &[u8]) -> String {
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
    fn recognises_rate_limit_messages() {
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
            assert!(mentions_rate_limit(text.as_bytes()), "{text}");
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
            assert!(!mentions_rate_limit(text.as_bytes()), "{text}");
        }
        let page = format!("<p>requests {} exceeded</p>", "x ".repeat(MAX_MESSAGE_SIZE));
        assert!(
            !mentions_rate_limit(page.as_bytes()),
            "the text is too long for a message"
        );
    }
}
