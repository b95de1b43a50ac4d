//! What a scrape reads: the metric catalogue, its rendering, and the rendered bytes kept between scrapes.
//!
//! The samples of the fleet are rendered when they changed or something went stale; `process_*` is read for each
//! scrape and appended. Both formats come from one rendering, see `text`.

pub(crate) mod bandwidth;
pub mod catalogue;
mod collectors;
pub mod compatibility;
pub mod format;
pub mod history;
pub mod names;
mod process;
mod series;
mod text;

pub use process::render as process_metrics;

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use prometheus_client::registry::Registry;

use crate::clock::{Clock, Moment};
use crate::config::Compatibility;
use crate::fleet::Fleet;
use crate::kiwivm::Veid;
use crate::poller::{SharedFleet, lock};
use collectors::{ExporterCollector, FleetCollector};
use compatibility::ForeignCollector;
use format::Format;

/// How long a compressed body is served again although `process_*` has moved on. The data of VPSes are never that old:
/// they are compressed anew when they change.
const COMPRESSED_FOR: Duration = Duration::from_secs(1);

/// What the exporter says about its own configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reloads {
    /// Whether the last attempt to load it succeeded.
    pub successful: bool,
    /// Unix seconds of the last success.
    pub last_success: f64,
}

/// A `?vps=` that names no configured VPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownVps(pub String);

/// Renders the fleet and keeps the result.
pub struct Exposition {
    fleet: SharedFleet,
    clock: Clock,
    reloads: Mutex<Reloads>,
    compatibility: Mutex<Vec<Compatibility>>,
    rendered: Mutex<Rendered>,
}

#[derive(Default)]
struct Rendered {
    version: Option<u64>,
    expires: Option<Duration>,
    openmetrics: Bytes,
    text: Option<Bytes>,
    compressed: [Option<(Duration, Bytes)>; 2],
}

impl Exposition {
    /// An exposition of a fleet whose configuration was loaded just now, also under the names of these exporters.
    #[must_use]
    pub fn new(fleet: SharedFleet, clock: Clock, compatibility: Vec<Compatibility>) -> Self {
        Self {
            fleet,
            clock,
            reloads: Mutex::new(Reloads {
                successful: true,
                last_success: clock.now().unix,
            }),
            compatibility: Mutex::new(compatibility),
            rendered: Mutex::default(),
        }
    }

    /// Notes the outcome of a reload: whose names the new configuration asks for, or `None` when the old one stays.
    pub fn reloaded(&self, compatibility: Option<Vec<Compatibility>>) {
        let now = self.clock.now();
        {
            let mut reloads = self.reloads.lock().unwrap_or_else(PoisonError::into_inner);
            reloads.successful = compatibility.is_some();
            if reloads.successful {
                reloads.last_success = now.unix;
            }
        }
        if let Some(compatibility) = compatibility {
            *self.asked_for() = compatibility;
        }
        self.rendered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .version = None;
    }

