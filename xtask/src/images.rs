//! `cargo xtask images`: the images of `testcontainers/images`, built from Debian's packages for machines that reach no image
//! registry, and as small stand-ins in our own tests.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};

use crate::{cargo::Workspace, child, engine::Engine};

/// The Debian release inside the images, whatever this machine runs.
const SUITE: &str = "bookworm";
/// Debian's own; another one by this variable.
const MIRROR: &str = "http://deb.debian.org/debian";
const MIRROR_VARIABLE: &str = "STACK_IMAGES_MIRROR";
const SERVERS: [&str; 3] = ["postgres", "redis", "kafka"];

/// Builds what the engine does not have yet.
pub(crate) fn build(workspace: &Workspace, engine: &Engine) -> anyhow::Result<()> {
    let builder = Builder {
        sources: workspace.root().join("testcontainers"),
        work: workspace.target().join("stack-images"),
        engine,
        tag: tag(workspace)?,
    };
    if SERVERS.iter().all(|name| builder.has(name)) {
        eprintln!("the images are there: {}", builder.names().join(", "));
        return Ok(());
    }
    builder.build_base()?;
    for name in SERVERS {
        builder.build_server(name)?;
    }
    eprintln!("built {}", builder.names().join(", "));
    Ok(())
}

/// Writes them into one archive, for `docker load` on another machine.
pub(crate) fn save(workspace: &Workspace, engine: &Engine, archive: &Path) -> anyhow::Result<()> {
    let tag = tag(workspace)?;
    let mut command = engine.client();
    command
        .args(["save", "-o"])
        .arg(archive)
        .args(SERVERS.map(|name| image(name, &tag)));
    run(&mut command)
}

fn tag(workspace: &Workspace) -> anyhow::Result<String> {
    let file = workspace.root().join("testcontainers/images/TAG");
    let tag = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    Ok(tag.trim().to_owned())
}

fn image(name: &str, tag: &str) -> String {
    format!("loadtest-stack/{name}:{tag}")
}

struct Builder<'a> {
    /// The package's folder: `images/` and `kafka/pom.xml`.
    sources: PathBuf,
    /// Where the root file system and Kafka's archives are kept for the next engine.
    work: PathBuf,
    engine: &'a Engine,
    tag: String,
}

impl Builder<'_> {
    fn names(&self) -> Vec<String> {
        SERVERS.iter().map(|name| image(name, &self.tag)).collect()
    }

    fn has(&self, name: &str) -> bool {
        let mut command = self.engine.client();
        command.args(["image", "inspect", &image(name, &self.tag)]);
        let asked = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
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
        run(&mut debootstrap).with_context(|| format!("its log is {}", log.display()))?;
        let mut tar = Command::new("tar");
        tar.arg("-C")
            .arg(&tree)
            .args(["--numeric-owner", "--exclude=./var/cache/apt/archives/*.deb", "-cf"]);
        run(tar.arg(&partial).arg("."))?;
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
        run(maven.arg(format!("-Dlibs={}", libs.display())).arg("package"))
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
        let image_name = image(name, &self.tag);
        eprintln!("+ build {image_name}");
        let log = self.work.join(format!("{name}.log"));
        let output = File::create(&log)?;
        let base = format!("BASE={}", image("base", &self.tag));
        let mut command = self.engine.client();
        command
            .args(["build", "--network", "host", "--build-arg", &base, "-t", &image_name])
            .arg(context);
        command.stdout(output.try_clone()?).stderr(output);
        run(&mut command).with_context(|| format!("its log is {}", log.display()))
    }
}

/// An empty directory, whatever was there.
fn fresh(directory: &Path) -> anyhow::Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("cannot clear {}", directory.display()))?;
    }
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = child::status(command).with_context(|| format!("cannot run {name}"))?;
    ensure!(status.success(), "{name} failed ({status})");
    Ok(())
}
