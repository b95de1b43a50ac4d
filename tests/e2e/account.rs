//! A fake account that counts API points in two sliding windows, for tests of polling over time. A script decides which
//! calls fail. Every call is recorded with its time of arrival. It shares no code with the simulator, so that one
//! misunderstanding cannot hide in both.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{Display, Write as _};
use std::ops::RangeInclusive;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::mock::{Reply, receive, sample};

pub const LIVE: &str = "getLiveServiceInfo";
pub const SERVICE: &str = "getServiceInfo";
pub const USAGE: &str = "getRawUsageStats";
pub const READING: &str = "getRateLimitStatus";

/// The two windows: 15 minutes and 24 hours, in seconds.
const WINDOWS: [f64; 2] = [900.0, 86_400.0];

/// Which VPSes share a quota.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scope {
    Vps,
    Account,
}

/// A call that has just arrived, for scripts.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub veid: u64,
    pub call: String,
    /// Number of earlier requests for this call by this VPS.
    pub number: u64,
    /// Time since the account opened.
    pub since: Duration,
    /// Points left in both windows after the call.
    pub left: [u64; 2],
}

type Script<T> = Box<dyn Fn(&Arrival) -> T + Send + Sync>;

/// Behaviour of the account.
pub struct Behaviour {
    pub sizes: [u64; 2],
    pub scope: Scope,
    pub cost: fn(&str) -> u64,
    /// Speed of its windows relative to the clock, as the exporter's `--simulator.time-scale`.
    pub time_scale: f64,
    /// Delay until a call shows up in `getRateLimitStatus`.
    pub lag: Duration,
    pub latency: Script<Duration>,
    /// Overrides the default response.
    pub reply: Script<Option<Reply>>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            sizes: [1000, 20_000],
            scope: Scope::Account,
            cost: |_| 1,
            time_scale: 1.0,
            lag: Duration::ZERO,
            latency: Box::new(|_| Duration::from_millis(20)),
            reply: Box::new(|_| None),
        }
    }
}

/// A response to `getRateLimitStatus`. Takes numbers or any other JSON.
pub fn reading(quarter: impl Display, day: impl Display) -> Reply {
    Reply::Body(format!(
        "{{\"error\":0,\"remaining_points_15min\":{quarter},\"remaining_points_24h\":{day}}}"
    ))
}

/// A call that was made.
#[derive(Clone, Debug)]
pub struct RecordedCall {
    pub veid: u64,
    pub call: String,
    pub at: Instant,
    /// Time at which the default response was sent, if it was.
    pub succeeded: Option<Instant>,
}

#[derive(Default)]
struct Record {
    made: Mutex<Vec<RecordedCall>>,
    changed: Condvar,
}

/// An account with VPSes 1 to N, closed on drop.
pub struct Account {
    pub endpoint: String,
    pub vps: u64,
    record: Arc<Record>,
    socket: socket2::Socket,
    stop: Option<oneshot::Sender<()>>,
}

impl Drop for Account {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Its thread may have ended already.
            let _ = stop.send(());
        }
    }
}

