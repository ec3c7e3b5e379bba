#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use network::testing::{Answer, Authority, Request, Server};
use serde_json::json;

use super::*;

fn places(findings: &[Finding], severity: Severity) -> Vec<&str> {
    findings
        .iter()
        .filter(|finding| finding.severity == severity)
        .map(|finding| finding.place.as_str())
        .collect()
}

#[test]
fn the_schemas_own_example_has_nothing_wrong() {
    let example = schema()["examples"][0].to_string();
    assert_eq!(file("cordee.json", example.as_bytes()), []);
}

#[test]
fn a_mistyped_optional_member_is_noticed() {
    let document = json!({
        "version": 1, "name": "x", "help": "y", "hepl": "z",
        "identity": { "issuer": "https://a.example", "clientID": "cordee" },
        "chat": { "homeserver": "https://b.example", "identityProvider": "oidc-a" },
        "services": [{ "id": "a", "url": "https://c.example", "expect": { "stauts": 200 } }],
        "settings": {
            "any": { "value": 1, "reason": "r" },
            "theme": { "value": "pink", "reason": "r" },
            "notifications": { "value": "no", "reason": "r", "why": 1 },
            "startAtLogin": { "value": true, "reason": "r" },
        },
        "connectivityCheck": { "url": "http://a.example" },
        "applications": [{ "free": true }],
    });
    let findings = super::document(document.to_string().as_bytes());
    assert_eq!(
        places(&findings, Severity::Warning),
        [
            "/hepl",
            "/identity/clientID",
            "/services/0/expect/stauts",
            "/settings/any",
            "/settings/notifications/value",
            "/settings/notifications/why",
            "/settings/theme/value",
        ]
    );
}

