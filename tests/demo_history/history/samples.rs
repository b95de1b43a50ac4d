//! Samples of many scrapes, in the order that OpenMetrics requires: by family, then by metric.

use std::collections::HashMap;
use std::io::{self, Write};

use super::changes::{Change, Changes};

/// The samples of consecutive scrapes.
pub struct Samples {
    /// Labels that Prometheus adds before those of the page.
    labels: String,
    /// Unix seconds of every scrape.
    times: Vec<i64>,
    families: Vec<Family>,
    family_of: HashMap<String, usize>,
    series: Vec<Series>,
    series_of: HashMap<String, usize>,
    changes: Changes,
}

/// A metric family.
#[derive(Default)]
struct Family {
    /// The HELP and TYPE lines.
    head: String,
    /// The series of each metric: one, or all series of a histogram.
    metrics: Vec<Vec<usize>>,
    metric_of: HashMap<String, usize>,
}

struct Series {
    /// Name and labels as written.
    name: String,
    /// The value at the last scrape, if any.
    value: Option<f64>,
    /// The last scrape with a value.
    seen: u32,
}

impl Samples {
    /// Creates an empty collection for a target with these labels.
    pub fn new(job: &str, instance: &str) -> io::Result<Self> {
        Ok(Self {
            labels: format!("job={job:?},instance={instance:?}"),
            times: Vec::new(),
            families: Vec::new(),
            family_of: HashMap::new(),
            series: Vec::new(),
            series_of: HashMap::new(),
            changes: Changes::new()?,
        })
    }

    /// Adds the wanted families of the pages of one scrape. The pages have no end marker.
    pub fn scrape(
        &mut self,
        time: i64,
        pages: &[&str],
        wanted: impl Fn(&str) -> bool,
    ) -> io::Result<()> {
        let scrape = u32::try_from(self.times.len()).map_err(io::Error::other)?;
        self.times.push(time);
        let mut family = None;
        for line in pages.iter().flat_map(|page| page.lines()) {
            if let Some(head) = line.strip_prefix("# ") {
                let name = head.split(' ').nth(1).unwrap_or_default();
                family = wanted(name).then(|| self.describe(name, line));
            } else if let (Some(family), Some((series, value))) = (family, line.rsplit_once(' ')) {
                let value = value.parse().map_err(io::Error::other)?;
                let series = self.series(family, series);
                self.take(series, scrape, value)?;
            }
        }
        self.end_missing_series(scrape)
    }

    /// Adds a HELP or TYPE line to its family. Returns the family.
    fn describe(&mut self, name: &str, line: &str) -> usize {
        let next = self.families.len();
        let family = *self.family_of.entry(name.to_owned()).or_insert(next);
        if family == next {
            self.families.push(Family::default());
        }
        let head = &mut self.families[family].head;
        if !head.contains(line) {
            head.push_str(line);
            head.push('\n');
        }
        family
    }

    /// The series with this name and these labels.
    fn series(&mut self, family: usize, line: &str) -> usize {
        if let Some(series) = self.series_of.get(line) {
            return *series;
        }
        let family = &mut self.families[family];
        let (name, labels) = line
            .trim_end_matches('}')
            .split_once('{')
            .unwrap_or((line, ""));
        let own = labels.split(',').filter(|label| !label.starts_with("le="));
        let next = family.metrics.len();
        let metric = family.metric_of.entry(own.collect()).or_insert(next);
        if *metric == next {
            family.metrics.push(Vec::new());
        }
        family.metrics[*metric].push(self.series.len());
        let comma = if labels.is_empty() { "" } else { "," };
        self.series_of.insert(line.to_owned(), self.series.len());
        self.series.push(Series {
            name: format!("{name}{{{}{comma}{labels}}}", self.labels),
            value: None,
            seen: 0,
        });
        self.series.len() - 1
    }

    fn take(&mut self, number: usize, scrape: u32, value: f64) -> io::Result<()> {
        let series = &mut self.series[number];
        series.seen = scrape;
        if series.value.replace(value).map(f64::to_bits) == Some(value.to_bits()) {
            return Ok(());
        }
        self.changes.push(number, (scrape, Some(value)))
    }

    fn end_missing_series(&mut self, scrape: u32) -> io::Result<()> {
        for (number, series) in self.series.iter_mut().enumerate() {
            if series.seen != scrape && series.value.take().is_some() {
                self.changes.push(number, (scrape, None))?;
            }
        }
        Ok(())
    }

    /// Writes all samples and the end marker.
    pub fn write(self, out: &mut impl Write) -> io::Result<()> {
        let changes = self.changes.by_series(self.series.len())?;
        for family in &self.families {
            out.write_all(family.head.as_bytes())?;
            for metric in &family.metrics {
                let name =
                    |series: &usize| (self.series[*series].name.as_str(), &*changes[*series]);
                write_metric(&self.times, metric.iter().map(name), out)?;
            }
        }
        out.write_all(b"# EOF\n")
    }
}

/// Writes the samples of series scrape by scrape.
fn write_metric<'a>(
    times: &[i64],
    series: impl Iterator<Item = (&'a str, &'a [Change])>,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut series: Vec<_> = series
        .map(|(name, changes)| (name, changes.iter().peekable(), None))
        .collect();
    for (time, scrape) in times.iter().zip(0_u32..) {
        for (name, changes, value) in &mut series {
            if let Some((_, changed)) = changes.next_if(|(at, _)| *at == scrape) {
                *value = *changed;
            }
            if let Some(value) = value {
                writeln!(out, "{name} {value} {time}")?;
            }
        }
    }
    Ok(())
}
