//! The options of `record`.

use std::path::PathBuf;

use clap::Args;

/// Which responses are recorded, and where.
#[derive(Args, Clone, Debug)]
pub struct Record {
    /// The folder to write, which is made, or is empty.
    #[arg(long, value_name = "FOLDER")]
    pub output: PathBuf,
    /// Only this VPS, by its name in the configuration; repeatable.
    #[arg(long = "vps", value_name = "NAME")]
    pub vps: Vec<String>,
}
