//! Reverse proxy support: `--web.external-url` and `--web.route-prefix`.

use reqwest::{Client, Method, redirect};

use crate::exporter::{Exporter, http, run_without_blocking};

/// A client that does not follow redirects.
fn no_redirects() -> Client {
    let _ = http();
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .build()
        .expect("there is no TLS in it")
}

fn start(flags: &[&str]) -> Exporter {
    Exporter::start(&[&["--demo", "--web.enable-lifecycle"], flags].concat())
}

/// The links of a page to its own host.
fn links(page: &str) -> Vec<&str> {
    let all = page.split("href=\"").skip(1);
    all.filter_map(|rest| rest.split('"').next())
        .filter(|link| !link.starts_with("https://") && !link.starts_with('#'))
        .collect()
}

#[tokio::test]
async fn routes_links_and_redirects_honour_the_prefix() {
    let external = "--web.external-url=https://example.com/kiwivm/";
    for (flags, prefix, shown) in [
        (&[][..], "", "."),
        (&[external], "/kiwivm", "/kiwivm"),
        (&["--web.external-url=/kiwivm"], "/kiwivm", "/kiwivm"),
        (&["--web.route-prefix=a/b"], "/a/b", "/a/b"),
        // The proxy strips its prefix.
        (&[external, "--web.route-prefix=/"], "", "/kiwivm"),
        (
            &[external, "--web.route-prefix=/inner"],
            "/inner",
            "/kiwivm",
        ),
        (&["--web.external-url=https://example.com"], "", ""),
    ] {
        let exporter = start(flags);
        let client = no_redirects();
        let get = async |path: &str| {
            let url = format!("{}{path}", exporter.url);
            client.get(url).send().await.expect("it responds")
        };
        for path in ["/metrics", "/status.json", "/-/healthy", "/"] {
            let status = get(&format!("{prefix}{path}")).await.status().as_u16();
            assert_eq!(status, 200, "{flags:?} {path}");
        }
        let page = get(prefix).await.text().await.expect("it is text");
        assert!(page.starts_with("<!DOCTYPE html>"), "{flags:?} {page}");
        let links = links(&page);
        let expected = ["/metrics", "/status.json", "/-/healthy", "/-/ready"];
        assert_eq!(
            links,
            expected.map(|route| format!("{shown}{route}")),
            "{flags:?}"
        );
        for path in ["/nope", "//metrics", "/metrics/"] {
            let status = get(&format!("{prefix}{path}")).await.status().as_u16();
            assert_eq!(status, 404, "{flags:?} {path}");
        }
        let reload = client.post(format!("{}{prefix}/-/reload", exporter.url));
        assert_eq!(
            reload.send().await.expect("it responds").status().as_u16(),
            200
        );
        if prefix.is_empty() {
            continue;
        }
        for method in [Method::GET, Method::HEAD] {
            let request = client.request(method, format!("{}/", exporter.url));
            let response = request.send().await.expect("it responds");
            assert_eq!(response.status().as_u16(), 302);
            assert_eq!(response.headers()["location"], format!("{prefix}/"));
        }
        let beside = format!("{prefix}x/metrics");
        for path in [
            "/metrics",
            "/status.json",
            "/-/healthy",
            "/-/ready",
            &beside,
        ] {
            assert_eq!(get(path).await.status().as_u16(), 404, "{flags:?} {path}");
        }
    }
}

#[tokio::test]
async fn healthcheck_uses_the_route_prefix() {
    let flags = ["--web.external-url=https://example.com/kiwivm"];
    let exporter = start(&flags);
    let address = exporter.url.trim_start_matches("http://");
    let listen = format!("--web.listen-address={address}");
    for (flags, code) in [
        (&flags[..], 0),
        (&["--web.route-prefix=/kiwivm"], 0),
        (&[], 1),
        (&["--web.route-prefix=/other"], 1),
    ] {
        let output = run_without_blocking(&[&["healthcheck", &listen], flags].concat()).await;
        assert_eq!(output.status.code(), Some(code), "{flags:?} {output:?}");
    }
}

/// Covers browsers that send only Origin, behind a proxy that sets its own Host.
#[tokio::test]
async fn the_external_url_counts_as_same_origin() {
    let exporter = start(&["--web.external-url=https://example.com:8443/kiwivm"]);
    for (origin, status) in [
        ("https://example.com:8443", 200),
        (exporter.url.as_str(), 200),
        ("https://example.com", 403),
        ("http://example.com:8443", 403),
        ("https://a.example.com:8443", 403),
    ] {
        let reload = http().post(format!("{}/kiwivm/-/reload", exporter.url));
        let reload = reload.header("origin", origin).send().await;
        assert_eq!(
            reload.expect("it responds").status().as_u16(),
            status,
            "{origin}"
        );
    }
}
