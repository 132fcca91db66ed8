//! Reading the addresses of external servers and showing them without their passwords.

use url::Url;

use crate::error::StackError;
use crate::info::Server;
use crate::options::External;

/// The URL of an external server.
pub(crate) fn external(server: Server, external: &External, schemes: &[&str]) -> Result<Url, StackError> {
    let text = external.address(server).ok_or(StackError::MissingUrl { server })?;
    parse(server, text, schemes)
}

/// Reads the value of the server's variable. The value itself stays out of the error: it may hold a password.
fn parse(server: Server, text: &str, schemes: &[&str]) -> Result<Url, StackError> {
    let refused = |problem: String| StackError::Option {
        name: server.variable(),
        problem,
        advice: format!("write it like {}", server.example()),
    };
    let url = Url::parse(text).map_err(|error| refused(format!("the value is not a URL ({error})")))?;
    if !schemes.contains(&url.scheme()) {
        return Err(refused(format!(
            "`{}:` is not the address of a {server} server",
            url.scheme()
        )));
    }
    Ok(url)
}

/// The URL with its password replaced.
pub(crate) fn redacted(url: &Url) -> String {
    let mut shown = url.clone();
    if shown.password().is_some() && shown.set_password(Some("***")).is_err() {
        return format!("{}:...", url.scheme());
    }
    shown.into()
}

/// The URL with another database in its path, whatever characters the name has.
pub(crate) fn with_database(url: &Url, database: &str) -> Url {
    let mut url = url.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.clear().push(database);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_value_is_refused_without_being_shown() {
        for value in ["secret", "http://user:secret@host/"] {
            let error = parse(Server::Postgres, value, &["postgres"]).unwrap_err().to_string();
            assert!(
                error.starts_with("DATABASE_URL: ") && !error.contains("secret"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let url = Url::parse("postgres://user:secret@host:5432/db?sslmode=disable").unwrap();
        assert_eq!(redacted(&url), "postgres://user:***@host:5432/db?sslmode=disable");
    }

    #[test]
    fn another_database_keeps_the_rest() {
        let url = Url::parse("postgres://user:pw@host:5432/db?sslmode=disable").unwrap();
        assert_eq!(
            with_database(&url, "a/b").as_str(),
            "postgres://user:pw@host:5432/a%2Fb?sslmode=disable"
        );
    }
}