#[test]
fn a_refused_document_is_one_error_with_its_place() {
    let findings = file(
        "cordee.json",
        br#"{"version":1,"name":"x","chat":{"homeserver":"http://a.example"}}"#,
    );
    assert_eq!(places(&findings, Severity::Error), ["/chat/homeserver"]);
    assert_eq!(findings.len(), 1);
    let findings = file("cordee.json", br#"{"version":3}"#);
    assert_eq!(
        findings[0].to_string(),
        "error    /version                         Version 3 is not understood; this program reads version 1."
    );
}

#[test]
fn a_document_with_which_nobody_can_sign_in_is_noticed() {
    let findings = file("cordee.json", br#"{"version":1,"name":"x","help":"y"}"#);
    assert_eq!(places(&findings, Severity::Warning), [""]);
}

#[test]
fn a_policy_is_recognised_by_its_name_or_by_what_it_holds() {
    assert_eq!(
        places(
            &file("policy.json", br#"{"version":1,"x":1}"#),
            Severity::Error
        ),
        ["/x"]
    );
    let findings = file("a.json", br#"{"version":1,"organisation":"dupont"}"#);
    assert_eq!(places(&findings, Severity::Error), ["/organisation"]);
    let policy = br#"{"version":1,"settings":{"theme":{"value":1,"reason":"r"}}}"#;
    assert_eq!(
        places(&file("policy.json", policy), Severity::Warning),
        ["/settings/theme/value"]
    );
    assert_eq!(
        places(&file("policy.json", br#"{"version":1}"#), Severity::Warning),
        [""]
    );
}

#[test]
fn the_exit_code_tells_errors_from_warnings_and_from_nothing_checked() {
    let folder = tempfile::tempdir().unwrap();
    let lint = |text: &str| {
        let file = folder.path().join("cordee.json");
        std::fs::write(&file, text).unwrap();
        let mut out = Vec::new();
        let code = run(file.to_str().unwrap(), &mut out);
        (code, String::from_utf8(out).unwrap())
    };
    let (code, out) = lint(&schema()["examples"][0].to_string());
    assert_eq!((code, out.as_str()), (0, "All is well.\n"));
    let (code, out) = lint(r#"{"version":1,"name":"x"}"#);
    assert_eq!(code, 0, "{out}");
    assert!(out.ends_with("0 error(s), 2 warning(s).\n"), "{out}");
    let (code, out) = lint("{");
    assert_eq!(code, 1, "{out}");
    let mut out = Vec::new();
    assert_eq!(run("no such thing", &mut out), 2);
}

/// An organisation whose every service is played by one server.
struct Organisation {
    authority: Authority,
    server: Server,
    page: Server,
}

impl Organisation {
    /// `spoil` may replace the answer to a path.
    async fn with(spoil: impl Fn(&str, &str) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let authority = Authority::new();
        let page = Server::plain(|_| Answer::new(204)).await;
        let check = page.url("/alive").to_string();
        let server = Server::start(&authority, |_| Answer::new(500)).await;
        let base = server.url("").to_string();
        let base = base.trim_end_matches('/').to_owned();
        let spoil = Arc::new(spoil);
        server.answer_with(move |request: &Request| {
            spoil(&request.path, &base).unwrap_or_else(|| usual(request, &base, &check))
        });
        Self {
            authority,
            server,
            page,
        }
    }

    async fn lint(&self) -> Vec<Finding> {
        let address = Address::parse(&self.server.authority()).unwrap();
        let findings = domain(&address, &self.authority.clients()).await;
        assert!(self.page.port() > 0);
        findings
    }
}

fn usual(request: &Request, base: &str, check: &str) -> Answer {
    let value = match request.path.as_str() {
        "/.well-known/cordee" if request.header("if-none-match").is_some() => {
            return Answer::new(304);
        }
        "/.well-known/cordee" => json!({
            "version": 1, "name": "Cliniques Saint-Elme", "help": "Poste 4040",
            "identity": { "issuer": base },
            "chat": { "homeserver": base, "identityProvider": "oidc-llng" },
            "services": [{ "id": "intranet", "url": format!("{base}/health"), "expect": { "status": 200 } }],
            "connectivityCheck": { "url": check },
        }),
        "/.well-known/openid-configuration" => json!({
            "issuer": base,
            "authorization_endpoint": format!("{base}/authorize"),
            "token_endpoint": format!("{base}/token"),
            "jwks_uri": format!("{base}/jwks"),
            "userinfo_endpoint": format!("{base}/userinfo"),
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["plain", "S256"],
        }),
        "/_matrix/client/versions" => json!({
            "versions": ["v1.12"],
            "unstable_features": { "org.matrix.simplified_msc3575": true },
        }),
        "/_matrix/client/v3/login" => json!({
            "flows": [{ "type": "m.login.sso", "identity_providers": [{ "id": "oidc-llng" }] }],
        }),
        "/health" => json!({}),
        _ => return Answer::new(404),
    };
    Answer::json(200, value.to_string()).header("etag", "\"1\"")
}

fn only(path: &'static str, answer: Answer) -> impl Fn(&str, &str) -> Option<Answer> {
    move |asked, _| (asked == path).then(|| answer.clone())
}

#[tokio::test]
async fn an_organisation_in_order_has_no_findings() {
    assert_eq!(Organisation::with(|_, _| None).await.lint().await, []);
}

#[tokio::test]
async fn each_thing_that_breaks_sign_in_or_chat_is_an_error_at_its_place() {
    for (path, answer, place) in [
        (
            "/.well-known/openid-configuration",
            Answer::json(200, r#"{"issuer":"https://other.example"}"#),
            "/identity/issuer",
        ),
        (
            "/.well-known/openid-configuration",
            Answer::new(404),
            "/identity/issuer",
        ),
        (
            "/_matrix/client/versions",
            Answer::new(502),
            "/chat/homeserver",
        ),
        (
            "/_matrix/client/versions",
            Answer::json(200, "{}"),
            "/chat/homeserver",
        ),
        (
            "/_matrix/client/versions",
            Answer::json(200, r#"{"versions":["v1.1"]}"#),
            "/chat/homeserver",
        ),
        (
            "/_matrix/client/v3/login",
            Answer::json(
                200,
                r#"{"flows":[{"type":"m.login.sso","identity_providers":[{"id":"other"}]}]}"#,
            ),
            "/chat/identityProvider",
        ),
    ] {
        let findings = Organisation::with(only(path, answer)).await.lint().await;
        assert!(
            places(&findings, Severity::Error).contains(&place),
            "{path}: {findings:?}"
        );
    }
}

#[tokio::test]
async fn a_service_that_is_down_is_a_warning() {
    let findings = Organisation::with(only("/health", Answer::new(500)))
        .await
        .lint()
        .await;
    assert_eq!(places(&findings, Severity::Warning), ["/services/0"]);
    assert_eq!(places(&findings, Severity::Error), [""; 0]);
}

#[tokio::test]
async fn a_connectivity_page_with_another_answer_is_an_error() {
    let organisation = Organisation::with(|_, _| None).await;
    organisation
        .page
        .answer_with(|_| Answer::page(200, "Bienvenue"));
    let findings = organisation.lint().await;
    assert_eq!(
        places(&findings, Severity::Error),
        ["/connectivityCheck/url"]
    );
}

#[tokio::test]
async fn a_document_without_etag_or_with_the_wrong_type_is_a_warning() {
    let organisation = Organisation::with(|path, base| {
        (path == "/.well-known/cordee").then(|| {
            let document =
                json!({ "version": 1, "name": "x", "help": "y", "identity": { "issuer": base } });
            Answer::new(200)
                .header("content-type", "text/plain")
                .body(document.to_string())
        })
    })
    .await;
    let findings = organisation.lint().await;
    let place = organisation.server.url("/.well-known/cordee").to_string();
    assert_eq!(
        places(&findings, Severity::Warning),
        [place.as_str(), place.as_str()]
    );
}

#[tokio::test]
async fn a_domain_without_a_document_is_an_error_unless_other_protocols_tell() {
    let findings = Organisation::with(only("/.well-known/cordee", Answer::new(404)))
        .await
        .lint()
        .await;
    assert_eq!(places(&findings, Severity::Error).len(), 1, "{findings:?}");
    let organisation = Organisation::with(|path, base| match path {
        "/.well-known/cordee" => Some(Answer::page(200, "<html>")),
        "/.well-known/matrix/client" => {
            let told = json!({ "m.homeserver": { "base_url": base } });
            Some(Answer::json(200, told.to_string()))
        }
        "/_matrix/client/v3/login" => Some(Answer::json(
            200,
            r#"{"flows":[{"type":"m.login.password"}]}"#,
        )),
        _ => None,
    })
    .await;
    let findings = organisation.lint().await;
    assert_eq!(places(&findings, Severity::Error), [""; 0], "{findings:?}");
    assert_eq!(places(&findings, Severity::Warning).len(), 1);
}

#[tokio::test]
async fn a_wrong_certificate_and_a_foreign_redirect_are_said_in_words() {
    let organisation = Organisation::with(|_, _| None).await;
    let address = Address::parse(&organisation.server.authority()).unwrap();
    let findings = domain(&address, &Authority::new().clients()).await;
    assert!(
        findings[0].sentence.starts_with("Its certificate"),
        "{findings:?}"
    );

    let away = Answer::redirect(302, "https://evil.example/");
    let findings = Organisation::with(only("/.well-known/cordee", away))
        .await
        .lint()
        .await;
    assert!(
        findings[0]
            .sentence
            .starts_with("Redirects to evil.example"),
        "{findings:?}"
    );
}

#[tokio::test]
async fn a_clock_that_is_off_is_a_warning() {
    let old = Answer::json(200, "{}").header("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let findings = Organisation::with(only("/.well-known/openid-configuration", old))
        .await
        .lint()
        .await;
    assert!(
        findings
            .iter()
            .any(|finding| finding.sentence.contains("minutes apart"))
    );
}
