//! Writes the manual pages and the completions for shells, made from the command line, into the folder that is named.
//!
//! `cargo run --example manual -- target/manual`

use std::fs::{File, create_dir_all};
use std::io::{Result, Write as _};
use std::path::PathBuf;

use clap_complete::Shell;
use clap_mangen::Man;
use kiwivm_exporter::cli;

const NAME: &str = "kiwivm_exporter";

/// What the command line does not tell.
const MORE: &str = r".SH FILES
.TP
\fI/etc/kiwivm_exporter/config.yaml\fR
The configuration that the systemd unit uses. Every key is explained in
\fI/usr/share/doc/kiwivm\-exporter/examples/config.example.yaml\fR.
.TP
\fI/etc/kiwivm_exporter/keys/\fR
The API keys, a file each, readable for root only. In the configuration a file there is \fIkeys/NAME.key\fR.
.TP
\fI/etc/default/kiwivm_exporter\fR
More arguments for the unit.
.TP
\fI/var/lib/kiwivm_exporter/\fR
Where a relative \fBstate_file\fR of the configuration is, when the unit runs.
.SH ENVIRONMENT
.TP
\fBKIWIVM_VEID\fR, \fBKIWIVM_API_KEY\fR, \fBKIWIVM_API_KEY_FILE\fR
A single VPS, which needs no file.
.TP
\fBKIWIVM_EXPORTER_VPS\fR
A list of VPSes as YAML or JSON, which needs no file either.
.TP
\fBKIWIVM_EXPORTER_...\fR
A key of the configuration, in capitals, with __ between levels, for example KIWIVM_EXPORTER_BUDGET__SHARE=0.3.
.TP
\fBCREDENTIALS_DIRECTORY\fR, \fBSTATE_DIRECTORY\fR
Set by systemd: where key files are looked for first, and where the state file is.
.TP
\fBSSL_CERT_FILE\fR
Certificates to trust instead of those of this machine. Mozilla's are trusted in any case.
.SH SIGNALS
SIGTERM and SIGINT stop it, answers in flight are finished. SIGHUP makes it read the configuration and the web configuration
again; one that can not be used leaves the old one in force.
.SH EXIT STATUS
0; 1 when something failed, with one line on standard error; 2 for wrong usage.
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
    // What runs it is not a version of the manual.
    let page = Man::new(command.clone().version(env!("CARGO_PKG_VERSION")));
    let mut file = File::create(folder.join(format!("{NAME}.1")))?;
    page.render(&mut file)?;
    file.write_all(MORE.as_bytes())?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut command, NAME, &folder)?;
    }
    Ok(())
}
