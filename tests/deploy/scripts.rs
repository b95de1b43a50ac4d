//! Shell scripts.

use crate::tools::{repository, run, tool};

#[test]
fn shellcheck_accepts_every_script() {
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
