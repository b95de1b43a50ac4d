//! The contents of `deploy/`, checked with the tools that use them: units, packages, images, charts, configurations.
//!
//! `tests/run` installs the tools and reports missing ones. `tests/run --quick` skips this test program.

mod container;
mod debian;
mod kubernetes;
mod notices;
mod prometheus;
mod scripts;
mod security;
mod systemd;
mod tools;
mod workflows;
