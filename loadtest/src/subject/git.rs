//! `git:REV[:PROFILE]`: a service as it was at a revision of the repository around the working directory, built once
//! and kept.
//!
//! A revision is checked out beside the user's tree, never in it, and built as its subject file says, with one
//! directory that all revisions share, so that what they have in common is made once. What belongs here: from the name
//! of a revision to a directory that can be launched. What does not: launching it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use anyhow::Context;
use nix::fcntl::{Flock, FlockArg};
use scenarios::Service;
use sha2::{Digest, Sha256};
use stack::{
    process::{Ending, Output, Supervised},
    wait::Patience,
};
use tokio_util::sync::CancellationToken;

use super::places::Places;
use crate::error::HarnessError;

/// Stands for the working tree as it is, in the place of a revision: no revision can be called so.
pub(crate) const WORKING_TREE: &str = ".";
/// Where everything of the harness goes, from the top of the repository.
const OWN: &str = "target/loadtest";
/// Where builds are kept, from the top of the repository.
const BUILDS: &str = "target/loadtest/builds";
/// Stands beside a build that is whole.
const DONE: &str = "done";
/// A build has some 60 MB; a bisection over more revisions than this builds the oldest again.
const MAX_KEPT: usize = 16;
/// Digits of a hash that tell one revision, or one way of building, from another.
const SHORT: usize = 12;
/// Compilers that are told to end do so at once.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// The same tree is the same commit whenever it is made, so that it is built once.
const SNAPSHOT: [(&str, &str); 6] = [
    ("GIT_AUTHOR_NAME", "loadtest"),
    ("GIT_AUTHOR_EMAIL", "loadtest@localhost"),
    ("GIT_AUTHOR_DATE", "2000-01-01T00:00:00Z"),
    ("GIT_COMMITTER_NAME", "loadtest"),
    ("GIT_COMMITTER_EMAIL", "loadtest@localhost"),
    ("GIT_COMMITTER_DATE", "2000-01-01T00:00:00Z"),
];

/// A commit of the repository around the working directory, or the working tree as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revision {
    repository: PathBuf,
    /// The whole hash.
    pub(crate) sha: String,
    /// Hash of its files: commits of the same files are the same subject.
    tree: String,
    /// The commit that the working tree has changes beyond, where it has any.
    changed: Option<String>,
}

/// A revision that is built.
#[derive(Debug)]
pub(crate) struct Built {
    /// Where what was kept of it is.
    pub(crate) dir: PathBuf,
    /// Tells it from every other build: what was kept, or the files and the commands that it was made of.
    pub(crate) sha256: String,
}

impl Revision {
    /// The commit that `name` (branch, tag, hash, `HEAD~3`) stands for in the repository around `directory`; of
    /// [`WORKING_TREE`] a commit of everything that git would add, which no branch has.
    ///
    /// # Errors
    /// [`HarnessError::Usage`] outside a repository, and for a name that stands for no commit.
    pub(crate) fn find(directory: &Path, name: &str, announce: &mut dyn FnMut(&str)) -> Result<Self, HarnessError> {
        let repository = git(directory, &["rev-parse", "--show-toplevel"]).map_err(|error| {
            HarnessError::Usage(format!("subject git:{name}: not inside a git repository: {error}"))
        })?;
        let repository = PathBuf::from(repository);
        if name == WORKING_TREE {
            return Self::working_tree(&repository);
        }
        let Some(sha) = commit(&repository, name) else {
            return Err(no_such_revision(&repository, name));
        };
        if commit(&repository, "HEAD").as_ref() == Some(&sha) && is_dirty(&repository) {
            announce(&format!(
                "note: the working tree has changes that are not part of {name}; git:{WORKING_TREE} measures it with \
                 them"
            ));
        }
        Self::of_commit(repository, sha)
    }

    fn of_commit(repository: PathBuf, sha: String) -> Result<Self, HarnessError> {
        let tree = git(&repository, &["rev-parse", "--verify", &format!("{sha}^{{tree}}")]);
        Ok(Self {
            tree: tree.map_err(|error| HarnessError::Usage(format!("commit {sha}: {error}")))?,
            repository,
            sha,
            changed: None,
        })
    }

