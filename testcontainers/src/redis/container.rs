//! Redis in a container: the settings of the native server on the image that was chosen.

use url::Url;

use super::SETTINGS;
use super::admin::{self, Facts};
use crate::container::{Container, Spec};
use crate::engine::Image;
use crate::error::StackError;
use crate::info::Server;

const SERVER: Server = Server::Redis;
/// Where it listens inside.
const PORT: u16 = 6379;

/// Starts it and asks it for its facts. The engine holds the port, so that nobody else can answer there.
pub(super) async fn start(image: &Image) -> Result<(Container, Url, Facts), StackError> {
    let container = Container::start(spec(image)).await?;
    let url = format!("redis://127.0.0.1:{}", container.host_port());
    let url = Url::parse(&url).map_err(StackError::request(SERVER, "form its URL"))?;
    let ask = async || admin::facts(&url).await.map_err(|error| error.to_string());
    let mut facts = container.until_ready(ask).await?;
    facts.settings.insert("image".to_owned(), image.to_string());
    Ok((container, url, facts))
}

/// Protected mode would refuse the host, which comes from another address; the published port is on loopback.
fn spec(image: &Image) -> Spec {
    let words = ["redis-server"]
        .into_iter()
        .chain(SETTINGS)
        .chain(["--protected-mode", "no"]);
    Spec {
        server: SERVER,
        image: image.clone(),
        ports: vec![(PORT, None)],
        environment: Vec::new(),
        command: words.map(str::to_owned).collect(),
    }
}
