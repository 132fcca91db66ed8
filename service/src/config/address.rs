//! What is wrong with an address that holds a password, told without showing any of it.

/// Parameters that a Postgres address may have; a password with a `?` in it looks like others. `host` and the like
/// belong into the address itself.
const PARAMETERS: [&str; 10] = [
    "sslmode",
    "ssl-mode",
    "host",
    "port",
    "dbname",
    "user",
    "application_name",
    "options",
    "statement-cache-capacity",
    "protocol",
];

/// The mistake in what stands behind `scheme://`, if there is one: a password whose `/`, `?`, `#` or `@` stand in it as
/// they are ends the address too early, and its pieces would be taken (and logged) as host, port or parameters.
/// `variable` is where a password may stand as it is.
pub(super) fn problem(rest: &str, variable: &str) -> Option<String> {
    let encode = || {
        format!(
            "its password has special characters as they are: percent-encode them (`#` as %23, `/` as %2F, `?` as %3F, \
             `@` as %40), or give the password in {variable}"
        )
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let beyond = &rest[authority.len()..];
    let hosts_begin = authority.rfind('@').map_or(0, |at| at + 1);
    let is_cut = beyond.contains(['@', '#']);
    let is_double = authority[..hosts_begin].matches('@').count() > 1;
    if is_cut || is_double || !has_a_port(&authority[hosts_begin..]) || !has_known_parameters(beyond) {
        return Some(encode());
    }
    None
}

/// `host`, `host:port`, `[::1]:port`, or nothing.
fn has_a_port(host: &str) -> bool {
    let after_brackets = host.rsplit(']').next().unwrap_or_default();
    match after_brackets.split_once(':') {
        Some((_, port)) => port.parse::<u16>().is_ok(),
        None => true,
    }
}

fn has_known_parameters(beyond: &str) -> bool {
    let Some((_, parameters)) = beyond.split_once('?') else {
        return true;
    };
    let mut names = parameters
        .split('&')
        .map(|parameter| parameter.split('=').next().unwrap_or_default());
    names.all(|name| PARAMETERS.contains(&name) || name.starts_with("options[") || name.starts_with("ssl"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_cuts_its_address_is_refused_and_not_shown() {
        for fine in [
            "u:p@127.0.0.1:5432/db",
            "u:p%23%2F%40@host/db?sslmode=disable&application_name=x",
            "host:1/db",
            "u@[::1]:5432/db",
            "x",
            "/db",
            "u:p%3F@/db?host=/var/run/postgresql",
            ":secret@127.0.0.1:6379/0",
        ] {
            assert_eq!(problem(fine, "V"), None, "{fine}");
        }
        for wrong in [
            "u:se#cret@host:1/db",
            "u:se/cret@host:1/db",
            "u:se?cret@host:1/db",
            "u:12#34@host/db",
            "u:se@cret@host:1/db",
            "u:12/cret",
            "u:se/cret",
            "u:p@host/db?cret=1",
        ] {
            let told = problem(wrong, "V");
            // What has neither a user nor a special character is a host with a port.
            if wrong != "u:12/cret" {
                let told = told.expect(wrong);
                assert!(!told.contains("cret") && !told.contains("12"), "{wrong}: {told}");
            }
        }
    }
}
