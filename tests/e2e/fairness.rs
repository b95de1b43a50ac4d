//! Expensive requests: clients that make many of them wait for each other, and nobody else waits for them.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use tokio::task::JoinSet;

use crate::exporter::{http, http_from};
use crate::server::{Echo, options, start, start_site};
use crate::tls::Site;

async fn get(client: &Client, url: &str, password: &str) -> StatusCode {
    let request = client.get(url).basic_auth("alice", Some(password));
    request.send().await.expect("it responds").status()
}

/// Clients that try one password after another, with a count of the attempts.
struct Guessers {
    tried: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Guessers {
    async fn start(count: usize, address: [u8; 4], url: &str) -> Self {
        let tried = Arc::new(AtomicUsize::new(0));
        let client = http_from(Some(address));
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let (tried, client, url) = (tried.clone(), client.clone(), url.to_owned());
            tasks.spawn(async move {
                for attempt in 0.. {
                    let password = format!("wrong {number} {attempt}");
                    let status = get(&client, &url, &password).await;
                    assert_eq!(status, StatusCode::UNAUTHORIZED);
                    tried.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let guessers = Self {
            tried,
            _tasks: tasks,
        };
        guessers.wait_for_more(1).await;
        guessers
    }

    fn tried(&self) -> usize {
        self.tried.load(Ordering::Relaxed)
    }

    async fn wait_for_more(&self, more: usize) {
        let enough = self.tried() + more;
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while self.tried() < enough {
            tick.tick().await;
        }
    }
}

/// A server whose password check takes a while even in unoptimised builds.
async fn password_protected() -> (Site, String) {
    let hash = bcrypt::hash("right", 7).expect("there is randomness");
    let site = Site::new(&format!("basic_auth_users: {{alice: {hash}}}\n"));
    let url = format!("http://{}/", start(site.options(), 0).await);
    (site, url)
}

#[tokio::test]
async fn wrong_passwords_do_not_delay_other_clients() {
    let (_site, url) = password_protected().await;
    let guessers = Guessers::start(24, [127, 0, 0, 2], &url).await;
    let client = http();
    let before = guessers.tried();
    assert_eq!(get(&client, &url, "right").await, StatusCode::OK);
    // One check in progress, one queued ahead, and some slack for the counter.
    let waited = guessers.tried() - before;
    assert!(waited <= 4, "{waited} wrong ones were checked first");
    guessers.wait_for_more(1).await;
    let before = guessers.tried();
    for _ in 0..10 {
        assert_eq!(get(&client, &url, "right").await, StatusCode::OK);
    }
    let waited = guessers.tried() - before;
    assert!(waited <= 4, "{waited} wrong ones were checked first");
}

/// All clients behind a proxy share an address. They wait, but are not rejected.
#[tokio::test]
async fn a_right_password_is_checked_despite_wrong_ones_of_the_same_client() {
    let (_site, url) = password_protected().await;
    let _guessers = Guessers::start(24, [127, 0, 0, 1], &url).await;
    assert_eq!(get(&http(), &url, "right").await, StatusCode::OK);
}

#[tokio::test]
async fn equal_passwords_are_checked_once() {
    let (_site, url) = password_protected().await;
    let guessers = Guessers::start(5, [127, 0, 0, 2], &url).await;
    let client = http();
    let before = guessers.tried();
    let mut first = JoinSet::new();
    for _ in 0..40 {
        let (client, url) = (client.clone(), url.clone());
        first.spawn(async move { get(&client, &url, "right").await });
    }
    for status in first.join_all().await {
        assert_eq!(status, StatusCode::OK);
    }
    // If each were checked in turn, one wrong password would be checked in between.
    let waited = guessers.tried() - before;
    assert!(waited <= 10, "{waited} wrong ones were checked meanwhile");
}

/// Pages rendered for a single request may use a quarter of the time, over all clients.
#[tokio::test]
async fn filtered_pages_leave_time_for_scrapes_and_clients_take_turns() {
    let rendering = Duration::from_millis(20);
    let echo = Arc::new(Echo {
        rendering,
        ..Echo::default()
    });
    let (address, _serving) = start_site(echo.clone(), options(), pending()).await;
    let url = format!("http://{address}/metrics");
    let flood = http_from(Some([127, 0, 0, 2]));
    let rendered = || echo.rendered.load(Ordering::Relaxed);
    let mut tasks = JoinSet::new();
    for number in 0..20 {
        let (client, url) = (flood.clone(), url.clone());
        tasks.spawn(async move {
            loop {
                let response = client.get(format!("{url}?vps=v{number}")).send().await;
                assert_eq!(response.expect("it responds").status(), StatusCode::OK);
            }
        });
    }
    let (started, first) = (Instant::now(), rendered());
    let client = http();
    while rendered() < first + 30 {
        let before = rendered();
        let scrape = client.get(&url).send().await.expect("it responds");
        assert_eq!(scrape.status(), StatusCode::OK);
        let waited = rendered() - before;
        assert!(waited <= 3, "{waited} pages were rendered first");
    }
    let took = started.elapsed();
    assert!(took >= rendering * 29 * 4, "30 pages took {took:?}");

    let before = rendered();
    let page = client.get(format!("{url}?vps=mine")).send().await;
    assert_eq!(page.expect("it responds").status(), StatusCode::OK);
    let waited = rendered() - before;
    assert!(waited <= 4, "{waited} pages were rendered first");
}
