//! A simulated account behind TLS, and a configuration for it.

use std::fmt::Write as _;
use std::future::pending;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use kiwivm_exporter::simulator::{self, Credential, Options, Simulator};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::limit;

/// What a running exporter needs.
pub struct Account {
    directory: TempDir,
    /// How fast its time runs.
    pub time_scale: f64,
}

impl Account {
    /// So many VPSes whose API is served until this process ends.
    pub fn start(vps: u32, time_scale: f64) -> Self {
        let directory = TempDir::new().expect("there is a temporary directory");
        let names = vec!["localhost".to_owned()];
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(names).expect("there is randomness");
        std::fs::write(directory.path().join("ca.pem"), cert.pem()).expect("it can be written");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("it is a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("the key is that of the certificate");

        // Else a call would take a minute of the time that runs fast, and many more would be in flight than are.
        let usual = Options::default();
        let options = Options {
            time_scale,
            live_latency: usual.live_latency.div_f64(time_scale),
            ..usual
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("it is later");
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
        std::fs::write(directory.path().join("config.yaml"), config).expect("it can be written");
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

/// TLS in front of the simulator.
fn serve(simulator: Arc<Simulator>, tls: TlsAcceptor) -> SocketAddr {
    limit::start(move |front| async move {
        let plain = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let behind = plain.local_addr().expect("it is bound");
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
