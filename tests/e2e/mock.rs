//! A mock of the API that sends the responses a test sets, byte for byte. All it knows of KiwiVM is the form of a
//! request, so that one misunderstanding cannot hide in it and in the exporter or simulator.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Response to a call.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Status 200 and this body.
    Body(String),
    /// Another status with a body. For a redirect, the body is the location.
    Status(u16, &'static str),
    /// A status, header lines with their line ends, and a body.
    Whole(u16, &'static str, Vec<u8>),
    /// Half of the body, then the connection closes.
    Truncated(String),
    /// No response while the client waits.
    Hang,
    /// The connection closes without a response.
    Drop,
}

/// A received request.
#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    pub form: HashMap<String, String>,
}

impl Request {
    pub fn veid(&self) -> u64 {
        self.form
            .get("veid")
            .and_then(|veid| veid.parse().ok())
            .unwrap_or_default()
    }

    /// The path without the version.
    pub fn call(&self) -> &str {
        let path = self.line.split(' ').nth(1).unwrap_or_default();
        path.strip_prefix("/v1/").unwrap_or(path)
    }
}

#[derive(Default)]
struct State {
    replies: HashMap<(u64, String), Reply>,
    everything: HashMap<u64, Reply>,
    requests: Vec<Request>,
}

/// A running mock. It ends with the test's runtime.
#[derive(Clone)]
pub struct Mock {
    pub endpoint: String,
    state: Arc<Mutex<State>>,
}

/// A body from `tests/samples`.
pub fn sample(name: &str) -> Reply {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/samples")
        .join(name);
    Reply::Body(std::fs::read_to_string(path).expect("the sample exists"))
}

impl Mock {
    /// Starts with these VPSes: running KVM guests with points and usage.
    pub async fn start(veids: impl IntoIterator<Item = u64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has ports");
        let address = listener.local_addr().expect("it is bound");
        let mock = Self {
            endpoint: format!("http://{address}/v1"),
            state: Arc::default(),
        };
        for veid in veids {
            mock.recover(veid);
        }
        let state = mock.state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(respond(stream, state.clone()));
            }
        });
        mock
    }

    /// Resets every call of a VPS to the response of a running KVM guest.
    pub fn recover(&self, veid: u64) {
        let mut state = self.state.lock().unwrap();
        state.everything.remove(&veid);
        let Reply::Body(usage) = sample("raw_usage_stats_kvm.json") else {
            unreachable!("samples are bodies")
        };
        // The newest row of the sample moves to now, or it would be stale from the start.
        let usage = usage.replace("1790820301", &unix_now().to_string());
        for (call, reply) in [
            ("getLiveServiceInfo", sample("live_kvm_running.wire.json")),
            ("getServiceInfo", sample("service_info_kvm.json")),
            ("getRateLimitStatus", sample("rate_limit_status.json")),
            ("getRawUsageStats", Reply::Body(usage)),
            ("snapshot/list", sample("snapshot_list.json")),
            ("backup/list", sample("backup_list.json")),
            (
                "getSuspensionDetails",
                sample("suspension_details_none.json"),
            ),
            ("getPolicyViolations", sample("policy_violations_none.json")),
            ("getAuditLog", sample("audit_log.json")),
            ("migrate/getLocations", sample("migrate_locations.json")),
        ] {
            state.replies.insert((veid, call.to_owned()), reply);
        }
    }

    /// Sets the response to a call of a VPS.
    pub fn reply(&self, veid: u64, call: &str, reply: Reply) {
        let mut state = self.state.lock().unwrap();
        state.replies.insert((veid, call.to_owned()), reply);
    }

    /// Sets a reading with enough points for many calls a second.
    pub fn plenty_of_points(&self, veid: u64) {
        let points =
            "{\"error\":0,\"remaining_points_15min\":1000000,\"remaining_points_24h\":100000000}";
        self.reply(veid, "getRateLimitStatus", Reply::Body(points.to_owned()));
    }

    /// Sets the response to all calls of a VPS.
    pub fn reply_to_everything(&self, veid: u64, reply: Reply) {
        self.state.lock().unwrap().everything.insert(veid, reply);
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }
}

fn unix_now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

async fn respond(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let Some(request) = read_request(&mut stream).await else {
        return;
    };
    let reply = {
        let mut state = state.lock().unwrap();
        let key = (request.veid(), request.call().to_owned());
        let reply = state
            .everything
            .get(&key.0)
            .or_else(|| state.replies.get(&key))
            .cloned()
            .unwrap_or_else(|| sample("error_auth.json"));
        state.requests.push(request);
        reply
    };
    let (status, headers, body, sent) = match reply {
        Reply::Body(body) => (200, "", body.clone().into_bytes(), body.len()),
        Reply::Status(status, body) => (status, "", body.as_bytes().to_vec(), body.len()),
        Reply::Whole(status, headers, body) => (status, headers, body.clone(), body.len()),
        Reply::Truncated(body) => (200, "", body.clone().into_bytes(), body.len() / 2),
        Reply::Drop => return,
        Reply::Hang => {
            // Until the client gives up and closes.
            let _ = stream.read(&mut [0]).await;
            return;
        }
    };
    let location = match status {
        300..400 => format!("Location: {}\r\n", String::from_utf8_lossy(&body)),
        _ => String::new(),
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\n{location}{headers}Content-Type: text/html; charset=UTF-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&body[..sent]).await;
}

async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let (line, body) = receive(stream).await?;
    let form = body
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Some(Request { line, form })
}

/// The first line and the body of a request, if one arrives.
pub async fn receive(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut received = Vec::new();
    loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[..end]).into_owned();
            let length: usize = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, value)| value.trim().parse().ok())
                .unwrap_or(0);
            if received.len() >= end + 4 + length {
                let body = String::from_utf8_lossy(&received[end + 4..]).into_owned();
                return Some((head.lines().next()?.to_owned(), body));
            }
        }
        if stream.read_buf(&mut received).await.ok()? == 0 {
            return None;
        }
    }
}
