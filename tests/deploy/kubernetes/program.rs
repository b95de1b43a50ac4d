//! The real program, started with the pod's arguments and environment.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::render::{
    Objects, block, file, find, named, only, rendered, rendered_with, set, sets, texts, yaml,
};
use crate::tools::{PROGRAM, repository, run};

/// A password file as docs/tls.md has it.
const WEB_CONFIG: &str = "basic_auth_users:\n  prometheus: $2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG\n";

/// A folder that stands for the pod's root, with the mounted files.
pub struct Scratch {
    root: TempDir,
    container: Value,
    vps: usize,
}

impl Scratch {
    pub fn of(objects: &Objects) -> Self {
        let mut scratch = Self {
            root: TempDir::new().expect("disk is writable"),
            container: objects.container().clone(),
            vps: 0,
        };
        let mounts = scratch.container["volumeMounts"].clone();
        for mount in mounts.as_array().into_iter().flatten() {
            let folder = scratch.host_path(mount["mountPath"].as_str().expect("it is text"));
            fs::create_dir_all(folder).expect("disk is writable");
        }
        if find(&mounts, "web").is_some() {
            for argument in texts(&scratch.container["args"]) {
                if let Some(file) = argument.strip_prefix("--web.config.file=") {
                    fs::write(scratch.host_path(file), WEB_CONFIG).expect("disk is writable");
                }
            }
        }
        if find(&mounts, "config").is_some() {
            scratch.configure(objects);
        }
        scratch
    }

    fn configure(&mut self, objects: &Objects) {
        let config = objects.config();
        let listed = yaml(config);
        let vps = listed["vps"].as_array().expect("it is a list");
        self.vps = vps.len();
        // Files outside the Secret are placed at their mount path.
        let own = config.replace("/mnt/", &self.host_path("/mnt/"));
        fs::write(self.host_path("/etc/kiwivm/config/config.yaml"), own).expect("disk is writable");
        let secret = objects.all("Secret").next();
        let mode = &named(&objects.pod()["volumes"], "keys")["secret"]["defaultMode"];
        let mode = mode.as_u64().and_then(|mode| u32::try_from(mode).ok());
        let mode = Permissions::from_mode(mode.expect("it is a number"));
        for vps in vps {
            let file = vps["api_key_file"].as_str().expect("it is text");
            if let Some(secret) = secret {
                let has = |part: &str| secret[part].get(file).is_some();
                assert!(
                    has("data") || has("stringData"),
                    "{file} is not in the Secret"
                );
            }
            let path = if file.starts_with('/') {
                self.host_path(file)
            } else {
                self.host_path(&format!("/etc/kiwivm/keys/{file}"))
            };
            fs::write(&path, "private_replace_me\n").expect("disk is writable");
            fs::set_permissions(&path, mode.clone()).expect("it is ours");
        }
    }

    /// Maps a path of the pod into the folder.
    fn host_path(&self, path: &str) -> String {
        format!("{}{path}", self.root.path().display())
    }

    /// Maps the paths in an argument.
    fn with_host_paths(&self, text: &str) -> String {
        text.replace("=/etc/", &format!("={}/etc/", self.root.path().display()))
    }

    /// The container's command.
    fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command.env_clear();
        for variable in self.container["env"].as_array().into_iter().flatten() {
            let (Some(name), Some(value)) = (variable["name"].as_str(), variable["value"].as_str())
            else {
                continue;
            };
            let path = value.starts_with('/');
            command.env(
                name,
                if path {
                    self.host_path(value)
                } else {
                    value.to_owned()
                },
            );
        }
        let arguments = texts(&self.container["args"]);
        let as_pod = |argument: &&str| {
            let argument = argument.replace("$(POD_NAME)", "kiwi-kiwivm-exporter-1");
            self.with_host_paths(&argument)
        };
        command.args(arguments.iter().map(as_pod));
        command
    }

    /// Runs `--config.check` with the pod's arguments.
    pub fn check(&self) {
        let mut check = self.command();
        check.arg("--config.check");
        let output = check.output().expect("it was built");
        let summary = String::from_utf8_lossy(&output.stdout);
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{check:?}\n{summary}{log}");
        let valid = format!("The configuration is valid: {} VPS", self.vps);
        assert!(summary.contains(&valid), "{summary}");
        // No warnings, for example about key files with open permissions or unknown variables.
        assert_eq!(log, "", "{check:?}");
    }
}

#[test]
fn the_exporter_accepts_configuration_arguments_and_environment() {
    for set in sets() {
        let objects = rendered(&set);
        if find(&objects.pod()["volumes"], "config").is_some() {
            Scratch::of(&objects).check();
        }
    }
}

#[test]
fn the_examples_of_the_documents_work() {
    for document in ["docs/installation.md", "deploy/kubernetes/README.md"] {
        let text = fs::read_to_string(repository(document)).expect("it can be read");
        let first = file(&block(document, "# values.yaml\n"));
        let mut examples = 0;
        for more in text.split("```yaml\n# values.yaml").skip(1) {
            let more = more.split("```").next().unwrap_or_default();
            let objects = rendered_with(first.path(), &format!("#{more}"));
            Scratch::of(&objects).check();
            examples += 1;
        }
        assert!(examples > 0, "{document}");
    }
}

#[test]
fn numbers_are_not_reformatted() {
    let scratch = Scratch::of(&rendered(&set("everything")));
    let mut plan = scratch.command();
    let summary = run(plan.arg("--config.check"));
    assert!(summary.contains("tokyo-1 (VEID 1234567)"), "{summary}");
    let key = scratch.host_path("/etc/kiwivm/keys/tokyo.key");
    assert!(summary.contains(&format!("from {key}")), "{summary}");
    assert!(Path::new(&key).exists());
}

