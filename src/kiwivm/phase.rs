//! The phases of a call. A timeout error names the phase that timed out.
//!
//! The HTTP client does not report the phases of connecting. Its resolver, connector and TLS stack run in the task of
//! their call, so each records its progress in a task-local variable.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::ring::rand::{SecureRandom as _, SystemRandom};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, GetRandomFailed, SecureRandom, ring};
use rustls_platform_verifier::Verifier;
use tower_layer::Layer;
use tower_service::Service;

use super::Call;

/// A phase of a call, in chronological order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Resolving the name of the API or of the proxy.
    Name,
    /// Connecting to the proxy and through it.
    Proxy,
    /// Connecting to the API.
    Connection,
    /// The TLS handshake.
    Tls,
    /// Waiting for the first byte of the response.
    FirstByte,
    /// Receiving the response.
    Body,
}

impl Phase {
    /// The error message of a timeout in this phase.
    pub(super) fn timeout_message(self, limit: Duration) -> String {
        let seconds = limit.as_secs();
        match self {
            Self::Name => format!("DNS lookup did not complete within {seconds} s"),
            Self::Proxy => format!("the proxy did not connect within {seconds} s"),
            Self::Connection => format!("no connection to the API within {seconds} s"),
            Self::Tls => format!("the TLS handshake did not complete within {seconds} s"),
            Self::FirstByte => format!("no response within {seconds} s"),
            Self::Body => format!("the response stalled, or did not complete, within {seconds} s"),
        }
    }

    /// Advice for the owner. Only a live call depends on the node.
    pub(super) const fn remedy(self, call: Call) -> &'static str {
        match (self, call) {
            (Self::Name, _) => "check the DNS servers of this machine",
            (Self::Proxy, _) => "check api.proxy",
            (Self::Connection, _) => {
                "check the network; set api.proxy if the API is only reachable through a proxy"
            }
            (Self::Tls, _) => "check api.proxy and any TLS interception",
            (Self::FirstByte, Call::LiveServiceInfo) => "the node may be busy",
            (Self::FirstByte, _) => "the API is slow or drops requests",
            (Self::Body, _) => "the network is slow or unreliable",
        }
    }
}

tokio::task_local! {
    /// `None` until a connection is opened. A call on an idle connection never opens one.
    static REACHED: Cell<Option<Phase>>;
}

/// Runs a call and tracks its phase for [`reached`].
pub(super) async fn watch<F: Future>(call: F) -> F::Output {
    REACHED.scope(Cell::new(None), call).await
}

/// The phase that the call of this task has reached, up to its response. `None` for a call on an idle connection.
pub(super) fn reached() -> Option<Phase> {
    REACHED.try_with(Cell::get).ok().flatten()
}

/// Records a phase. Does nothing outside of a call: a connection may be completed after its call took another one.
fn record(phase: Option<Phase>) {
    let _ = REACHED.try_with(|reached| reached.set(phase));
}

/// Resolves names through the system resolver.
pub(super) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let before = reached();
        record(Some(Phase::Name));
        Box::pin(async move {
            // The HTTP client replaces port 0 by the port of the URL.
            let addresses: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            record(before);
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// A connector layer that records when connecting begins and ends.
#[derive(Clone, Copy)]
pub(super) struct ConnectLayer {
    /// [`Phase::Proxy`] or [`Phase::Connection`].
    pub(super) begin: Phase,
}

impl<S> Layer<S> for ConnectLayer {
    type Service = ConnectService<S>;

    fn layer(&self, inner: S) -> ConnectService<S> {
        let begin = self.begin;
        ConnectService { inner, begin }
    }
}

#[derive(Clone)]
pub(super) struct ConnectService<S> {
    inner: S,
    begin: Phase,
}

impl<S, R> Service<R> for ConnectService<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, target: R) -> Self::Future {
        record(Some(self.begin));
        let connecting = self.inner.call(target);
        Box::pin(async move {
            let connection = connecting.await?;
            record(Some(Phase::FirstByte));
            Ok(connection)
        })
    }
}

/// TLS that trusts the CA certificates of this machine, and Mozilla's for container images that ship none.
pub(super) fn tls() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(CryptoProvider {
        secure_random: &HandshakeRandom,
        ..ring::default_provider()
    });
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned();
    let verifier = Verifier::new_with_extra_roots(roots, provider.clone())?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// ring's random source. Every handshake begins by drawing from it, so it records the TLS phase.
#[derive(Debug)]
struct HandshakeRandom;

impl SecureRandom for HandshakeRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        record(Some(Phase::Tls));
        let filled = SystemRandom::new().fill(bytes);
        filled.map_err(|_| GetRandomFailed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn records_the_phase_of_a_call() {
        watch(async {
            assert_eq!(reached(), None, "an idle connection is used");
            record(Some(Phase::Proxy));
            let name = "localhost".parse().expect("valid name");
            let resolving = SystemResolver.resolve(name);
            assert_eq!(reached(), Some(Phase::Name));
            let addresses = resolving.await.expect("localhost resolves");
            assert!(addresses.count() > 0);
            assert_eq!(reached(), Some(Phase::Proxy));
        })
        .await;
        assert_eq!(reached(), None, "nothing is recorded outside of a call");
    }
}
