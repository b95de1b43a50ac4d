//! What a scrape reads: the metric catalogue, its rendering, and the rendered bodies kept between scrapes.
//!
//! A body is rendered, and compressed on the way, when somebody asks for it, and served again for a second: the work is
//! done at most once a second for each form that is asked for, however many scrape, and not at all when nobody does.

pub(crate) mod bandwidth;
pub mod catalogue;
mod collectors;
pub mod compatibility;
pub mod format;
mod gzip;
pub mod history;
pub mod names;
mod process;
mod series;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;

use crate::clock::{Clock, Moment};
use crate::config::Compatibility;
use crate::fleet::Fleet;
use crate::kiwivm::Veid;
use crate::poller::{SharedFleet, lock};
use collectors::{ExporterCollector, FleetCollector, Shown};
use compatibility::ForeignCollector;
use format::Format;
use gzip::Gzip;
pub(crate) use gzip::compress;
use process::ProcessCollector;

/// How long a rendered body is served again: how old a scrape can be.
pub const SERVED_FOR: Duration = Duration::from_secs(1);

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
    bodies: Mutex<Bodies>,
    gzip: Mutex<Option<Gzip>>,
}

/// By format, plain and compressed.
type Bodies = [Option<Body>; 4];

struct Body {
    rendered: Duration,
    bytes: Bytes,
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
            bodies: Mutex::default(),
            gzip: Mutex::default(),
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
        *self.bodies() = Bodies::default();
    }

    /// What is known of the configuration in force.
    #[must_use]
    pub fn reloads(&self) -> Reloads {
        *self.reloads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body of a scrape, at most [`SERVED_FOR`] old. With names in `vps`, only the samples of these VPSes as they are
    /// now, and nothing of the exporter's own.
    ///
    /// # Errors
    ///
    /// The first name that is not configured.
    pub fn scrape(&self, format: Format, gzip: bool, vps: &[String]) -> Result<Bytes, UnknownVps> {
        let now = self.clock.now();
        if !vps.is_empty() {
            let only = Some(named(&lock(&self.fleet), vps)?);
            let shown = self.shown(format, now, only);
            let registry = registry(shown, None, self.asked_for().clone());
            return Ok(self.body(&registry, format, gzip, 0));
        }
        let mut bodies = self.bodies();
        let young = |body: &Body| now.elapsed.saturating_sub(body.rendered) < SERVED_FOR;
        let form = 2 * format as usize + usize::from(gzip);
        if let Some(body) = bodies[form].as_ref().filter(|body| young(body)) {
            return Ok(body.bytes.clone());
        }
        let size = bodies[form].as_ref().map_or(0, |body| body.bytes.len());
        for body in &mut *bodies {
            // A form that nobody asks for any more takes no memory.
            body.take_if(|body| !young(body));
        }
        let mut registry = self.registry(format, now);
        registry.register_collector(Box::new(ProcessCollector(format)));
        let bytes = self.body(&registry, format, gzip, size);
        bodies[form] = Some(Body {
            rendered: now.elapsed,
            bytes: bytes.clone(),
        });
        Ok(bytes)
    }

    /// Everything but `process_*`, as text 0.0.4: what a textfile collector can take in.
    #[must_use]
    pub fn textfile(&self) -> String {
        text(&self.registry(Format::Text004, self.clock.now()))
    }

    /// Renders a body of about this size.
    fn body(&self, registry: &Registry, format: Format, gzip: bool, size: usize) -> Bytes {
        if gzip {
            let mut gzip = self.gzip.lock().unwrap_or_else(PoisonError::into_inner);
            let gzip = gzip.get_or_insert_default();
            complete(gzip.compress(size, |page| write_page(page, registry, format)))
        } else {
            let mut page = String::with_capacity(size);
            let written = write_page(&mut page, registry, format);
            complete(written.map(|()| Bytes::from(page)))
        }
    }

    fn bodies(&self) -> MutexGuard<'_, Bodies> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked_for(&self) -> MutexGuard<'_, Vec<Compatibility>> {
        self.compatibility
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn registry(&self, format: Format, now: Moment) -> Registry {
        let shown = self.shown(format, now, None);
        registry(shown, Some(self.reloads()), self.asked_for().clone())
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

/// Everything but `process_*` as OpenMetrics without its end, also under the names of other exporters.
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
    text(&registry(shown, Some(reloads), compatibility))
}

/// What this process uses of the machine now, as OpenMetrics without its end.
#[must_use]
pub fn process_metrics() -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ProcessCollector(Format::OpenMetrics1)));
    text(&registry)
}

/// What a page shows. Without `reloads` nothing of the exporter's own.
fn registry(shown: Shown, reloads: Option<Reloads>, exporters: Vec<Compatibility>) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(FleetCollector(shown.clone())));
    if let Some(reloads) = reloads {
        let shown = shown.clone();
        registry.register_collector(Box::new(ExporterCollector { shown, reloads }));
    }
    registry.register_collector(Box::new(ForeignCollector { shown, exporters }));
    registry
}

/// The VPSes of these names, each once.
fn named(fleet: &Fleet, names: &[String]) -> Result<Arc<[Veid]>, UnknownVps> {
    let mut only = Vec::with_capacity(names.len());
    for name in names {
        let vps = fleet.named(name).ok_or_else(|| UnknownVps(name.clone()))?;
        if !only.contains(&vps.identity.veid) {
            only.push(vps.identity.veid);
        }
    }
    Ok(only.into())
}

fn write_page(page: &mut impl fmt::Write, registry: &Registry, format: Format) -> fmt::Result {
    encode_registry(page, registry)?;
    match format {
        Format::OpenMetrics1 => encode_eof(page),
        Format::Text004 => Ok(()),
    }
}

fn text(registry: &Registry) -> String {
    let mut page = String::new();
    complete(encode_registry(&mut page, registry).map(|()| page))
}

fn complete<T: Default>(page: Result<T, fmt::Error>) -> T {
    page.unwrap_or_else(|fmt::Error| {
        // Writing to memory does not fail, and no collector makes an error of its own.
        tracing::error!("rendering the metrics failed: the page is empty");
        T::default()
    })
}

#[cfg(test)]
mod tests;
