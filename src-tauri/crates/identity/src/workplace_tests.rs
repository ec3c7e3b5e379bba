//! Against the real thing: `LemonLDAP::NG` with its SMS step, and Synapse as the second leg.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use network::{Clients, Trust};
use organisation::{Address, discover};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell, mpsc};
use url::Url;
use workplace::{Gestures, Options, Refused, Workplace};

use crate::double::SetClock;
use crate::session::{KEY, Record, SessionState, TokenError};
use crate::{
    Attempt, BrowserUnavailable, Pages, Phase, SecondLeg, Session, SignIn, SignInError, SignedIn,
    Vault,
};

static WORKPLACE: OnceCell<Workplace> = OnceCell::const_new();
/// The agreed ports are the same for all, so one attempt at a time.
static TURN: Mutex<()> = Mutex::const_new(());

struct Stage {
    workplace: &'static Workplace,
    clients: Clients,
    vault: Vault,
    clock: SetClock,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    async fn new() -> Self {
        let turn = TURN.lock().await;
        let workplace = WORKPLACE
            .get_or_init(|| async {
                Workplace::up(Options {
                    people: 40,
                    ..Options::default()
                })
                .await
                .unwrap()
            })
            .await;
        let trust = Trust::from_pem(workplace.authority().as_bytes()).unwrap();
        Self {
            workplace,
            clients: Clients::new(&trust).unwrap(),
            vault: Vault::in_memory(),
            clock: SetClock::now_is(SystemTime::now()),
            _turn: turn,
        }
    }

    /// From the address that the person typed to the address that the browser opens.
    async fn begin(&self, uid: &str) -> (Attempt, Url) {
        let address = Address::parse(&self.workplace.address_of(uid)).unwrap();
        let document = discover(&address, &self.clients).await.unwrap().document;
        let homeserver = document.chat.as_ref().unwrap().homeserver.clone();
        let provider = document
            .chat
            .as_ref()
            .unwrap()
            .identity_provider
            .clone()
            .unwrap();
        let (open, mut opened) = mpsc::unbounded_channel();
        let attempt = SignIn {
            organisation: address.domain(),
            identity: document.identity.clone().unwrap(),
            clients: self.clients.clone(),
            vault: self.vault.clone(),
            clock: Arc::new(self.clock.clone()),
            pages: Pages::in_language("fr"),
            open_browser: Arc::new(move |url: &Url| {
                open.send(url.clone()).map_err(|_| BrowserUnavailable)
            }),
            second_leg: Some(SecondLeg::new(move |back| {
                let path = format!("/_matrix/client/v3/login/sso/redirect/{provider}");
                let mut url = homeserver.join(&path).unwrap();
                url.query_pairs_mut()
                    .append_pair("redirectUrl", back.as_str());
                url
            })),
        }
        .begin();
        let url = opened
            .recv()
            .await
            .expect("the attempt ended before the browser opened");
        (attempt, url)
    }

    async fn sign_in(&self, uid: &str) -> SignedIn {
        let (attempt, url) = self.begin(uid).await;
        let gestures = Gestures {
            follow_loopback: true,
            ..Gestures::default()
        };
        let landing = self
            .workplace
            .sign_in_with(url.as_str(), uid, &gestures)
            .await
            .unwrap();
        assert!(landing.page.unwrap().contains("revenir à Cordée"));
        attempt.finish().await.unwrap()
    }

