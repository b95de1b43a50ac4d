//! The Helm chart and the plain manifests, checked with Helm, the Kubernetes schemas, promtool and the real program.

mod chart;
mod manifests;
mod monitoring;
mod program;
mod refusals;
mod render;
mod workload;
