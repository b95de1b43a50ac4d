//! Parses an exposition for tests.

use std::collections::BTreeMap;

/// The samples of a page by series, with name and labels as written.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub samples: BTreeMap<String, f64>,
}

impl Page {
    pub fn parse(text: &str) -> Self {
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        };
        Self {
            samples: text
                .lines()
                .filter(|line| !line.starts_with('#'))
                .filter_map(sample)
                .collect(),
        }
    }

    /// The value of a per-VPS metric without further labels.
    pub fn of(&self, vps: &str, metric: &str) -> Option<f64> {
        self.one(metric, &[("vps", vps)])
    }

    /// The only series of a metric with these labels.
    pub fn one(&self, metric: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.series(metric, labels);
        let value = found.next().map(|(_, value)| value);
        assert!(
            found.next().is_none(),
            "{metric}{labels:?} is more than one series"
        );
        value
    }

    /// The series of a metric with these labels.
    pub fn series<'a>(
        &'a self,
        metric: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = (&'a str, f64)> {
        self.samples
            .iter()
            .filter(move |(series, _)| {
                let name = series.split('{').next().unwrap_or_default();
                let has = |(label, value): &(&str, &str)| {
                    series.contains(&format!("{{{label}=\"{value}\""))
                        || series.contains(&format!(",{label}=\"{value}\""))
                };
                name == metric && labels.iter().all(has)
            })
            .map(|(series, value)| (series.as_str(), *value))
    }

    /// Every metric with a series of this VPS.
    pub fn metrics_of(&self, vps: &str) -> Vec<&str> {
        let label = format!("vps=\"{vps}\"");
        let mut names: Vec<_> = self
            .samples
            .keys()
            .filter(|series| series.contains(&label))
            .filter_map(|series| series.split('{').next())
            .collect();
        names.dedup();
        names
    }
}
