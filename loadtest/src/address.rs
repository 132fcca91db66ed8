//! Addresses of services that are up, and the way to them: names, TLS, and where a name is answered by somebody else.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::Args;
use load::{Target, Tls, TlsSettings};
use scenarios::HttpVersion;
use tokio::{net::TcpStream, time::timeout};
use url::{Host, Url};

use crate::error::HarnessError;

/// A service that is up answers a connection attempt far sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Address of a service: scheme, host and port as given, and the path before all paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    is_https: bool,
    /// Host and port as given, e.g. `127.0.0.1:8000`, `[::1]:8000` or `shop.test`.
    authority: String,
    /// The host without brackets, for look-ups and certificates.
    host: String,
    port: u16,
    /// Without a slash at its end; mostly empty.
    base_path: String,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url =
            Url::parse(text).map_err(|error| format!("`{text}` is no address: {error}; write url:http://HOST:PORT"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!(
                "`{}` has a user or a password, which would stand in the record: write them into the workload, as \
                 `[http] basic = {{ user = \"...\", password = \"{{env.PASSWORD}}\" }}`",
                without_credentials(url.clone())
            ));
        }
        let is_https = match url.scheme() {
            "http" => false,
            "https" => true,
            other => return Err(format!("`{text}`: only http and https are spoken here, not {other}")),
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!(
                "`{text}` has more than a path: what follows `?` or `#` belongs into the paths of the workload"
            ));
        }
        let host = url.host().ok_or_else(|| format!("`{text}` names no host"))?;
        let shown = host.to_string();
        Ok(Self {
            is_https,
            authority: url
                .port()
                .map_or_else(|| shown.clone(), |port| format!("{shown}:{port}")),
            host: match host {
                Host::Ipv6(address) => address.to_string(),
                Host::Ipv4(_) | Host::Domain(_) => shown,
            },
            port: url.port_or_known_default().unwrap_or(80),
            base_path: url.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.base_path)
    }
}

impl Address {
    /// Name of the service in records: its host, and its base path where it has one.
    pub(crate) fn name(&self) -> String {
        format!("{}{}", self.authority, self.base_path)
    }
}

/// An address as it may be shown.
fn without_credentials(mut url: Url) -> Url {
    // These fail only for addresses that have no host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// TLS, and who answers instead of a name.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Way to a service that is up")]
pub(crate) struct WayArgs {
    /// Certificates (PEM) of the authorities to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Our own certificate (PEM), where the service asks for one
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// The private key of --cert (PEM), where it is not in the same file
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Believe whoever answers; the record says so
    #[arg(long, conflicts_with = "cacert")]
    insecure: bool,
    /// Connect elsewhere than where the name leads, e.g. shop.test:443:127.0.0.1:8443; an empty HOST or PORT is any,
    /// and an empty one behind them stays as it is
    #[arg(long, value_name = "HOST:PORT:HOST:PORT")]
    connect_to: Vec<Detour>,
}

impl WayArgs {
    fn tls(&self) -> TlsSettings {
        TlsSettings {
            authorities: self.cacert.clone(),
            certificate: self.cert.clone(),
            key: self.key.clone(),
            is_insecure: self.insecure,
        }
    }

    /// The host and port to connect to for an address.
    fn destination(&self, address: &Address) -> (String, u16) {
        let detour = self.connect_to.iter().find(|detour| detour.is_for(address));
        detour.map_or_else(|| (address.host.clone(), address.port), |detour| detour.of(address))
    }

    /// The addresses that a host's name stands for, those where something answers; the others are announced. Over TLS
    /// one handshake finds out what is spoken there.
    pub(crate) async fn reach(
        &self,
        address: &Address,
        version: HttpVersion,
        announce: &mut dyn FnMut(&str),
    ) -> Result<Target, HarnessError> {
        let unavailable = |why: String| HarnessError::Subject(format!("subject url:{address}: {why}"));
        let (host, port) = self.destination(address);
        let found = tokio::net::lookup_host((host.as_str(), port)).await;
        let (mut addresses, mut silent) = (Vec::new(), Vec::new());
        for address in found.map_err(|error| unavailable(format!("{host}: {error}")))? {
            match connects(address).await {
                Ok(()) => addresses.push(address),
                Err(why) => silent.push(format!("nothing answers at {address}: {why}")),
            }
        }
        if addresses.is_empty() {
            return Err(unavailable(if silent.is_empty() {
                "its name stands for no address".to_owned()
            } else {
                format!("{}; is it up?", silent.join("; "))
            }));
        }
        for line in &silent {
            announce(line);
        }
        let mut target = Target::named(addresses, address.authority.clone());
        target.base_path.clone_from(&address.base_path);
        if address.is_https {
            let tls = Tls::new(&self.tls(), &address.host).map_err(HarnessError::usage)?;
            target.tls = Some(tls);
            target = target.settle(version).await.map_err(unavailable)?;
        }
        Ok(target)
    }
}

async fn connects(address: SocketAddr) -> Result<(), String> {
    let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
    let connected = connecting
        .await
        .map_err(|_| format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))?;
    connected.map(drop).map_err(|error| error.to_string())
}

/// `HOST:PORT:HOST:PORT`: for the first, the second is connected to, as curl's option of that name has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Detour {
    /// Any host where absent.
    for_host: Option<String>,
    /// Any port where absent.
    for_port: Option<u16>,
    /// As it was where absent.
    to_host: Option<String>,
    /// As it was where absent.
    to_port: Option<u16>,
}

