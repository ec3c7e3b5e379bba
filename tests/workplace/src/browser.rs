//! HTTP as a person's browser speaks it: follows redirects, keeps cookies, fills in the portal's forms.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

use crate::people::Person;
use crate::phone::Phone;

/// What the person does at the portal's pages.
#[derive(Debug, Clone, Default)]
pub struct Gestures {
    /// Types this instead of the right password.
    pub password: Option<String>,
    /// Types this instead of the code that the phone shows.
    pub code: Option<String>,
    /// Opens addresses on this machine (`http://127.0.0.1:47811/…`) as a browser does. Without it the first one is
    /// where the journey ends.
    pub follow_loopback: bool,
}

/// Where the journey ended.
#[derive(Debug, Clone)]
pub struct Landing {
    /// The last address: a redirect to this machine or to the private scheme that was not followed, or a page.
    pub url: Url,
    /// The page there, if one was opened.
    pub page: Option<String>,
}

/// The portal said no; `codes` are its own (`PE5`: wrong name or password, `PE86`: blocked for a while, …).
#[derive(Debug, Clone, thiserror::Error)]
#[error("the portal refused: {codes:?}")]
pub struct Refused {
    pub codes: Vec<String>,
}

/// A browser with its cookies. One person, one browser.
pub struct Browser {
    http: reqwest::Client,
    phone: Phone,
}

impl Browser {
    pub(crate) fn new(authority: &str, phone: Phone) -> Result<Self> {
        let http = builder(authority)?
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, phone })
    }

    /// Opens the address, signs in where the portal asks for it, and goes on to the end. A refusal is [`Refused`].
    pub async fn sign_in(
        &self,
        start: &str,
        person: &Person,
        gestures: &Gestures,
    ) -> Result<Landing> {
        let mark = self.phone.mark()?;
        let (mut password_typed, mut code_typed) = (false, false);
        let mut request = self.http.get(start);
        let mut at = Url::parse(start)?;
        for _ in 0..30 {
            let answer = request
                .send()
                .await
                .with_context(|| format!("no answer from {}", origin(&at)))?;
            at = answer.url().clone();
            if answer.status().is_redirection() {
                let to = answer
                    .headers()
                    .get("location")
                    .context("a redirect without address")?
                    .to_str()?;
                let to = at.join(to)?;
                let here = to.host_str() == Some("127.0.0.1");
                if !matches!(to.scheme(), "http" | "https") || (here && !gestures.follow_loopback) {
                    return Ok(Landing {
                        url: to,
                        page: None,
                    });
                }
                request = self.http.get(to);
                continue;
            }
            let status = answer.status();
            let page = answer.text().await?;
            if at.host_str() == Some("127.0.0.1") {
                return Ok(Landing {
                    url: at,
                    page: Some(page),
                });
            }
            if let Some(form) = Form::find(&page, "password") {
                if password_typed {
                    return Err(Refused {
                        codes: codes(&page),
                    }
                    .into());
                }
                password_typed = true;
                let password = gestures.password.as_ref().unwrap_or(&person.password);
                request = form
                    .fill(&[("user", &person.uid), ("password", password)])
                    .send_to(&self.http, &at)?;
            } else if let Some(form) = Form::find(&page, "code") {
                if code_typed {
                    return Err(Refused {
                        codes: codes(&page),
                    }
                    .into());
                }
                code_typed = true;
                let shown = self.phone.code_for(&person.phone, mark).await?;
                let code = gestures.code.as_ref().unwrap_or(&shown);
                request = form.fill(&[("code", code)]).send_to(&self.http, &at)?;
            } else if let Some(to) = meta_refresh(&page) {
                request = self.http.get(at.join(&to)?);
            } else if password_typed && (!codes(&page).is_empty() || code_typed) {
                return Err(Refused {
                    codes: codes(&page),
                }
                .into());
            } else {
                ensure!(status.is_success(), "{} answers {status}", origin(&at));
                return Ok(Landing {
                    url: at,
                    page: Some(page),
                });
            }
        }
        bail!("the sign-in goes in circles at {}", origin(&at))
    }
}

/// A client that trusts the workplace's authority alone and knows that `*.localhost` is this machine (RFC 6761 §6.3).
pub fn client(authority: &str) -> Result<reqwest::Client> {
    Ok(builder(authority)?.build()?)
}