    /// What is known of the configuration in force.
    #[must_use]
    pub fn reloads(&self) -> Reloads {
        *self.reloads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body of a scrape. With names in `vps`, only the samples of these VPSes and nothing of the exporter's own.
    ///
    /// # Errors
    ///
    /// The first name that is not configured.
    pub fn scrape(&self, format: Format, gzip: bool, vps: &[String]) -> Result<Bytes, UnknownVps> {
        let now = self.clock.now();
        if !vps.is_empty() {
            let body = self.render_some(format, vps, now)?;
            return Ok(if gzip {
                compress(&body)
            } else {
                Bytes::from(body)
            });
        }
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh(&mut rendered, now);
        if gzip
            && let Some((at, body)) = &rendered.compressed[format as usize]
            && now.elapsed.saturating_sub(*at) < COMPRESSED_FOR
        {
            return Ok(body.clone());
        }
        let body = complete(rendered.fleet(format), &process::render(), format);
        if !gzip {
            return Ok(Bytes::from(body));
        }
        let body = compress(&body);
        rendered.compressed[format as usize] = Some((now.elapsed, body.clone()));
        Ok(body)
    }

    /// Everything but `process_*`, as text 0.0.4: what a textfile collector can take in.
    #[must_use]
    pub fn textfile(&self) -> String {
        text::from_openmetrics(&self.render_all(self.clock.now()))
    }

    fn asked_for(&self) -> MutexGuard<'_, Vec<Compatibility>> {
        self.compatibility
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn refresh(&self, rendered: &mut Rendered, now: Moment) {
        let (version, expires) = {
            let fleet = lock(&self.fleet);
            (fleet.version(), fleet.next_expiry(now))
        };
        let stale = rendered
            .expires
            .is_some_and(|expires| expires <= now.elapsed);
        if rendered.version != Some(version) || stale {
            *rendered = Rendered {
                version: Some(version),
                expires,
                openmetrics: Bytes::from(self.render_all(now)),
                text: None,
                compressed: [None, None],
            };
        }
    }

    fn render_all(&self, now: Moment) -> String {
        let compatibility = self.asked_for().clone();
        render(&self.fleet, self.reloads(), compatibility, now)
    }

    fn render_some(
        &self,
        format: Format,
        names: &[String],
        now: Moment,
    ) -> Result<String, UnknownVps> {
        let only = named(&lock(&self.fleet), names)?;
        let mut registry = Registry::default();
        let fleet = FleetCollector::new(&self.fleet, now, Some(only.clone()));
        registry.register_collector(Box::new(fleet));
        let exporters = self.asked_for().clone();
        let foreign = ForeignCollector::new(&self.fleet, now, Some(only), exporters);
        registry.register_collector(Box::new(foreign));
        let openmetrics = encode(&registry);
        let fleet = match format {
            Format::OpenMetrics1 => openmetrics,
            Format::Text004 => text::from_openmetrics(&openmetrics),
        };
        Ok(complete(fleet.as_bytes(), "", format))
    }
}

impl Rendered {
    fn fleet(&mut self, format: Format) -> &[u8] {
        match format {
            Format::OpenMetrics1 => &self.openmetrics,
            Format::Text004 => self.text.get_or_insert_with(|| {
                // What was rendered is a String's bytes.
                Bytes::from(text::from_openmetrics(&String::from_utf8_lossy(
                    &self.openmetrics,
                )))
            }),
        }
    }
}

/// Everything but `process_*` as OpenMetrics without its end, also under the names of other exporters.
#[must_use]
pub fn render(
    fleet: &SharedFleet,
    reloads: Reloads,
    compatibility: Vec<Compatibility>,
    now: Moment,
) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(FleetCollector::new(fleet, now, None)));
    registry.register_collector(Box::new(ExporterCollector::new(fleet, reloads)));
    let foreign = ForeignCollector::new(fleet, now, None, compatibility);
    registry.register_collector(Box::new(foreign));
    encode(&registry)
}

fn named(fleet: &Fleet, names: &[String]) -> Result<HashSet<Veid>, UnknownVps> {
    let find = |name: &String| {
        fleet
            .vps()
            .iter()
            .find(|vps| vps.identity.name == *name)
            .map(|vps| vps.identity.veid)
            .ok_or_else(|| UnknownVps(name.clone()))
    };
    names.iter().map(find).collect()
}

fn encode(registry: &Registry) -> String {
    let mut page = String::new();
    if prometheus_client::encoding::text::encode_registry(&mut page, registry).is_err() {
        // Writing to a String does not fail, and no collector makes an error of its own.
        tracing::error!("rendering the metrics failed: the page is incomplete");
    }
    page
}

/// Appends what differs at every scrape, and the end.
fn complete(fleet: &[u8], process: &str, format: Format) -> String {
    let end = match format {
        Format::OpenMetrics1 => "# EOF\n",
        Format::Text004 => "",
    };
    let process = match format {
        Format::OpenMetrics1 => process.to_owned(),
        Format::Text004 => text::from_openmetrics(process),
    };
    let mut body = String::with_capacity(fleet.len() + process.len() + end.len());
    body.push_str(&String::from_utf8_lossy(fleet));
    body.push_str(&process);
    body.push_str(end);
    body
}

/// Quickly rather than well: most of a scrape's cost is this.
pub(crate) fn compress(body: &str) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    let compressed = encoder
        .write_all(body.as_bytes())
        .and_then(|()| encoder.finish());
    // Writing to a Vec does not fail.
    Bytes::from(compressed.unwrap_or_default())
}

#[cfg(test)]
mod tests;
