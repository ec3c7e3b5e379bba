//! Signing in at the workplace, as the client will do it, but by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};
use tokio::sync::OnceCell;
use url::Url;
use workplace::{CLIENT_ID, Gestures, Options, Refused, Workplace};

/// One workplace for all tests of this file; the guard ends it with the process.
async fn workplace() -> &'static Workplace {
    static SHARED: OnceCell<Workplace> = OnceCell::const_new();
    let up = || async {
        Workplace::up(Options::default())
            .await
            .expect("the workplace comes up")
    };
    SHARED.get_or_init(up).await
}

const VERIFIER: &str = "a-verifier-that-is-long-enough-for-rfc-7636-to-be-content";
/// base64url(SHA-256(VERIFIER)), computed once.
fn challenge() -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(VERIFIER))
}

fn authorize(workplace: &Workplace, redirect: &str) -> String {
    let mut url = Url::parse(&format!("{}/oauth2/authorize", workplace.issuer())).unwrap();
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", CLIENT_ID)
        .append_pair("redirect_uri", redirect)
        .append_pair("scope", "openid profile email offline_access")
        .append_pair("state", "the-state")
        .append_pair("nonce", "the-nonce")
        .append_pair("code_challenge", &challenge())
        .append_pair("code_challenge_method", "S256");
    url.into()
}

fn query(url: &Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(n, _)| n == name)
        .map(|(_, value)| value.into_owned())
}

const LOOPBACK: &str = "http://127.0.0.1:47811/callback";

#[tokio::test]
async fn password_and_sms_code_give_tokens_and_the_persons_function() {
    let workplace = workplace().await;
    let landing = workplace
        .sign_in_like_a_browser(
            &authorize(workplace, LOOPBACK),
            "camille.martin",
            "saint-elme",
        )
        .await
        .unwrap();
    assert!(landing.url.as_str().starts_with(LOOPBACK));
    assert_eq!(query(&landing.url, "state").as_deref(), Some("the-state"));
    let http = workplace.http().unwrap();
    let code = query(&landing.url, "code").unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", CLIENT_ID),
        ("code", &code),
        ("redirect_uri", LOOPBACK),
        ("code_verifier", VERIFIER),
    ];
    let token = http
        .post(format!("{}/oauth2/token", workplace.issuer()))
        .form(&form)
        .send()
        .await
        .unwrap();
    assert_eq!(token.status(), 200);
    let token: Value = token.json().await.unwrap();
    assert!(token["refresh_token"].is_string(), "{token}");
    let me = http
        .get(format!("{}/oauth2/userinfo", workplace.issuer()))
        .bearer_auth(token["access_token"].as_str().unwrap())
        .send()
        .await
        .unwrap();
    let me: Value = me.json().await.unwrap();
    assert_eq!(me["sub"], "camille.martin");
    assert_eq!(me["name"], "Camille Martin");
    assert_eq!(me["function"], "Secrétaire médicale");
    assert_eq!(me["department"], "Secrétariat central");
}

#[tokio::test]
async fn the_private_scheme_is_an_accepted_way_back() {
    let workplace = workplace().await;
    let start = authorize(workplace, "cordee:/callback");
    let landing = workplace
        .sign_in_like_a_browser(&start, "paul.adam", "saint-elme")
        .await
        .unwrap();
    assert!(
        landing.url.as_str().starts_with("cordee:/callback?"),
        "{}",
        landing.url
    );
}

#[tokio::test]
async fn a_wrong_code_is_refused() {
    let workplace = workplace().await;
    let gestures = Gestures {
        code: Some("000000".to_owned()),
        ..Gestures::default()
    };
    let error = workplace
        .sign_in_with(&authorize(workplace, LOOPBACK), "nora.benali", &gestures)
        .await
        .unwrap_err();
    assert!(error.downcast_ref::<Refused>().is_some(), "{error:#}");
}

#[tokio::test]
async fn after_three_wrong_passwords_the_right_one_is_refused_until_the_block_is_over() {
    let workplace = workplace().await;
    let start = authorize(workplace, LOOPBACK);
    for _ in 0..3 {
        let error = workplace
            .sign_in_like_a_browser(&start, "denis.colin", "wrong")
            .await
            .unwrap_err();
        assert_eq!(error.downcast_ref::<Refused>().unwrap().codes, ["PE5"]);
    }
    let error = workplace
        .sign_in_like_a_browser(&start, "denis.colin", "saint-elme")
        .await
        .unwrap_err();
    assert_eq!(error.downcast_ref::<Refused>().unwrap().codes, ["PE86"]);
}

#[tokio::test]
async fn one_sign_in_at_the_portal_opens_chat_as_the_seeded_person() {
    let workplace = workplace().await;
    let start = format!(
        "{}/_matrix/client/v3/login/sso/redirect/oidc-portal?redirectUrl=http://127.0.0.1:47812/second",
        workplace.homeserver()
    );
    let landing = workplace
        .sign_in_like_a_browser(&start, "hugo.lambert", "saint-elme")
        .await
        .unwrap();
    let token = query(&landing.url, "loginToken").expect("a login token");
    let http = workplace.http().unwrap();
    let login = http
        .post(format!(
            "{}/_matrix/client/v3/login",
            workplace.homeserver()
        ))
        .json(&json!({ "type": "m.login.token", "token": token }))
        .send()
        .await
        .unwrap();
    let login: Value = login.json().await.unwrap();
    assert_eq!(login["user_id"], "@hugo.lambert:saint-elme.localhost");
    let rooms = http
        .get(format!(
            "{}/_matrix/client/v3/joined_rooms",
            workplace.homeserver()
        ))
        .bearer_auth(login["access_token"].as_str().unwrap())
        .send()
        .await
        .unwrap();
    let rooms: Value = rooms.json().await.unwrap();
    assert!(
        rooms["joined_rooms"].as_array().unwrap().len() > 3,
        "{rooms}"
    );
}
