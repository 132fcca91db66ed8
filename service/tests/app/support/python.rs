//! Programs of Python packages, each in an environment of its own under the target directory; installed when it is not
//! there.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

const INSTALL: &str = "sudo apt-get install -y --no-install-recommends python3 python3-venv (and reach PyPI once)";

/// The program `name` of this version of the package of that name; `check` are arguments with which it succeeds.
pub(crate) async fn python_program(name: &str, version: &str, check: &[&str]) -> PathBuf {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{version}"));
    let program = environment.join("bin").join(name);
    if !runs(&program, check).await {
        // Whatever is left of an installation that was cut short.
        let _gone = tokio::fs::remove_dir_all(&environment).await;
        let directory = environment.to_str().expect("a readable path");
        must_run(Path::new("python3"), &["-m", "venv", directory]).await;
        let pip = environment.join("bin/pip");
        must_run(&pip, &["install", "--quiet", &format!("{name}=={version}")]).await;
    }
    program
}

async fn runs(program: &Path, arguments: &[&str]) -> bool {
    let quiet = || Stdio::null();
    let mut command = Command::new(program);
    let status = command.args(arguments).stdout(quiet()).stderr(quiet()).status().await;
    status.is_ok_and(|status| status.success())
}

async fn must_run(program: &Path, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().await;
    let told = match output {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    panic!(
        "cannot run {} {arguments:?}: {told}\ninstall it: {INSTALL}",
        program.display()
    );
}
