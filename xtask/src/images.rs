//! `cargo xtask images`: the images of `testcontainers/images`, built from Debian's packages for machines that reach no
//! image registry, and as small stand-ins in our own tests.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;

use crate::{cargo::Workspace, child, engine::Engine};

/// The Debian release inside the images, whatever this machine runs.
const SUITE: &str = "bookworm";
/// Debian's own; another one by this variable.
const MIRROR: &str = "http://deb.debian.org/debian";
const MIRROR_VARIABLE: &str = "STACK_IMAGES_MIRROR";
const TAG: &str = include_str!("../../testcontainers/images/TAG");
const SERVERS: [&str; 3] = ["postgres", "redis", "kafka"];

/// Builds what the engine does not have yet.
pub(crate) fn build(workspace: &Workspace, engine: &Engine) -> anyhow::Result<()> {
    let builder = Builder {
        sources: workspace.root.join("testcontainers"),
        work: workspace.target.join("stack-images"),
        engine,
    };
    if SERVERS.iter().all(|name| builder.has(name)) {
        eprintln!("the images are there: {}", SERVERS.map(image).join(", "));
        return Ok(());
    }
    builder.build_base()?;
    for name in SERVERS {
        builder.build_server(name)?;
    }
    eprintln!("built {}", SERVERS.map(image).join(", "));
    Ok(())
}

/// Writes them into one archive, for `docker load` on another machine.
pub(crate) fn save(engine: &Engine, archive: &Path) -> anyhow::Result<()> {
    let mut command = engine.client();
    command.args(["save", "-o"]).arg(archive);
    child::run(command.args(SERVERS.map(image)))
}

/// Tagged as `stack` looks for them.
fn image(name: &str) -> String {
    format!("loadtest-stack/{name}:{}", TAG.trim())
}

struct Builder<'a> {
    /// The package's folder: `images/` and `kafka/pom.xml`.
    sources: PathBuf,
    /// Where the root file system and Kafka's archives are kept for the next engine.
    work: PathBuf,
    engine: &'a Engine,
}

impl Builder<'_> {
    fn has(&self, name: &str) -> bool {
        let mut command = self.engine.client();
        child::succeeds(command.args(["image", "inspect", &image(name)]))
    }

    fn build_base(&self) -> anyhow::Result<()> {
        if self.has("base") {
            return Ok(());
        }
        let rootfs = self.rootfs()?;
        let context = self.context("base")?;
        let placed = context.join("rootfs.tar");
        fs::hard_link(&rootfs, &placed).or_else(|_| fs::copy(&rootfs, &placed).map(drop))?;
        self.docker_build("base", &context)
    }

    fn build_server(&self, name: &str) -> anyhow::Result<()> {
        if self.has(name) {
            return Ok(());
        }
        let context = self.context(name)?;
        if name == "kafka" {
            self.maven(&context.join("libs"))?;
        }
        self.docker_build(name, &context)
    }

    /// Debian's smallest system as an archive, made once: about a minute.
    fn rootfs(&self) -> anyhow::Result<PathBuf> {
        let archive = self.work.join(format!("rootfs-{SUITE}.tar"));
        if archive.exists() {
            return Ok(archive);
        }
        let tree = self.work.join("rootfs");
        let partial = self.work.join("rootfs.partial");
        fresh(&tree)?;
        let mirror = std::env::var(MIRROR_VARIABLE).unwrap_or_else(|_| MIRROR.to_owned());
        eprintln!("+ debootstrap --variant=minbase {SUITE} {} {mirror}", tree.display());
        let log = self.work.join("debootstrap.log");
        let mut debootstrap = Command::new("debootstrap");
        debootstrap
            .args(["--variant=minbase", SUITE])
            .arg(&tree)
            .arg(mirror)
            .stdout(File::create(&log)?);
        child::run(&mut debootstrap).with_context(|| format!("its log is {}", log.display()))?;
        let mut tar = Command::new("tar");
        tar.arg("-C")
            .arg(&tree)
            .args(["--numeric-owner", "--exclude=./var/cache/apt/archives/*.deb", "-cf"]);
        child::run(tar.arg(&partial).arg("."))?;
        fs::rename(&partial, &archive)?;
        fs::remove_dir_all(&tree)?;
        Ok(archive)
    }

    /// Kafka's archives from Maven Central, as the native provider takes them.
    fn maven(&self, libs: &Path) -> anyhow::Result<()> {
        let mut maven = Command::new("mvn");
        maven
            .args(["-B", "-q", "--strict-checksums", "-f"])
            .arg(self.sources.join("kafka/pom.xml"));
        child::run(maven.arg(format!("-Dlibs={}", libs.display())).arg("package"))
    }

    /// A copy of the image's folder, because what is added to it does not belong among the sources.
    fn context(&self, name: &str) -> anyhow::Result<PathBuf> {
        let context = self.work.join(name);
        fresh(&context)?;
        let folder = self.sources.join("images").join(name);
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            fs::copy(entry.path(), context.join(entry.file_name()))?;
        }
        Ok(context)
    }

    /// On the host's network: packages are fetched during the build, and a bridge may not lead outside.
    fn docker_build(&self, name: &str, context: &Path) -> anyhow::Result<()> {
        let image_name = image(name);
        eprintln!("+ build {image_name}");
        let log = self.work.join(format!("{name}.log"));
        let output = File::create(&log)?;
        let base = format!("BASE={}", image("base"));
        let mut command = self.engine.client();
        command
            .args(["build", "--network", "host", "--build-arg", &base, "-t", &image_name])
            .arg(context);
        command.stdout(output.try_clone()?).stderr(output);
        child::run(&mut command).with_context(|| format!("its log is {}", log.display()))
    }
}

/// An empty directory, whatever was there.
fn fresh(directory: &Path) -> anyhow::Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("cannot clear {}", directory.display()))?;
    }
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))
}
