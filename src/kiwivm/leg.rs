//! The parts of a call between here and the node. A time-out says which of them was silent.
//!
//! The parts of making a connection are deep within the HTTP client. They run in the task of their call, so each notes in
//! a variable of the task how far the call has got.

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

/// A part of a call, in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leg {
    /// The name of the API or of the proxy is resolved.
    Name,
    /// The proxy is asked for a connection.
    Proxy,
    /// The API is asked for a connection.
    Connection,
    /// The TLS handshake.
    Tls,
    /// The request was sent, and no byte of the response has arrived.
    FirstByte,
    /// The response has begun.
    Body,
}

impl Leg {
    /// That it did not come to its end in a time.
    pub(super) fn silence(self, limit: Duration) -> String {
        let seconds = limit.as_secs();
        match self {
            Self::Name => format!("the name was not resolved within {seconds} s"),
            Self::Proxy => format!("the proxy gave no connection within {seconds} s"),
            Self::Connection => format!("no connection to the API within {seconds} s"),
            Self::Tls => format!("the TLS handshake did not end within {seconds} s"),
            Self::FirstByte => format!("no byte of a response within {seconds} s"),
            Self::Body => format!("the response did not go on, or did not end, within {seconds} s"),
        }
    }

    /// Advice for the owner. Only a live call asks the node.
    pub(super) const fn remedy(self, call: Call) -> &'static str {
        match (self, call) {
            (Self::Name, _) => "check the name servers of this machine",
            (Self::Proxy, _) => "check api.proxy",
            (Self::Connection, _) => {
                "check the network; where the API is not reachable, set api.proxy"
            }
            (Self::Tls, _) => "check what intercepts TLS, and api.proxy",
            (Self::FirstByte, Call::LiveServiceInfo) => "the node may be busy",
            (Self::FirstByte, _) => "the API is slow, or drops requests",
            (Self::Body, _) => "the line is slow, or breaks",
        }
    }
}

tokio::task_local! {
    /// `None` as long as no connection was begun: the call has one that was idle.
    static REACHED: Cell<Option<Leg>>;
}

/// Runs a call so that [`reached`] knows how far it has got.
pub(super) async fn watch<F: Future>(call: F) -> F::Output {
    REACHED.scope(Cell::new(None), call).await
}

/// The part that the call of this task has reached, before its response. `None` for a call that has found an idle
/// connection.
pub(super) fn reached() -> Option<Leg> {
    REACHED.try_with(Cell::get).ok().flatten()
}

/// Connections that outlive their call, because it has found another, have nothing to note.
fn reach(leg: Option<Leg>) {
    let _ = REACHED.try_with(|reached| reached.set(leg));
}

/// Resolves names like every program of this machine.
pub(super) struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let before = reached();
        reach(Some(Leg::Name));
        Box::pin(async move {
            // The port is that of the URL.
            let addresses: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            reach(before);
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Notes the begin and the end of making a connection.
#[derive(Clone, Copy)]
pub(super) struct Connections {
    /// [`Leg::Proxy`] or [`Leg::Connection`].
    pub(super) begin: Leg,
}

impl<S> Layer<S> for Connections {
    type Service = Connecting<S>;

    fn layer(&self, inner: S) -> Connecting<S> {
        let begin = self.begin;
        Connecting { inner, begin }
    }
}

#[derive(Clone)]
pub(super) struct Connecting<S> {
    inner: S,
    begin: Leg,
}

impl<S, R> Service<R> for Connecting<S>
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

    fn call(&mut self, to: R) -> Self::Future {
        reach(Some(self.begin));
        let connecting = self.inner.call(to);
        Box::pin(async move {
            let connection = connecting.await?;
            reach(Some(Leg::FirstByte));
            Ok(connection)
        })
    }
}

/// TLS with the certificates that this machine trusts, and Mozilla's for images that ship none.
pub(super) fn tls() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(CryptoProvider {
        secure_random: &Handshakes,
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

/// The random bytes with which every handshake begins, from where ring's provider has them.
#[derive(Debug)]
struct Handshakes;

impl SecureRandom for Handshakes {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        reach(Some(Leg::Tls));
        let filled = SystemRandom::new().fill(bytes);
        filled.map_err(|_| GetRandomFailed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_knows_how_far_it_has_got() {
        watch(async {
            assert_eq!(reached(), None, "an idle connection will do");
            reach(Some(Leg::Proxy));
            let name = "localhost".parse().expect("it is a name");
            let resolving = Names.resolve(name);
            assert_eq!(reached(), Some(Leg::Name));
            let addresses = resolving.await.expect("every machine knows its name");
            assert!(addresses.count() > 0);
            assert_eq!(reached(), Some(Leg::Proxy));
        })
        .await;
        assert_eq!(
            reached(),
            None,
            "outside of a call there is nothing to note"
        );
    }
}
