//! Generates the manual pages and shell completions from the command line into a folder.
//!
//! `cargo run --example manual -- target/manual`

use std::fs::{File, create_dir_all};
use std::io::{Result, Write as _};
use std::path::PathBuf;

use clap_complete::Shell;
use clap_mangen::Man;
use kiwivm_exporter::cli;

const NAME: &str = "kiwivm_exporter";

/// Sections of the manual that the command line does not contain.
const MORE: &str = r".SH FILES
.TP
\fI/etc/kiwivm_exporter/config.yaml\fR
The configuration of the systemd unit. Every key is explained in
\fI/usr/share/doc/kiwivm\-exporter/examples/config.example.yaml\fR.
.TP
\fI/etc/kiwivm_exporter/keys/\fR
The API keys, one per file, readable by root only. The configuration refers to them as \fIkeys/NAME.key\fR.
.TP
\fI/etc/default/kiwivm_exporter\fR
Additional arguments for the unit.
.TP
\fI/var/lib/kiwivm_exporter/\fR
Directory of a relative \fBstate_file\fR when the unit runs.
.SH ENVIRONMENT
.TP
\fBKIWIVM_VEID\fR, \fBKIWIVM_API_KEY\fR, \fBKIWIVM_API_KEY_FILE\fR
A single VPS, without a configuration file.
.TP
\fBKIWIVM_EXPORTER_VPS\fR
A list of VPSes as YAML or JSON, without a configuration file.
.TP
\fBKIWIVM_EXPORTER_...\fR
A key of the configuration, in capitals, with __ between levels, for example KIWIVM_EXPORTER_BUDGET__SHARE=0.3.
.TP
\fBCREDENTIALS_DIRECTORY\fR, \fBSTATE_DIRECTORY\fR
Set by systemd: the first directory to look for key files in, and the directory of the state file.
.TP
\fBSSL_CERT_FILE\fR
Certificates to trust instead of those of this machine. Mozilla's are always trusted.
.SH SIGNALS
SIGTERM and SIGINT stop the exporter after it has finished the responses in flight. SIGHUP reloads the configuration and
the web configuration; if one is invalid, the previous one stays active.
.SH EXIT STATUS
0 on success; 1 on failure, with one line on standard error; 2 for invalid usage.
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
    // The manual only needs the version of the program, not the revision and the compiler.
    let page = Man::new(command.clone().version(env!("CARGO_PKG_VERSION")));
    let mut file = File::create(folder.join(format!("{NAME}.1")))?;
    page.render(&mut file)?;
    file.write_all(MORE.as_bytes())?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut command, NAME, &folder)?;
    }
    Ok(())
}
