//! Which user a native server runs as: ourselves, or somebody harmless when we are root.

use nix::unistd::{User, geteuid};

use crate::error::StackError;
use crate::info::Server;

/// The user of last resort; every Unix has one.
const NOBODY: &str = "nobody";

/// A user other than the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunAs {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// `None` for ordinary callers, who run servers as themselves. Root gets the server's own user if the system has it:
/// `initdb` refuses root, and an unprotected Redis should not be able to write root's files.
pub(crate) fn unprivileged(server: Server, preferred: &'static str) -> Result<Option<RunAs>, StackError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let found = [preferred, NOBODY].into_iter().find_map(by_name);
    found.map(Some).ok_or(StackError::NoUser { server, preferred })
}

/// A lookup that fails counts as "no such user": the next candidate may do.
fn by_name(name: &str) -> Option<RunAs> {
    let user = User::from_name(name).ok().flatten()?;
    Some(RunAs {
        name: user.name,
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_taken_where_the_preferred_user_is_missing() {
        let taken = unprivileged(Server::Postgres, "no-such-user-here").unwrap();
        assert_eq!(
            taken.map(|user| user.name),
            geteuid().is_root().then(|| NOBODY.to_owned())
        );
    }
}
