//! Postgres in a container: the settings of the native server on the image that was chosen.

use url::Url;

use super::admin::{self, Facts};
use super::{SETTINGS, random_password};
use crate::container::{Container, Spec};
use crate::engine::Image;
use crate::error::StackError;
use crate::info::Server;

const SERVER: Server = Server::Postgres;
/// Where it listens inside.
const PORT: u16 = 5432;

/// Starts it and asks it for its facts. While the image fills the new cluster it listens on no port, so that whoever
/// answers is the final server; a stranger would not know the password.
pub(super) async fn start(image: &Image) -> Result<(Container, Url, Facts), StackError> {
    let password = random_password();
    let container = Container::start(spec(image, &password)).await?;
    let port = container.host_port();
    let admin = format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres");
    let admin = Url::parse(&admin).map_err(StackError::request(SERVER, "form its URL"))?;
    container.until_ready(|| admin::prepare(&admin)).await?;
    let facts = admin::facts(&admin).await;
    let mut facts = facts.map_err(StackError::request(SERVER, "read its settings"))?;
    facts.settings.insert("image".to_owned(), image.to_string());
    Ok((container, admin, facts))
}

fn spec(image: &Image, password: &str) -> Spec {
    let environment = [
        ("POSTGRES_USER", "postgres"),
        ("POSTGRES_PASSWORD", password),
        ("POSTGRES_DB", "postgres"),
        // As for the native cluster; not synced, because what is written before the server starts need not survive.
        ("POSTGRES_INITDB_ARGS", "--encoding=UTF8 --locale=C.UTF-8 --no-sync"),
    ];
    let settings = SETTINGS.into_iter().flat_map(|setting| ["-c", setting]);
    Spec {
        server: SERVER,
        image: image.clone(),
        ports: vec![(PORT, None)],
        environment: environment
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        command: ["postgres"].into_iter().chain(settings).map(str::to_owned).collect(),
    }
}
