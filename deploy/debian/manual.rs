//! Generates the manual pages and shell completions from the command line definition.
//!
//! `cargo run --example manual -- target/manual`

use std::fs::{File, create_dir_all};
use std::io::{Result, Write as _};
use std::path::PathBuf;

use clap_complete::Shell;
use clap_mangen::Man;
use kiwivm_exporter::cli;

const NAME: &str = "kiwivm_exporter";

/// Sections of the manual page that are not in the command line definition.
const MORE: &str = r".SH FILES
.TP
\fI/etc/kiwivm_exporter/config.yaml\fR
Configuration used by the systemd unit. Every option is explained in
\fI/usr/share/doc/kiwivm\-exporter/examples/config.example.yaml\fR.
.TP
\fI/etc/kiwivm_exporter/keys/\fR
API keys, one per file, readable by root only. In the configuration such a file is \fIkeys/NAME.key\fR.
.TP
\fI/etc/default/kiwivm_exporter\fR
Additional arguments for the unit.
.TP
\fI/var/lib/kiwivm_exporter/\fR
Folder of a relative \fBstate_file\fR when the unit runs.
.SH ENVIRONMENT
.TP
\fBKIWIVM_VEID\fR, \fBKIWIVM_API_KEY\fR, \fBKIWIVM_API_KEY_FILE\fR
A single VPS, without a configuration file.
.TP
\fBKIWIVM_EXPORTER_VPS\fR
A list of VPSes as YAML or JSON, without a configuration file.
.TP
\fBKIWIVM_EXPORTER_...\fR
A configuration option in capitals, with __ between levels, for example KIWIVM_EXPORTER_BUDGET__SHARE=0.3.
.TP
\fBCREDENTIALS_DIRECTORY\fR, \fBSTATE_DIRECTORY\fR
Set by systemd: the folder searched first for key files, and the folder of the state file.
.TP
\fBSSL_CERT_FILE\fR
Trusted certificates, instead of those of this machine. Mozilla's certificates are always trusted.
.SH SIGNALS
SIGTERM and SIGINT stop the exporter after responses in flight are finished. SIGHUP reloads the configuration and the web
configuration. If a file is invalid, the previous configuration stays active.
.SH EXIT STATUS
0 on success, 1 on failure with one line on standard error, 2 for wrong usage.
";

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let Some(folder) = folder else {
        eprintln!("usage: manual FOLDER");
        std::process::exit(2);
    };
    create_dir_all(&folder)?;
    let mut command = cli::command();
    clap_mangen::generate_to(command.clone(), &folder)?;
    // The manual shows the plain package version.
    let page = Man::new(command.clone().version(env!("CARGO_PKG_VERSION")));
    let mut file = File::create(folder.join(format!("{NAME}.1")))?;
    page.render(&mut file)?;
    file.write_all(MORE.as_bytes())?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut command, NAME, &folder)?;
    }
    Ok(())
}
