//! Options of `record`.

use std::path::PathBuf;

use clap::Args;

/// Selection and destination of a recording.
#[derive(Args, Clone, Debug)]
pub struct Record {
    /// Folder to write; created if missing, else it must be empty.
    #[arg(long, value_name = "FOLDER")]
    pub output: PathBuf,
    /// Name of a VPS in the configuration; repeatable. Without it, all VPSes.
    #[arg(long = "vps", value_name = "NAME")]
    pub vps: Vec<String>,
}
