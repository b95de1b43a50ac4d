//! Which format and encoding a client asks for.

/// The formats served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text004,
    /// OpenMetrics 1.0.0.
    OpenMetrics1,
}

impl Format {
    /// The exact value of `Content-Type`, which Prometheus 3 insists on.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text004 => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics1 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// One entry of a header with weights.
struct Entry<'a> {
    value: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    weight: f32,
}

/// The entries of an `Accept` or `Accept-Encoding` header. An entry with a weight that is none is left out.
fn entries(header: &str) -> impl Iterator<Item = Entry<'_>> {
    header.split(',').filter_map(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let value = parts.next()?;
        let mut weight = 1.0;
        let mut parameters = Vec::new();
        for (name, parameter) in parts.filter_map(|part| part.split_once('=')) {
            let (name, parameter) = (name.trim(), parameter.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("q") {
                weight = parameter.parse().ok().filter(|q| (0.0..=1.0).contains(q))?;
            } else {
                parameters.push((name, parameter));
            }
        }
        Some(Entry {
            value,
            parameters,
            weight,
        })
    })
}

/// The format for an `Accept` header. OpenMetrics only for those who name it and prefer it; whoever asks for nothing
/// that is served gets text, as every exporter does.
#[must_use]
pub fn negotiate(accept: Option<&str>) -> Format {
    let mut openmetrics: f32 = 0.0;
    // How precisely text is asked for, and with which weight: what is named counts more than a wildcard.
    let mut text = (0, 0.0_f32);
    for entry in entries(accept.unwrap_or_default()) {
        let version = entry
            .parameters
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("version"))
            .map(|(_, version)| *version);
        match entry.value.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" if matches!(version, None | Some("1.0.0")) => {
                openmetrics = openmetrics.max(entry.weight);
            }
            "text/plain" if matches!(version, None | Some("0.0.4")) => {
                text = text.max_by_rank(3, entry.weight);
            }
            "text/*" => text = text.max_by_rank(2, entry.weight),
            "*/*" => text = text.max_by_rank(1, entry.weight),
            _ => {}
        }
    }
    if openmetrics > 0.0 && openmetrics >= text.1 {
        Format::OpenMetrics1
    } else {
        Format::Text004
    }
}

/// Whether an `Accept` header prefers JSON to HTML. Where both are as welcome, the one that is named more precisely.
#[must_use]
pub fn prefers_json(accept: Option<&str>) -> bool {
    let (mut html, mut json) = ((0, 0.0_f32), (0, 0.0_f32));
    for entry in entries(accept.unwrap_or_default()) {
        match entry.value.to_ascii_lowercase().as_str() {
            "text/html" | "application/xhtml+xml" => html = html.max_by_rank(3, entry.weight),
            "text/*" => html = html.max_by_rank(2, entry.weight),
            "application/json" => json = json.max_by_rank(3, entry.weight),
            "application/*" => json = json.max_by_rank(2, entry.weight),
            "*/*" => {
                html = html.max_by_rank(1, entry.weight);
                json = json.max_by_rank(1, entry.weight);
            }
            _ => {}
        }
    }
    json.1 > html.1 || (json.1 > 0.0 && json.1 >= html.1 && json.0 > html.0)
}

trait Ranked {
    fn max_by_rank(self, rank: u8, weight: f32) -> Self;
}

impl Ranked for (u8, f32) {
    fn max_by_rank(self, rank: u8, weight: f32) -> Self {
        match rank.cmp(&self.0) {
            std::cmp::Ordering::Greater => (rank, weight),
            std::cmp::Ordering::Equal => (rank, self.1.max(weight)),
            std::cmp::Ordering::Less => self,
        }
    }
}

/// Whether an `Accept-Encoding` header allows gzip.
#[must_use]
pub fn accepts_gzip(accept_encoding: Option<&str>) -> bool {
    let mut any = None;
    for entry in entries(accept_encoding.unwrap_or_default()) {
        match entry.value.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => return entry.weight > 0.0,
            "*" => any = Some(entry.weight > 0.0),
            _ => {}
        }
    }
    any.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_gets_what_it_can_read() {
        for (client, accept, format) in [
            (
                "Prometheus 2.42",
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics1,
            ),
            (
                "Prometheus 3",
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                Format::OpenMetrics1,
            ),
            (
                "Prometheus 3 with protobuf",
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Format::OpenMetrics1,
            ),
            (
                "vmagent",
                "text/plain;version=0.0.4;q=1,*/*;q=0.1",
                Format::Text004,
            ),
            ("curl", "*/*", Format::Text004),
            (
                "a browser",
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
                Format::Text004,
            ),
            (
                "text preferred",
                "application/openmetrics-text;q=0.4,text/plain;q=0.9",
                Format::Text004,
            ),
            (
                "a wildcard that is less precise",
                "*/*;q=1,text/plain;q=0.1,application/openmetrics-text;q=0.5",
                Format::OpenMetrics1,
            ),
            (
                "refused",
                "application/openmetrics-text;q=0",
                Format::Text004,
            ),
            (
                "only an old version",
                "application/openmetrics-text;version=0.0.1",
                Format::Text004,
            ),
            (
                "upper case and quotes",
                "Application/OpenMetrics-Text; Version=\"1.0.0\"; Q=1",
                Format::OpenMetrics1,
            ),
            ("nonsense", ";;;,q=,text/plain;q=x,,", Format::Text004),
            ("another type", "application/json", Format::Text004),
        ] {
            assert_eq!(negotiate(Some(accept)), format, "{client}");
        }
        assert_eq!(negotiate(None), Format::Text004);
    }

    #[test]
    fn json_for_those_who_prefer_it() {
        for (client, accept, json) in [
            ("curl", "*/*", false),
            (
                "a browser",
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                false,
            ),
            ("a script", "application/json", true),
            ("a library", "application/json, text/plain, */*", true),
            (
                "jQuery",
                "application/json, text/javascript, */*; q=0.01",
                true,
            ),
            ("both", "text/html, application/json", false),
            ("HTML preferred", "application/json;q=0.8, text/html", false),
            ("JSON preferred", "application/json, text/html;q=0.9", true),
            ("anything but HTML", "text/html;q=0, */*;q=0.1", true),
            ("refused", "application/json;q=0, */*", false),
            ("any application", "application/*", true),
            ("nothing that there is", "image/png", false),
            ("nonsense", ";;,application/json;q=x,,", false),
        ] {
            assert_eq!(prefers_json(Some(accept)), json, "{client}");
        }
        assert!(!prefers_json(None));
    }

    #[test]
    fn gzip_by_its_weight() {
        for (header, expected) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("*", true),
            ("*;q=0", false),
            ("identity", false),
            ("", false),
        ] {
            assert_eq!(accepts_gzip(Some(header)), expected, "{header}");
        }
        assert!(!accepts_gzip(None));
    }
}
