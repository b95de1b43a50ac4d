//! The status page in a real browser, and its JSON.

use reqwest::header::{HeaderMap, HeaderName};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::exporter::{Exporter, config, http, unix_now};
use crate::mock::{Mock, Reply, sample};
use crate::page::Page;
use crate::prometheus::{every_call_was_made, halt};

/// The demo after every call to every VPS was made, with each VPS in the state that it is named after.
async fn demo() -> Exporter {
    let exporter = Exporter::start(&["--demo"]);
    exporter
        .wait_for("every call was made", |page| {
            every_call_was_made(page) && page.of("throttled", "kiwivm_cpu_throttled") == Some(1.0)
        })
        .await;
    halt(&exporter).await;
    exporter
}

/// A script that returns the visible text below an element.
fn text_of(selector: &str) -> String {
    format!("return document.querySelector({selector:?}).innerText")
}

/// A script that finds elements wider than the screen, except those for screen readers only.
const TOO_WIDE: &str = "\
const wide = [...document.querySelectorAll('body *')].filter((element) =>
  !element.matches('.visually-hidden') && element.getBoundingClientRect().right > innerWidth + 0.5);
return [document.documentElement.scrollWidth <= innerWidth, innerWidth, wide.map((element) => element.outerHTML)];";

/// Opens all rows, as a reader does one by one.
const OPEN_ROWS: &str =
    "document.querySelectorAll('details').forEach((row) => { row.open = true; })";

async fn assert_fits(browser: &Browser, width: u32) {
    browser.resize(width, 640).await;
    assert_eq!(browser.run(TOO_WIDE).await, json!([true, width, []]));
}

/// URLs of all network requests of the browser.
async fn requested_urls(browser: &Browser) -> Vec<String> {
    browser
        .log("performance")
        .await
        .iter()
        .filter_map(|entry| {
            let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let sent = message["message"]["method"] == "Network.requestWillBeSent";
            let url = &message["message"]["params"]["request"]["url"];
            sent.then(|| url.as_str().unwrap_or_default().to_owned())
        })
        .filter(|url| url.starts_with("http"))
        .collect()
}

/// A VPS that needs no attention is a row until somebody opens it.
async fn assert_healthy_row_is_closed(browser: &Browser) {
    let rows = browser
        .run("return [...document.querySelectorAll('.row')].map((row) => [row.querySelector('h3').innerText, row.innerText])")
        .await;
    let rows = rows.as_array().expect("it is a list");
    let healthy = rows.iter().find(|row| row[0] == "healthy");
    let healthy = healthy.and_then(|row| row[1].as_str()).unwrap_or_default();
    assert!(
        healthy.contains("running") && healthy.contains("GiB"),
        "{healthy}"
    );
    assert!(!healthy.contains("Load"), "{healthy}");
}

