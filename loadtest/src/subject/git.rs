//! `git:REV[:PROFILE]`: the reference service as it was at a revision, built once and kept.
//!
//! A revision is checked out beside the user's tree, never in it, and built with one target directory for all
//! revisions, so that dependencies are compiled once. What belongs here: from the name of a revision to a binary. What
//! does not: starting it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use anyhow::Context;
use nix::fcntl::{Flock, FlockArg};
use stack::{
    process::{Ending, Output, Supervised},
    wait::Patience,
};
use tokio_util::sync::CancellationToken;

use super::REFERENCE;
use crate::error::HarnessError;

/// Package that a revision is built for, and the name of its binary.
const PACKAGE: &str = REFERENCE.package;
/// Where everything of the harness goes, from the top of the repository.
const OWN: &str = "target/loadtest";
/// Where builds are kept, from the top of the repository.
const BUILDS: &str = "target/loadtest/builds";
/// A binary has some 60 MB; a bisection over more revisions than this builds the oldest again.
const MAX_KEPT: usize = 16;
/// Compilers that are told to end do so at once.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// A commit of the repository around the working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revision {
    repository: PathBuf,
    /// The whole hash.
    pub(crate) sha: String,
}

impl Revision {
    /// The commit that `name` (branch, tag, hash, `HEAD~3`) stands for in the repository around `directory`.
    ///
    /// # Errors
    /// [`HarnessError::Usage`] outside a repository, and for a name that stands for no commit.
    pub(crate) fn find(directory: &Path, name: &str) -> Result<Self, HarnessError> {
        let repository = git(directory, &["rev-parse", "--show-toplevel"]).map_err(|error| {
            HarnessError::Usage(format!("subject git:{name}: not inside a git repository: {error}"))
        })?;
        let repository = PathBuf::from(repository);
        let commit = format!("{name}^{{commit}}");
        match git(
            &repository,
            &["rev-parse", "--verify", "--quiet", "--end-of-options", &commit],
        ) {
            Ok(sha) => Ok(Self { repository, sha }),
            Err(_) => Err(no_such_revision(&repository, name)),
        }
    }

    /// The binary of this revision, built now unless it is kept from before. An interrupt ends the build; nothing but
    /// its log and its compiled dependencies is left then.
    ///
    /// # Errors
    /// [`HarnessError::Subject`] with the end of the build's log when the revision does not build.
    pub(crate) async fn binary(
        &self,
        announce: &mut dyn FnMut(&str),
        stop: &CancellationToken,
    ) -> Result<PathBuf, HarnessError> {
        let builds = self.repository.join(BUILDS);
        let kept = builds.join(&self.sha).join(PACKAGE);
        if kept.is_file() {
            return Ok(kept);
        }
        fs::create_dir_all(&builds).map_err(HarnessError::internal)?;
        keep_out_of_git(&self.repository.join(OWN)).map_err(HarnessError::internal)?;
        let _alone = lock(&builds.join("lock"), announce).await?;
        // Whoever held the lock may have built it.
        if !kept.is_file() {
            let short = &self.sha[..12];
            announce(&format!(
                "building {PACKAGE} of {short}; its log is {}",
                self.log().display()
            ));
            let tree = Worktree::add(&self.repository, &builds.join("tree"), &self.sha)?;
            self.build(&tree, stop).await?;
            keep(&builds.join("target/release").join(PACKAGE), &kept).map_err(HarnessError::internal)?;
            forget_oldest(&builds);
        }
        Ok(kept)
    }

    async fn build(&self, tree: &Worktree, stop: &CancellationToken) -> Result<(), HarnessError> {
        let mut command = Command::new("cargo");
        command
            .args(["build", "--release", "--locked", "-p", PACKAGE, "--target-dir"])
            .arg(self.repository.join(BUILDS).join("target"))
            .current_dir(&tree.path)
            .stdin(Stdio::null());
        let log = self.log();
        let _ = fs::remove_file(&log);
        let stopped = Ending {
            limit: STOP_LIMIT,
            ask_when_dropped: true,
            ..Ending::default()
        };
        let failed = |error| {
            let revision = &self.sha[..12];
            HarnessError::Subject(format!("building {PACKAGE} of revision {revision} {error}"))
        };
        let cargo = Supervised::spawn(command, Output::Logged(&log), stopped).map_err(failed)?;
        let as_long_as_it_takes = Patience::new(Duration::MAX);
        tokio::select! {
            built = cargo.finish(&as_long_as_it_takes, |_| ()) => built.map_err(failed),
            () = stop.cancelled() => Err(HarnessError::Interrupted),
        }
    }

