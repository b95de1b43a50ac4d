//! A stand-in for an account that counts API points in two sliding windows, for tests of polling over time. A script
//! decides which calls go wrong, and every call is recorded with the time at which it arrived. It shares no code with
//! the simulator, so that a misunderstanding cannot be on both sides.

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

/// A quarter of an hour and a day in seconds.
const WINDOWS: [f64; 2] = [900.0, 86_400.0];

/// How many VPSes share a quota.
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
    /// How many times this VPS got this call before.
    pub number: u64,
    /// Time since the account opened.
    pub since: Duration,
    /// Points left in both windows after the call.
    pub left: [u64; 2],
}

type Script<T> = Box<dyn Fn(&Arrival) -> T + Send + Sync>;

/// How the account behaves.
pub struct Terms {
    pub sizes: [u64; 2],
    pub scope: Scope,
    pub cost: fn(&str) -> u64,
    /// How much faster than the clock its windows move, as the exporter's `--simulator.time-scale`.
    pub time_scale: f64,
    /// By how much readings lag behind.
    pub lag: Duration,
    pub latency: Script<Duration>,
    /// Responses other than the usual ones.
    pub reply: Script<Option<Reply>>,
}

impl Default for Terms {
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

/// The response to a reading; numbers, or any other JSON.
pub fn reading(quarter: impl Display, day: impl Display) -> Reply {
    Reply::Body(format!(
        "{{\"error\":0,\"remaining_points_15min\":{quarter},\"remaining_points_24h\":{day}}}"
    ))
}

/// A call that was made.
#[derive(Clone, Debug)]
pub struct Made {
    pub veid: u64,
    pub call: String,
    pub at: Instant,
    /// When a usual response had been sent, if there was one.
    pub succeeded: Option<Instant>,
}

#[derive(Default)]
struct Book {
    made: Mutex<Vec<Made>>,
    changed: Condvar,
}

/// An account with VPSes 1 to N. It closes when it is dropped.
pub struct Account {
    pub endpoint: String,
    pub vps: u64,
    book: Arc<Book>,
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
    /// Reserves an address at which connections are refused until it opens.
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
            book: Arc::default(),
            socket,
            stop: None,
        }
    }

    pub fn open(vps: u64, terms: Terms) -> Self {
        let mut account = Self::closed(vps);
        account.listen(terms, HashMap::new());
        account
    }

    /// Opens it on a thread of its own, so that a test may block. `spent` are points already used by VPS.
    pub fn listen(&mut self, terms: Terms, spent: HashMap<u64, u64>) {
        self.socket.listen(1024).expect("it is bound");
        self.socket.set_nonblocking(true).expect("it is a socket");
        let listener = self.socket.try_clone().expect("there are descriptors");
        let book = self.book.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        self.stop = Some(stop);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("there is a runtime").block_on(async {
                let listener = TcpListener::from_std(listener.into()).expect("it listens");
                let ledger = Arc::new(Ledger::new(terms, spent));
                let accept = async {
                    while let Ok((stream, _)) = listener.accept().await {
                        tokio::spawn(answer(stream, ledger.clone(), book.clone()));
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

    pub fn made(&self) -> Vec<Made> {
        self.book.made.lock().unwrap().clone()
    }

    /// Waits until the calls made so far are as they should be; `Err` describes them when they are not in time.
    pub fn wait_for(
        &self,
        what: &str,
        deadline: Instant,
        is: impl Fn(&[Made]) -> bool,
    ) -> Result<(), String> {
        let mut made = self.book.made.lock().unwrap();
        while !is(&made) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("{what} did not happen in time; {}", summary(&made)));
            }
            made = self.book.changed.wait_timeout(made, left).unwrap().0;
        }
        Ok(())
    }

    /// Waits until each of these VPSes was told live or service info so many times.
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
                .all(|veid| states(made, veid).count() >= times)
        })
    }
}

/// The name of a VPS in the configuration; none is a part of another.
pub fn name(veid: u64) -> String {
    format!("vps-{veid:03}")
}

/// When a VPS was told live or service info.
pub fn states(made: &[Made], veid: u64) -> impl Iterator<Item = Instant> {
    made.iter()
        .filter(move |made| made.veid == veid && [LIVE, SERVICE].contains(&made.call.as_str()))
        .filter_map(|made| made.succeeded)
}

/// When a VPS got a call.
pub fn times(made: &[Made], veid: u64, call: &str) -> Vec<Instant> {
    let of = made
        .iter()
        .filter(|made| made.veid == veid && made.call == call);
    of.map(|made| made.at).collect()
}

/// Calls by name, and the time of the last.
pub fn summary(made: &[Made]) -> String {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for made in made {
        let count = counts.entry(&made.call).or_default();
        count.0 += 1;
        count.1 += usize::from(made.succeeded.is_some());
    }
    let last = made.last().map(|made| made.at.elapsed());
    let kinds: Vec<_> = counts
        .iter()
        .map(|(call, (made, well))| format!("{made} {call} ({well} well)"))
        .collect();
    format!(
        "calls: [{}], the last {} s ago",
        kinds.join(", "),
        last.map_or(-1.0, |last| last.as_secs_f64())
    )
}

/// What was spent, and how calls are answered.
struct Ledger {
    terms: Terms,
    opened: Instant,
    spent: Mutex<HashMap<u64, Vec<(Instant, u64)>>>,
    numbers: Mutex<HashMap<(u64, String), u64>>,
}

impl Ledger {
    fn new(terms: Terms, spent: HashMap<u64, u64>) -> Self {
        let opened = Instant::now();
        let quota = |veid| match terms.scope {
            Scope::Vps => veid,
            Scope::Account => 0,
        };
        let spent = spent
            .into_iter()
            .map(|(veid, points)| (quota(veid), vec![(opened, points)]));
        Self {
            spent: Mutex::new(spent.collect()),
            terms,
            opened,
            numbers: Mutex::default(),
        }
    }

    /// Spends the points of a call; `Err` when there are not enough of them.
    fn arrive(&self, veid: u64, call: &str, now: Instant) -> Result<Arrival, ()> {
        let quota = match self.terms.scope {
            Scope::Vps => veid,
            Scope::Account => 0,
        };
        let mut spent = self.spent.lock().unwrap();
        let spent = spent.entry(quota).or_default();
        let left = |spent: &[(Instant, u64)], lag: Duration| {
            [0, 1].map(|window| {
                let length = Duration::from_secs_f64(WINDOWS[window] / self.terms.time_scale);
                let counted = spent.iter().filter(|(at, _)| {
                    let age = now.duration_since(*at);
                    age < length && age >= lag
                });
                let sum: u64 = counted.map(|(_, points)| points).sum();
                self.terms.sizes[window].saturating_sub(sum)
            })
        };
        let cost = (self.terms.cost)(call);
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
            left: left(spent, self.terms.lag),
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

async fn answer(mut stream: TcpStream, ledger: Arc<Ledger>, book: Arc<Book>) {
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
        let mut made = book.made.lock().unwrap();
        made.push(Made {
            veid,
            call: call.to_owned(),
            at: now,
            succeeded: None,
        });
        book.changed.notify_all();
        made.len() - 1
    };
    let (reply, usual) = match &arrival {
        Err(()) => (Reply::Status(429, ""), false),
        Ok(arrival) => {
            tokio::time::sleep((ledger.terms.latency)(arrival)).await;
            match (ledger.terms.reply)(arrival) {
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
        book.made.lock().unwrap()[number].succeeded = Some(Instant::now());
        book.changed.notify_all();
    }
}