#[tokio::test]
async fn the_demo_page_is_complete_accessible_and_fits_any_screen() {
    let exporter = demo().await;
    let browser = Browser::start().await;
    browser.open(&exporter.url).await;

    let title = browser.run(&text_of("h1")).await;
    let title = title.as_str().expect("it is text");
    assert!(title.ends_with(" of 8 VPSes need attention"), "{title}");
    assert_healthy_row_is_closed(&browser).await;
    browser.run(OPEN_ROWS).await;
    let cards = browser
        .run(
            "return Object.fromEntries([...document.querySelectorAll('article')].map((card) =>
               [card.querySelector('h3').innerText, card.innerText]))",
        )
        .await;
    for (name, words) in [
        (
            "healthy",
            &["running", "Bandwidth", "at the reset", "Load"][..],
        ),
        ("nearly-used-up", &["It has used ", "What to do"]),
        ("throttled", &["The vendor throttles its CPU"]),
        (
            "stopped",
            &[
                "stopped",
                "if it lasts It is not running. The configuration expects it to run.",
            ],
        ),
        ("suspended", &["Critical", "suspended", "used up"]),
        ("locked", &["locked: ", "% done", "Last error"]),
        ("openvz", &["Disk used"]),
        (
            "wrong-key",
            &[
                "key refused",
                "Last response\nnever",
                "700005",
                "Next poll\nin ",
            ],
        ),
    ] {
        let card = cards[name]
            .as_str()
            .unwrap_or_else(|| panic!("{name}: {cards}"));
        for words in words {
            assert!(card.contains(words), "{name}, {words}: {card}");
        }
    }
    let bars = browser
        .run(
            "return [...document.querySelectorAll('.bar')].map((bar) => {
               const width = (part) => part.getBoundingClientRect().width;
               return [bar.getAttribute('aria-label'), 100 * width(bar.querySelector('rect')) / (width(bar) - 2)];
             })",
        )
        .await;
    let bars = bars.as_array().expect("it is a list");
    assert!(bars.len() >= 6, "{bars:?}");
    for bar in bars {
        let label = bar[0].as_str().expect("it is text");
        let value: f64 = label
            .split(' ')
            .next()
            .and_then(|value| value.parse().ok())
            .expect("it begins with a number");
        let drawn = bar[1].as_f64().expect("it is a number");
        assert!((drawn - value.min(100.0)).abs() < 1.5, "{label}: {drawn}");
    }

    for (medium, scheme) in [
        ("screen", "light"),
        ("screen", "dark"),
        ("print", "light"),
        ("print", "dark"),
    ] {
        browser.media(medium, scheme).await;
        let problems = browser.run(include_str!("status_page.js")).await;
        assert_eq!(problems, json!([]), "{medium}, {scheme}");
        let background = browser
            .run("return getComputedStyle(document.body).backgroundColor")
            .await;
        let is_dark = background != "rgb(255, 255, 255)";
        assert_eq!(
            is_dark,
            (medium, scheme) == ("screen", "dark"),
            "{background}"
        );
    }
    browser.media("screen", "light").await;
    for width in [320, 600, 1280] {
        assert_fits(&browser, width).await;
    }

    let errors = browser.log("browser").await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(
        requested_urls(&browser).await,
        [format!("{}/", exporter.url)]
    );
}

#[tokio::test]
async fn the_page_needs_no_scripts_and_blocks_injected_ones() {
    let exporter = demo().await;
    let browser = Browser::start().await;
    let off = |off: bool| json!({"value": off});
    browser
        .devtools("Emulation.setScriptExecutionDisabled", off(true))
        .await;
    browser.open(&exporter.url).await;
    let tree = browser
        .devtools("Accessibility.getFullAXTree", json!({}))
        .await;
    let names: Vec<(&str, &str)> = tree["nodes"]
        .as_array()
        .expect("it is a list")
        .iter()
        .filter_map(|node| {
            Some((
                node["role"]["value"].as_str()?,
                node["name"]["value"].as_str()?,
            ))
        })
        .collect();
    for (role, name) in [
        ("heading", "VPSes need attention"),
        ("heading", "openvz"),
        ("image", "of the allowance used"),
        ("link", "What to do about KiwiVMCPUThrottled"),
        ("link", "Metrics"),
    ] {
        let found = |(a, b): &(&str, &str)| *a == role && b.contains(name);
        assert!(names.iter().any(found), "{role} {name}: {names:?}");
    }

    browser
        .devtools("Emulation.setScriptExecutionDisabled", off(false))
        .await;
    browser.open(&exporter.url).await;
    browser.log("browser").await;
    let result = browser
        .run(
            "document.head.insertAdjacentHTML('beforeend', '<style>h1 { color: rgb(1, 2, 3) }</style>');
             document.querySelector('h1').setAttribute('style', 'color: rgb(1, 2, 3)');
             document.querySelector('h1').setAttribute('onclick', 'window.clicked = true');
             document.querySelector('h1').click();
             const script = document.createElement('script');
             script.textContent = 'window.ran = true';
             document.body.append(script);
             return [window.ran || window.clicked || null, getComputedStyle(document.querySelector('h1')).color]",
        )
        .await;
    assert_eq!(result[0], Value::Null, "a script ran");
    assert_ne!(result[1], "rgb(1, 2, 3)", "a style was applied");
    let errors = browser.log("browser").await;
    assert!(errors.len() >= 4, "{errors:?}");
    for error in errors {
        assert!(
            error.to_string().contains("Content Security Policy"),
            "{error}"
        );
    }
}