    /// The working tree, with what is new in it and not ignored. Where nothing has changed it is the commit itself.
    fn working_tree(repository: &Path) -> Result<Self, HarnessError> {
        let Some(head) = commit(repository, "HEAD") else {
            return Err(HarnessError::Usage(format!(
                "subject git:{WORKING_TREE}: {} has no commit yet",
                repository.display()
            )));
        };
        let at_head = Self::of_commit(repository.to_owned(), head.clone())?;
        let tree = snapshot(repository)?;
        if tree == at_head.tree {
            return Ok(at_head);
        }
        let words = ["commit-tree", &tree, "-p", &head, "-m", "the working tree"];
        let sha = git_with(repository, &words, &SNAPSHOT).map_err(|error| cannot_snapshot(&error))?;
        Ok(Self {
            repository: repository.to_owned(),
            sha,
            tree,
            changed: Some(head),
        })
    }

    /// As a record and a person read it.
    pub(crate) fn describe(&self) -> String {
        match &self.changed {
            Some(head) => format!("{}-dirty", &head[..SHORT]),
            None => self.sha[..SHORT].to_owned(),
        }
    }

    /// This revision, built now unless it is kept from before. An interrupt ends the build; nothing but its log and
    /// what all builds share is left then.
    ///
    /// # Errors
    /// [`HarnessError::Subject`] with the end of the build's log when the revision does not build.
    pub(crate) async fn build(
        &self,
        service: &Service,
        announce: &mut dyn FnMut(&str),
        stop: &CancellationToken,
    ) -> Result<Built, HarnessError> {
        let place = BuildPlace::new(self, service);
        if !place.is_done() {
            fs::create_dir_all(&place.builds).map_err(HarnessError::internal)?;
            keep_out_of_git(&self.repository.join(OWN)).map_err(HarnessError::internal)?;
            let _alone = lock(&place.builds.join("lock"), announce).await?;
            // Whoever held the lock may have built it.
            if !place.is_done() {
                let (name, what) = (&service.name, self.describe());
                announce(&format!(
                    "building {name} of {what}; its log is {}",
                    place.log.display()
                ));
                self.build_into(&place, service, stop).await?;
                forget_oldest(&place.builds, &place.done());
            }
        }
        place.touch();
        Ok(Built {
            sha256: place.sha256(self, service)?,
            dir: if service.build.keep.is_empty() {
                place.dir.join(&service.build.directory)
            } else {
                place.dir
            },
        })
    }

    /// What is kept whole is built where it stays: some tools write down where they were.
    async fn build_into(
        &self,
        place: &BuildPlace,
        service: &Service,
        stop: &CancellationToken,
    ) -> Result<(), HarnessError> {
        let _ = fs::remove_dir_all(&place.dir);
        if service.build.keep.is_empty() {
            let tree = Worktree::add(&self.repository, &place.dir, &self.sha)?;
            self.run(place, &tree.path, service, stop).await?;
            tree.stays();
        } else {
            let tree = Worktree::add(&self.repository, &place.builds.join("tree"), &self.sha)?;
            let places = self.run(place, &tree.path, service, stop).await?;
            place.keep(service, &places).map_err(HarnessError::internal)?;
        }
        fs::write(place.done(), "").map_err(HarnessError::internal)
    }

