//! The directory of one native server: created for the user that the server runs as, removed whatever happens.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Gid, Uid};

use crate::error::StackError;
use crate::info::Server;
use crate::user::RunAs;
use crate::wait::Patience;

/// After a kill, the last children may still write for a moment, which makes a removal fail; more than this is a fault.
const REMOVE_LIMIT: Duration = Duration::from_secs(5);

/// A directory `loadtest-stack-<server>-*` that goes when this value goes.
#[derive(Debug)]
pub(crate) struct ServerDir {
    path: PathBuf,
}

impl ServerDir {
    /// Creates it with mode 0700 under `parent` (default: the system's temporary directory).
    pub(crate) fn create(server: Server, parent: Option<&Path>, owner: Option<&RunAs>) -> Result<Self, StackError> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let created = tempfile::Builder::new()
            .prefix(&format!("loadtest-stack-{server}-"))
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(crate::programs::absolute(&parent));
        // From here on our own destructor is responsible, because it waits for stragglers.
        let path = created
            .map_err(StackError::file("create a directory under", &parent))?
            .keep();
        let dir = Self { path };
        give_to(&dir.path, owner)?;
        Ok(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file that only the server's user can read.
    pub(crate) fn write_secret(&self, name: &str, text: &str, owner: Option<&RunAs>) -> Result<PathBuf, StackError> {
        let path = self.path.join(name);
        std::fs::write(&path, text).map_err(StackError::file("write", &path))?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(StackError::file("protect", &path))?;
        give_to(&path, owner)?;
        Ok(path)
    }

    /// Removes it with all it holds. Doing so again is no error.
    pub(crate) fn remove(&mut self) -> Result<(), StackError> {
        let mut patience = Patience::new(REMOVE_LIMIT);
        loop {
            match std::fs::remove_dir_all(&self.path) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound && !self.path.exists() => return Ok(()),
                Err(cause) => {
                    patience
                        .pause_blocking()
                        .map_err(|_| StackError::file("remove", &self.path)(cause))?;
                }
            }
        }
    }
}

impl Drop for ServerDir {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(%error, "a server's directory is left behind");
        }
    }
}

fn give_to(path: &Path, owner: Option<&RunAs>) -> Result<(), StackError> {
    let Some(owner) = owner else { return Ok(()) };
    nix::unistd::chown(path, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
        .map_err(|errno| StackError::file("change the owner of", path)(errno.into()))
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
        assert!(!path.exists());
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
