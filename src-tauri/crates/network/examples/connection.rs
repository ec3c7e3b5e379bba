//! Prints the connection as it changes: `cargo run -p network --example connection -- URL…`
//! An `http:` URL is taken as the page that tells captive portals apart.

#![allow(clippy::print_stdout)]

use network::{Clients, Expect, PortalCheck, Reachability, ServiceKind, Trust, Watched};
use url::Url;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    network::install_crypto_provider();
    let addresses = std::env::args()
        .skip(1)
        .map(|text| Url::parse(&text))
        .collect::<Result<Vec<_>, _>>()?;
    let (pages, services): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|url| url.scheme() == "http");

    let reachability = Reachability::start(Clients::new(&Trust::platform())?);
    reachability.set_services(
        services
            .into_iter()
            .enumerate()
            .map(|(index, url)| Watched {
                id: index.to_string(),
                kind: ServiceKind::Other,
                name: None,
                url,
                expect: Expect::Answer,
            })
            .collect(),
        pages.into_iter().next().map(|url| PortalCheck {
            url,
            status: Some(204),
        }),
    );
    let begun = std::time::Instant::now();
    let mut connection = reachability.connection();
    loop {
        {
            let now = connection.borrow_and_update();
            println!("{:7.1?} {:?}", begun.elapsed(), now.overall);
            for service in &now.services {
                println!("          {} {:?}", service.host, service.status);
            }
        }
        connection.changed().await?;
    }
}
