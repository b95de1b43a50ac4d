//! Low file descriptor limits, and clients that want more connections than that.

use std::process::Command;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::exporter::{Exporter, PROGRAM, config, listening};
use crate::mock::Mock;

/// Starts the program with this descriptor limit.
fn start(descriptors: u32, config: &str) -> Exporter {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\""),
        ])
        .args([PROGRAM, "--web.listen-address=127.0.0.1:0"])
        .args(["--log.format=json", config])
        .stdout(std::process::Stdio::null());
    Exporter::wait_for_line(command, listening)
}

/// Opens connections and keeps them idle. Every second one has sent a request.
async fn idle(exporter: &Exporter, count: usize) -> Vec<TcpStream> {
    let address = exporter.url.trim_start_matches("http://");
    let mut kept = Vec::new();
    for number in 0..count {
        let mut stream = TcpStream::connect(address).await.expect("it accepts");
        if number % 2 == 0 {
            let request = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n";
            stream.write_all(request).await.expect("the server reads");
            assert_ne!(stream.read(&mut [0; 1024]).await.expect("it responds"), 0);
        }
        kept.push(stream);
    }
    kept
}

#[tokio::test]
async fn few_descriptors_limit_connections_but_not_polls() {
    let mock = Mock::start([1]).await;
    mock.plenty_of_points(1);
    let (_folder, flag) = config(&format!(
        "api: {{endpoint: \"{}\"}}\nvps: [{{name: one, veid: 1, api_key: private_x}}]\n",
        mock.endpoint
    ));
    let exporter = start(64, &flag);
    let _kept = idle(&exporter, 80).await;
    let page = exporter
        .wait_for("a poll", |page| page.of("one", "kiwivm_up") == Some(1.0))
        .await;
    let errors: Vec<_> = page
        .series("kiwivm_poll_errors_total", &[])
        .filter(|(_, count)| *count > 0.0)
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(
        !exporter.log().contains("cannot accept"),
        "{}",
        exporter.log()
    );
}

/// The descriptors do not even suffice for the connection limit.
#[tokio::test]
async fn idle_connections_are_evicted_if_descriptors_run_out() {
    let (_folder, flag) = config(
        "api: {endpoint: \"http://127.0.0.1:1\"}\nvps: [{name: one, veid: 1, api_key: private_x}]\n",
    );
    let exporter = start(19, &flag);
    let _kept = idle(&exporter, 40).await;
    for _ in 0..20 {
        exporter.scrape().await;
    }
    let log = exporter.log();
    assert_eq!(log.matches("cannot accept connections").count(), 1, "{log}");
    assert!(
        !log.contains("Too many open files (os error 24) (check"),
        "{log}"
    );
}
