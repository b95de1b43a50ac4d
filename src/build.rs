//! Passes the source revision (from the packager or git, if known) and the compiler version to the build.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=KIWIVM_BUILD_REVISION");
    // Git appends to this file with every commit. It is absent in a source tarball.
    if std::path::Path::new(".git/logs/HEAD").exists() {
        println!("cargo:rerun-if-changed=.git/logs/HEAD");
    }
    // Packs the relocations of the static program, which saves 180 KB. Other linkers have other flags.
    let target = env::var("TARGET").unwrap_or_default();
    if target == "x86_64-unknown-linux-musl" {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    let revision = env::var("KIWIVM_BUILD_REVISION")
        .ok()
        .or_else(|| first_line("git", &["rev-parse", "--short=12", "HEAD"]))
        .unwrap_or_else(|| "unknown".to_owned());
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let rustc = first_line(&rustc, &["--version"])
        .and_then(|version| version.split(' ').nth(1).map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=KIWIVM_BUILD_REVISION={revision}");
    println!("cargo:rustc-env=KIWIVM_BUILD_RUSTC={rustc}");
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}
