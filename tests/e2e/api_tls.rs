//! TLS to the API: the exporter sends the key only to a server with a trusted certificate for its name.

use std::process::Command;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::certificates::{Authority, Pair, self_signed};
use crate::exporter::{PROGRAM, config, write};

const KEY: &str = "private_CanaryCanaryCanary012345";

/// A server with this certificate. The string collects everything that it receives.
async fn server(pair: &Pair) -> (u16, Arc<Mutex<String>>) {
    let certificate =
        CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("it is PEM");
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("it is PEM");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("they are compatible")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they belong together");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("there is a port");
    let port = listener.local_addr().expect("it is bound").port();
    let received: Arc<Mutex<String>> = Arc::default();
    let written = received.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let written = written.clone();
            tokio::spawn(async move {
                let mut piece = [0; 4096];
                let count = stream.read(&mut piece).await.unwrap_or_default();
                written
                    .lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&piece[..count]));
                let _ = stream
                    .write_all(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    .await;
            });
        }
    });
    (port, received)
}

/// Polls the server once, trusting these certificates. Returns the log and the bytes that the server received.
async fn poll(pair: &Pair, trusted: &str) -> (String, String) {
    let (port, received) = server(pair).await;
    let yaml = format!(
        "api: {{endpoint: \"https://127.0.0.1:{port}/v1\"}}\nvps: [{{veid: 1, api_key: {KEY}}}]\n"
    );
    let (_configuration, flag) = config(&yaml);
    let folder = TempDir::new().expect("disk is writable");
    let trusted = write(folder.path(), "trusted.pem", trusted);
    let polling = tokio::task::spawn_blocking(move || {
        Command::new(PROGRAM)
            .args(["once", &flag])
            .env("SSL_CERT_FILE", trusted)
            .env_remove("SSL_CERT_DIR")
            .output()
            .expect("it starts")
    });
    let output = polling.await.expect("it does not panic");
    let received = received.lock().unwrap().clone();
    (
        String::from_utf8_lossy(&output.stderr).into_owned(),
        received,
    )
}

#[tokio::test]
async fn the_key_is_only_sent_to_a_server_with_a_trusted_certificate() {
    let (authority, other) = (Authority::new(), Authority::new());
    let right = authority.issue(&["127.0.0.1"]);
    let (log, received) = poll(&right, &authority.pem()).await;
    assert!(received.contains("POST /v1/get"), "{log}\n{received}");
    for (what, pair, trusted) in [
        ("from another CA", &right, other.pem()),
        (
            "for another name",
            &authority.issue(&["api.64clouds.com"]),
            authority.pem(),
        ),
        (
            "that is self-signed",
            &self_signed(&["127.0.0.1"]),
            authority.pem(),
        ),
    ] {
        let (log, received) = poll(pair, &trusted).await;
        assert_eq!(received, "", "a certificate {what}");
        assert!(log.contains("reason=tls"), "a certificate {what}: {log}");
    }
}
