//! `record`: one sanitised response of each call and VPS, for bug reports.

mod fields;
mod replacements;
mod sanitise;
mod shapes;
mod text;
mod vocabulary;

#[cfg(test)]
mod tests;

pub use sanitise::{Sanitised, Sanitiser};
