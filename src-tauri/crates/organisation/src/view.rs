//! The organisation as the UI shows it, and what of it is watched.

use network::{Expect, PortalCheck, ServiceKind, Watched};
use problem::Problem;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::Address;
use crate::document::{Document, SecondFactor};
use crate::following::Current;

/// What a person sees of the organisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct Organisation {
    /// Host, and port when one was typed.
    pub domain: String,
    pub name: String,
    pub sign_in: SignIn,
    pub second_factor: Option<SecondFactor>,
    pub help: Option<String>,
    pub accent: Option<String>,
    /// The last good copy is in use, because the newest could not be read.
    pub stale: bool,
    /// Why.
    pub problem: Option<Problem>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub enum SignIn {
    /// At the organisation's provider, in the system's browser.
    Browser,
    /// With the homeserver's password.
    Password,
}

impl Organisation {
    pub fn of(address: &Address, document: &Document) -> Self {
        Self {
            domain: address.domain(),
            name: document.name.clone(),
            sign_in: document.sign_in(),
            second_factor: document
                .identity
                .as_ref()
                .and_then(|identity| identity.second_factor),
            help: document.help.clone(),
            accent: document.accent.clone(),
            stale: false,
            problem: None,
        }
    }
}

impl Current {
    pub fn organisation(&self) -> Organisation {
        Organisation {
            stale: self.stale,
            problem: self.problem.clone(),
            ..Organisation::of(&self.address, &self.document)
        }
    }

    /// Everything to watch for reachability: the document itself, sign-in, chat, and what the
    /// document lists.
    pub fn watched(&self) -> Vec<Watched> {
        self.document
            .watched(&self.address, self.has_own_document())
    }

    /// The page that tells a captive portal apart.
    pub fn portal_check(&self) -> Option<PortalCheck> {
        self.document.portal_check(&self.address)
    }
}

impl Document {
    pub fn sign_in(&self) -> SignIn {
        match self.identity {
            Some(_) => SignIn::Browser,
            None => SignIn::Password,
        }
    }

    pub(crate) fn watched(&self, address: &Address, has_own_document: bool) -> Vec<Watched> {
        let mut watched = Vec::new();
        let mut watch = |id: &str, kind, url: Option<Url>, expect| {
            if let Some(url) = url {
                watched.push(Watched {
                    id: id.to_owned(),
                    kind,
                    name: None,
                    url,
                    expect,
                });
            }
        };
        if has_own_document {
            watch(
                "organisation",
                ServiceKind::Organisation,
                address.document_url(),
                // It may redirect within the domain; that it is the right server, TLS has proved.
                Expect::Answer,
            );
        }
        if let Some(identity) = &self.identity {
            watch(
                "signIn",
                ServiceKind::SignIn,
                identity.configuration_url(),
                Expect::JsonField("issuer".to_owned()),
            );
        }
        if let Some(chat) = &self.chat {
            watch(
                "chat",
                ServiceKind::Chat,
                below(chat.homeserver.as_str(), "_matrix/client/versions"),
                Expect::JsonField("versions".to_owned()),
            );
        }
        watched.extend(self.services.iter().map(|service| Watched {
            id: service.id.clone(),
            kind: service.kind,
            name: service.name.clone(),
            url: service.url.clone(),
            expect: match (service.expect.status, &service.expect.json_field) {
                (Some(status), _) => Expect::Status(status),
                (None, Some(field)) => Expect::JsonField(field.clone()),
                (None, None) => Expect::Answer,
            },
        }));
        watched
    }

    pub(crate) fn portal_check(&self, address: &Address) -> Option<PortalCheck> {
        match &self.connectivity_check {
            Some(check) => Some(PortalCheck {
                url: check.url.clone(),
                status: Some(check.status),
            }),
            None => plain_page(address),
        }
    }
}

/// Where to look for a welcome page when the organisation names no page of its own. The port of an
/// https server says nothing about plain HTTP.
pub(crate) fn plain_page(address: &Address) -> Option<PortalCheck> {
    Url::parse(&format!(
        "http://{}/.well-known/cordee-portal",
        address.host()
    ))
    .ok()
    .map(|url| PortalCheck { url, status: None })
}

impl crate::Identity {
    /// OpenID Connect Discovery §4.1: below the issuer's path, without doubling its slash.
    pub fn configuration_url(&self) -> Option<Url> {
        below(&self.issuer, ".well-known/openid-configuration")
    }
}

pub(crate) fn below(base: &str, path: &str) -> Option<Url> {
    Url::parse(&format!(
        "{}/{path}",
        base.strip_suffix('/').unwrap_or(base)
    ))
    .ok()
}
