//! What the servers themselves answer.

use std::time::SystemTime;

use network::reqwest::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use network::reqwest::{Response, StatusCode};
use network::{Clients, Failure, clock};
use serde_json::Value;
use url::Url;

use super::Finding;
use crate::discover::{self, DiscoverError};
use crate::document::{Chat, Document, Identity, LARGEST};
use crate::{Address, fallback, view};

pub(super) async fn domain(address: &Address, clients: &Clients) -> Vec<Finding> {
    let mut findings = Vec::new();
    let document = match document(address, clients, &mut findings).await {
        Ok(Some(document)) => document,
        Ok(None) => return findings,
        Err(error) => {
            findings.push(unreached(&address.domain(), &error));
            return findings;
        }
    };
    if let Some(identity) = &document.identity {
        issuer(identity, clients, &mut findings).await;
    }
    if let Some(chat) = &document.chat {
        let password = document.identity.is_none();
        homeserver(chat, password, clients, &mut findings).await;
    }
    services(&document, address, clients, &mut findings).await;
    portal_page(&document, address, clients, &mut findings).await;
    findings
}

/// The document, or what stands in for it.
async fn document(
    address: &Address,
    clients: &Clients,
    findings: &mut Vec<Finding>,
) -> Result<Option<Document>, DiscoverError> {
    let url = address.document_url().ok_or(DiscoverError::BadAddress)?;
    let answer = discover::get(clients, url.clone(), address, None).await?;
    let place = url.to_string();
    if *answer.url() != url {
        findings.push(Finding::note(
            &place,
            "Redirects. That costs every start a round trip.",
        ));
    }
    clock_of(&answer, &place, findings);
    if let Some(failure) = Failure::of_status(answer.status()) {
        return Err(failure.into());
    }
    if !answer.status().is_success() || content_type(&answer).starts_with("text/html") {
        return without_document(address, clients, &place, findings).await;
    }
    if !content_type(&answer).starts_with("application/json") {
        findings.push(Finding::warning(
            &place,
            "Its Content-Type is not application/json.",
        ));
    }
    let etag = answer.headers().get(ETAG).cloned();
    let target = answer.url().clone();
    let body = discover::body(answer, LARGEST).await?;
    findings.extend(super::document(&body));
    match etag {
        None => findings.push(Finding::warning(
            &place,
            "No ETag: every device reads the whole document every hour.",
        )),
        Some(etag) => {
            let again = clients
                .single_step()
                .get(target)
                .header(IF_NONE_MATCH, etag)
                .send()
                .await;
            if again.is_ok_and(|again| again.status() != StatusCode::NOT_MODIFIED) {
                findings.push(Finding::warning(
                    &place,
                    "Has an ETag, but does not answer 304 when asked with it.",
                ));
            }
        }
    }
    let document = Document::parse(&body).ok();
    if let Some(domain) = document
        .as_ref()
        .and_then(|document| document.domain.as_ref())
        && !domain.eq_ignore_ascii_case(&address.domain())
    {
        findings.push(Finding::note(
            "/domain",
            format!("Says {domain}, while {} was asked.", address.domain()),
        ));
    }
    Ok(document)
}

async fn without_document(
    address: &Address,
    clients: &Clients,
    place: &str,
    findings: &mut Vec<Finding>,
) -> Result<Option<Document>, DiscoverError> {
    let document = fallback::document(address, clients).await?;
    findings.push(match &document {
        Some(_) => Finding::warning(
            place,
            "There is no document. Sign-in falls back to what .well-known/matrix/client and WebFinger tell.",
        ),
        None => Finding::error(
            place,
            "There is no document, and neither .well-known/matrix/client nor WebFinger tells anything.",
        ),
    });
    Ok(document)
}

async fn issuer(identity: &Identity, clients: &Clients, findings: &mut Vec<Finding>) {
    let place = "/identity/issuer";
    let Some(url) = identity.configuration_url() else {
        return;
    };
    let configuration = match json(clients, url, findings).await {
        Ok(configuration) => configuration,
        Err(error) => return findings.push(unreached(place, &error)),
    };
    let text = |name: &str| configuration.get(name).and_then(Value::as_str);
    match text("issuer") {
        Some(issuer) if issuer == identity.issuer => {}
        Some(issuer) => findings.push(Finding::error(
            place,
            format!(
                "The provider calls itself {issuer}. The two must be the same letter by letter, to the last slash."
            ),
        )),
        None => findings.push(Finding::error(place, "The provider's configuration names no issuer.")),
    }
    for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
        if !text(name).is_some_and(|url| url.starts_with("https://")) {
            findings.push(Finding::error(
                place,
                format!("The provider's configuration has no https {name}."),
            ));
        }
    }
    if text("userinfo_endpoint").is_none() {
        findings.push(Finding::warning(
            place,
            "The provider has no userinfo endpoint: names may be missing.",
        ));
    }
    let lists = |name: &str, value: &str| {
        configuration
            .get(name)
            .and_then(Value::as_array)
            .is_none_or(|list| list.iter().any(|item| item == value))
    };
    if !lists("response_types_supported", "code") {
        findings.push(Finding::error(
            place,
            "The provider does not offer the authorization code flow.",
        ));
    }
    if !lists("code_challenge_methods_supported", "S256") {
        findings.push(Finding::error(
            place,
            "The provider does not offer PKCE with S256.",
        ));
    }
}