const HOSTILE: &str = "<script>document.title = 1</script>\"'&\u{202e}<b>";

/// A healthy VPS, one with hostile names, and one whose errors have hostile messages.
async fn watched() -> (Exporter, Mock, tempfile::TempDir) {
    let mock = Mock::start(1..=3).await;
    let live = |change: &dyn Fn(&mut Value)| {
        let Reply::Body(text) = sample("live_kvm_running.json") else {
            unreachable!("samples are bodies")
        };
        let mut response: Value = serde_json::from_str(&text).expect("it is JSON");
        response["data_next_reset"] = json!(unix_now() + 10 * 86_400);
        response["monthly_data_multiplier"] = json!(0.5);
        change(&mut response);
        Reply::Body(response.to_string())
    };
    mock.reply(1, "getLiveServiceInfo", live(&|_| {}));
    let hostile = live(&|response| {
        response["hostname"] = json!(HOSTILE.repeat(3));
        response["plan"] = json!("x".repeat(1000));
        response["node_location"] = json!("</style></title>");
    });
    mock.reply(2, "getLiveServiceInfo", hostile);
    let refusal = json!({"error": 5, "message": HOSTILE}).to_string();
    mock.reply_to_everything(3, Reply::Body(refusal));
    let yaml = format!(
        "api: {{endpoint: {}}}\nvps:\n- {{name: well, veid: 1, api_key: k1}}\n- {{name: {}, veid: 2, api_key: k2}}\n- {{name: {}, veid: 3, api_key: k3}}\n",
        mock.endpoint,
        json!(HOSTILE),
        "long".repeat(16),
    );
    let (folder, flag) = config(&yaml);
    let exporter = Exporter::start(&[&flag]);
    exporter
        .wait_for("all are polled", |page: &Page| {
            page.series("kiwivm_running", &[]).count() == 2
                && page
                    .series(
                        "kiwivm_poll_errors_total",
                        &[("call", "getLiveServiceInfo")],
                    )
                    .count()
                    == 1
        })
        .await;
    (exporter, mock, folder)
}

#[tokio::test]
async fn hostile_text_is_escaped() {
    let (exporter, _mock, _folder) = watched().await;
    let browser = Browser::start().await;
    browser.open(&exporter.url).await;
    let name = browser
        .run("return document.querySelector('#vps-2 h3').textContent")
        .await;
    assert_eq!(name, HOSTILE.replace('\u{202e}', "\u{fffd}"));
    let title = browser.run("return document.title").await;
    assert_eq!(title, "The state of 1 of 3 VPSes is unknown · KiwiVM");
    assert_eq!(browser.run(include_str!("status_page.js")).await, json!([]));
    assert_fits(&browser, 320).await;
    let errors = browser.log("browser").await;
    assert!(errors.is_empty(), "{errors:?}");
}

