//! A git repository that goes with its test: an example of ours as somebody else's service, in as many revisions as the
//! test needs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::{Running, Workplace, bin_dir, repository};

/// The repository, with one folder of ours in its first commit.
pub(crate) struct ThrowAway {
    directory: TempDir,
    /// The folder that was copied, from the top of either repository.
    folder: &'static str,
}

impl ThrowAway {
    /// A repository with a copy of `folder`, tagged `first`.
    pub(crate) fn of(folder: &'static str) -> Self {
        let made = Self {
            directory: tempfile::tempdir().unwrap(),
            folder,
        };
        made.git(&["init", "--quiet", "--initial-branch", "main"]);
        let (from, to) = (repository(folder), made.path(""));
        fs::create_dir_all(&to).unwrap();
        for file in fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            if file.file_type().unwrap().is_file() {
                fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
        made.commit("first");
        made
    }

    pub(crate) fn top(&self) -> &Path {
        self.directory.path()
    }

    /// A file of the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.top().join(self.folder).join(name)
    }

    /// Puts `new` in the place of `old` in a file of the folder, where it must stand, and commits that under a tag.
    pub(crate) fn change(&self, file: &str, old: &str, new: &str, tag: &str) {
        let text = fs::read_to_string(self.path(file)).unwrap();
        assert!(text.contains(old), "{file} has no {old:?}");
        fs::write(self.path(file), text.replace(old, new)).unwrap();
        self.commit(tag);
    }

    fn commit(&self, tag: &str) {
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "-m", tag]);
        self.git(&["tag", tag]);
    }

    /// What git prints.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@t.test"])
            .args(arguments)
            .current_dir(self.top())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command of the release build in the repository, output going to the place's `out()`.
    pub(crate) fn loadtest(&self, place: &Workplace, arguments: &[&str]) -> Running {
        let mut command = Command::new(bin_dir().join("loadtest"));
        command
            .args(arguments)
            .args(["--out", place.out().to_str().unwrap()])
            .current_dir(self.top())
            .env("TMPDIR", place.tmp());
        Running::start(command)
    }
}
