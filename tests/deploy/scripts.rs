//! Scripts for the shell.

use crate::tools::{repository, run, tool};

#[test]
fn shellcheck_has_nothing_to_say() {
    for script in [
        "tests/run",
        "tests/static_build",
        ".ci/run",
        "deploy/debian/build",
        "deploy/debian/scripts/postinst",
        "deploy/debian/scripts/postrm",
        "deploy/kubernetes/generate",
        "deploy/notices",
        "deploy/release/build",
    ] {
        run(tool("shellcheck").arg(repository(script)));
    }
}
