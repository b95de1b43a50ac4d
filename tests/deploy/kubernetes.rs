//! The Helm chart and the plain manifests, by Helm, by the schemas of Kubernetes, by promtool and by the real program.

mod chart;
mod manifests;
mod monitoring;
mod program;
mod refusals;
mod render;
mod workload;
