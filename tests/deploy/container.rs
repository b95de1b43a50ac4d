//! The container image: its recipe, its contents, and how it runs under tight restrictions.
//!
//! No base images can be pulled here, so the image contains the static build of `tests/run`, by the build argument for
//! prebuilt programs. All other build steps are the regular ones.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::tools::{PROGRAM, Started, repository, run, tool, wait_until};

const RECIPE: &str = "deploy/container/Dockerfile";
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The static build, if `tests/run` made one and containers can run here. Otherwise logs that the test is skipped.
fn program() -> Option<PathBuf> {
    let given = std::env::var_os("KIWIVM_TEST_STATIC").map(PathBuf::from);
    if given.is_none() {
        println!(
            "SKIPPED: run makes it, and says why when it does not/run makes it, and says why when it does not"
        );
    }
    given
}

/// The image, built once.
fn image() -> Option<&'static str> {
    static BUILT: OnceLock<Option<&str>> = OnceLock::new();
    *BUILT.get_or_init(|| {
        const NAME: &str = "localhost/kiwivm_exporter:tested";
        let program = program()?;
        let root = repository("target/container");
        let _ = fs::remove_dir_all(&root);
        let documents = root.join("usr/share/doc/kiwivm_exporter");
        for folder in ["usr/bin", "etc/ssl/certs", "var/lib/kiwivm_exporter"] {
            fs::create_dir_all(root.join(folder)).expect("disk is writable");
        }
        fs::create_dir_all(&documents).expect("disk is writable");
        fs::copy(repository("LICENSE"), documents.join("LICENSE")).expect("disk is writable");
        let notices = run(&mut Command::new(repository("deploy/notices")));
        fs::write(documents.join("notices.txt"), notices).expect("disk is writable");
        fs::copy(program, root.join("usr/bin/kiwivm_exporter")).expect("disk is writable");
        fs::copy(CERTIFICATES, root.join(&CERTIFICATES[1..]))
            .expect("ca-certificates is installed");
        run(tool("buildah")
            .args([
                "build",
                "--isolation=chroot",
                "--format=docker",
                "--build-arg=PROGRAM=prebuilt",
            ])
            .args(["--tag", NAME, "--file"])
            .arg(repository(RECIPE))
            .arg(repository("")));
        Some(NAME)
    })
}

/// podman as root inside a container, with the restrictions recommended to users.
fn podman_run() -> Command {
    let mut podman = tool("podman");
    podman
        .args(["--runtime=runc", "--cgroup-manager=cgroupfs", "run", "--rm"])
        .args([
            "--network=host",
            "--ulimit=nofile=1024:1024",
            "--ulimit=nproc=1024:1024",
        ])
        .args(["--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL"])
        .args(["--security-opt=no-new-privileges", "--pull=never"]);
    podman
}

#[test]
fn hadolint_accepts_the_recipe() {
    run(tool("hadolint").arg(repository(RECIPE)));
}

#[test]
fn stray_keys_do_not_get_into_the_build() {
    let ignored = fs::read_to_string(repository(".dockerignore")).expect("it is there");
    let rules: Vec<_> = ignored
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(rules[0], "*");
    for rule in &rules[1..] {
        let path = rule
            .strip_prefix('!')
            .expect("the other rules are exceptions");
        assert!(
            path == "target/container" || repository(path).exists(),
            "{path}"
        );
    }
}

#[test]
fn the_image_contains_only_the_program_certificates_and_licences() {
    let Some(image) = image() else { return };
    let folder = tempfile::tempdir().expect("there is a temporary directory");
    let container = run(tool("buildah").args(["from", "--pull=never", image]));
    let container = container.trim();
    let mounted = run(tool("buildah").args(["mount", container]));
    let listed =
        run(Command::new("find")
            .arg(mounted.trim())
            .args(["-type", "f", "-printf", "%P %m %U\n"]));
    let state = run(Command::new("stat")
        .args(["-c", "%u:%g"])
        .arg(Path::new(mounted.trim()).join("var/lib/kiwivm_exporter")));
    run(tool("buildah").args(["rm", container]));
    let files: BTreeSet<&str> = listed.lines().collect();
    assert_eq!(
        files,
        BTreeSet::from([
            "etc/ssl/certs/ca-certificates.crt 644 0",
            "usr/bin/kiwivm_exporter 755 0",
            "usr/share/doc/kiwivm_exporter/LICENSE 644 0",
            "usr/share/doc/kiwivm_exporter/notices.txt 644 0",
        ])
    );
    assert_eq!(state.trim(), "65532:65532");
    drop(folder);
    let config = run(tool("podman").args([
        "image",
        "inspect",
        "--format={{.Config.User}} {{.Config.Healthcheck.Test}}",
        image,
    ]));
    assert_eq!(
        config.trim(),
        "65532:65532 [CMD /usr/bin/kiwivm_exporter healthcheck]"
    );
}

