//! A Prometheus exporter for KiwiVM, the API of BandwagonHost's VPSes.
//!
//! A map of the house, from the top; a module imports only from those below it:
//!
//! | Module | What it does |
//! | --- | --- |
//! | [`cli`] | flags and commands |
//! | [`commands`] | one file a command: serve, check, once, healthcheck, simulate, the demo |
//! | [`web`] | the HTTP server: routes, status page, limits |
//! | [`exposition`] | the metric catalogue, its rendering, the cached scrape |
//! | [`poller`] | the loop that asks what is due, makes the calls and applies the answers |
//! | [`budget`] | when which call is due (pure) |
//! | [`fleet`] | what is known about each VPS and when it was learnt (pure) |
//! | [`config`] | the configuration: model, loading, validation |
//! | [`kiwivm`] | the API: the table of read calls, the client, lenient decoding, errors, the key type |
//! | [`simulator`] | a stand-in for the API; it shares nothing with the client |
//! | [`clock`], [`files`], [`logging`] | the edges that read the clock and files, and write the log |
//!
//! Scrapes never cause a call: the poller runs on its own schedule and a scrape reads what is known.

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
pub mod web;