    fn log(&self) -> PathBuf {
        self.repository.join(BUILDS).join(format!("{}.log", &self.sha[..12]))
    }
}

/// A checkout that goes when this value goes.
struct Worktree {
    repository: PathBuf,
    path: PathBuf,
}

impl Worktree {
    /// Removes what a killed harness left at `path` first: the caller holds the lock, so nobody uses it.
    fn add(repository: &Path, path: &Path, sha: &str) -> Result<Self, HarnessError> {
        let tree = Self {
            repository: repository.to_owned(),
            path: path.to_owned(),
        };
        tree.remove();
        let place = path.to_string_lossy();
        git(repository, &["worktree", "add", "--quiet", "--detach", &place, sha])
            .map_err(|error| HarnessError::Subject(format!("cannot check out {sha} into {place}: {error}")))?;
        if path.join(".gitmodules").is_file() {
            tree.fetch_submodules()?;
        }
        Ok(tree)
    }

    /// A worktree begins without its submodules. Local ones are allowed: what is checked out is about to be built and
    /// run, so it is trusted already.
    fn fetch_submodules(&self) -> Result<(), HarnessError> {
        let update = ["submodule", "--quiet", "update", "--init", "--recursive"];
        let arguments = [&["-c", "protocol.file.allow=always"], &update[..]].concat();
        git(&self.path, &arguments).map(drop).map_err(|error| {
            HarnessError::Subject(format!(
                "cannot fetch the submodules of {}: {error}",
                self.path.display()
            ))
        })
    }

