//! What a scrape reads: the metric catalogue, its rendering, and the rendered bodies kept between scrapes.
//!
//! A body is rendered, and compressed on the way, when somebody asks for it, and served again for a second or
//! two: the work is done at most once a second for each form that is asked for, however many scrape, and not at all when
//! nobody does.

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

use crate::clock::{Clock, Moment};
use crate::config::Compatibility;
use crate::fleet::Fleet;
use crate::kiwivm::Veid;
use crate::poller::{SharedFleet, lock};
use collectors::{ExporterCollector, Shown, write_fleet};
use compatibility::ForeignCollector;
use format::Format;
use gzip::Gzip;
pub(crate) use gzip::compress;
use process::ProcessCollector;

/// How long a rendered body is served again.
pub const SERVED_FOR: Duration = Duration::from_secs(1);
/// How long at most: how old a scrape can be.
pub const SERVED_AT_MOST: Duration = Duration::from_millis(1900);
/// Between the two, so many times as long as rendering took: that of a large fleet takes this part of a core.
const RENDERING_PART: u32 = 20;

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
    served_until: Duration,
    bytes: Bytes,
}

impl Exposition {
    /// An exposition of a fleet whose configuration was loaded just now, also under the names of these exporters.
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

    /// The body of a scrape, at most [`SERVED_AT_MOST`] old. With names in `vps`, only the samples of these VPSes as they are
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
            let page = Page::new(shown, None, self.asked_for().clone());
            return Ok(self.body(&page, gzip, 0));
        }
        let mut bodies = self.bodies();
        let young = |body: &Body| now.elapsed < body.served_until;
        let form = 2 * format as usize + usize::from(gzip);
        if let Some(body) = bodies[form].as_ref().filter(|body| young(body)) {
            return Ok(body.bytes.clone());
        }
        // One that is a little larger than the last is to fit in: what grows doubles.
        let size = bodies[form]
            .as_ref()
            .map_or(0, |body| body.bytes.len() + body.bytes.len() / 16);
        for body in &mut *bodies {
            // A form that nobody asks for any more takes no memory.
            body.take_if(|body| !young(body));
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

    /// Everything but `process_*`, as text 0.0.4: what a textfile collector can take in.
    #[must_use]
    pub fn textfile(&self) -> String {
        self.page(Format::Text004, self.clock.now()).text()
    }

    /// Renders a body of about this size.
    fn body(&self, page: &Page, gzip: bool, size: usize) -> Bytes {
        if gzip {
            let mut gzip = self.gzip.lock().unwrap_or_else(PoisonError::into_inner);
            let gzip = gzip.get_or_insert_default();
            complete(gzip.compress(size, |out| page.write(out)))
        } else {
            let mut body = String::with_capacity(size);
            complete(page.write(&mut body).map(|()| Bytes::from(body)))
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

    fn page(&self, format: Format, now: Moment) -> Page {
        let shown = self.shown(format, now, None);
        Page::new(shown, Some(self.reloads()), self.asked_for().clone())
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
    Page::new(shown, Some(reloads), compatibility).text()
}

/// What this process uses of the machine now, as OpenMetrics without its end.
#[must_use]
pub fn process_metrics() -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ProcessCollector(Format::OpenMetrics1)));
    let mut text = String::new();
    complete(encode_registry(&mut text, &registry).map(|()| text))
}

/// What a scrape shows.
struct Page {
    shown: Shown,
    /// All but the metrics of the fleet.
    others: Registry,
}

impl Page {
    /// The metrics of VPSes, also under the names of these exporters. Without `reloads` nothing of the exporter's own.
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

    /// Without the end.
    fn text(&self) -> String {
        let mut text = String::new();
        complete(self.write_samples(&mut text).map(|()| text))
    }
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

fn complete<T: Default>(page: Result<T, fmt::Error>) -> T {
    page.unwrap_or_else(|fmt::Error| {
        // Writing to memory does not fail, and no collector makes an error of its own.
        tracing::error!("rendering the metrics failed: the page is empty");
        T::default()
    })
}

#[cfg(test)]
mod tests;