/// A demo with the chart's arguments, on loopback.
struct Demo {
    child: Child,
    address: String,
    scratch: Scratch,
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Demo {
    fn start(objects: &Objects) -> Self {
        let scratch = Scratch::of(objects);
        let rendered = scratch.command();
        let mut command = Command::new(PROGRAM);
        command.env_clear();
        for argument in rendered.get_args() {
            let argument = argument.to_str().expect("it is text");
            command.arg(argument.replace("=:10064", "=127.0.0.1:0"));
        }
        let mut child = command
            .arg("--log.format=json")
            .stderr(Stdio::piped())
            .spawn()
            .expect("it was built");
        let mut log = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let address = log.by_ref().find_map(|line| {
            let line: Value = serde_json::from_str(&line.ok()?).ok()?;
            let listens = line["message"] == "listening";
            listens.then(|| line["address"].as_str().expect("it is text").to_owned())
        });
        // Drain the log, so that the program does not block on it.
        std::thread::spawn(move || log.for_each(drop));
        Self {
            child,
            address: address.expect("it listens"),
            scratch,
        }
    }

    /// The HTTP status at a path.
    fn status(&self, path: &str) -> u16 {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("it responds");
        let status = response
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("{response}"))
    }

    /// Runs a health check against this demo instead of the original address. Returns true if it succeeds.
    fn succeeds(&self, arguments: &[&str]) -> bool {
        let other: Vec<_> = arguments
            .iter()
            .filter(|argument| !argument.starts_with("--web.listen-address="))
            .collect();
        let mut command = Command::new(PROGRAM);
        command.args(
            other
                .iter()
                .map(|argument| self.scratch.with_host_paths(argument)),
        );
        command.arg(format!("--web.listen-address={}", self.address));
        let output = command.output().expect("it was built");
        output.status.success()
    }
}

#[test]
fn the_demo_passes_the_probes() {
    let objects = rendered(&set("demo"));
    let demo = Demo::start(&objects);
    let container = objects.container();
    let path = |probe: &str| {
        container[probe]["httpGet"]["path"]
            .as_str()
            .expect("it is text")
    };
    assert_eq!(demo.status(path("startupProbe")), 200);
    assert_eq!(demo.status(path("livenessProbe")), 200);
    // The demo is ready once every VPS was polled.
    assert!([200, 503].contains(&demo.status(path("readinessProbe"))));
    let test = only(&objects.one("Pod")["spec"]["containers"]);
    assert!(demo.succeeds(&texts(&test["args"])));
}

#[test]
fn health_checks_work_with_a_web_configuration() {
    let objects = rendered(&set("demo-web"));
    let demo = Demo::start(&objects);
    assert_eq!(demo.status("/-/healthy"), 401);
    let command = texts(&objects.container()["livenessProbe"]["exec"]["command"]);
    assert_eq!(command[0], "kiwivm_exporter");
    assert!(demo.succeeds(&command[1..]));
    assert!(!demo.succeeds(&["healthcheck"]));
    let test = only(&objects.one("Pod")["spec"]["containers"]);
    assert!(demo.succeeds(&texts(&test["args"])));
}

#[test]
fn health_checks_and_scrapes_use_the_prefix() {
    let monitored = "serviceMonitor: {enabled: true}\n";
    for (web, prefix) in [
        (
            "web: {externalUrl: \"https://example.com/kiwivm/\"}",
            "/kiwivm",
        ),
        (
            "web: {externalUrl: https://example.com/kiwivm, routePrefix: /}",
            "",
        ),
        ("web: {routePrefix: a/b}", "/a/b"),
    ] {
        let objects = rendered_with(&set("demo"), &format!("{monitored}{web}\n"));
        let demo = Demo::start(&objects);
        let probe = &objects.container()["livenessProbe"]["httpGet"]["path"];
        assert_eq!(probe, &format!("{prefix}/-/healthy"), "{web}");
        assert_eq!(
            demo.status(probe.as_str().expect("it is text")),
            200,
            "{web}"
        );
        let monitor = objects.one("ServiceMonitor");
        let path = &only(&monitor["spec"]["endpoints"])["path"];
        assert_eq!(path, &format!("{prefix}/metrics"), "{web}");
        assert_eq!(
            demo.status(path.as_str().expect("it is text")),
            200,
            "{web}"
        );
        let test = only(&objects.one("Pod")["spec"]["containers"]);
        assert!(demo.succeeds(&texts(&test["args"])), "{web}");

        let objects = rendered_with(&set("demo-web"), &format!("{web}\n"));
        let demo = Demo::start(&objects);
        let command = texts(&objects.container()["livenessProbe"]["exec"]["command"]);
        assert!(demo.succeeds(&command[1..]), "{web}");
        let test = only(&objects.one("Pod")["spec"]["containers"]);
        assert!(demo.succeeds(&texts(&test["args"])), "{web}");
    }
}

#[test]
fn the_test_pod_connects_to_the_service() {
    for set in sets() {
        let objects = rendered(&set);
        let test = only(&objects.one("Pod")["spec"]["containers"]);
        let address = texts(&test["args"])
            .into_iter()
            .find_map(|argument| argument.strip_prefix("--web.listen-address="))
            .expect("it is there");
        let (host, port) = address.split_once(':').expect("it has a port");
        let service = objects.one("Service");
        assert_eq!(service["metadata"]["name"], host);
        let headless = service["spec"]["clusterIP"] == "None";
        let ports = if headless {
            &only(&objects.container()["ports"])["containerPort"]
        } else {
            &only(&service["spec"]["ports"])["port"]
        };
        assert_eq!(ports.to_string(), port);
    }
}
