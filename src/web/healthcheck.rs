//! Asking the exporter on this machine whether it lives.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::config;

const TIMEOUT: Duration = Duration::from_secs(5);
/// For the word of TLS that a certificate is missing.
const REFUSAL: Duration = Duration::from_secs(1);

/// What counts as an answer.
#[derive(Debug, Default)]
struct Expected {
    tls: bool,
    /// Beside 200.
    statuses: Vec<&'static str>,
    /// No TLS at all: this shows no certificate.
    refused: bool,
}

/// This asks without a password.
const UNAUTHORIZED: &str = "401";
/// The rate limit is reached.
const LIMITED: &str = "429";

/// Asks the exporter that listens on an address whether it is well, over TLS if the web configuration says so. The
/// certificate is not verified: the question is whether the process lives, and no secret is sent.
///
/// # Errors
///
/// Why it is not, or that nobody answers.
pub async fn healthcheck(address: &str, web_config: Option<&Path>) -> Result<(), String> {
    let ways = web_config.map_or_else(|| vec![Expected::default()], expected);
    let address = reachable(address);
    let ask_all = async {
        let mut outcome = Ok(false);
        for expected in ways {
            outcome = ask(&address, &expected).await;
            if matches!(outcome, Ok(true)) {
                break;
            }
        }
        outcome
    };
    match tokio::time::timeout(TIMEOUT, ask_all).await {
        Err(_) => Err(format!(
            "{address} does not answer within {} s",
            TIMEOUT.as_secs()
        )),
        Ok(Err(error)) => Err(format!("{address} does not answer: {error}")),
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(format!("{address} answers, but not that it is healthy")),
    }
}

/// What to try. Of a file that is broken nothing is known: what is in force is then an older one.
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
                    refused: true,
                })
                .into()
        }
    }
}

async fn ask(address: &str, expected: &Expected) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    if !expected.tls {
        return Ok(is_well(&converse(&mut stream, address).await?, expected));
    }
    let outcome = async {
        let mut stream = connector()?.connect(anybody(), stream).await?;
        if expected.refused {
            // A refusal comes by itself. What is written meanwhile could make the system throw it away.
            if let Ok(read) = tokio::time::timeout(REFUSAL, stream.read_u8()).await {
                return read.map(|_| Vec::new());
            }
        }
        converse(&mut stream, address).await
    };
    match outcome.await {
        Ok(answer) => Ok(is_well(&answer, expected)),
        Err(error) if expected.refused && is_refusal(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

async fn converse(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    address: &str,
) -> io::Result<Vec<u8>> {
    let request =
        format!("GET /-/healthy HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer).await?;
    Ok(answer)
}

fn is_well(answer: &[u8], expected: &Expected) -> bool {
    let is = |status: &&str| answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes());
    ["200"].iter().chain(&expected.statuses).any(is)
}

/// The server says, in the words of TLS, that it wants a certificate.
fn is_refusal(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(error, Some(Error::AlertReceived(_)))
}

fn connector() -> io::Result<TlsConnector> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Unverified))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// An address needs no name.
fn anybody() -> ServerName<'static> {
    ServerName::IpAddress(std::net::IpAddr::from([127, 0, 0, 1]).into())
}

#[derive(Debug)]
struct Unverified;

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
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
        assert!(healthcheck(&address, None).await.is_err());
    }
}