async fn homeserver(chat: &Chat, password: bool, clients: &Clients, findings: &mut Vec<Finding>) {
    let place = "/chat/homeserver";
    let below = |path| view::below(chat.homeserver.as_str(), path);
    let Some((versions, login)) =
        below("_matrix/client/versions").zip(below("_matrix/client/v3/login"))
    else {
        return;
    };
    match json(clients, versions, findings).await {
        Err(error) => return findings.push(unreached(place, &error)),
        Ok(versions) if versions.get("versions").is_none() => {
            return findings.push(Finding::error(
                place,
                "Does not answer like a Matrix homeserver.",
            ));
        }
        Ok(versions) => {
            // MSC4186 is announced under the name it had first.
            let sliding_sync = versions
                .pointer("/unstable_features/org.matrix.simplified_msc3575")
                .is_some_and(|on| on == true);
            if !sliding_sync {
                findings.push(Finding::error(
                    place,
                    "Does not offer simplified sliding sync (MSC4186). Synapse has it since 1.114.",
                ));
            }
        }
    }
    let flows = match json(clients, login, findings).await {
        Ok(flows) => flows,
        Err(error) => return findings.push(unreached(place, &error)),
    };
    let flow = |kind: &str| {
        flows
            .get("flows")?
            .as_array()?
            .iter()
            .find(|flow| flow.get("type").is_some_and(|found| found == kind))
    };
    if password && flow("m.login.password").is_none() {
        findings.push(Finding::error(
            place,
            "There is no identity in the document, and the homeserver takes no passwords.",
        ));
    }
    if !password && flow("m.login.sso").is_none() {
        findings.push(Finding::error(
            place,
            "The homeserver offers no single sign-on: one sign-in can't serve both.",
        ));
    }
    if let Some(provider) = &chat.identity_provider {
        let offered = flow("m.login.sso")
            .and_then(|flow| flow.get("identity_providers")?.as_array())
            .is_some_and(|list| {
                list.iter()
                    .any(|item| item.get("id").is_some_and(|id| id == provider.as_str()))
            });
        if !offered {
            findings.push(Finding::error(
                "/chat/identityProvider",
                "The homeserver offers no provider of this id.",
            ));
        }
    }
}

async fn services(
    document: &Document,
    address: &Address,
    clients: &Clients,
    findings: &mut Vec<Finding>,
) {
    for (index, service) in document.services.iter().enumerate() {
        let watched = document
            .watched(address, false)
            .into_iter()
            .find(|watched| watched.id == service.id);
        let Some(watched) = watched else { continue };
        if let Err(failure) = network::check_service(clients, watched).await {
            findings.push(Finding::warning(
                format!("/services/{index}"),
                format!("Not reached as it expects: {failure}."),
            ));
        }
    }
}

async fn portal_page(
    document: &Document,
    address: &Address,
    clients: &Clients,
    findings: &mut Vec<Finding>,
) {
    if document.connectivity_check.is_none() {
        return;
    }
    let Some(check) = document.portal_check(address) else {
        return;
    };
    let expected = check.status;
    let problem = match network::check_portal_page(clients, check).await {
        Ok((status, _)) if Some(status) == expected => return,
        Ok((status, _)) => {
            format!("Answers {status}: people would be told that a public network holds them.")
        }
        Err(failure) => format!("Not reached: {failure}."),
    };
    findings.push(Finding::error("/connectivityCheck/url", problem));
}

async fn json(
    clients: &Clients,
    url: Url,
    findings: &mut Vec<Finding>,
) -> Result<Value, DiscoverError> {
    let place = url.to_string();
    let answer = clients
        .single_step()
        .get(url)
        .timeout(discover::DEADLINE)
        .send()
        .await
        .map_err(|error| Failure::of(&error))?;
    clock_of(&answer, &place, findings);
    if let Some(failure) = Failure::of_status(answer.status()) {
        return Err(failure.into());
    }
    if !answer.status().is_success() {
        return Err(DiscoverError::NotFound);
    }
    let body = discover::body(answer, LARGEST).await?;
    serde_json::from_slice(&body).map_err(|_| Failure::Protocol.into())
}

fn clock_of(answer: &Response, place: &str, findings: &mut Vec<Finding>) {
    if let Some(skew) = clock::skew(answer.headers(), SystemTime::now())
        && skew.matters()
    {
        findings.push(Finding::warning(
            place,
            format!(
                "Its clock and this device's are {} minutes apart.",
                skew.minutes()
            ),
        ));
    }
}

fn content_type(answer: &Response) -> String {
    answer
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_ascii_lowercase()
}

fn unreached(place: &str, error: &DiscoverError) -> Finding {
    let sentence = match error {
        DiscoverError::NotFound => "Answers \"not found\".".to_owned(),
        DiscoverError::Insecure => {
            "Redirects to an address without encryption: it will not be followed.".to_owned()
        }
        DiscoverError::Redirected { to } => {
            format!("Redirects to {to}, or more than once: it will not be followed.")
        }
        DiscoverError::TooLarge => "Larger than 256 KiB: it will not be read.".to_owned(),
        DiscoverError::Slow => "Took longer than a person waits (12 seconds).".to_owned(),
        DiscoverError::Network(Failure::WrongCertificate) => {
            "Its certificate is not one this device trusts, or is for another name. An authority of your own belongs into the policy.".to_owned()
        }
        DiscoverError::Network(failure) => format!("Not reached: {failure}."),
        other => format!("{other}."),
    };
    Finding::error(place, sentence)
}
