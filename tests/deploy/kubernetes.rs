//! The Helm chart, by Helm, by the schemas of Kubernetes, by promtool and by the real program.

mod chart;
mod monitoring;
mod program;
mod refusals;
mod render;
mod workload;