    /// Whatever of it there is.
    fn remove(&self) {
        let _ = fs::remove_dir_all(&self.path);
        let _ = git(&self.repository, &["worktree", "prune"]);
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Waits while another harness builds in the same place.
async fn lock(path: &Path, announce: &mut dyn FnMut(&str)) -> Result<Flock<File>, HarnessError> {
    let open = || File::create(path).with_context(|| format!("cannot open {}", path.display()));
    if let Ok(locked) = Flock::lock(open()?, FlockArg::LockExclusiveNonblock) {
        return Ok(locked);
    }
    announce("waiting for another harness that is building");
    let file = open()?;
    let waiting = tokio::task::spawn_blocking(move || Flock::lock(file, FlockArg::LockExclusive));
    let locked = waiting.await.map_err(HarnessError::internal)?;
    locked.map_err(|(_, errno)| HarnessError::internal(errno))
}

/// Half a copy never counts as a build: the rename is the last step.
fn keep(built: &Path, kept: &Path) -> anyhow::Result<()> {
    let directory = kept.parent().context("a kept build has a directory")?;
    fs::create_dir_all(directory)?;
    let partial = kept.with_extension("partial");
    fs::copy(built, &partial).with_context(|| format!("cannot copy {}", built.display()))?;
    fs::rename(&partial, kept)?;
    Ok(())
}

/// Failures are left for the next time: old builds cost disk, nothing else.
fn forget_oldest(builds: &Path) {
    let made = |directory: &PathBuf| -> Option<SystemTime> { directory.join(PACKAGE).metadata().ok()?.modified().ok() };
    let entries = fs::read_dir(builds).into_iter().flatten().flatten();
    let mut kept: Vec<(SystemTime, PathBuf)> = entries
        .map(|entry| entry.path())
        .filter_map(|path| Some((made(&path)?, path)))
        .collect();
    kept.sort();
    let surplus = kept.len().saturating_sub(MAX_KEPT);
    for (_, path) in &kept[..surplus] {
        let _ = fs::remove_dir_all(path);
    }
}

/// Makes git pass over everything in `directory`, wherever it stands: what the harness keeps in somebody's repository
/// is not theirs to commit.
pub(crate) fn keep_out_of_git(directory: &Path) -> std::io::Result<()> {
    let ignore = directory.join(".gitignore");
    if ignore.exists() {
        return Ok(());
    }
    fs::write(ignore, "*\n")
}

fn no_such_revision(repository: &Path, name: &str) -> HarnessError {
    if git(repository, &["rev-parse", "--is-shallow-repository"]).as_deref() == Ok("true") {
        return HarnessError::Usage(format!(
            "subject git:{name}: {} knows no such revision, and is a shallow clone, without its history: run `git \
             fetch --unshallow` there (in CI, check out with fetch-depth: 0)",
            repository.display()
        ));
    }
    let names = git(repository, &["for-each-ref", "--format=%(refname:short)"]).unwrap_or_default();
    let hint = scenarios::did_you_mean(name, names.lines()).map_or_else(String::new, |hint| format!("; {hint}"));
    HarnessError::Usage(format!(
        "subject git:{name}: {} knows no such revision{hint}",
        repository.display()
    ))
}

/// What git prints, trimmed; on failure, what it complains of.
fn git(directory: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run git: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str =
        "[package]\nname = \"insurance-service\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"insurance-service\"\nversion = \"0.0.0\"\n";

    /// A repository whose service prints a word.
    struct Repository(tempfile::TempDir);

    impl Repository {
        fn new() -> Self {
            let repository = Self(tempfile::tempdir().unwrap());
            repository.git(&["init", "--quiet", "--initial-branch", "main"]);
            repository.write("Cargo.toml", MANIFEST);
            repository.write("Cargo.lock", LOCK);
            repository.write(".gitignore", "/target\n");
            repository
        }

        fn path(&self) -> &Path {
            self.0.path()
        }

        fn git(&self, arguments: &[&str]) -> String {
            let identity = ["-c", "user.name=t", "-c", "user.email=t@t.test"];
            git(self.path(), &[&identity, arguments].concat()).unwrap()
        }

        fn write(&self, file: &str, text: &str) {
            let path = self.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn commit(&self, main: &str) -> Revision {
            self.write("src/main.rs", main);
            self.git(&["add", "."]);
            self.git(&["commit", "--quiet", "-m", "change"]);
            Revision::find(self.path(), "HEAD").unwrap()
        }

        fn assert_no_checkout_left(&self) {
            assert!(!self.path().join(BUILDS).join("tree").exists());
            assert_eq!(self.git(&["worktree", "list"]).lines().count(), 1);
        }
    }

    fn says(word: &str) -> String {
        format!("fn main() {{ println!(\"{word}\"); }}")
    }

    async fn build(revision: &Revision) -> (Result<PathBuf, HarnessError>, Vec<String>) {
        let mut lines = Vec::new();
        let built = revision
            .binary(&mut |line| lines.push(line.to_owned()), &CancellationToken::new())
            .await;
        (built, lines)
    }

    fn output(binary: &Path) -> String {
        String::from_utf8(Command::new(binary).output().unwrap().stdout).unwrap()
    }

    #[tokio::test]
    async fn each_revision_is_built_as_it_was_and_only_once() {
        let repository = Repository::new();
        let (old, new) = (repository.commit(&says("old")), repository.commit(&says("new")));
        // What is in the user's tree but not committed is not part of any revision.
        repository.write("src/main.rs", "not Rust");
        let (built_new, said) = build(&new).await;
        assert!(said[0].starts_with("building insurance-service of "), "{said:?}");
        let (built_old, _) = build(&old).await;
        assert_eq!(output(&built_old.unwrap()), "old\n");
        let built_new = built_new.unwrap();
        assert_eq!(output(&built_new), "new\n");
        let (again, said) = build(&new).await;
        assert_eq!((again.unwrap(), said), (built_new, Vec::new()));
        repository.assert_no_checkout_left();
    }

    #[tokio::test]
    async fn a_revision_that_does_not_build_shows_the_compilers_words() {
        let repository = Repository::new();
        let broken = repository.commit("fn main() { nothing_of_this_name(); }");
        let error = build(&broken).await.0.unwrap_err();
        assert_eq!(error.exit_code(), 3);
        let text = error.to_string();
        assert!(
            text.contains("nothing_of_this_name") && text.contains(&broken.sha[..12]),
            "{text}"
        );
        repository.assert_no_checkout_left();
    }

    /// 1. The build runs a script that does not end. 2. The user interrupts. 3. cargo and the script go, and so does
    /// the checkout.
    #[tokio::test]
    async fn an_interrupted_build_leaves_nothing_running() {
        let repository = Repository::new();
        repository.write(
            "build.rs",
            "fn main() { \
                 std::fs::write(\"../running\", std::process::id().to_string()).unwrap(); \
                 loop { std::thread::park(); } \
             }",
        );
        let endless = repository.commit(&says("never"));
        let (stop, running) = (CancellationToken::new(), repository.path().join(BUILDS).join("running"));
        let interrupt = async {
            let mut patience = stack::wait::Patience::new(std::time::Duration::from_mins(2));
            while fs::read_to_string(&running).unwrap_or_default().is_empty() {
                patience.pause().await.unwrap();
            }
            stop.cancel();
        };
        let mut unheard = |_: &str| ();
        let (built, ()) = tokio::join!(endless.binary(&mut unheard, &stop), interrupt);
        assert!(matches!(built, Err(HarnessError::Interrupted)));
        let script: i32 = fs::read_to_string(&running).unwrap().parse().unwrap();
        let mut patience = stack::wait::Patience::new(std::time::Duration::from_secs(30));
        while Path::new(&format!("/proc/{script}")).exists() {
            patience.pause().await.unwrap();
        }
        repository.assert_no_checkout_left();
    }

    #[test]
    fn an_unknown_revision_is_answered_with_the_nearest_branch() {
        let repository = Repository::new();
        repository.commit(&says("x"));
        let error = Revision::find(repository.path(), "mian").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(
            error
                .to_string()
                .ends_with("knows no such revision; did you mean `main`?"),
            "{error}"
        );
        let nowhere = tempfile::tempdir().unwrap();
        let error = Revision::find(nowhere.path(), "main").unwrap_err();
        assert!(error.to_string().contains("not inside a git repository"), "{error}");
    }

    /// A repository that does not ignore `target`: what the harness keeps there is not the user's to commit.
    #[tokio::test]
    async fn nothing_untracked_is_left_in_the_users_repository() {
        let repository = Repository::new();
        repository.write(".gitignore", "");
        let revision = repository.commit(&says("x"));
        build(&revision).await.0.unwrap();
        assert_eq!(repository.git(&["status", "--porcelain", "--untracked-files=all"]), "");
    }

    #[tokio::test]
    async fn submodules_are_there_when_it_is_built() {
        let (repository, other) = (Repository::new(), Repository::new());
        other.write("word.txt", "from the submodule");
        other.commit(&says("other"));
        let address = other.path().to_str().unwrap();
        repository.git(&[
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "--quiet",
            "add",
            address,
            "part",
        ]);
        let revision = repository.commit("fn main() { println!(include_str!(\"../part/word.txt\")); }");
        let built = build(&revision).await.0.unwrap();
        assert_eq!(output(&built), "from the submodule\n");
        repository.assert_no_checkout_left();
    }

    #[test]
    fn a_shallow_clone_says_how_to_get_its_history() {
        let (repository, clones) = (Repository::new(), tempfile::tempdir().unwrap());
        repository.commit(&says("old"));
        repository.commit(&says("new"));
        let (from, to) = (
            format!("file://{}", repository.path().display()),
            clones.path().join("clone"),
        );
        git(
            clones.path(),
            &["clone", "--quiet", "--depth", "1", &from, to.to_str().unwrap()],
        )
        .unwrap();
        assert!(Revision::find(&to, "HEAD").is_ok());
        let error = Revision::find(&to, "HEAD~1").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("git fetch --unshallow"), "{error}");
    }

    #[test]
    fn only_the_newest_builds_are_kept() {
        let builds = tempfile::tempdir().unwrap();
        let name = |index: usize| builds.path().join(format!("build{index}")).join(PACKAGE);
        for index in 0..MAX_KEPT + 2 {
            fs::create_dir_all(name(index).parent().unwrap()).unwrap();
            let age = std::time::Duration::from_secs(1000 - u64::try_from(index).unwrap());
            File::create(name(index))
                .unwrap()
                .set_modified(SystemTime::now() - age)
                .unwrap();
        }
        forget_oldest(builds.path());
        assert_eq!(
            [name(0).exists(), name(1).exists(), name(2).exists()],
            [false, false, true]
        );
    }
}
