//! The `healthcheck` command: checks that the exporter on this machine is alive.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::path::Path;
use std::time::Duration;

use reqwest::{Client, StatusCode, redirect, retry};
use thiserror::Error;

use super::{Prefix, config};

/// Timeout of the whole check. Container runtimes and kubelet should allow a little more.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The reason why a check fails.
#[derive(Debug, Error)]
pub enum HealthcheckError {
    /// The exporter does not respond in time.
    #[error("{0} does not respond within {seconds} s", seconds = TIMEOUT.as_secs())]
    Timeout(String),
    /// The request fails.
    #[error("{0} does not respond: {1}")]
    NoResponse(String, String),
    /// The exporter responds that it is unhealthy.
    #[error("{0} responded but is unhealthy")]
    Unhealthy(String),
}

/// Responses that mean that the exporter is healthy.
#[derive(Debug, Default)]
struct Expected {
    tls: bool,
    /// Accepted statuses besides 200.
    statuses: Vec<StatusCode>,
    /// Also accept that the server ends TLS because the check presents no certificate.
    refused: bool,
}

/// The check sends no password.
const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;
/// The rate limit is reached.
const LIMITED: StatusCode = StatusCode::TOO_MANY_REQUESTS;

/// Checks the health of the exporter that listens on an address, over TLS if the web configuration enables it. The
/// certificate is not verified, because no secret is sent and only liveness matters.
///
/// # Errors
///
/// Fails if the exporter is unhealthy or does not respond.
pub async fn healthcheck(
    address: &str,
    prefix: &Prefix,
    web_config: Option<&Path>,
) -> Result<(), HealthcheckError> {
    let attempts = web_config.map_or_else(|| vec![Expected::default()], expected);
    let address = reachable(address);
    let target = format!("{address}{prefix}/-/healthy");
    let try_all = async {
        let client = client()?;
        let mut outcome = Ok(false);
        for expected in attempts {
            outcome = probe(&client, &target, &expected).await;
            if matches!(outcome, Ok(true)) {
                break;
            }
        }
        outcome
    };
    match tokio::time::timeout(TIMEOUT, try_all).await {
        Err(_) => Err(HealthcheckError::Timeout(address)),
        Ok(Err(error)) => {
            let cause = causes(&error).last();
            let cause = cause.map_or_else(|| error.to_string(), ToString::to_string);
            Err(HealthcheckError::NoResponse(address, cause))
        }
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(HealthcheckError::Unhealthy(address)),
    }
}

/// Returns the attempts to make. With an invalid file, the exporter runs with an unknown earlier one, so both are
/// tried.
fn expected(web_config: &Path) -> Vec<Expected> {
    match config::load(web_config).config {
        Ok((config, _)) => {
            let password = (!config.users.is_empty()).then_some(UNAUTHORIZED);
            let limit = config.rate_limit.as_ref().map(|_| LIMITED);
            vec![Expected {
                tls: config.tls.is_some(),
                statuses: password.into_iter().chain(limit).collect(),
                refused: config.tls.is_some_and(|tls| tls.requires_certificate),
            }]
        }
        Err(errors) => {
            tracing::warn!("{errors}");
            [true, false]
                .map(|tls| Expected {
                    tls,
                    statuses: vec![UNAUTHORIZED, LIMITED],
                    refused: tls,
                })
                .into()
        }
    }
}

fn client() -> reqwest::Result<Client> {
    // A provider that is already installed works too.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .tls_danger_accept_invalid_certs(true)
        .build()
}

async fn probe(client: &Client, target: &str, expected: &Expected) -> reqwest::Result<bool> {
    let scheme = if expected.tls { "https" } else { "http" };
    match client.get(format!("{scheme}://{target}")).send().await {
        Ok(response) => {
            let status = response.status();
            Ok(status == StatusCode::OK || expected.statuses.contains(&status))
        }
        Err(error) if expected.refused && is_refusal(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Returns true if the server ended TLS because it requires a certificate. In TLS 1.3 the client is connected by then,
/// and the alert may be lost with the connection. Earlier versions send an alert during the handshake.
fn is_refusal(error: &reqwest::Error) -> bool {
    !error.is_connect()
        || causes(error).any(|cause| {
            // hyper-rustls nests `io::Error`s.
            let error = successors(cause.downcast_ref::<io::Error>(), |error| {
                error.get_ref()?.downcast_ref()
            });
            let tls = error
                .last()
                .and_then(|error| error.get_ref()?.downcast_ref());
            matches!(tls, Some(rustls::Error::AlertReceived(_)))
        })
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    successors(error.source(), |cause| (*cause).source())
}

/// Replaces an address of all interfaces by one that is reachable from this machine.
fn reachable(address: &str) -> String {
    let port = address
        .strip_prefix("0.0.0.0:")
        .or_else(|| address.strip_prefix("[::]:"))
        .or_else(|| address.strip_prefix(':'));
    port.map_or_else(|| address.to_owned(), |port| format!("localhost:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reaches_all_interfaces_by_loopback() {
        for (address, expected) in [
            (":10064", "localhost:10064"),
            ("0.0.0.0:1", "localhost:1"),
            ("[::]:1", "localhost:1"),
            ("192.0.2.1:1", "192.0.2.1:1"),
        ] {
            assert_eq!(reachable(address), expected);
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_unhealthy() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket").to_string();
        drop(listener);
        let error = healthcheck(&address, &Prefix::default(), None).await;
        let error = error.expect_err("the port is closed").to_string();
        assert!(error.contains("Connection refused"), "{error}");
    }
}