// The workplace knows nothing of the client, so not of its crate `network` either.
#[allow(clippy::disallowed_methods)]
fn builder(authority: &str) -> Result<reqwest::ClientBuilder> {
    crate::install_crypto();
    Ok(reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(authority.as_bytes())?])
        .dns_resolver(Arc::new(Loopback))
        .no_proxy()
        .connect_timeout(Duration::from_secs(10))
        .timeout(Duration::from_mins(2)))
}

struct Loopback;

impl Resolve for Loopback {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let name = name.as_str();
            if name == "localhost" || name.ends_with(".localhost") {
                let here: Addrs =
                    Box::new(std::iter::once(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
                return Ok(here);
            }
            Err(format!("{name} is not part of the workplace").into())
        })
    }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization() + url.path()
}

/// A form on a page: where it goes and what it carries already.
struct Form {
    action: Option<String>,
    fields: Vec<(String, String)>,
}

impl Form {
    /// The form that has a field of this name which the person has to fill in.
    fn find(page: &str, field: &str) -> Option<Self> {
        page.match_indices("<form").find_map(|(start, _)| {
            let text = &page[start..start + page[start..].find("</form>")?];
            let head = &text[..text.find('>')?];
            let fields: Vec<(String, String)> = text
                .match_indices("<input")
                .filter_map(|(at, _)| {
                    let tag = &text[at..at + text[at..].find('>')?];
                    Some((
                        attribute(tag, "name")?,
                        attribute(tag, "value").unwrap_or_default(),
                    ))
                })
                .collect();
            fields.iter().any(|(name, _)| name == field).then(|| Self {
                action: attribute(head, "action"),
                fields,
            })
        })
    }

    fn fill(mut self, typed: &[(&str, &str)]) -> Self {
        for (name, value) in typed {
            match self.fields.iter_mut().find(|(field, _)| field == name) {
                Some(field) => (*value).clone_into(&mut field.1),
                None => self.fields.push(((*name).to_owned(), (*value).to_owned())),
            }
        }
        self
    }

    fn send_to(self, http: &reqwest::Client, page: &Url) -> Result<reqwest::RequestBuilder> {
        let to = page.join(self.action.as_deref().unwrap_or_default())?;
        Ok(http
            .post(to)
            .header("origin", page.origin().ascii_serialization())
            .form(&self.fields))
    }
}

/// The value of an HTML attribute inside one tag.
fn attribute(tag: &str, name: &str) -> Option<String> {
    tag.match_indices(name).find_map(|(at, _)| {
        let before = tag[..at].chars().next_back();
        let rest = tag[at + name.len()..].strip_prefix('=')?;
        if !before.is_some_and(char::is_whitespace) {
            return None;
        }
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let value = &rest[1..];
        Some(unescape(&value[..value.find(quote)?]))
    })
}

fn unescape(text: &str) -> String {
    text.replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&#x3D;", "=")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

/// The portal's result codes on a page, e.g. `PE5`. Messages carry the bare number, whole error pages the name.
fn codes(page: &str) -> Vec<String> {
    let after = |mark: &'static str| {
        page.match_indices(mark).map(move |(at, _)| {
            let rest = &page[at + mark.len()..];
            format!("PE{}", &rest[..rest.find('"').unwrap_or(rest.len())])
        })
    };
    after("trmsg=\"").chain(after("trspan=\"PE")).collect()
}

fn meta_refresh(page: &str) -> Option<String> {
    let at = page.find("http-equiv=\"refresh\"")?;
    let tag = &page[at..at + page[at..].find('>')?];
    let content = attribute(&format!(" {tag}"), "content")?;
    content.split_once("url=").map(|(_, url)| url.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::{Form, codes};

    const PAGE: &str = r#"<form id="a" action="/search"><input name="q"></form>
        <form action="/login?x=1&amp;y=2" method="post"><input type="hidden" name="token" value="a&quot;b"/>
        <input name="user" type="text"/><input name="password"/></form><span trmsg="5"></span><h3 trspan="PE86"></h3>"#;

    #[test]
    fn the_form_with_the_wanted_field_is_filled_in_and_keeps_its_hidden_values() {
        let form = Form::find(PAGE, "password")
            .unwrap()
            .fill(&[("user", "camille"), ("password", "x")]);
        assert_eq!(form.action.as_deref(), Some("/login?x=1&y=2"));
        let fields: Vec<_> = form
            .fields
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            fields,
            [("token", "a\"b"), ("user", "camille"), ("password", "x")]
        );
    }

    #[test]
    fn the_portals_codes_are_read_from_the_page() {
        assert_eq!(codes(PAGE), ["PE5", "PE86"]);
    }
}
