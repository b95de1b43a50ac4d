//! A simulated account behind TLS, with a configuration for it.

use std::fmt::Write as _;
use std::future::pending;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use kiwivm_exporter::simulator::{self, Credential, Simulator, SimulatorOptions};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::limit;

/// The files and settings of a running exporter.
pub struct Account {
    directory: TempDir,
    /// Speed of the account's time.
    pub time_scale: f64,
}

impl Account {
    /// Starts an API for this many VPSes, served until the process ends.
    pub fn start(vps: u32, time_scale: f64) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let names = vec!["localhost".to_owned()];
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(names).expect("random numbers");
        std::fs::write(directory.path().join("ca.pem"), cert.pem()).expect("a writable directory");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a valid key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions supported by the provider")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a matching key");

        // Latency scales with time. Otherwise a call would take a minute of fast time, and too many would be in flight.
        let defaults = SimulatorOptions::default();
        let options = SimulatorOptions {
            time_scale,
            live_latency: defaults.live_latency.div_f64(time_scale),
            ..defaults
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a time after 1970");
        let simulator = Simulator::fleet(options, now.as_secs_f64(), vps);
        let credentials = simulator.credentials();
        let address = serve(Arc::new(simulator), TlsAcceptor::from(Arc::new(tls)));

        let mut config = format!(
            "api: {{endpoint: \"https://localhost:{}/v1\"}}\nvps:\n",
            address.port()
        );
        for Credential {
            name,
            veid,
            api_key,
        } in credentials
        {
            let _ = writeln!(
                config,
                "  - {{name: {name}, veid: {veid}, api_key: {api_key}}}"
            );
        }
        std::fs::write(directory.path().join("config.yaml"), config).expect("a writable directory");
        Self {
            directory,
            time_scale,
        }
    }

    pub fn config(&self) -> PathBuf {
        self.directory.path().join("config.yaml")
    }

    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }
}

/// Serves the simulator behind TLS.
fn serve(simulator: Arc<Simulator>, tls: TlsAcceptor) -> SocketAddr {
    limit::start(move |front| async move {
        let plain = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let behind = plain.local_addr().expect("a bound socket");
        tokio::spawn(simulator::serve(plain, simulator, pending()));
        while let Ok((stream, _)) = front.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let Ok(mut encrypted) = tls.accept(stream).await else {
                    return;
                };
                if let Ok(mut stream) = TcpStream::connect(behind).await {
                    let _ = tokio::io::copy_bidirectional(&mut encrypted, &mut stream).await;
                }
            });
        }
    })
}
