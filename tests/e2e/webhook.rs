//! A webhook that receives notifications in tests.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::exporter::TIMEOUT;
use crate::mock::receive;

/// A posted notification and its path.
#[derive(Clone, Debug)]
pub struct Notification {
    pub path: String,
    pub body: Value,
}

/// Accepts any POST. It ends with the test's runtime.
pub struct Webhook {
    pub url: String,
    received: Arc<Mutex<Vec<Notification>>>,
}

impl Webhook {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has ports");
        let address = listener.local_addr().expect("it is bound");
        let received: Arc<Mutex<Vec<Notification>>> = Arc::default();
        let kept = received.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accept(stream, kept.clone()));
            }
        });
        Self {
            url: format!("http://{address}"),
            received,
        }
    }

    pub fn received(&self) -> Vec<Notification> {
        self.received.lock().unwrap().clone()
    }

    /// Waits for a notification that satisfies `is`.
    pub async fn wait_for(&self, what: &str, is: impl Fn(&Notification) -> bool) -> Notification {
        let deadline = Instant::now() + TIMEOUT;
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            tick.tick().await;
            let received = self.received();
            if let Some(found) = received.iter().find(|notification| is(notification)) {
                return found.clone();
            }
            assert!(Instant::now() < deadline, "{what}: {received:#?}");
        }
    }
}

async fn accept(mut stream: TcpStream, received: Arc<Mutex<Vec<Notification>>>) {
    let Some((line, body)) = receive(&mut stream).await else {
        return;
    };
    received.lock().unwrap().push(Notification {
        path: line.split(' ').nth(1).unwrap_or_default().to_owned(),
        body: serde_json::from_str(&body).expect("notifications are JSON"),
    });
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    let _ = stream.write_all(response.as_bytes()).await;
}