impl Account {
    /// Reserves an address that refuses connections until `listen`.
    pub fn closed(vps: u64) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("there are sockets");
        let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
        socket.bind(&any.into()).expect("loopback has ports");
        let address = socket.local_addr().expect("it is bound");
        let address = address.as_socket().expect("it is IPv4");
        Self {
            endpoint: format!("http://{address}/v1"),
            vps,
            record: Arc::default(),
            socket,
            stop: None,
        }
    }

    pub fn open(vps: u64, behaviour: Behaviour) -> Self {
        let mut account = Self::closed(vps);
        account.listen(behaviour, HashMap::new());
        account
    }

    /// Starts listening on its own thread, so that a test may block. `spent` holds points already used, by VPS.
    pub fn listen(&mut self, behaviour: Behaviour, spent: HashMap<u64, u64>) {
        self.socket.listen(1024).expect("it is bound");
        self.socket.set_nonblocking(true).expect("it is a socket");
        let listener = self.socket.try_clone().expect("there are descriptors");
        let record = self.record.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        self.stop = Some(stop);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("there is a runtime").block_on(async {
                let listener = TcpListener::from_std(listener.into()).expect("it listens");
                let ledger = Arc::new(Ledger::new(behaviour, spent));
                let accept = async {
                    while let Ok((stream, _)) = listener.accept().await {
                        tokio::spawn(respond(stream, ledger.clone(), record.clone()));
                    }
                };
                tokio::select! {
                    () = accept => {}
                    _ = stopped => {}
                }
            });
        });
    }

    /// A configuration for its VPSes, named vps-001 and so on.
    pub fn configuration(&self, more: &str) -> String {
        let mut yaml = format!("api: {{endpoint: \"{}\"}}\n{more}\nvps:\n", self.endpoint);
        for veid in 1..=self.vps {
            let _ = writeln!(
                yaml,
                "- {{name: {}, veid: {veid}, api_key: private_x}}",
                name(veid)
            );
        }
        yaml
    }

    pub fn made(&self) -> Vec<RecordedCall> {
        self.record.made.lock().unwrap().clone()
    }

    /// Waits until the recorded calls satisfy `is`. On timeout, `Err` describes the calls.
    pub fn wait_for(
        &self,
        what: &str,
        deadline: Instant,
        is: impl Fn(&[RecordedCall]) -> bool,
    ) -> Result<(), String> {
        let mut made = self.record.made.lock().unwrap();
        while !is(&made) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("{what} did not happen in time; {}", summary(&made)));
            }
            made = self.record.changed.wait_timeout(made, left).unwrap().0;
        }
        Ok(())
    }

    /// Waits until each of these VPSes got live or service info so many times.
    pub fn wait_for_state(
        &self,
        veids: &RangeInclusive<u64>,
        times: usize,
        deadline: Instant,
    ) -> Result<(), String> {
        let what = format!("state {times} times for each VPS");
        self.wait_for(&what, deadline, |made| {
            veids
                .clone()
                .all(|veid| state_times(made, veid).count() >= times)
        })
    }
}

/// The name of a VPS in the configuration. No name is a prefix of another.
pub fn name(veid: u64) -> String {
    format!("vps-{veid:03}")
}

/// Times at which a VPS got live or service info.
pub fn state_times(made: &[RecordedCall], veid: u64) -> impl Iterator<Item = Instant> {
    made.iter()
        .filter(move |made| made.veid == veid && [LIVE, SERVICE].contains(&made.call.as_str()))
        .filter_map(|made| made.succeeded)
}

/// Times of arrival of a call of a VPS.
pub fn times(made: &[RecordedCall], veid: u64, call: &str) -> Vec<Instant> {
    let of = made
        .iter()
        .filter(|made| made.veid == veid && made.call == call);
    of.map(|made| made.at).collect()
}

/// Number of calls by name, and the age of the last.
pub fn summary(made: &[RecordedCall]) -> String {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for made in made {
        let count = counts.entry(&made.call).or_default();
        count.0 += 1;
        count.1 += usize::from(made.succeeded.is_some());
    }
    let last = made.last().map(|made| made.at.elapsed());
    let kinds: Vec<_> = counts
        .iter()
        .map(|(call, (made, succeeded))| format!("{made} {call} ({succeeded} succeeded)"))
        .collect();
    format!(
        "calls: [{}], the last {} s ago",
        kinds.join(", "),
        last.map_or(-1.0, |last| last.as_secs_f64())
    )
}

/// Points spent, and the behaviour of the account.
struct Ledger {
    behaviour: Behaviour,
    opened: Instant,
    spent: Mutex<HashMap<u64, Vec<(Instant, u64)>>>,
    numbers: Mutex<HashMap<(u64, String), u64>>,
}

impl Ledger {
    fn new(behaviour: Behaviour, spent: HashMap<u64, u64>) -> Self {
        let opened = Instant::now();
        let quota = |veid| match behaviour.scope {
            Scope::Vps => veid,
            Scope::Account => 0,
        };
        let spent = spent
            .into_iter()
            .map(|(veid, points)| (quota(veid), vec![(opened, points)]));
        Self {
            spent: Mutex::new(spent.collect()),
            behaviour,
            opened,
            numbers: Mutex::default(),
        }
    }

