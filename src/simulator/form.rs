//! The parameters of a call, in every form that clients send them.

use std::collections::HashMap;

/// Parameters in the form of a query.
pub fn pairs(text: &[u8]) -> HashMap<String, String> {
    let query = format!("http://form/?{}", String::from_utf8_lossy(text));
    reqwest::Url::parse(&query)
        .map(|url| url.query_pairs().into_owned().collect())
        .unwrap_or_default()
}

/// The parameters of a body of this content type.
pub fn body(content_type: &str, body: &[u8]) -> HashMap<String, String> {
    if content_type.starts_with("multipart/form-data") {
        multipart(content_type, body)
    } else {
        pairs(body)
    }
}

/// Parameters as curl's `-F` sends them.
fn multipart(content_type: &str, body: &[u8]) -> HashMap<String, String> {
    let Some((_, boundary)) = content_type.split_once("boundary=") else {
        return HashMap::new();
    };
    let boundary = boundary.split(';').next().unwrap_or_default();
    let delimiter = format!("\r\n--{}", boundary.trim_matches('"'));
    // The first delimiter has no line before it.
    let body = format!("\r\n{}", String::from_utf8_lossy(body));
    let field = |part: &str| {
        let (head, value) = part.split_once("\r\n\r\n")?;
        let name = head.split("name=\"").nth(1)?.split('"').next()?;
        Some((name.to_owned(), value.to_owned()))
    };
    body.split(delimiter.as_str()).filter_map(field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_have_dashes_and_lines() {
        let text = "--X-1\r\nContent-Disposition: form-data; name=\"veid\"\r\n\r\n7\r\n--X-1\r\nContent-Disposition: form-data; name=\"script\"\r\n\r\nls --all\r\n\r\nexit\r\n--X-1--\r\n";
        let fields = body("multipart/form-data; boundary=X-1", text.as_bytes());
        assert_eq!(fields["veid"], "7");
        assert_eq!(fields["script"], "ls --all\r\n\r\nexit");
        assert_eq!(fields.len(), 2);
    }

    #[test]
    fn a_form_is_decoded() {
        let fields = body("", b"command=echo+a%26b&x=");
        assert_eq!((&*fields["command"], &*fields["x"]), ("echo a&b", ""));
    }
}
