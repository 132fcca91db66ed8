//! The directory of one native server: created for the user that the server runs as, removed whatever happens. A lock
//! file beside it lets the next start remove what a killed owner left (`claim`).

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid};

use crate::claim::{self, Claim};
use crate::error::StackError;
use crate::info::Server;
use crate::user::RunAs;

/// A directory `loadtest-stack-<server>-*` that goes when this value goes.
#[derive(Debug)]
pub(crate) struct ServerDir {
    path: PathBuf,
    claim: Claim,
    /// The user that the server runs as, if not as ourselves.
    owner: Option<RunAs>,
}

impl ServerDir {
    /// Creates it with mode 0700 under `parent` (default: the system's temporary directory), for its owner alone.
    pub(crate) fn create(server: Server, parent: Option<&Path>, owner: Option<RunAs>) -> Result<Self, StackError> {
        let parent = parent_or_default(parent);
        let claim = Claim::take(&parent, &server.to_string())?;
        // From here on the destructor removes what there is.
        let dir = Self {
            path: claim.directory(),
            claim,
            owner,
        };
        let created = DirBuilder::new().mode(0o700).create(&dir.path);
        created.map_err(StackError::file("create", &dir.path))?;
        dir.give_to_owner(&dir.path)?;
        Ok(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn owner(&self) -> Option<&RunAs> {
        self.owner.as_ref()
    }

    /// Writes a file that only the server's user can read.
    pub(crate) fn write_secret(&self, name: &str, text: &str) -> Result<PathBuf, StackError> {
        let path = self.path.join(name);
        std::fs::write(&path, text).map_err(StackError::file("write", &path))?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(StackError::file("protect", &path))?;
        self.give_to_owner(&path)?;
        Ok(path)
    }

    fn give_to_owner(&self, path: &Path) -> Result<(), StackError> {
        let Some(owner) = &self.owner else { return Ok(()) };
        nix::unistd::chown(path, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
            .map_err(|errno| StackError::file("change the owner of", path)(errno.into()))
    }

    /// Writes down that the process leads a group which works in this directory.
    pub(crate) fn record_group(&self, pid: u32) -> Result<(), StackError> {
        self.claim.record_group(pid)
    }

    /// Removes it with all it holds, then its lock file. Doing so again is no error.
    pub(crate) fn remove(&mut self) -> Result<(), StackError> {
        claim::remove_directory(&self.path).map_err(StackError::file("remove", &self.path))?;
        self.claim.release()
    }
}

/// Where directories are made when nothing else is said.
pub(crate) fn parent_or_default(parent: Option<&Path>) -> PathBuf {
    crate::programs::absolute(&parent.map_or_else(std::env::temp_dir, Path::to_owned))
}

impl Drop for ServerDir {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(%error, "a server's directory is left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_private_recognisable_and_gone_afterwards() {
        let parent = tempfile::tempdir().unwrap();
        let dir = ServerDir::create(Server::Redis, Some(parent.path()), None).unwrap();
        let path = dir.path().to_owned();
        std::fs::write(path.join("file"), "text").unwrap();
        assert!(
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("loadtest-stack-redis-")
        );
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        drop(dir);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn removing_twice_is_no_error() {
        let parent = tempfile::tempdir().unwrap();
        let mut dir = ServerDir::create(Server::Redis, Some(parent.path()), None).unwrap();
        dir.remove().unwrap();
        dir.remove().unwrap();
    }

    #[test]
    fn a_missing_parent_is_named() {
        let error = ServerDir::create(Server::Redis, Some(Path::new("/no/such/place")), None).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot create a directory under /no/such/place: "),
            "{error}"
        );
    }
}
