//! The exposition: the metric catalogue, its rendering, and the rendered bodies cached between scrapes.
//!
//! A body is rendered and compressed on request, and served again for a second or two. Each requested form is rendered
//! at most once a second, however many clients scrape, and never while nobody does.

pub mod catalogue;
mod collectors;
pub mod compatibility;
pub mod format;
mod gzip;
pub mod history;
mod lines;
pub mod names;
mod process;
mod series;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;
use thiserror::Error;

use crate::clock::{Clock, Moment};
use crate::config::Compatibility;
use crate::fleet::Fleet;
use crate::kiwivm::Veid;
use crate::poller::{SharedFleet, lock};
use crate::units::UnixSeconds;
use collectors::{ExporterCollector, Shown, write_fleet};
use compatibility::ForeignCollector;
use format::Format;
use gzip::Gzip;
pub(crate) use gzip::compress;
use process::ProcessCollector;

/// Minimum time for which a rendered body is served again.
pub const SERVED_FOR: Duration = Duration::from_secs(1);
/// Maximum time for which a rendered body is served again, so the maximum age of a scrape.
pub const SERVED_AT_MOST: Duration = Duration::from_millis(1900);
/// In between, a body is served for this many times its rendering time: rendering a large fleet takes 1/20 of a core.
const RENDERING_PART: u32 = 20;

/// Outcome of loading the configuration, as exported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reloads {
    /// True if the last attempt to load it succeeded.
    pub successful: bool,
    /// Time of the last success.
    pub last_success: UnixSeconds,
}

/// A `?vps=` that names no configured VPS.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("No VPS named {0:?} is configured.")]
pub struct UnknownVps(pub String);

/// Renders the fleet and caches the result.
pub struct Exposition {
    fleet: SharedFleet,
    clock: Clock,
    reloads: Mutex<Reloads>,
    compatibility: Mutex<Vec<Compatibility>>,
    bodies: Mutex<Bodies>,
    gzip: Mutex<Option<Gzip>>,
}

/// Cached bodies by format, plain and compressed.
type Bodies = [Option<Body>; 4];

struct Body {
    served_until: Duration,
    bytes: Bytes,
}

impl Exposition {
    /// Creates the exposition of a fleet whose configuration was just loaded, also under the names of these exporters.
    #[must_use]
    pub fn new(fleet: SharedFleet, clock: Clock, compatibility: Vec<Compatibility>) -> Self {
        process::note_start();
        Self {
            fleet,
            clock,
            reloads: Mutex::new(Reloads {
                successful: true,
                last_success: clock.now().unix,
            }),
            compatibility: Mutex::new(compatibility),
            bodies: Mutex::default(),
            gzip: Mutex::default(),
        }
    }

