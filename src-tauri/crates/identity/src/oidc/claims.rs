//! Who signed in, from the userinfo endpoint (OpenID Connect Core §5.3).
//!
//! Services put names there and often nowhere else (`LemonLDAP::NG` unless told otherwise), and
//! organisations name the function and the department of a person in their own ways.

use network::{Clients, Failure};
use openidconnect::core::CoreIdTokenClaims;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use super::wire;
use crate::clock::Clock;
use crate::error::SignInError;
use crate::secret::Secret;

/// Longest claim that is kept, in characters; it ends on the screen.
const LONGEST: usize = 256;

/// What the organisation says about the person.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Stable and unique at this issuer.
    pub subject: String,
    pub name: Option<String>,
    pub email: Option<String>,
    /// What they type to sign in.
    pub username: Option<String>,
    pub function: Option<String>,
    pub department: Option<String>,
    pub picture: Option<String>,
}

impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Claims(…)")
    }
}

impl Claims {
    fn subject_only(subject: &str) -> Self {
        Self {
            subject: subject.to_owned(),
            name: None,
            email: None,
            username: None,
            function: None,
            department: None,
            picture: None,
        }
    }

    /// What a token says by itself, for services whose userinfo does not answer.
    pub fn of_id_token(claims: &CoreIdTokenClaims) -> Self {
        let name = claims.name().and_then(|name| name.get(None));
        Self {
            name: name.and_then(|name| tidy(name.as_str())),
            email: claims.email().and_then(|email| tidy(email.as_str())),
            username: claims
                .preferred_username()
                .and_then(|name| tidy(name.as_str())),
            ..Self::subject_only(claims.subject().as_str())
        }
    }

    fn of(subject: &str, said: &Map<String, Value>) -> Self {
        let first = |names: &[&str]| names.iter().find_map(|name| text(said.get(*name)?));
        let name = first(&["name", "display_name", "cn"]).or_else(|| {
            let parts = [first(&["given_name"]), first(&["family_name"])];
            let joined = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
            (!joined.is_empty()).then_some(joined)
        });
        Self {
            name,
            email: first(&["email", "mail"]),
            username: first(&["preferred_username", "uid", "nickname"]),
            function: first(&["function", "role", "title", "job_title"]),
            department: first(&["department", "ou", "service", "unit"]),
            picture: first(&["picture"]).filter(|url| url.starts_with("https://")),
            ..Self::subject_only(subject)
        }
    }
}

/// Asks the userinfo endpoint. The client holds no cookies: `LemonLDAP::NG` refuses the request
/// when the browser session's cookie comes with it.
pub async fn userinfo(
    endpoint: &Url,
    subject: &str,
    access_token: &Secret,
    clients: &Clients,
    clock: &dyn Clock,
) -> Result<Claims, SignInError> {
    let request = clients
        .single_step()
        .get(endpoint.clone())
        .bearer_auth(access_token.expose_text().unwrap_or_default());
    let answer = wire::send(request, clock).await?;
    if !answer.status.is_success() {
        return Err(SignInError::Network(Failure::Protocol));
    }
    let said: Map<String, Value> = serde_json::from_slice(&answer.body)
        .map_err(|_| SignInError::Network(Failure::Protocol))?;
    // §5.3.2: otherwise it could be the answer for somebody else's token.
    if said.get("sub").and_then(Value::as_str) != Some(subject) {
        return Err(SignInError::TokenInvalid("subject of userinfo"));
    }
    Ok(Claims::of(subject, &said))
}

/// Directories hand out one value, a list, or values joined by `; `: the first is meant for people.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => tidy(text.split("; ").next().unwrap_or_default()),
        Value::Array(values) => values.iter().find_map(text),
        _ => None,
    }
}

fn tidy(text: &str) -> Option<String> {
    let clean: String = text
        .chars()
        .filter(|character| !character.is_control())
        .take(LONGEST)
        .collect();
    let clean = clean.trim();
    (!clean.is_empty()).then(|| clean.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn claims(json: &str) -> Claims {
        Claims::of("s", &serde_json::from_str(json).unwrap())
    }

    #[test]
    fn an_organisations_own_names_for_function_and_department_are_understood() {
        let claims = claims(
            r#"{"name":"Nathalie Martin","email":"n@h.example","preferred_username":"nathalie",
                "role":["Secrétaire","x"],"ou":"Cardiologie; Bâtiment B"}"#,
        );
        assert_eq!(claims.function.as_deref(), Some("Secrétaire"));
        assert_eq!(claims.department.as_deref(), Some("Cardiologie"));
        assert_eq!(claims.username.as_deref(), Some("nathalie"));
    }

    #[test]
    fn a_person_without_a_whole_name_gets_one_from_its_parts() {
        let claims = claims(r#"{"given_name":"Paul","family_name":"Dupont","email":42}"#);
        assert_eq!(claims.name.as_deref(), Some("Paul Dupont"));
        assert_eq!(claims.email, None);
    }

    #[test]
    fn hostile_claims_stay_short_and_clean() {
        let long = "x".repeat(10_000);
        let claims = claims(&format!(
            r#"{{"name":"{long}","role":"a\u0000b\n","picture":"javascript:alert(1)"}}"#
        ));
        assert_eq!(claims.name.unwrap().len(), LONGEST);
        assert_eq!(claims.function.as_deref(), Some("ab"));
        assert_eq!(claims.picture, None);
    }
}
