//! Finding installed programs. Versions and start-up options are the servers' own business.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The first directory of `PATH` that holds all of these programs.
pub(crate) fn directory_on_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|directory| holds_all(directory, names))
}

pub(crate) fn holds_all(directory: &Path, names: &[&str]) -> bool {
    names.iter().all(|name| is_program(&directory.join(name)))
}

pub(crate) fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Makes a path independent of the working directory, which a server's start changes. Symbolic links stay: some
/// programs look at the name they were called by.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The subdirectory of `root` with the highest version that holds all of these programs under `bin`. Versions compare
/// as numbers: 10 is newer than 9.6.
pub(crate) fn newest_bin(root: &Path, names: &[&str]) -> Option<PathBuf> {
    let entries = std::fs::read_dir(root).ok()?;
    let versions = entries.flatten().filter_map(|entry| {
        let bin = entry.path().join("bin");
        holds_all(&bin, names).then_some((version(&entry.file_name().to_string_lossy())?, bin))
    });
    versions.max().map(|(_, bin)| bin)
}

fn version(name: &str) -> Option<Vec<u32>> {
    name.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn install(root: &Path, version: &str, mode: u32) {
        let program = root.join(version).join("bin/postgres");
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write(&program, "").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_newest_version_is_the_highest_number() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9.6", "10", "9.10"] {
            install(root.path(), version, 0o755);
        }
        install(root.path(), "17", 0o644);
        install(root.path(), "later", 0o755);
        assert_eq!(newest_bin(root.path(), &["postgres"]), Some(root.path().join("10/bin")));
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        let root = tempfile::tempdir().unwrap();
        install(root.path(), "15", 0o755);
        assert_eq!(newest_bin(root.path(), &["postgres", "initdb"]), None);
        assert_eq!(newest_bin(&root.path().join("absent"), &["postgres"]), None);
    }
}
