//! Parameters of a call, in all encodings that clients use.

use std::collections::HashMap;

/// Decodes URL-encoded parameters.
pub fn pairs(text: &[u8]) -> HashMap<String, String> {
    let query = format!("http://form/?{}", String::from_utf8_lossy(text));
    reqwest::Url::parse(&query)
        .map(|url| url.query_pairs().into_owned().collect())
        .unwrap_or_default()
}

/// Decodes the parameters in a body of this content type.
pub fn body(content_type: &str, body: &[u8]) -> HashMap<String, String> {
    if content_type.starts_with("multipart/form-data") {
        multipart(content_type, body)
    } else {
        pairs(body)
    }
}

/// Decodes a multipart form, as sent by curl's `-F`.
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
    fn a_multipart_value_may_contain_dashes_and_lines() {
        let text = "--X-1\r\nContent-Disposition: form-data; name=\"veid\"\r\n\r\n7\r\n--X-1\r\nContent-Disposition: form-data; name=\"script\"\r\n\r\nls --all\r\n\r\nexit\r\n--X-1--\r\n";
        let fields = body("multipart/form-data; boundary=X-1", text.as_bytes());
        assert_eq!(fields["veid"], "7");
        assert_eq!(fields["script"], "ls --all\r\n\r\nexit");
        assert_eq!(fields.len(), 2);
    }

    #[test]
    fn decodes_a_url_encoded_form() {
        let fields = body("", b"command=echo+a%26b&x=");
        assert_eq!((&*fields["command"], &*fields["x"]), ("echo a&b", ""));
    }
}