    /// Runs the commands of the build in `tree`; the places that they knew.
    async fn run(
        &self,
        place: &BuildPlace,
        tree: &Path,
        service: &Service,
        stop: &CancellationToken,
    ) -> Result<Places, HarnessError> {
        let dir = tree.join(&service.build.directory);
        if !dir.is_dir() {
            return Err(HarnessError::Subject(format!(
                "revision {} has no folder {}, in which {} is built",
                self.describe(),
                service.build.directory.display(),
                service.name
            )));
        }
        let places = Places {
            dir: Some(dir.clone()),
            cache: Some(place.builds.join("cache")),
            ..Places::default()
        };
        let _ = fs::remove_file(&place.log);
        for command in &service.build.commands {
            let failed = |error: &dyn std::fmt::Display| {
                HarnessError::Subject(format!(
                    "building {} of {}: `{}` {error}\nits whole output is {}",
                    service.name,
                    self.describe(),
                    command.shown,
                    place.log.display()
                ))
            };
            let words = super::launch::words(command, None, &places, &dir).map_err(HarnessError::internal)?;
            let mut build_step = super::launch::program(&words, &dir);
            build_step.stdin(Stdio::null());
            let stopped = Ending {
                limit: STOP_LIMIT,
                ask_when_dropped: true,
                ..Ending::default()
            };
            let building =
                Supervised::spawn(build_step, Output::Logged(&place.log), stopped).map_err(|error| failed(&error))?;
            let as_long_as_it_takes = Patience::new(Duration::MAX);
            tokio::select! {
                ended = building.finish(&as_long_as_it_takes, |_| ()) => ended.map_err(|error| failed(&error))?,
                () = stop.cancelled() => return Err(HarnessError::Interrupted),
            }
        }
        Ok(places)
    }
}

/// Where a build is made and kept.
struct BuildPlace {
    builds: PathBuf,
    dir: PathBuf,
    log: PathBuf,
}

impl BuildPlace {
    fn new(revision: &Revision, service: &Service) -> Self {
        let builds = revision.repository.join(BUILDS);
        let recipe = recipe(service);
        Self {
            dir: builds.join(format!("{}-{}", revision.sha, &recipe[..SHORT])),
            log: builds.join(format!("{}.log", &revision.sha[..SHORT])),
            builds,
        }
    }

    fn done(&self) -> PathBuf {
        self.dir.with_extension(DONE)
    }

    /// Half a build never counts as one: this is written last.
    fn is_done(&self) -> bool {
        self.done().is_file() && self.dir.is_dir()
    }

    /// What was used last is forgotten last.
    fn touch(&self) {
        let opened = File::options().append(true).open(self.done());
        // A build that looks older than it is may be made again, nothing else.
        let _ = opened.and_then(|file| file.set_modified(SystemTime::now()));
    }

    /// Copies what is to be kept out of the tree, each under its own name.
    fn keep(&self, service: &Service, places: &Places) -> anyhow::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let tree = places.dir.clone().unwrap_or_default();
        for kept in &service.build.keep {
            let kept = kept.fill(&|place| places.value(place));
            let kept = tree.join(kept.map_err(|place| anyhow::anyhow!("{place} has no value in a build"))?);
            let name = kept.file_name().context("what is kept of a build has a name")?;
            copy(&kept, &self.dir.join(name))
                .with_context(|| format!("cannot keep {} of the build", kept.display()))?;
        }
        Ok(())
    }

    /// Of what was kept its content; a whole tree is known by what it was made of.
    fn sha256(&self, revision: &Revision, service: &Service) -> Result<String, HarnessError> {
        if service.build.keep.is_empty() {
            let made_of = format!("{}\n{}", revision.tree, recipe(service));
            return Ok(hex::encode(Sha256::digest(made_of)));
        }
        let kept: Vec<PathBuf> = fs::read_dir(&self.dir)
            .map_err(HarnessError::internal)?
            .flatten()
            .map(|entry| entry.path())
            .collect();
        // A single program is known by itself, however it came to be here.
        let whole = match &kept[..] {
            [only] => only,
            _ => &self.dir,
        };
        sha256_of(whole).map_err(HarnessError::internal)
    }
}

/// Hash of how a service is built: by other commands it is another build.
fn recipe(service: &Service) -> String {
    let build = &service.build;
    let made_by = format!("{} {:?} {:?}", build.directory.display(), build.commands, build.keep);
    hex::encode(Sha256::digest(made_by))
}