#[test]
fn the_demo_runs_healthily_under_tight_restrictions() {
    let Some(image) = image() else { return };
    let mut demo = podman_run();
    demo.args([
        "--name=kiwivm-demo",
        image,
        "--demo",
        "--web.listen-address=127.0.0.1:0",
        "--log.format=json",
    ])
    .stdout(Stdio::null());
    let mut started = Started::when(demo, "listening");
    let address = started.field("address");
    let exec = |arguments: &[&str]| {
        run(tool("podman")
            .args([
                "--runtime=runc",
                "exec",
                "kiwivm-demo",
                "/usr/bin/kiwivm_exporter",
            ])
            .args(arguments))
    };
    exec(&["healthcheck", &format!("--web.listen-address={address}")]);
    let status = run(tool("podman").args(["top", "kiwivm-demo", "huser", "capeff"]));
    assert!(
        status
            .lines()
            .skip(1)
            .all(|line| line.starts_with("65532") && line.ends_with("none")),
        "{status}"
    );
    let scraped = run(tool("curl").args(["-sS", &format!("http://{address}/metrics")]));
    assert!(scraped.contains("kiwivm_exporter_build_info"), "{scraped}");
    run(tool("podman").args(["kill", "--signal=TERM", "kiwivm-demo"]));
    started.wait_for("stopped");
    assert!(started.child.wait().expect("it ends").success());
}

#[test]
fn keys_are_mounted_and_state_is_kept_in_a_volume() {
    let Some(image) = image() else { return };
    let folder = tempfile::tempdir().expect("there is a temporary directory");
    let path = |name: &str| folder.path().join(name);
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("it is ours");
    let mut simulate = Command::new(PROGRAM);
    let written = fs::File::create(path("simulated.yaml")).expect("disk is writable");
    simulate
        .args([
            "simulate",
            "--vps=1",
            "--listen=127.0.0.1:0",
            "--log.format=json",
        ])
        .stdout(written);
    let _simulator = Started::when(simulate, "simulating");
    let yaml = fs::read_to_string(path("simulated.yaml")).expect("it was written");
    let (_, key) = yaml.split_once("api_key: ").expect("it has a key");
    let key = key.split([',', '}', '\n']).next().unwrap_or_default();
    fs::write(path("vps.key"), key).expect("disk is writable");
    fs::set_permissions(path("vps.key"), Permissions::from_mode(0o400)).expect("it is ours");
    std::os::unix::fs::chown(path("vps.key"), Some(65532), Some(65532))
        .expect("the test runs as root");
    let yaml = yaml.replace(&format!("api_key: {key}"), "api_key_file: vps.key");
    assert!(yaml.contains("api_key_file"), "{yaml}");
    fs::write(
        path("config.yaml"),
        format!("state_file: state.json\n{yaml}"),
    )
    .expect("disk is writable");
    let _ = tool("podman")
        .args(["volume", "rm", "--force", "kiwivm-tested"])
        .output();

    let start = || {
        let mut account = podman_run();
        for file in ["config.yaml", "vps.key"] {
            account.arg(format!(
                "--volume={}:/etc/kiwivm_exporter/{file}:ro",
                path(file).display()
            ));
        }
        account
            .args([
                "--name=kiwivm-account",
                "--volume=kiwivm-tested:/var/lib/kiwivm_exporter",
                image,
            ])
            .args([
                "--config.file=/etc/kiwivm_exporter/config.yaml",
                "--web.listen-address=127.0.0.1:0",
                "--log.format=json",
            ])
            .stdout(Stdio::null());
        Started::when(account, "listening")
    };
    let stop = |mut started: Started| {
        run(tool("podman").args(["kill", "--signal=TERM", "kiwivm-account"]));
        started.wait_for("stopped");
        assert!(started.child.wait().expect("it ends").success());
    };
    let started = start();
    let address = started.field("address");
    wait_until("the VPS is up", || {
        let scraped = run(tool("curl").args(["-sS", &format!("http://{address}/metrics")]));
        let up = |line: &str| line.starts_with("kiwivm_up{") && line.ends_with(" 1");
        scraped.lines().any(up)
    });
    stop(started);
    // A restart uses the saved state.
    let mut mounted = tool("podman");
    let mounted = run(mounted.args([
        "volume",
        "inspect",
        "--format={{.Mountpoint}}",
        "kiwivm-tested",
    ]));
    assert!(Path::new(mounted.trim()).join("state.json").exists());
    stop(start());
    run(tool("podman").args(["volume", "rm", "kiwivm-tested"]));
}