    /// Spends the points of a call. Returns `Err` if too few are left.
    fn arrive(&self, veid: u64, call: &str, now: Instant) -> Result<Arrival, ()> {
        let quota = match self.behaviour.scope {
            Scope::Vps => veid,
            Scope::Account => 0,
        };
        let mut spent = self.spent.lock().unwrap();
        let spent = spent.entry(quota).or_default();
        let left = |spent: &[(Instant, u64)], lag: Duration| {
            [0, 1].map(|window| {
                let length = Duration::from_secs_f64(WINDOWS[window] / self.behaviour.time_scale);
                let counted = spent.iter().filter(|(at, _)| {
                    let age = now.duration_since(*at);
                    age < length && age >= lag
                });
                let sum: u64 = counted.map(|(_, points)| points).sum();
                self.behaviour.sizes[window].saturating_sub(sum)
            })
        };
        let cost = (self.behaviour.cost)(call);
        if left(spent, Duration::ZERO).iter().any(|left| *left < cost) {
            return Err(());
        }
        spent.push((now, cost));
        let mut numbers = self.numbers.lock().unwrap();
        let number = numbers.entry((veid, call.to_owned())).or_default();
        *number += 1;
        Ok(Arrival {
            veid,
            call: call.to_owned(),
            number: *number - 1,
            since: now - self.opened,
            left: left(spent, self.behaviour.lag),
        })
    }
}

fn usual(arrival: &Arrival) -> Reply {
    let [quarter, day] = arrival.left;
    match arrival.call.as_str() {
        LIVE => sample("live_kvm_running.wire.json"),
        SERVICE => sample("service_info_kvm.json"),
        READING => reading(quarter, day),
        USAGE => sample("raw_usage_stats_kvm.json"),
        "snapshot/list" => sample("snapshot_list.json"),
        "backup/list" => sample("backup_list.json"),
        "getSuspensionDetails" => sample("suspension_details_none.json"),
        "getPolicyViolations" => sample("policy_violations_none.json"),
        _ => Reply::Status(404, ""),
    }
}

async fn respond(mut stream: TcpStream, ledger: Arc<Ledger>, record: Arc<Record>) {
    let Some((line, body)) = receive(&mut stream).await else {
        return;
    };
    let now = Instant::now();
    let path = line.split(' ').nth(1).unwrap_or_default();
    let call = path.strip_prefix("/v1/").unwrap_or(path);
    let veid = body
        .split('&')
        .find_map(|pair| pair.strip_prefix("veid=")?.parse().ok())
        .unwrap_or_default();
    let arrival = ledger.arrive(veid, call, now);
    let number = {
        let mut made = record.made.lock().unwrap();
        made.push(RecordedCall {
            veid,
            call: call.to_owned(),
            at: now,
            succeeded: None,
        });
        record.changed.notify_all();
        made.len() - 1
    };
    let (reply, usual) = match &arrival {
        Err(()) => (Reply::Status(429, ""), false),
        Ok(arrival) => {
            tokio::time::sleep((ledger.behaviour.latency)(arrival)).await;
            match (ledger.behaviour.reply)(arrival) {
                Some(reply) => (reply, false),
                None => (usual(arrival), true),
            }
        }
    };
    let (status, headers, body) = match reply {
        Reply::Body(body) => (200, "", body.into_bytes()),
        Reply::Status(status, body) => (status, "", body.as_bytes().to_vec()),
        Reply::Whole(status, headers, body) => (status, headers, body),
        Reply::Hang => {
            // Until the client gives up and closes.
            let _ = stream.read(&mut [0]).await;
            return;
        }
        Reply::Drop | Reply::Truncated(_) => return,
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: text/html; charset=UTF-8\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
    if usual {
        record.made.lock().unwrap()[number].succeeded = Some(Instant::now());
        record.changed.notify_all();
    }
}