    /// Records the outcome of a reload: the exporters whose names the new configuration enables, or `None` on failure.
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
            *self.compatibility() = compatibility;
        }
        *self.bodies() = Bodies::default();
    }

    /// Returns the outcome of loading the configuration.
    #[must_use]
    pub fn reloads(&self) -> Reloads {
        *self.reloads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the body of a scrape, at most [`SERVED_AT_MOST`] old. With names in `vps`, renders the current samples
    /// of these VPSes only, without the exporter's own metrics.
    ///
    /// # Errors
    ///
    /// Returns the first name that is not configured.
    pub fn scrape(&self, format: Format, gzip: bool, vps: &[String]) -> Result<Bytes, UnknownVps> {
        let now = self.clock.now();
        if !vps.is_empty() {
            let only = Some(named(&lock(&self.fleet), vps)?);
            let shown = self.shown(format, now, only);
            let page = Page::new(shown, None, self.compatibility().clone());
            return Ok(self.body(&page, gzip, 0));
        }
        let mut bodies = self.bodies();
        let is_fresh = |body: &Body| now.elapsed < body.served_until;
        let form = 2 * format as usize + usize::from(gzip);
        if let Some(body) = bodies[form].as_ref().filter(|body| is_fresh(body)) {
            return Ok(body.bytes.clone());
        }
        // Leave room for a body slightly larger than the last one. A growing buffer would double.
        let size = bodies[form]
            .as_ref()
            .map_or(0, |body| body.bytes.len() + body.bytes.len() / 16);
        for body in &mut *bodies {
            // Free the forms that are no longer requested.
            body.take_if(|body| !is_fresh(body));
        }
        let mut page = self.page(format, now);
        let process = ProcessCollector(format);
        page.others.register_collector(Box::new(process));
        let bytes = self.body(&page, gzip, size);
        let took = self.clock.now().elapsed.saturating_sub(now.elapsed);
        let served_for = (took * RENDERING_PART).clamp(SERVED_FOR, SERVED_AT_MOST);
        bodies[form] = Some(Body {
            served_until: now.elapsed + served_for,
            bytes: bytes.clone(),
        });
        Ok(bytes)
    }

    /// Renders everything but `process_*` as text 0.0.4, for textfile collectors.
    #[must_use]
    pub fn textfile(&self) -> String {
        self.page(Format::Text004, self.clock.now()).text()
    }

    /// Renders a body of about this size.
    fn body(&self, page: &Page, gzip: bool, size: usize) -> Bytes {
        if gzip {
            let mut gzip = self.gzip.lock().unwrap_or_else(PoisonError::into_inner);
            let gzip = gzip.get_or_insert_default();
            or_empty(gzip.compress(size, |out| page.write(out)))
        } else {
            let mut body = String::with_capacity(size);
            or_empty(page.write(&mut body).map(|()| Bytes::from(body)))
        }
    }

    fn bodies(&self) -> MutexGuard<'_, Bodies> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compatibility(&self) -> MutexGuard<'_, Vec<Compatibility>> {
        self.compatibility
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn page(&self, format: Format, now: Moment) -> Page {
        let shown = self.shown(format, now, None);
        Page::new(shown, Some(self.reloads()), self.compatibility().clone())
    }

    fn shown(&self, format: Format, now: Moment, only: Option<Arc<[Veid]>>) -> Shown {
        Shown {
            fleet: self.fleet.clone(),
            now,
            only,
            format,
        }
    }
}

/// Renders everything but `process_*` as OpenMetrics without `# EOF`, also under the names of other exporters.
#[must_use]
pub fn render(
    fleet: &SharedFleet,
    reloads: Reloads,
    compatibility: Vec<Compatibility>,
    now: Moment,
) -> String {
    let shown = Shown {
        fleet: fleet.clone(),
        now,
        only: None,
        format: Format::OpenMetrics1,
    };
    Page::new(shown, Some(reloads), compatibility).text()
}

/// Renders the current resource usage of this process as OpenMetrics without `# EOF`.
#[must_use]
pub fn process_metrics() -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ProcessCollector(Format::OpenMetrics1)));
    let mut text = String::new();
    or_empty(encode_registry(&mut text, &registry).map(|()| text))
}

/// The content of one scrape.
struct Page {
    shown: Shown,
    /// All metrics but those of the fleet.
    others: Registry,
}

impl Page {
    /// Creates a page of VPS metrics, also under the names of these exporters. The exporter's own need `reloads`.
    fn new(shown: Shown, reloads: Option<Reloads>, exporters: Vec<Compatibility>) -> Self {
        let mut others = Registry::default();
        if let Some(reloads) = reloads {
            let shown = shown.clone();
            others.register_collector(Box::new(ExporterCollector { shown, reloads }));
        }
        let foreign = ForeignCollector {
            shown: shown.clone(),
            exporters,
        };
        others.register_collector(Box::new(foreign));
        Self { shown, others }
    }

    fn write(&self, out: &mut impl fmt::Write) -> fmt::Result {
        self.write_samples(out)?;
        match self.shown.format {
            Format::OpenMetrics1 => encode_eof(out),
            Format::Text004 => Ok(()),
        }
    }

    fn write_samples(&self, out: &mut impl fmt::Write) -> fmt::Result {
        write_fleet(&self.shown, out)?;
        encode_registry(out, &self.others)
    }

    /// Renders the page without `# EOF`.
    fn text(&self) -> String {
        let mut text = String::new();
        or_empty(self.write_samples(&mut text).map(|()| text))
    }
}

/// Returns the VPSes of these names, each once.
fn named(fleet: &Fleet, names: &[String]) -> Result<Arc<[Veid]>, UnknownVps> {
    let mut only = Vec::with_capacity(names.len());
    for name in names {
        let vps = fleet
            .by_name(name)
            .ok_or_else(|| UnknownVps(name.clone()))?;
        if !only.contains(&vps.identity.veid) {
            only.push(vps.identity.veid);
        }
    }
    Ok(only.into())
}

fn or_empty<T: Default>(page: Result<T, fmt::Error>) -> T {
    page.unwrap_or_else(|fmt::Error| {
        // Writing to memory does not fail, and no collector returns an error of its own.
        tracing::error!("rendering the metrics failed: the page is empty");
        T::default()
    })
}

#[cfg(test)]
mod tests;