#[tokio::test]
async fn page_and_json_agree() {
    let (exporter, _mock, _folder) = watched().await;
    exporter
        .wait_for("there is a forecast", |page: &Page| {
            let of_the_first = [("veid", "1")];
            page.series("kiwivm_bandwidth_forecast_bytes", &of_the_first)
                .count()
                == 1
        })
        .await;
    let facts: Value =
        serde_json::from_str(&exporter.get("/status.json").await).expect("it is JSON");
    let browser = Browser::start().await;
    browser.open(&exporter.url).await;
    browser.run(OPEN_ROWS).await;
    let card = browser.run(&text_of("#vps-1")).await;
    let card = card.as_str().expect("it is text");
    let vps = facts["vps"]
        .as_array()
        .and_then(|all| all.iter().find(|vps| vps["veid"] == 1))
        .expect("it is there");
    let gib = |bytes: &Value| {
        format!(
            "{:.0} GiB",
            bytes.as_f64().expect("it is known") / f64::from(1 << 30)
        )
    };
    let percent = |ratio: &Value| {
        format!(
            "{} %",
            (100.0 * ratio.as_f64().expect("it is known")).floor()
        )
    };
    let bandwidth = &vps["bandwidth"];
    let load: Vec<String> = vps["load"]
        .as_array()
        .expect("it is known")
        .iter()
        .map(|load| format!("{:.2}", load.as_f64().expect("it is a number")))
        .collect();
    for words in [
        vps["name"].as_str().expect("it is text"),
        vps["state"].as_str().expect("it is text"),
        vps["hostname"].as_str().expect("it is text"),
        vps["plan"].as_str().expect("it is text"),
        &format!(
            "Bandwidth {} of {}, {}",
            gib(&bandwidth["used_bytes"]),
            gib(&bandwidth["allowance_bytes"]),
            percent(&bandwidth["used_ratio"])
        ),
        &format!(
            "Forecast: {} at the reset",
            percent(&bandwidth["forecast_ratio"])
        ),
        "Reset in 9 days",
        &format!("of {}", gib(&vps["memory"]["total_bytes"])),
        &format!("6.7 GiB of {}", gib(&vps["disk"]["size_bytes"])),
        &load.join(", "),
    ] {
        assert!(card.contains(words), "{words}: {card}");
    }
    assert_eq!(bandwidth["used_bytes"], 159_101_974_288_u64);
    assert_eq!(vps["attention"], Value::Null);
    let failing = facts["vps"]
        .as_array()
        .and_then(|all| all.iter().find(|vps| vps["veid"] == 3));
    let failing = failing.expect("it is there");
    assert_eq!(failing["state"], "unknown");
    assert_eq!(failing["memory"]["total_bytes"], Value::Null);
    assert_eq!(
        (&failing["concerns"], &failing["pending"]),
        (&json!([]), &json!([]))
    );
    let summary = browser.run(&text_of("header")).await;
    assert!(
        summary
            .as_str()
            .is_some_and(|words| words.contains("2 healthy, 1 unknown.")),
        "{summary}"
    );
}

#[tokio::test]
async fn clients_that_prefer_json_get_it() {
    let exporter = Exporter::start(&["--demo"]);
    let request = async |path: &str, accept: &str, encoding: &str| {
        let request = http()
            .get(format!("{}{path}", exporter.url))
            .header("accept", accept)
            .header("accept-encoding", encoding);
        let response = request.send().await.expect("it responds");
        let headers: HeaderMap = response.headers().clone();
        (headers, response.bytes().await.expect("it ends"))
    };
    let of = |headers: &HeaderMap, name: &'static str| {
        let value = headers.get(HeaderName::from_static(name));
        value.map_or(String::new(), |value| {
            value.to_str().expect("it is text").to_owned()
        })
    };
    for (path, accept, content_type, vary) in [
        (
            "/",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "text/html; charset=utf-8",
            "Accept, Accept-Encoding",
        ),
        (
            "/",
            "*/*",
            "text/html; charset=utf-8",
            "Accept, Accept-Encoding",
        ),
        (
            "/",
            "application/json",
            "application/json",
            "Accept, Accept-Encoding",
        ),
        (
            "/",
            "application/json;q=0.5, text/html",
            "text/html; charset=utf-8",
            "Accept, Accept-Encoding",
        ),
        (
            "/status.json",
            "text/html",
            "application/json",
            "Accept-Encoding",
        ),
    ] {
        let (headers, body) = request(path, accept, "identity").await;
        assert_eq!(
            of(&headers, "content-type"),
            content_type,
            "{path} {accept}"
        );
        assert_eq!(of(&headers, "vary"), vary);
        assert_eq!(of(&headers, "cache-control"), "no-store");
        assert_eq!(of(&headers, "x-content-type-options"), "nosniff");
        assert_eq!(of(&headers, "referrer-policy"), "no-referrer");
        assert_eq!(of(&headers, "content-encoding"), "");
        let policy = of(&headers, "content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-"),
            "{policy}"
        );
        assert_eq!(body.starts_with(b"{"), content_type == "application/json");
    }
    let (headers, small) = request("/", "*/*", "gzip").await;
    assert_eq!(of(&headers, "content-encoding"), "gzip");
    assert!(small.starts_with(&[0x1f, 0x8b]));
}