    async fn refused(&self, url: &Url, uid: &str, gestures: &Gestures) -> Vec<String> {
        let refused = self
            .workplace
            .sign_in_with(url.as_str(), uid, gestures)
            .await
            .unwrap_err();
        refused.downcast::<Refused>().unwrap().codes
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn password_and_sms_code_sign_in_to_the_portal_and_to_the_homeserver_in_one_trip() {
    let stage = Stage::new().await;
    let signed_in = stage.sign_in("camille.martin").await;
    let person = stage.workplace.person("camille.martin").unwrap();
    let claims = &signed_in.claims;
    assert_eq!(claims.name.as_ref(), Some(&person.name));
    assert_eq!(claims.email.as_ref(), Some(&person.email));
    assert_eq!(claims.function.as_ref(), Some(&person.function));
    assert_eq!(claims.department.as_ref(), Some(&person.department));

    let login = format!("{}/_matrix/client/v3/login", stage.workplace.homeserver());
    let body = json!({ "type": "m.login.token", "token": signed_in.second["loginToken"] });
    let answer = stage
        .clients
        .api()
        .post(login)
        .json(&body)
        .send()
        .await
        .unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert!(
        answer["user_id"]
            .as_str()
            .unwrap()
            .starts_with("@camille.martin:"),
        "{answer}"
    );

    assert_eq!(*signed_in.session.state().borrow(), SessionState::Valid);
    signed_in.session.close().await;
    let remembered = Session::remembered(&stage.vault).await.unwrap().unwrap();
    assert_eq!(remembered.organisation(), stage.workplace.organisation());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portals_tokens_are_renewed_without_rotation_and_after_a_restart() {
    let stage = Stage::new().await;
    let signed_in = stage.sign_in("camille.martin").await;
    let first = signed_in.session.access_token().await.unwrap();
    let kept = Record::load(&stage.vault)
        .await
        .unwrap()
        .unwrap()
        .refresh_token;
    assert!(kept.is_some());
    signed_in.session.close().await;

    stage.clock.advance(Duration::from_hours(1));
    let remembered = Session::remembered(&stage.vault).await.unwrap().unwrap();
    let clock = Arc::new(stage.clock.clone());
    let session = remembered.resume(stage.clients.clone(), stage.vault.clone(), clock);
    let second = session.access_token().await.unwrap();
    assert_ne!(first, second);
    assert_eq!(*session.state().borrow(), SessionState::Valid);
    assert_eq!(
        Record::load(&stage.vault)
            .await
            .unwrap()
            .unwrap()
            .refresh_token,
        kept
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_code_keeps_the_person_out_and_the_right_one_lets_them_in_afterwards() {
    let stage = Stage::new().await;
    let uid = "camille.martin";
    let (attempt, url) = stage.begin(uid).await;
    let wrong = Gestures {
        code: Some("000000".into()),
        follow_loopback: true,
        ..Gestures::default()
    };
    stage.refused(&url, uid, &wrong).await;
    assert!(matches!(&*attempt.phase().borrow(), Phase::Browser { .. }));
    // The same attempt still waits; the person starts again from the portal's page.
    let right = Gestures {
        follow_loopback: true,
        ..Gestures::default()
    };
    stage
        .workplace
        .sign_in_with(url.as_str(), uid, &right)
        .await
        .unwrap();
    attempt.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_block_the_account_and_nobody_gets_in_even_with_the_right_one() {
    let stage = Stage::new().await;
    let uid = stage.workplace.people().last().unwrap().uid.clone();
    let (attempt, url) = stage.begin(&uid).await;
    let wrong = Gestures {
        password: Some("hunter2".into()),
        ..Gestures::default()
    };
    for _ in 0..3 {
        stage.refused(&url, &uid, &wrong).await;
    }
    let right = Gestures {
        follow_loopback: true,
        ..Gestures::default()
    };
    let codes = stage.refused(&url, &uid, &right).await;
    assert!(codes.iter().any(|code| code == "PE86"), "{codes:?}");
    // The portal says so on its page and never comes back to us; the person gives up.
    attempt.control().cancel();
    assert_eq!(attempt.finish().await.unwrap_err(), SignInError::Cancelled);
    assert_eq!(stage.vault.get(KEY).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_administrator_ended_is_revoked_and_its_data_kept() {
    let stage = Stage::new().await;
    let session = stage.sign_in("camille.martin").await.session;
    let record = Record::load(&stage.vault).await.unwrap().unwrap();
    let token = record.refresh_token.unwrap();
    let ended = end_portal_session(stage.workplace.run_folder(), token.expose_text().unwrap());
    assert!(ended, "the portal's session was not found");
    stage.clock.advance(Duration::from_hours(1));
    assert_eq!(session.access_token().await, Err(TokenError::Revoked));
    assert!(matches!(
        &*session.state().borrow(),
        SessionState::Revoked { .. }
    ));
    assert!(stage.vault.get(KEY).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_that_is_down_is_waited_for() {
    let stage = Stage::new().await;
    let session = stage.sign_in("camille.martin").await.session;
    stage.workplace.stop("oidc").await.unwrap();
    stage.clock.advance(Duration::from_hours(1));
    let waiting = session.access_token().await;
    stage.workplace.start("oidc").await.unwrap();
    assert!(
        matches!(waiting, Err(TokenError::Offline { .. })),
        "{waiting:?}"
    );
    session.retry_now();
    session.access_token().await.unwrap();
    assert_eq!(*session.state().borrow(), SessionState::Valid);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_of_a_portal_without_revocation_says_so() {
    let stage = Stage::new().await;
    let session = stage.sign_in("camille.martin").await.session;
    let done = session.sign_out().await;
    assert!(
        !done.revoked,
        "LemonLDAP::NG 2.16 has no revocation endpoint"
    );
    assert!(done.forgotten);
    assert!(
        done.end_session
            .unwrap()
            .as_str()
            .contains("id_token_hint=")
    );
    assert_eq!(stage.vault.get(KEY).await, Ok(None));
}

/// As the portal's session explorer does it: the session's file is named like the refresh token.
fn end_portal_session(folder: &Path, name: &str) -> bool {
    let mut folders = vec![PathBuf::from(folder)];
    let mut found = false;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            } else if entry.file_name() == name {
                found |= std::fs::remove_file(entry.path()).is_ok();
            }
        }
    }
    found
}