impl FromStr for Detour {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = split(text);
        let [for_host, for_port, to_host, to_port] = &parts[..] else {
            return Err(format!(
                "`{text}` has {} parts: write HOST:PORT:HOST:PORT, IPv6 addresses in brackets",
                parts.len()
            ));
        };
        Ok(Self {
            for_host: host(for_host),
            for_port: port(for_port)?,
            to_host: host(to_host),
            to_port: port(to_port)?,
        })
    }
}

/// Parts between colons; brackets hold those of an IPv6 address together.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut is_inside = false;
    for c in text.chars() {
        match c {
            '[' => is_inside = true,
            ']' => is_inside = false,
            ':' if !is_inside => parts.push(String::new()),
            c => {
                let last = parts.len() - 1;
                parts[last].push(c);
            }
        }
    }
    parts
}

fn host(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn port(text: &str) -> Result<Option<u16>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let port = text.parse().map_err(|_| format!("`{text}` is no port"))?;
    Ok(Some(port))
}

impl Detour {
    fn is_for(&self, address: &Address) -> bool {
        let same_host = self.for_host.as_ref().is_none_or(|host| same_host(host, &address.host));
        same_host && self.for_port.is_none_or(|port| port == address.port)
    }

    fn of(&self, address: &Address) -> (String, u16) {
        let host = self.to_host.as_ref().unwrap_or(&address.host);
        (host.clone(), self.to_port.unwrap_or(address.port))
    }
}

/// An address may be written in several ways, a name in small or large letters.
fn same_host(one: &str, other: &str) -> bool {
    match (one.parse::<IpAddr>(), other.parse::<IpAddr>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one.eq_ignore_ascii_case(other),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    fn way(connect_to: &[&str]) -> WayArgs {
        WayArgs {
            connect_to: connect_to.iter().map(|text| text.parse().unwrap()).collect(),
            ..WayArgs::default()
        }
    }

    #[test]
    fn addresses_are_read_and_shown_alike() {
        for text in [
            "http://127.0.0.1:8000",
            "http://shop.test",
            "https://shop.test:8443/api/v2",
            "http://[::1]:8000",
        ] {
            assert_eq!(address(text).to_string(), text);
        }
        assert_eq!(address("https://shop.test/").to_string(), "https://shop.test");
        assert_eq!(
            (address("https://shop.test").port, address("http://shop.test").port),
            (443, 80)
        );
        assert_eq!(address("http://[::1]:8000").host, "::1");
    }

    #[test]
    fn an_address_that_cannot_be_measured_says_why() {
        let said = |text: &str| text.parse::<Address>().unwrap_err();
        assert!(said("ftp://shop.test").contains("only http and https are spoken here"));
        assert!(said("http://shop.test/api?x=1").contains("belongs into the paths of the workload"));
        assert!(said("shop.test").contains("url:http://HOST:PORT"));
        let secret = said("http://ann:pass%20word@shop.test");
        assert!(
            secret.contains("[http] basic") && !secret.contains("ann") && !secret.contains("%20"),
            "{secret}"
        );
        assert!(said("http://ann@shop.test").contains("has a user or a password"));
    }

    #[test]
    fn a_name_is_connected_to_where_it_is_said() {
        let to = |connect_to: &[&str], text: &str| way(connect_to).destination(&address(text));
        let here = ("127.0.0.1".to_owned(), 8443);
        for detour in [
            "shop.test:443:127.0.0.1:8443",
            "SHOP.test::127.0.0.1:8443",
            ":443:127.0.0.1:8443",
            ":::8443",
        ] {
            let (host, port) = to(&[detour], "https://shop.test");
            assert!(
                port == 8443 && (host == here.0 || detour == ":::8443"),
                "{detour}: {host}:{port}"
            );
        }
        assert_eq!(to(&["other.test:443:127.0.0.1:1"], "https://shop.test").0, "shop.test");
        assert_eq!(
            to(&["[::1]:80:[fe80::1]:"], "http://[0:0::1]"),
            ("fe80::1".to_owned(), 80)
        );
        assert_eq!(
            to(&["shop.test:443:a:1", "shop.test:443:b:2"], "https://shop.test"),
            ("a".to_owned(), 1)
        );
        for wrong in ["shop.test", "a:b:c:d", "a:1:b:70000"] {
            assert!(wrong.parse::<Detour>().is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_service_that_is_not_up_is_unavailable() {
        // Held until the end, so that nobody else is given the port; it listens only for a while.
        let held = TcpSocket::new_v4().unwrap();
        held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let up = address(&format!("http://{}/api/", held.local_addr().unwrap()));
        let reach = async || {
            let way = WayArgs::default();
            way.reach(&up, HttpVersion::Auto, &mut |_| ()).await
        };
        let error = reach().await.unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("is it up?"), "{error}");
        let _listening = held.listen(8).unwrap();
        assert_eq!(reach().await.unwrap().base_path, "/api");
    }

    /// The name itself exists nowhere.
    #[tokio::test]
    async fn a_detour_reaches_a_name_that_nobody_knows() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let way = way(&[&format!("shop.invalid:80:{here}")]);
        let shop = address("http://shop.invalid");
        let target = way.reach(&shop, HttpVersion::Auto, &mut |_| ()).await.unwrap();
        assert_eq!((target.addresses, target.host.as_str()), (vec![here], "shop.invalid"));
    }
}