/// Hash of a file, or of the names and contents of all files in a folder.
pub(super) fn sha256_of(path: &Path) -> std::io::Result<String> {
    if path.is_file() {
        return Ok(hex::encode(Sha256::digest(fs::read(path)?)));
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(path)?.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    let mut hash = Sha256::new();
    for entry in entries {
        hash.update(entry.file_name().unwrap_or_default().as_encoded_bytes());
        // A link that leads nowhere has no content.
        if entry.exists() {
            hash.update(sha256_of(&entry)?);
        }
    }
    Ok(hex::encode(hash.finalize()))
}

/// Copies a file, or a folder with all that is in it; links stay links.
pub(crate) fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let kind = from.symlink_metadata()?;
    if kind.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if !kind.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// A checkout that goes when this value goes.
struct Worktree {
    repository: PathBuf,
    path: PathBuf,
    stays: bool,
}

impl Worktree {
    /// Removes what a killed harness left at `path` first: the caller holds the lock, so nobody uses it.
    fn add(repository: &Path, path: &Path, sha: &str) -> Result<Self, HarnessError> {
        let tree = Self {
            repository: repository.to_owned(),
            path: path.to_owned(),
            stays: false,
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

    /// Leaves its files, which are no checkout of the repository any more.
    fn stays(mut self) {
        self.stays = true;
        let _ = fs::remove_file(self.path.join(".git"));
        let _ = git(&self.repository, &["worktree", "prune"]);
    }

    /// Whatever of it there is.
    fn remove(&self) {
        let _ = fs::remove_dir_all(&self.path);
        let _ = git(&self.repository, &["worktree", "prune"]);
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        if !self.stays {
            self.remove();
        }
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

/// Removes the builds that were used longest ago, beyond those that are kept; `newest` is not among them. Failures are
/// left for the next time: old builds cost disk, nothing else.
fn forget_oldest(builds: &Path, newest: &Path) {
    let entries = fs::read_dir(builds).into_iter().flatten().flatten();
    let done = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == DONE) && path != newest);
    let mut kept: Vec<(SystemTime, PathBuf)> = done
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .collect();
    kept.sort();
    let surplus = (kept.len() + 1).saturating_sub(MAX_KEPT);
    for (_, path) in &kept[..surplus] {
        let _ = fs::remove_file(path);
        let _ = fs::remove_dir_all(path.with_extension(""));
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

/// The commit that a name stands for.
fn commit(repository: &Path, name: &str) -> Option<String> {
    let commit = format!("{name}^{{commit}}");
    git(
        repository,
        &["rev-parse", "--verify", "--quiet", "--end-of-options", &commit],
    )
    .ok()
}

fn is_dirty(repository: &Path) -> bool {
    git(repository, &["status", "--porcelain"]).is_ok_and(|changes| !changes.is_empty())
}

/// The hash of the working tree's files. The index of the user is not touched.
fn snapshot(repository: &Path) -> Result<String, HarnessError> {
    let own = repository.join(OWN);
    fs::create_dir_all(&own).map_err(HarnessError::internal)?;
    keep_out_of_git(&own).map_err(HarnessError::internal)?;
    let directory = tempfile::tempdir_in(&own).map_err(HarnessError::internal)?;
    let index = directory.path().join("index").to_string_lossy().into_owned();
    let alone = [("GIT_INDEX_FILE", index.as_str())];
    let added = git_with(repository, &["read-tree", "HEAD"], &alone)
        .and_then(|_| git_with(repository, &["add", "--all", "."], &alone));
    added
        .and_then(|_| git_with(repository, &["write-tree"], &alone))
        .map_err(|error| cannot_snapshot(&error))
}

fn cannot_snapshot(error: &str) -> HarnessError {
    HarnessError::Subject(format!(
        "subject git:{WORKING_TREE}: cannot read the working tree: {error}"
    ))
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

fn git(directory: &Path, arguments: &[&str]) -> Result<String, String> {
    git_with(directory, arguments, &[])
}

/// What git prints, trimmed; on failure, what it complains of.
fn git_with(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Result<String, String> {
    let output = Command::new("git")
        .args(arguments)
        .envs(variables.iter().copied())
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
mod tests;
