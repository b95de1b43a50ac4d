//! Asking the exporter on this machine whether it lives.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::path::Path;
use std::time::Duration;

use reqwest::{Client, StatusCode, redirect, retry};

use super::{Prefix, config};

/// For all of it. Container runtimes and kubelet are given a little more.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A response that means that the exporter is well.
#[derive(Debug, Default)]
struct Expected {
    tls: bool,
    /// Beside 200.
    statuses: Vec<StatusCode>,
    /// The end of TLS without a response, because this shows no certificate.
    refused: bool,
}

/// This asks without a password.
const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;
/// The rate limit is reached.
const LIMITED: StatusCode = StatusCode::TOO_MANY_REQUESTS;

/// Asks the exporter that listens on an address whether it is well, over TLS if the web configuration says so. The
/// certificate is not verified: the question is whether the process lives, and no secret is sent.
///
/// # Errors
///
/// Why it is not, or that nobody answers.
pub async fn healthcheck(
    address: &str,
    prefix: &Prefix,
    web_config: Option<&Path>,
) -> Result<(), String> {
    let ways = web_config.map_or_else(|| vec![Expected::default()], expected);
    let address = reachable(address);
    let target = format!("{address}{prefix}/-/healthy");
    let ask_all = async {
        let client = client()?;
        let mut outcome = Ok(false);
        for expected in ways {
            outcome = ask(&client, &target, &expected).await;
            if matches!(outcome, Ok(true)) {
                break;
            }
        }
        outcome
    };
    match tokio::time::timeout(TIMEOUT, ask_all).await {
        Err(_) => Err(format!(
            "{address} does not respond within {} s",
            TIMEOUT.as_secs()
        )),
        Ok(Err(error)) => {
            let cause = causes(&error).last();
            let cause = cause.map_or_else(|| error.to_string(), ToString::to_string);
            Err(format!("{address} does not respond: {cause}"))
        }
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(format!("{address} responded but is unhealthy")),
    }
}

/// The ways to try. Nothing is known of a file that is broken: an older one is in force then.
fn expected(web_config: &Path) -> Vec<Expected> {
    match config::load(web_config).config {
        Ok((config, _)) => {
            let password = (!config.users.is_empty()).then_some(UNAUTHORIZED);
            let limit = config.rate_limit.as_ref().map(|_| LIMITED);
            vec![Expected {
                tls: config.tls.is_some(),
                statuses: password.into_iter().chain(limit).collect(),
                refused: config.tls.is_some_and(|tls| tls.demands_certificate),
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
    // A provider that is installed already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .tls_danger_accept_invalid_certs(true)
        .build()
}

async fn ask(client: &Client, target: &str, expected: &Expected) -> reqwest::Result<bool> {
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

/// Tells that the server ended TLS because it wants a certificate. TLS 1.3 is set up by then, and what the server says may
/// be lost with the connection; before, the server says it in the words of TLS.
fn is_refusal(error: &reqwest::Error) -> bool {
    !error.is_connect()
        || causes(error).any(|cause| {
            // hyper-rustls wraps one of them into another.
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

/// Where an address that stands for every interface can be reached from this machine.
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
    fn every_interface_is_reached_by_loopback() {
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
    async fn a_port_that_nobody_listens_on_is_not_well() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a port");
        let address = listener.local_addr().expect("it is bound").to_string();
        drop(listener);
        let error = healthcheck(&address, &Prefix::default(), None).await;
        let error = error.expect_err("nobody is there");
        assert!(error.contains("Connection refused"), "{error}");
    }
}
