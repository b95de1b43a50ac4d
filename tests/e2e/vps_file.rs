//! VPSes from the vendor's key export, and from environment variables alone.

use std::process::Command;

use crate::exporter::{Exporter, PROGRAM, config, listening, run_without_blocking, write};
use crate::mock::Mock;
use crate::page::Page;

const HEAD: &str = "VEID,VM_TYPE,HOSTNAME,PRIMARY_IP,IS_TERMINATED,IS_2FA_ENABLED,API_KEY\r\n";

fn is_up(page: &Page, vps: &str) -> bool {
    page.of(vps, "kiwivm_up") == Some(1.0)
}

#[tokio::test]
async fn the_vps_file_is_read_again_when_it_changes() {
    let mock = Mock::start([1, 2, 3]).await;
    let yaml = format!(
        "api: {{endpoint: \"{}\"}}\nvps_file: keys.csv\n",
        mock.endpoint
    );
    let (folder, flag) = config(&yaml);
    let rows = "1,kvm,one,192.0.2.1,0,0,private_1\r\n2,kvm,two,192.0.2.2,1,0,private_2\r\n";
    write(folder.path(), "keys.csv", &format!("\u{feff}{HEAD}{rows}"));
    let checked = run_without_blocking(&["check", &flag]).await;
    assert_eq!(checked.status.code(), Some(0));
    let table = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        table.contains("keys.csv has 1 VPS; skipping terminated services: VEID 2.")
            && table.contains("keys.csv\n"),
        "{table}"
    );
    let exporter = Exporter::start(&[&flag]);
    let page = exporter
        .wait_for("the first is up", |page| is_up(page, "one"))
        .await;
    assert_eq!(page.one("kiwivm_exporter_vps_configured", &[]), Some(1.0));
    // Adds a row, a restored service, and one without a key.
    let rows = "1,kvm,one,192.0.2.1,0,0,private_1\n2,kvm,two,192.0.2.2,0,0,private_2\n3,kvm,three,192.0.2.3,0,0,\n";
    write(folder.path(), "keys.csv", &format!("{HEAD}{rows}"));
    let page = exporter
        .wait_for("the change takes effect", |page| {
            is_up(page, "two") && page.of("three", "kiwivm_authentication_failed") == Some(1.0)
        })
        .await;
    assert!(is_up(&page, "one"), "the first kept its state");
    assert_eq!(
        page.one("kiwivm_exporter_config_last_reload_successful", &[]),
        Some(1.0)
    );
    let log = exporter.log();
    assert_eq!(log.matches("vps_file changed").count(), 1, "{log}");
    assert!(log.contains("API_KEY of VEID 3 is empty"), "{log}");
    for text in [&log, &table] {
        assert!(!text.contains("private_"), "{text}");
    }
    // An unusable file keeps the previous one active.
    write(folder.path(), "keys.csv", "not an export");
    exporter.signal("HUP");
    let page = exporter
        .wait_for("the file is refused", |page| {
            page.one("kiwivm_exporter_config_last_reload_successful", &[]) == Some(0.0)
        })
        .await;
    assert_eq!(page.one("kiwivm_exporter_vps_configured", &[]), Some(3.0));
}

#[tokio::test]
async fn environment_variables_alone_configure_several_vpses() {
    let mock = Mock::start([1, 2]).await;
    let (folder, _) = config("");
    std::fs::remove_file(folder.path().join("config.yaml")).expect("it is there");
    let mut command = Command::new(PROGRAM);
    command
        .current_dir(folder.path())
        .args(["--web.listen-address=127.0.0.1:0", "--log.format=json"])
        .env("KIWIVM_EXPORTER_API__ENDPOINT", &mock.endpoint)
        .env(
            "KIWIVM_EXPORTER_VPS",
            "[{veid: 1, api_key: private_x}, {veid: 2, name: two, api_key_env: TWO}]",
        )
        .env("TWO", "private_y");
    let exporter = Exporter::wait_for_line(command, listening);
    exporter
        .wait_for("both are up", |page| is_up(page, "1") && is_up(page, "two"))
        .await;
    assert!(
        mock.requests()
            .iter()
            .any(|request| request.form["api_key"] == "private_y")
    );
    assert!(!exporter.log().contains("private_"));
}
