//! Repositories of the tests are made by git itself; what is built in them is built for real.

use super::*;

const MANIFEST: &str = "[package]\nname = \"shop\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
const LOCK: &str = "version = 4\n\n[[package]]\nname = \"shop\"\nversion = \"0.0.0\"\n";

/// Built by cargo; the binary is kept of it.
const BY_CARGO: &str = "commands = [\"cargo build --release --locked --target-dir {cache}/target\"]\n\
                        keep = [\"{cache}/target/release/shop\"]\n";

fn service(build: &str) -> Service {
    let text = format!("start = \"./shop {{port}}\"\n[build]\n{build}");
    Service::parse(Path::new("shop.toml"), &text).unwrap_or_else(|error| panic!("{error}"))
}

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
        self.commit_file("src/main.rs", main)
    }

    fn find(&self, name: &str) -> Revision {
        Revision::find(self.path(), name, &mut |_| ()).unwrap()
    }

    /// A commit with this file, of which cargo need know nothing.
    fn commit_file(&self, file: &str, text: &str) -> Revision {
        self.write(file, text);
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "-m", "change"]);
        self.find("HEAD")
    }

    fn assert_no_checkout_left(&self) {
        assert!(!self.path().join(BUILDS).join("tree").exists());
        assert_eq!(self.git(&["worktree", "list"]).lines().count(), 1);
    }
}

fn says(word: &str) -> String {
    format!("fn main() {{ println!(\"{word}\"); }}")
}

async fn build_as(revision: &Revision, table: &str) -> (Result<Built, HarnessError>, Vec<String>) {
    let mut lines = Vec::new();
    let mut hear = |line: &str| lines.push(line.to_owned());
    let built = revision
        .build(&service(table), &mut hear, &CancellationToken::new())
        .await;
    (built, lines)
}

/// The binary of a revision.
async fn build(revision: &Revision) -> (Result<PathBuf, HarnessError>, Vec<String>) {
    let (built, lines) = build_as(revision, BY_CARGO).await;
    (built.map(|built| built.dir.join("shop")), lines)
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
    assert!(said[0].starts_with("building shop of "), "{said:?}");
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
    let (service, mut unheard) = (service(BY_CARGO), |_: &str| ());
    let (built, ()) = tokio::join!(endless.build(&service, &mut unheard, &stop), interrupt);
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
    let error = Revision::find(repository.path(), "mian", &mut |_| ()).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(
        error
            .to_string()
            .ends_with("knows no such revision; did you mean `main`?"),
        "{error}"
    );
    let nowhere = tempfile::tempdir().unwrap();
    let error = Revision::find(nowhere.path(), "main", &mut |_| ()).unwrap_err();
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
    assert!(Revision::find(&to, "HEAD", &mut |_| ()).is_ok());
    let error = Revision::find(&to, "HEAD~1", &mut |_| ()).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("git fetch --unshallow"), "{error}");
}

#[test]
fn only_the_builds_that_were_used_last_are_kept() {
    let builds = tempfile::tempdir().unwrap();
    let done = |index: usize| builds.path().join(format!("build{index}.done"));
    for index in 0..MAX_KEPT + 2 {
        fs::create_dir_all(done(index).with_extension("")).unwrap();
        let age = std::time::Duration::from_secs(1000 - u64::try_from(index).unwrap());
        File::create(done(index))
            .unwrap()
            .set_modified(SystemTime::now() - age)
            .unwrap();
    }
    forget_oldest(builds.path(), &done(0));
    let kept = |index: usize| done(index).exists() && done(index).with_extension("").exists();
    assert_eq!([kept(0), kept(1), kept(2), kept(3)], [true, false, false, true]);
}

