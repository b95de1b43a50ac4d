//! The Debian package: its contents, and its installation, upgrade, removal and purge.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::tools::{Started, repository, run, tool};

/// Builds the manual pages and completions.
pub fn manual() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        // A separate folder from that of the script.
        let folder = repository("target/tested-manual");
        let _ = fs::remove_dir_all(&folder);
        let arguments = ["run", "--locked", "--quiet", "--example", "manual", "--"];
        run(Command::new(env!("CARGO")).args(arguments).arg(&folder));
        folder
    })
}

/// The package, built once by the script that docs/installation.md names.
fn package() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut build = Command::new(repository("deploy/debian/build"));
        let tools = repository("target/tools/bin");
        let path = std::env::var("PATH").expect("there is one");
        let output = run(build.env("PATH", format!("{path}:{}", tools.display())));
        let is_package = |path: &PathBuf| path.extension().is_some_and(|of| of == "deb");
        output
            .lines()
            .map(PathBuf::from)
            .rfind(is_package)
            .unwrap_or_else(|| panic!("no package: {output}"))
    })
}

fn control(field: &str) -> String {
    let value = run(tool("dpkg-deb").arg("--field").arg(package()).arg(field));
    value.trim().to_owned()
}

#[test]
fn the_package_has_all_files() {
    let listed = run(tool("dpkg-deb").arg("--contents").arg(package()));
    let files: Vec<(&str, &str)> = listed
        .lines()
        .filter(|line| !line.ends_with('/'))
        .filter_map(|line| Some((line.get(..10)?, line.rsplit_once(" ./")?.1)))
        .collect();
    for (mode, file) in [
        ("-rwxr-xr-x", "usr/bin/kiwivm_exporter"),
        ("-rw-r--r--", "etc/kiwivm_exporter/config.yaml"),
        ("-rw-r--r--", "etc/default/kiwivm_exporter"),
        (
            "-rw-r--r--",
            "usr/lib/systemd/system/kiwivm_exporter.service",
        ),
        (
            "-rw-r--r--",
            "usr/lib/systemd/system/kiwivm_exporter.socket",
        ),
        ("-rw-r--r--", "usr/share/man/man1/kiwivm_exporter.1.gz"),
        (
            "-rw-r--r--",
            "usr/share/man/man1/kiwivm_exporter-backfill.1.gz",
        ),
        (
            "-rw-r--r--",
            "usr/share/bash-completion/completions/kiwivm_exporter",
        ),
        (
            "-rw-r--r--",
            "usr/share/zsh/vendor-completions/_kiwivm_exporter",
        ),
        (
            "-rw-r--r--",
            "usr/share/fish/vendor_completions.d/kiwivm_exporter.fish",
        ),
        ("-rw-r--r--", "usr/share/doc/kiwivm-exporter/copyright"),
        ("-rw-r--r--", "usr/share/doc/kiwivm-exporter/changelog.gz"),
        ("-rw-r--r--", "usr/share/doc/kiwivm-exporter/notices.txt.gz"),
        ("-rw-r--r--", "usr/share/doc/kiwivm-exporter/README.md"),
        (
            "-rw-r--r--",
            "usr/share/doc/kiwivm-exporter/docs/configuration.md",
        ),
        (
            "-rw-r--r--",
            "usr/share/doc/kiwivm-exporter/examples/config.example.yaml",
        ),
        (
            "-rw-r--r--",
            "usr/share/doc/kiwivm-exporter/examples/prometheus/kiwivm.yml",
        ),
        (
            "-rw-r--r--",
            "usr/share/doc/kiwivm-exporter/examples/grafana/fleet.json",
        ),
    ] {
        assert!(
            files.contains(&(mode, file)),
            "{mode} {file} is not in\n{listed}"
        );
    }
    assert_eq!(control("Package"), "kiwivm-exporter");
    assert!(control("Version").starts_with(env!("CARGO_PKG_VERSION")));
    assert!(
        control("Depends").contains("libc6"),
        "{}",
        control("Depends")
    );
    let conffiles = run(tool("dpkg-deb")
        .arg("--info")
        .arg(package())
        .arg("conffiles"));
    assert_eq!(
        conffiles.trim(),
        "/etc/default/kiwivm_exporter\n/etc/kiwivm_exporter/config.yaml"
    );
}

#[test]
fn lintian_reports_nothing() {
    // lintian refuses to run as root by default.
    let found = run(tool("lintian")
        .args(["--allow-root", "--fail-on=error,warning"])
        .arg(package()));
    assert!(!found.contains("mismatched-override"), "{found}");
}

