//! What the organisation says about itself: static documents under `https://saint-elme.localhost:PORT/.well-known/`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};

use crate::guard::Guard;
use crate::process::Crew;
use crate::service::{Service, Step, answers};
use crate::services::synapse;
use crate::site::{CLIENT_ID, DOMAIN, PRIVATE_SCHEME, REDIRECT_PORTS, Site, write};

pub struct Organisation {
    crew: Crew,
}

impl Organisation {
    pub fn new(site: &Site, guard: Arc<Guard>) -> Self {
        Self {
            crew: Crew::new(guard, site.folder("organisation").join("organisation.log")),
        }
    }
}

/// The document of this workplace as `configure` writes it.
pub fn document(site: &Site) -> Value {
    let mut document = json!({
        "version": 1,
        "name": "Cliniques Saint-Elme",
        "domain": site.organisation(),
        "help": "Poste 4040, jour et nuit",
        "accent": "#0b6e75",
        "internalDomains": [DOMAIN],
        "connectivityCheck": { "url": format!("http://{DOMAIN}:{}/alive", site.ports.plain), "status": 204 },
    });
    if site.options.chat {
        document["chat"] = json!({ "homeserver": site.homeserver() });
    }
    if site.options.identity {
        document["identity"] = json!({
            "issuer": site.issuer(),
            "clientId": CLIENT_ID,
            "redirectPorts": REDIRECT_PORTS,
            "privateScheme": PRIVATE_SCHEME,
            "scopes": ["openid", "profile", "email", "offline_access"],
            "secondFactor": "sms",
        });
        if site.options.chat {
            document["chat"]["identityProvider"] = json!(synapse::IDENTITY_PROVIDER);
        }
    }
    document
}

/// The folder that the web server shows.
pub fn pages(site: &Site) -> PathBuf {
    site.folder("organisation").join("pages")
}

impl Service for Organisation {
    fn name(&self) -> &'static str {
        "organisation"
    }

    fn install(&self) -> Result<()> {
        Ok(())
    }

    fn configure(&self, site: &Site) -> Result<()> {
        let known = pages(site).join(".well-known");
        let show =
            |name: &str, value: &Value| write(&known.join(name), serde_json::to_vec_pretty(value)?);
        show("cordee", &document(site))?;
        if site.options.chat {
            show(
                "matrix/client",
                &json!({ "m.homeserver": { "base_url": site.homeserver() } }),
            )?;
        }
        if site.options.identity {
            show(
                "webfinger",
                &json!({
                    "subject": format!("https://{}", site.organisation()),
                    "links": [{ "rel": "http://openid.net/specs/connect/1.0/issuer", "href": site.issuer() }],
                }),
            )?;
        }
        Ok(())
    }

    /// The front shows the files.
    fn start(&self, _site: &Site) -> Result<()> {
        Ok(())
    }

    fn ready<'a>(&'a self, site: &'a Site) -> Step<'a> {
        answers(
            site,
            "the organisation's document",
            format!("https://{}/.well-known/cordee", site.organisation()),
        )
    }

    fn crew(&self) -> &Crew {
        &self.crew
    }
}
