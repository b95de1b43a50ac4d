//! The exporter as a whole: real processes, real sockets, real Prometheus. Everything listens on loopback, port 0.

mod alertmanager;
mod asked;
mod backfill;
mod backfill_prometheus;
mod budget;
mod canary;
mod client;
mod commands;
mod compatibility;
mod exporter;
mod failures;
mod grouping;
mod inhibition;
mod inventory;
mod lifecycle;
mod mock;
mod owner;
mod page;
mod prometheus;
mod server;
mod simulator;
mod simulator_commands;
mod simulator_usage;
mod usage;
mod watched;
mod webhook;