#[test]
fn the_manual_and_the_completions_are_valid() {
    for page in fs::read_dir(manual()).expect("it was made") {
        let page = page.expect("it can be read").path();
        match page.extension().and_then(|extension| extension.to_str()) {
            Some("1") => {
                let output = tool("man")
                    .args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"])
                    .arg(&page)
                    .output()
                    .expect("man is needed for this test");
                let warnings = String::from_utf8_lossy(&output.stderr);
                assert!(
                    output.status.success() && warnings.is_empty(),
                    "{page:?}: {warnings}"
                );
            }
            Some("bash") => drop(run(tool("bash").arg("-n").arg(&page))),
            _ => {}
        }
    }
    let page = fs::read_to_string(manual().join("kiwivm_exporter.1")).expect("it was made");
    for part in [
        "web.listen\\-address",
        "SH FILES",
        "EXIT STATUS",
        "kiwivm_exporter\\-check(1)",
    ] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
}

/// A minimal Debian system in a folder.
struct Debian(PathBuf);

impl Debian {
    /// Returns `None` if the user is not root.
    fn new() -> Option<Self> {
        if run(Command::new("id").arg("-u")).trim() != "0" {
            println!("SKIPPED: only root can install a package into a folder");
            return None;
        }
        let folder = repository("target/debian-root");
        if !folder.join("usr/bin/dpkg").exists() {
            let _ = fs::remove_dir_all(&folder);
            run(tool("debootstrap")
                .args(["--variant=minbase", "bookworm"])
                .arg(&folder));
        }
        let debian = Self(folder);
        // Remove leftovers of an earlier run.
        debian.dpkg(&["--purge", "kiwivm-exporter"]);
        let _ = fs::remove_dir_all(debian.path("etc/kiwivm_exporter"));
        Some(debian)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("chroot");
        command
            .arg(&self.0)
            .arg(program)
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    fn dpkg(&self, arguments: &[&str]) -> String {
        run(self.command("dpkg").args(arguments))
    }
}

#[test]
fn the_package_is_installed_started_upgraded_removed_and_purged() {
    let Some(debian) = Debian::new() else {
        return;
    };
    fs::copy(package(), debian.path("package.deb")).expect("disk is writable");
    debian.dpkg(&["--install", "/package.deb"]);

    let version = run(debian.command("kiwivm_exporter").arg("--version"));
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    let keys = debian.path("etc/kiwivm_exporter/keys");
    let mode = run(Command::new("stat").args(["-c", "%a %u"]).arg(&keys));
    assert_eq!(mode.trim(), "700 0");

    let mut demo = debian.command("kiwivm_exporter");
    demo.args([
        "--demo",
        "--web.listen-address=127.0.0.1:0",
        "--log.format=json",
    ])
    .stdout(Stdio::null());
    let started = Started::when(demo, "listening");
    let address = format!("--web.listen-address={}", started.field("address"));
    run(debian
        .command("kiwivm_exporter")
        .args(["healthcheck", &address]));
    drop(started);

    // The shipped configuration has no VPS, and the error says so.
    let check = "--config.file=/etc/kiwivm_exporter/config.yaml";
    let output = debian
        .command("kiwivm_exporter")
        .args([check, "--config.check"])
        .output()
        .expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("no VPS is configured: add one"), "{error}");

    let config = debian.path("etc/kiwivm_exporter/config.yaml");
    let shipped = fs::read_to_string(&config).expect("it is there");
    // Uncomments the example, as a user would.
    let own = shipped
        .replace("vps: []\n", "vps:\n")
        .replace("\n#  ", "\n  ");
    fs::write(&config, &own).expect("it is ours");
    fs::write(keys.join("tokyo-1.key"), "private_test").expect("it is ours");
    run(Command::new("chmod")
        .arg("600")
        .arg(keys.join("tokyo-1.key")));
    let valid = run(debian
        .command("kiwivm_exporter")
        .args([check, "--config.check"]));
    assert!(valid.contains("tokyo-1 (VEID 1234567)"), "{valid}");

    debian.dpkg(&["--install", "/package.deb"]);
    assert_eq!(fs::read_to_string(&config).expect("it is there"), own);

    let state = debian.path("var/lib/private/kiwivm_exporter");
    fs::create_dir_all(&state).expect("disk is writable");
    debian.dpkg(&["--remove", "kiwivm-exporter"]);
    assert!(!debian.path("usr/bin/kiwivm_exporter").exists());
    assert!(config.exists() && state.exists());

    debian.dpkg(&["--purge", "kiwivm-exporter"]);
    assert!(!config.exists() && !state.exists());
    assert!(!debian.path("etc/default/kiwivm_exporter").exists());
    assert!(
        keys.join("tokyo-1.key").exists(),
        "a purge must keep the keys"
    );
}
