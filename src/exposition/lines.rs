//! Writes the samples of VPSes, which are nearly all of a page. The other metrics go through prometheus-client, which
//! takes several times as long per line.

use std::fmt::{self, Write};

use super::catalogue::{Kind, Metric};
use super::format::Format;
use super::series::Value;

/// Size at which the gathered lines are passed on.
const PIECE: usize = 16 << 10;

/// Writes samples, metric by metric.
pub struct Lines<'o> {
    out: &'o mut dyn Write,
    piece: String,
    name: &'static str,
}

impl<'o> Lines<'o> {
    pub(super) fn new(out: &'o mut dyn Write) -> Self {
        Self {
            out,
            // The last line may exceed `PIECE`.
            piece: String::with_capacity(PIECE + 1024),
            name: "",
        }
    }

    /// Begins a metric with its HELP and TYPE lines. In OpenMetrics the family name of a counter lacks `_total`.
    pub(super) fn describe(&mut self, metric: &'static Metric, format: Format) {
        self.name = metric.name;
        let family = match (metric.kind, format) {
            (Kind::Counter, Format::OpenMetrics1) => {
                metric.name.strip_suffix("_total").unwrap_or(metric.name)
            }
            _ => metric.name,
        };
        let kind = metric.kind.name();
        for part in [
            "# HELP ",
            family,
            " ",
            metric.help,
            "\n# TYPE ",
            family,
            " ",
            kind,
            "\n",
        ] {
            self.piece.push_str(part);
        }
    }

    /// Writes one sample of the current metric. `vps` is written by [`label`]. Values that are not finite are omitted.
    pub(super) fn sample(&mut self, vps: &str, more: &[(&str, &str)], value: Value) -> fmt::Result {
        if matches!(value, Value::Real(real) if !real.is_finite()) {
            return Ok(());
        }
        let line = &mut self.piece;
        line.push_str(self.name);
        line.push('{');
        line.push_str(vps);
        for (name, value) in more {
            label(line, name, value);
        }
        line.push_str("} ");
        match value {
            Value::Unsigned(value) => line.push_str(itoa::Buffer::new().format(value)),
            Value::Signed(value) => line.push_str(itoa::Buffer::new().format(value)),
            Value::Real(value) => line.push_str(dtoa::Buffer::new().format(value)),
        }
        line.push('\n');
        if self.piece.len() < PIECE {
            return Ok(());
        }
        self.flush()
    }

    /// Passes on the gathered lines.
    pub(super) fn flush(&mut self) -> fmt::Result {
        let written = self.out.write_str(&self.piece);
        self.piece.clear();
        written
    }
}

/// Appends a label and escapes its value.
pub fn label(labels: &mut String, name: &str, value: &str) {
    if labels.ends_with('"') {
        labels.push(',');
    }
    labels.push_str(name);
    labels.push_str("=\"");
    let mut rest = value;
    while let Some(special) = rest.find(['\\', '"', '\n']) {
        let (plain, from) = rest.split_at(special);
        labels.push_str(plain);
        labels.push_str(match from.as_bytes()[0] {
            b'\n' => "\\n",
            b'"' => "\\\"",
            _ => "\\\\",
        });
        rest = &from[1..];
    }
    labels.push_str(rest);
    labels.push('"');
}