/// What names no files to keep is kept whole, where it was built: scripts may hold the path that they were made at.
#[tokio::test]
async fn a_tree_is_kept_whole_where_it_was_built() {
    let repository = Repository::new();
    let revision = repository.commit_file("part/words.txt", "one\ntwo\n");
    let commands = "directory = \"part\"\ncommands = [\"sort -r -o sorted.txt words.txt\", \"sh -c 'pwd > here'\"]\n";
    let built = build_as(&revision, commands).await.0.unwrap();
    assert_eq!(fs::read_to_string(built.dir.join("sorted.txt")).unwrap(), "two\none\n");
    let here = fs::read_to_string(built.dir.join("here")).unwrap();
    assert_eq!(Path::new(here.trim()), built.dir.canonicalize().unwrap());
    repository.assert_no_checkout_left();
    let (again, said) = build_as(&revision, commands).await;
    assert_eq!((again.unwrap().dir, said), (built.dir.clone(), Vec::new()));
    // By other commands it is another build; of the same files by the same commands it is the same one.
    let other = build_as(&revision, "directory = \"part\"").await.0.unwrap();
    assert!(other.dir != built.dir && other.sha256 != built.sha256);
    repository.git(&["commit", "--quiet", "--allow-empty", "-m", "nothing"]);
    let same = build_as(&repository.find("HEAD"), commands).await.0.unwrap();
    assert!(same.dir != built.dir && same.sha256 == built.sha256);
}

#[tokio::test]
async fn a_command_that_fails_is_named_with_its_own_output() {
    let repository = Repository::new();
    let revision = repository.commit_file("a", "a");
    let commands = "commands = [\"true\", \"sh -c 'echo no such package; exit 4'\", \"touch after\"]\n";
    let text = build_as(&revision, commands).await.0.unwrap_err().to_string();
    assert!(
        text.contains("`sh -c 'echo no such package; exit 4'` failed: sh ended with exit status: 4")
            && text.contains("\nno such package\n")
            && text.contains("its whole output is "),
        "{text}"
    );
    repository.assert_no_checkout_left();
    assert!(
        !build_as(&revision, "commands = [\"true\"]")
            .await
            .0
            .unwrap()
            .dir
            .join("after")
            .exists()
    );
    let missing = build_as(&revision, "directory = \"shop\"")
        .await
        .0
        .unwrap_err()
        .to_string();
    assert!(missing.contains("has no folder shop"), "{missing}");
}

/// The user's tree and index stay as they are; what is ignored is no part of it.
#[tokio::test]
async fn the_working_tree_is_a_revision_of_its_own() {
    let repository = Repository::new();
    let head = repository.commit_file("a", "committed");
    assert_eq!(repository.find(WORKING_TREE), head);
    repository.write("a", "changed");
    repository.write("new", "new");
    repository.write("target/ignored", "ignored");
    let status = || repository.git(&["status", "--porcelain", "--untracked-files=all"]);
    let before = status();
    let dirty = repository.find(WORKING_TREE);
    assert_eq!(dirty.describe(), format!("{}-dirty", &head.sha[..SHORT]));
    assert_eq!(
        repository.find(WORKING_TREE),
        dirty,
        "the same files are the same revision"
    );
    let built = build_as(&dirty, "").await.0.unwrap();
    let there = |name: &str| fs::read_to_string(built.dir.join(name)).ok();
    assert_eq!(there("a").as_deref(), Some("changed"));
    assert_eq!((there("new").as_deref(), there("target/ignored")), (Some("new"), None));
    assert_eq!(status(), before);
    assert_eq!(repository.git(&["rev-parse", "HEAD"]), head.sha);
}

#[test]
fn a_revision_that_lacks_what_is_in_the_working_tree_says_so() {
    let repository = Repository::new();
    repository.commit_file("a", "committed");
    let mut said = Vec::new();
    let mut find = |name: &str| {
        let mut hear = |line: &str| said.push(line.to_owned());
        Revision::find(repository.path(), name, &mut hear).unwrap();
    };
    find("HEAD");
    repository.write("a", "changed");
    find("main");
    find(WORKING_TREE);
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("changes that are not part of main"), "{said:?}");
}
