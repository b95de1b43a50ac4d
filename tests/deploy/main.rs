//! What stands in `deploy/`, judged by the tools that will use it: units, packages, images, charts, configurations.
//!
//! `tests/run` installs the tools and says which are missing; `tests/run --quick` leaves this program out.

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
