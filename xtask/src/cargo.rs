//! Running cargo, and the binaries it built, in the root of the workspace.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, ensure};

use crate::child;

/// The workspace that this command was built from.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Where cargo builds to.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Asks cargo where it builds to, which the user may have set elsewhere.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask stands in the workspace")?
            .to_owned();
        let output = Command::new(cargo())
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(&root)
            .output()
            .context("cannot run cargo metadata")?;
        ensure!(
            output.status.success(),
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
        let target = metadata["target_directory"]
            .as_str()
            .context("cargo metadata names no target directory")?
            .into();
        Ok(Self { root, target })
    }

    /// Runs cargo to its end with these variables; its own messages say what failed.
    pub(crate) fn cargo(&self, arguments: &[&str], variables: &[(&str, String)]) -> anyhow::Result<()> {
        let shown = variables
            .iter()
            .fold(String::new(), |text, (name, value)| format!("{text}{name}={value} "));
        eprintln!("+ {shown}cargo {}", arguments.join(" "));
        let mut command = Command::new(cargo());
        command
            .args(arguments)
            .current_dir(&self.root)
            .envs(variables.iter().map(|(name, value)| (name, value)));
        child::run(&mut command).with_context(|| format!("cargo {}", arguments.join(" ")))
    }

    /// Replaces this process by a release binary: a Ctrl-C then reaches one process, which stops in order.
    pub(crate) fn become_binary(&self, name: &str, arguments: &[&str]) -> anyhow::Result<ExitCode> {
        eprintln!("+ {name} {}", arguments.join(" "));
        let error = Command::new(self.binaries("release").join(name))
            .args(arguments)
            .current_dir(&self.root)
            .exec();
        Err(error).with_context(|| format!("cannot run {name}"))
    }

    /// Where cargo puts the binaries of a profile (one that is not `dev`).
    pub(crate) fn binaries(&self, profile: &str) -> PathBuf {
        self.target.join(profile)
    }
}

/// The cargo that runs this command.
fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
