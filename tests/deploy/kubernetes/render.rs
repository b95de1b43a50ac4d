//! Helpers to render the chart and to look up objects.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize as _;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::tools::{repository, run, tool};

/// Name of the release.
pub const RELEASE: &str = "kiwi";

pub fn chart() -> PathBuf {
    repository("deploy/kubernetes/kiwivm-exporter")
}

/// The values files that come with the chart, one for each use case.
pub fn sets() -> Vec<PathBuf> {
    let mut sets: Vec<PathBuf> = fs::read_dir(chart().join("ci"))
        .expect("it is a folder")
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    sets.sort();
    assert!(sets.len() > 5, "{sets:?}");
    sets
}

pub fn set(name: &str) -> PathBuf {
    chart().join(format!("ci/{name}-values.yaml"))
}

pub fn helm(arguments: &[&str]) -> Command {
    let mut helm = tool("helm");
    helm.args(arguments);
    helm
}

/// Runs `helm template` with some values files in the namespace `monitoring`.
pub fn template(chart: &Path, values: &[&Path]) -> Command {
    let mut helm = helm(&["template", RELEASE, "--namespace=monitoring"]);
    helm.arg(chart);
    for file in values {
        helm.arg("--values").arg(file);
    }
    helm
}

/// The objects rendered from a set of values.
pub fn rendered(set: &Path) -> Objects {
    Objects::parse(&run(&mut template(&chart(), &[set])))
}

/// The same with additional values.
pub fn rendered_with(set: &Path, more: &str) -> Objects {
    let more = file(more);
    Objects::parse(&run(&mut template(&chart(), &[set, more.path()])))
}

/// A temporary file with this text.
pub fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::with_suffix(".yaml").expect("disk is writable");
    file.write_all(text.as_bytes()).expect("disk is writable");
    file
}

pub fn yaml(text: &str) -> Value {
    yaml_serde::from_str(text).unwrap_or_else(|error| panic!("invalid YAML: {error}\n{text}"))
}

pub fn read_yaml(path: &Path) -> Value {
    yaml(&fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// The YAML block of a document that begins with this line.
pub fn block(document: &str, first: &str) -> String {
    let text = fs::read_to_string(repository(document)).expect("it can be read");
    let mut blocks = text.split("```yaml\n").skip(1);
    let found = blocks.find(|block| block.starts_with(first));
    let (block, _) = found
        .and_then(|block| block.split_once("```"))
        .unwrap_or_else(|| panic!("{document} has no block with {first}"));
    block.to_owned()
}

/// Kubernetes objects.
#[derive(Debug)]
pub struct Objects(pub Vec<Value>);

impl Objects {
    pub fn parse(text: &str) -> Self {
        let objects = yaml_serde::Deserializer::from_str(text)
            .map(|document| Value::deserialize(document).expect("it is YAML"))
            .filter(|object| !object.is_null())
            .collect();
        Self(objects)
    }

    pub fn all(&self, kind: &'static str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    /// The only object of a kind.
    pub fn one(&self, kind: &'static str) -> &Value {
        let mut found = self.all(kind);
        match (found.next(), found.next()) {
            (Some(object), None) => object,
            found => panic!("not one {kind}: {found:?}"),
        }
    }

    /// The Deployment or `StatefulSet`.
    pub fn workload(&self) -> &Value {
        let workloads: Vec<_> = self
            .all("Deployment")
            .chain(self.all("StatefulSet"))
            .collect();
        let [workload] = workloads[..] else {
            panic!("not one workload: {workloads:?}");
        };
        workload
    }

    /// The specification of the exporter's pod.
    pub fn pod(&self) -> &Value {
        &self.workload()["spec"]["template"]["spec"]
    }

    /// The exporter's container.
    pub fn container(&self) -> &Value {
        only(&self.pod()["containers"])
    }

    /// config.yaml, from the `ConfigMap` that the pod mounts.
    pub fn config(&self) -> &str {
        let volume = named(&self.pod()["volumes"], "config");
        let name = &volume["configMap"]["name"];
        let mut maps = self.all("ConfigMap");
        let map = maps.find(|map| map["metadata"]["name"] == *name);
        let text = map.and_then(|map| map["data"]["config.yaml"].as_str());
        text.unwrap_or_else(|| panic!("there is no config.yaml in {name}"))
    }
}

/// The only item of a list.
pub fn only(list: &Value) -> &Value {
    match list.as_array().map(Vec::as_slice) {
        Some([item]) => item,
        _ => panic!("not one item: {list}"),
    }
}

/// The item of a list with this name.
pub fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    find(list, name).unwrap_or_else(|| panic!("there is no {name}: {list}"))
}

pub fn find<'a>(list: &'a Value, name: &str) -> Option<&'a Value> {
    list.as_array()?.iter().find(|item| item["name"] == name)
}

/// The strings of a list.
pub fn texts(list: &Value) -> Vec<&str> {
    let items = list.as_array().map_or(&[][..], Vec::as_slice);
    items
        .iter()
        .map(|item| item.as_str().expect("it is text"))
        .collect()
}
