//! The measured servers. Each runs on one thread.

use std::future::pending;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::BoxFuture;
use kiwivm_exporter::clock::Clock;
use kiwivm_exporter::exposition::format::Format;
use kiwivm_exporter::exposition::{Exposition, Reloads, UnknownVps, render};
use kiwivm_exporter::poller::SharedFleet;
use kiwivm_exporter::units::UnixSeconds;
use kiwivm_exporter::web::{self, Options, ReloadError, Site, Status};

use crate::limit::{Form, bare, start};

struct Metrics(Exposition);

impl Site for Metrics {
    fn metrics(&self, format: Format, gzip: bool, vps: &[String]) -> Result<Bytes, UnknownVps> {
        self.0.scrape(format, gzip, vps)
    }

    fn status(&self) -> Status {
        unreachable!("the status page is not requested")
    }

    fn ready(&self) -> bool {
        true
    }

    fn reload(&self) -> BoxFuture<'_, Result<(), ReloadError>> {
        Box::pin(async { Ok(()) })
    }
}

/// Starts the exporter's server.
pub fn exporter(fleet: SharedFleet, clock: Clock) -> SocketAddr {
    let site = Metrics(Exposition::new(fleet, clock, Vec::new()));
    start(|listener| {
        web::serve(
            vec![listener],
            Arc::new(site),
            Options::default(),
            pending(),
        )
    })
}

/// Starts a server that renders with prometheus-client and compresses with level 6 on each scrape, like most exporters.
pub fn rendering(fleet: SharedFleet, clock: Clock) -> SocketAddr {
    bare(Form::Gzip, move || {
        let reloads = Reloads {
            successful: true,
            last_success: UnixSeconds(0.0),
        };
        let page = render(&fleet, reloads, Vec::new(), clock.now());
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
        encoder
            .write_all(page.as_bytes())
            .expect("writing to memory succeeds");
        encoder.finish().expect("writing to memory succeeds").into()
    })
}
