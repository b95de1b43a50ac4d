//! A Prometheus exporter for KiwiVM, the API of BandwagonHost's VPSes.
//!
//! Modules from the top layer down. A module imports only from those below it:
//!
//! | Module | Purpose |
//! | --- | --- |
//! | [`commands`] | one file per command: serve, check, once, healthcheck, simulate, the demo |
//! | [`logging`] | the log, set up from the flags |
//! | [`cli`] | command-line flags |
//! | [`web`] | the HTTP server: routes, status page, limits |
//! | [`exposition`] | the metric catalogue, rendering, the cached scrape |
//! | [`poller`] | the loop that makes the calls that are due and applies their responses |
//! | [`budget`] | the API points and the schedule of calls (pure) |
//! | [`fleet`] | the state of each VPS and the age of its data (pure) |
//! | [`config`] | the configuration: model, loading, validation |
//! | [`kiwivm`] | the API: table of read calls, client, lenient decoding, errors, key type |
//! | [`simulator`] | a simulated API; it shares no code with the client |
//! | [`clock`], [`files`] | access to the clock and to files |
//! | [`units`] | the types of times, sizes and points |
//!
//! Scrapes never cause an API call: the poller has its own schedule, and a scrape renders the current state.

pub mod budget;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod exposition;
pub mod files;
pub mod fleet;
pub mod kiwivm;
pub mod logging;
pub mod poller;
pub mod simulator;
pub mod units;
pub mod web;
