//! Content negotiation: the format and encoding that a client accepts.

/// The formats served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text004,
    /// OpenMetrics 1.0.0.
    OpenMetrics1,
}

impl Format {
    /// Returns the value of `Content-Type`, which Prometheus 3 matches exactly.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text004 => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics1 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// One entry of a header with weights.
struct WeightedEntry<'a> {
    value: &'a str,
    version: Option<&'a str>,
    weight: f32,
}

/// Parses an `Accept` or `Accept-Encoding` header. Entries with an invalid weight are skipped.
fn entries(header: &str) -> impl Iterator<Item = WeightedEntry<'_>> {
    header.split(',').filter_map(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let mut entry = WeightedEntry {
            value: parts.next()?,
            version: None,
            weight: 1.0,
        };
        for (name, parameter) in parts.filter_map(|part| part.split_once('=')) {
            let (name, parameter) = (name.trim(), parameter.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("q") {
                let weight = parameter.parse().ok();
                entry.weight = weight.filter(|weight| (0.0..=1.0).contains(weight))?;
            } else if name.eq_ignore_ascii_case("version") {
                entry.version = Some(parameter);
            }
        }
        Some(entry)
    })
}

/// Negotiates the format from the values of `Accept`. Several headers form one list. Only clients that name OpenMetrics
/// and prefer it get it. Clients that accept nothing that is served get text, as from every exporter.
#[must_use]
pub fn negotiate<'a>(accept: impl Iterator<Item = &'a str>) -> Format {
    let mut openmetrics: f32 = 0.0;
    // Specificity and weight of the best match for text. A named type outranks a wildcard.
    let mut text = (0, 0.0_f32);
    for WeightedEntry {
        value,
        version,
        weight,
    } in accept.flat_map(entries)
    {
        let is = |name: &str| value.eq_ignore_ascii_case(name);
        if is("application/openmetrics-text") && matches!(version, None | Some("1.0.0")) {
            openmetrics = openmetrics.max(weight);
        } else if is("text/plain") && matches!(version, None | Some("0.0.4")) {
            text = text.max_by_rank(3, weight);
        } else if is("text/*") {
            text = text.max_by_rank(2, weight);
        } else if is("*/*") {
            text = text.max_by_rank(1, weight);
        }
    }
    if openmetrics > 0.0 && openmetrics >= text.1 {
        Format::OpenMetrics1
    } else {
        Format::Text004
    }
}

/// Returns true if the values of `Accept` prefer JSON to HTML. If the weights are equal, the more specific entry wins.
#[must_use]
pub fn prefers_json<'a>(accept: impl Iterator<Item = &'a str>) -> bool {
    let (mut html, mut json) = ((0, 0.0_f32), (0, 0.0_f32));
    for entry in accept.flat_map(entries) {
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

/// Returns true if the values of `Accept-Encoding` allow gzip.
#[must_use]
pub fn accepts_gzip<'a>(accept_encoding: impl Iterator<Item = &'a str>) -> bool {
    let mut any = None;
    for WeightedEntry { value, weight, .. } in accept_encoding.flat_map(entries) {
        if value.eq_ignore_ascii_case("gzip") || value.eq_ignore_ascii_case("x-gzip") {
            return weight > 0.0;
        }
        if value == "*" {
            any = Some(weight > 0.0);
        }
    }
    any.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negotiates_the_preferred_format() {
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
                "a less specific wildcard",
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
            assert_eq!(negotiate([accept].into_iter()), format, "{client}");
        }
        assert_eq!(negotiate(std::iter::empty()), Format::Text004);
        let two = ["text/plain;q=0.5", "application/openmetrics-text"];
        assert_eq!(negotiate(two.into_iter()), Format::OpenMetrics1);
    }

    #[test]
    fn serves_json_only_to_clients_that_prefer_it() {
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
            ("unsupported type", "image/png", false),
            ("nonsense", ";;,application/json;q=x,,", false),
        ] {
            assert_eq!(prefers_json([accept].into_iter()), json, "{client}");
        }
        assert!(!prefers_json(std::iter::empty()));
    }

    #[test]
    fn accepts_gzip_by_its_weight() {
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
            assert_eq!(accepts_gzip([header].into_iter()), expected, "{header}");
        }
        assert!(!accepts_gzip(std::iter::empty()));
    }
}
