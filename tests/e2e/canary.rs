//! A key that must not be seen anywhere but in a request body.

use std::process::Command;

use crate::exporter::{Exporter, config, run};
use crate::mock::{Mock, Reply, sample};

const CANARY: &str = "private_CanaryCanaryCanary012345";

fn yaml(mock: &Mock) -> String {
    let vps =
        (1..=6).map(|veid| format!("  - {{name: v{veid}, veid: {veid}, api_key: {CANARY}}}\n"));
    format!(
        "api: {{endpoint: {}}}\nintervals: {{live: 30s, usage: 30s, points: 30s}}\nstate_file: state.json\nvps:\n{}",
        mock.endpoint,
        vps.collect::<String>()
    )
}

fn assert_unseen(surface: &str, text: &str) {
    assert!(!text.contains("Canary"), "{surface}:\n{text}");
}

#[tokio::test]
async fn no_surface_shows_a_key() {
    let mock = Mock::start(1..=6).await;
    // Answers that repeat the key are the worst case: in an error, in a label, in a page of some proxy.
    let repeats = |field: &str| Reply::Body(format!("{{\"error\":0,\"{field}\":\"{CANARY}\"}}"));
    mock.reply_to_everything(
        2,
        Reply::Body(format!(
            "{{\"error\":788888,\"message\":\"{CANARY}\",\"additionalErrorInfo\":\"{CANARY}\"}}"
        )),
    );
    mock.reply_to_everything(3, repeats("data_counter"));
    mock.reply_to_everything(4, Reply::Body(format!("<html>{CANARY}</html>")));
    mock.reply_to_everything(5, sample("error_auth.json"));
    mock.reply_to_everything(6, Reply::Drop);
    let (folder, flag) = config(&yaml(&mock));

    for format in ["json", "logfmt"] {
        let mut command = Command::new(crate::exporter::PROGRAM);
        let format = format!("--log.format={format}");
        command.stdout(std::process::Stdio::null()).args([
            "--web.listen-address=127.0.0.1:0",
            "--log.level=trace",
            &format,
            "--web.enable-lifecycle",
            &flag,
        ]);
        let exporter = Exporter::wait_for_line(command, |line| {
            let address = line.split("127.0.0.1:").nth(1)?;
            let port: String = address.chars().take_while(char::is_ascii_digit).collect();
            line.contains("listening")
                .then(|| format!("http://127.0.0.1:{port}"))
        });
        let all_tried = |page: &crate::page::Page| page.series("kiwivm_up", &[]).count() == 6;
        exporter.wait_for("all are tried", all_tried).await;
        for path in [
            "/",
            "/metrics",
            "/metrics?vps=v1",
            "/metrics?vps=nope",
            "/-/healthy",
            "/-/ready",
            "/nope",
        ] {
            assert_unseen(path, &exporter.get(path).await);
        }
        std::fs::write(folder.path().join("broken.yaml"), "").expect("it can be written");
        exporter.signal("HUP");
        assert_unseen("the log", &exporter.log());
        assert!(
            exporter.log().contains("call answered"),
            "the log was at trace:\n{}",
            exporter.log()
        );
        let plan = run(&["plan", &flag]);
        assert!(plan.status.success());
        assert_unseen("plan", &String::from_utf8_lossy(&plan.stdout));
        drop(exporter);
        let state_file = folder.path().join("state.json");
        let state = std::fs::read_to_string(&state_file).expect("it was written");
        assert!(state.contains("\"vps\""), "{state}");
        assert_unseen("the state file", &state);
        std::fs::remove_file(state_file).expect("it can be removed");
    }

    for arguments in [&["--config.check", &flag][..], &["--help"], &["--version"]] {
        let output = run(arguments);
        assert_unseen("stdout", &String::from_utf8_lossy(&output.stdout));
        assert_unseen("stderr", &String::from_utf8_lossy(&output.stderr));
    }
    let carried = mock.requests();
    assert!(
        carried
            .iter()
            .all(|request| request.form["api_key"] == CANARY && !request.line.contains("Canary"))
    );
}

#[tokio::test]
async fn check_and_once_show_no_key() {
    let mock = Mock::start(1..=6).await;
    mock.reply_to_everything(
        2,
        Reply::Body(format!("{{\"error\":5,\"message\":\"{CANARY}\"}}")),
    );
    let (_folder, flag) = config(&yaml(&mock));
    for command in ["check", "once"] {
        let flag = flag.clone();
        let output =
            tokio::task::spawn_blocking(move || run(&[command, &flag, "--log.level=trace"]))
                .await
                .expect("it does not panic");
        assert_unseen(command, &String::from_utf8_lossy(&output.stdout));
        assert_unseen(command, &String::from_utf8_lossy(&output.stderr));
    }
}
