#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use network::Failure;
use serde_json::json;
use tokio::sync::mpsc;

use super::*;
use crate::double::{Service, browse, free_ports};
use crate::session::{KEY, SessionState};
use crate::vault::VaultError;
use crate::{Secret, SystemClock};

struct Stage {
    service: Service,
    vault: Vault,
    ports: [u16; 2],
    clock: Arc<dyn Clock>,
}

impl Stage {
    async fn new() -> Self {
        Self {
            service: Service::start().await,
            vault: Vault::in_memory(),
            ports: free_ports().await,
            clock: Arc::new(SystemClock),
        }
    }

    /// The attempt, and the addresses that it opens in the browser.
    fn begin(&self, second_leg: Option<SecondLeg>) -> (Attempt, mpsc::UnboundedReceiver<Url>) {
        let (sign_in, opened) = self.sign_in_with(second_leg);
        (sign_in.begin(), opened)
    }

    fn sign_in_with(
        &self,
        second_leg: Option<SecondLeg>,
    ) -> (SignIn, mpsc::UnboundedReceiver<Url>) {
        let (open, opened) = mpsc::unbounded_channel();
        let sign_in = SignIn {
            organisation: "h.example".into(),
            identity: self.service.identity(&self.ports),
            clients: self.service.clients(),
            vault: self.vault.clone(),
            clock: Arc::clone(&self.clock),
            pages: Pages::in_language("fr"),
            open_browser: Arc::new(move |url: &Url| {
                open.send(url.clone()).map_err(|_| BrowserUnavailable)
            }),
            second_leg,
        };
        (sign_in, opened)
    }

    /// The whole trip of a person who does everything right, without a second leg.
    async fn sign_in(&self) -> Result<SignedIn, SignInError> {
        let (attempt, mut opened) = self.begin(None);
        if let Some(url) = opened.recv().await {
            browse(&self.service.authorize(&url)).await;
        }
        attempt.finish().await
    }

    async fn refused_with(claims: impl Fn(&mut serde_json::Value) + Send + 'static) -> SignInError {
        let stage = Self::new().await;
        stage
            .service
            .with(|habits| habits.claims = Box::new(claims));
        let error = stage.sign_in().await.unwrap_err();
        assert_eq!(
            stage.vault.get(KEY).await,
            Ok(None),
            "nothing may be kept of it"
        );
        error
    }
}

fn leg() -> SecondLeg {
    SecondLeg::new(|back| {
        let mut url = Url::parse("https://hs.example/sso/redirect").unwrap();
        url.query_pairs_mut()
            .append_pair("redirectUrl", back.as_str());
        url
    })
}

fn return_of(leg: &Url) -> Url {
    let (_, back) = leg
        .query_pairs()
        .find(|(key, _)| key == "redirectUrl")
        .unwrap();
    let mut back = Url::parse(&back).unwrap();
    back.query_pairs_mut()
        .append_pair("loginToken", "hand me over");
    back
}

#[tokio::test]
async fn one_browser_trip_signs_in_to_both_services_and_tells_who_it_is() {
    let stage = Stage::new().await;
    let (attempt, mut opened) = stage.begin(Some(leg()));
    let mut phase = attempt.phase();
    let url = opened.recv().await.unwrap();
    assert!(matches!(&*phase.borrow(), Phase::Browser { url: shown, .. } if *shown == url));
    let (status, onward, _) = browse(&stage.service.authorize(&url)).await;
    assert_eq!(status, 302);
    phase
        .wait_for(|phase| *phase == Phase::Completing)
        .await
        .unwrap();
    let (status, _, page) = browse(&return_of(&onward.unwrap())).await;
    assert_eq!(status, 200);
    assert!(page.contains("revenir à Cordée"));
    let signed_in = attempt.finish().await.unwrap();
    assert_eq!(signed_in.second["loginToken"], "hand me over");
    assert_eq!(signed_in.claims.name.as_deref(), Some("Nathalie Martin"));
    assert_eq!(signed_in.claims.function.as_deref(), Some("Secrétaire"));
    assert_eq!(signed_in.claims.department.as_deref(), Some("Cardiologie"));
    assert_eq!(
        signed_in.session.access_token().await,
        Ok(Secret::from("access-0"))
    );
    assert_eq!(*signed_in.session.state().borrow(), SessionState::Valid);
    assert!(stage.service.last("/userinfo").header("cookie").is_none());
    let remembered = Session::remembered(&stage.vault).await.unwrap().unwrap();
    assert_eq!(remembered.organisation(), "h.example");
    assert_eq!(remembered.claims(), &signed_in.claims);
}

#[tokio::test]
async fn when_all_ports_are_taken_the_private_scheme_brings_both_legs_back() {
    let stage = Stage::new().await;
    let _first = tokio::net::TcpListener::bind(("127.0.0.1", stage.ports[0]))
        .await
        .unwrap();
    let _second = tokio::net::TcpListener::bind(("127.0.0.1", stage.ports[1]))
        .await
        .unwrap();
    let (attempt, mut opened) = stage.begin(Some(leg()));
    let back = stage.service.authorize(&opened.recv().await.unwrap());
    assert!(back.as_str().starts_with("cordee:/callback?"));
    let control = attempt.control();
    assert!(!control.deliver_redirect(&Url::parse("cordee:/room/x").unwrap()));
    assert!(control.deliver_redirect(&back));
    let onward = opened.recv().await.unwrap();
    assert!(control.deliver_redirect(&return_of(&onward)));
    let signed_in = attempt.finish().await.unwrap();
    assert_eq!(signed_in.second["loginToken"], "hand me over");
    assert!(!control.deliver_redirect(&back), "nobody waits any more");
}

#[tokio::test]
async fn without_a_free_port_and_a_private_scheme_there_is_no_way_back() {
    let stage = Stage::new().await;
    let _first = tokio::net::TcpListener::bind(("127.0.0.1", stage.ports[0]))
        .await
        .unwrap();
    let _second = tokio::net::TcpListener::bind(("127.0.0.1", stage.ports[1]))
        .await
        .unwrap();
    let (mut sign_in, _opened) = stage.sign_in_with(None);
    sign_in.identity.private_scheme = None;
    assert_eq!(
        sign_in.begin().finish().await.unwrap_err(),
        SignInError::PortsBusy
    );
}

#[tokio::test]
async fn a_browser_that_does_not_open_is_said() {
    let stage = Stage::new().await;
    let (attempt, opened) = stage.begin(None);
    drop(opened);
    assert_eq!(attempt.finish().await.unwrap_err(), SignInError::Browser);
}

#[tokio::test]
async fn an_answer_to_another_attempt_ends_this_one() {
    let stage = Stage::new().await;
    let (attempt, mut opened) = stage.begin(None);
    let mut back = stage.service.authorize(&opened.recv().await.unwrap());
    back.set_query(Some("code=the-code&state=forged"));
    let (_, _, page) = browse(&back).await;
    assert!(page.contains("pas été acceptée"));
    assert_eq!(
        attempt.finish().await.unwrap_err(),
        SignInError::StateMismatch
    );
    assert_eq!(
        stage.service.asked("/token"),
        0,
        "the code of a stranger is never used"
    );
}

#[tokio::test]
async fn a_refusal_in_the_browser_is_said_there_and_here() {
    let stage = Stage::new().await;
    for (error, expected) in [
        ("access_denied", SignInError::Refused),
        ("account_locked", SignInError::Blocked),
    ] {
        let (attempt, mut opened) = stage.begin(Some(leg()));
        let mut back = stage.service.authorize(&opened.recv().await.unwrap());
        let query = back
            .query()
            .unwrap()
            .replace("code=the-code", &format!("error={error}"));
        back.set_query(Some(&query));
        let (status, onward, page) = browse(&back).await;
        assert_eq!((status, onward), (200, None));
        assert!(page.contains("pas été acceptée"));
        assert_eq!(attempt.finish().await.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn cancelling_frees_the_port_and_nothing_is_kept() {
    let stage = Stage::new().await;
    let (attempt, mut opened) = stage.begin(None);
    opened.recv().await.unwrap();
    attempt.control().cancel();
    assert_eq!(attempt.finish().await.unwrap_err(), SignInError::Cancelled);
    assert_eq!(stage.vault.get(KEY).await, Ok(None));
    // The next attempt takes the same port.
    let (again, mut opened) = stage.begin(None);
    let url = opened.recv().await.unwrap();
    assert!(
        url.as_str()
            .contains(&format!("%3A{}%2Fcallback", stage.ports[0]))
    );
    drop(again);
}

#[tokio::test]
async fn a_token_with_a_wrong_nonce_audience_issuer_or_party_is_refused() {
    let invalid = |part| SignInError::TokenInvalid(part);
    let set = |name: &'static str, value: serde_json::Value| {
        Stage::refused_with(move |claims| claims[name] = value.clone())
    };
    assert_eq!(
        set("nonce", json!("another attempt's")).await,
        invalid("nonce")
    );
    assert_eq!(
        set("aud", json!(["another program"])).await,
        invalid("audience")
    );
    assert_eq!(
        set("iss", json!("https://evil.example")).await,
        invalid("issuer")
    );
    assert_eq!(
        set("azp", json!("another program")).await,
        invalid("authorized party")
    );
    assert_eq!(
        set("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA")).await,
        invalid("hash of the access token")
    );
    let unbound = Stage::refused_with(|claims| {
        claims.as_object_mut().unwrap().remove("nonce");
    });
    assert_eq!(unbound.await, invalid("nonce"));
}

#[tokio::test]
async fn a_token_whose_signature_does_not_hold_is_refused() {
    let stage = Stage::new().await;
    stage.service.with(|habits| habits.forge_signature = true);
    assert_eq!(
        stage.sign_in().await.unwrap_err(),
        SignInError::TokenInvalid("signature")
    );
}

#[tokio::test]
async fn an_expired_token_is_refused_and_the_clock_is_not_blamed_when_it_is_right() {
    let expired = Stage::refused_with(|claims| claims["exp"] = json!(1_000_000));
    assert_eq!(expired.await, SignInError::TokenInvalid("time"));
}

#[tokio::test]
async fn a_clock_that_is_off_is_named_with_its_minutes() {
    for (offset, minutes_off, direction) in [(-7200, 120, true), (1200, 20, false)] {
        let stage = Stage::new().await;
        stage.service.with(|habits| habits.ahead = offset);
        let SignInError::ClockOff { minutes, ahead } = stage.sign_in().await.unwrap_err() else {
            panic!("the clock was not named")
        };
        assert_eq!((minutes, ahead), (minutes_off, direction));
    }
}

#[tokio::test]
async fn a_clock_a_minute_off_is_nobodys_problem() {
    let stage = Stage::new().await;
    stage.service.with(|habits| habits.ahead = 90);
    stage.sign_in().await.unwrap();
}

#[tokio::test]
async fn userinfo_of_somebody_else_is_refused_and_a_silent_one_is_not() {
    let stage = Stage::new().await;
    stage
        .service
        .with(|habits| habits.userinfo = Some(json!({"sub": "paul", "name": "Paul"})));
    let refused = stage.sign_in().await.unwrap_err();
    assert_eq!(refused, SignInError::TokenInvalid("subject of userinfo"));
    stage.service.with(|habits| {
        habits.userinfo = None;
        habits.claims = Box::new(|claims| claims["name"] = json!("Nathalie"));
    });
    let signed_in = stage.sign_in().await.unwrap();
    assert_eq!(signed_in.claims.name.as_deref(), Some("Nathalie"));
    assert_eq!(signed_in.claims.subject, "nathalie");
}

#[tokio::test]
async fn the_token_endpoints_redirects_are_never_followed() {
    let stage = Stage::new().await;
    let other = Service::start().await;
    let elsewhere = other.identity(&[]).issuer + "token";
    stage
        .service
        .with(|habits| habits.redirect_token = Some(elsewhere));
    assert_eq!(
        stage.sign_in().await.unwrap_err(),
        SignInError::Network(Failure::Protocol)
    );
    assert_eq!(other.asked("/token"), 0);
}

#[tokio::test]
async fn a_locked_keyring_is_told_before_the_browser_opens() {
    let (vault, hands) = crate::vault::double(usize::MAX);
    let stage = Stage {
        vault,
        ..Stage::new().await
    };
    hands
        .locked
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let (attempt, mut opened) = stage.begin(None);
    assert_eq!(
        attempt.finish().await.unwrap_err(),
        SignInError::Vault(VaultError::Locked)
    );
    assert!(opened.recv().await.is_none());
}

#[tokio::test]
async fn a_second_leg_that_never_returns_ends_the_attempt_when_the_person_cancels() {
    let stage = Stage::new().await;
    let (attempt, mut opened) = stage.begin(Some(leg()));
    browse(&stage.service.authorize(&opened.recv().await.unwrap())).await;
    attempt
        .phase()
        .wait_for(|phase| *phase == Phase::Completing)
        .await
        .unwrap();
    attempt.control().cancel();
    assert_eq!(attempt.finish().await.unwrap_err(), SignInError::Cancelled);
    assert_eq!(stage.vault.get(KEY).await, Ok(None));
}

#[tokio::test]
async fn a_person_who_never_comes_back_is_told_when_the_time_is_over() {
    let stage = Stage::new().await;
    let (sign_in, mut opened) = stage.sign_in_with(None);
    let attempt = sign_in.begin_within(Duration::from_secs(1));
    opened.recv().await.unwrap();
    assert_eq!(attempt.finish().await.unwrap_err(), SignInError::TimedOut);
}

#[test]
fn every_failure_has_its_code() {
    let codes = [
        (SignInError::Cancelled, "signIn.cancelled"),
        (SignInError::TimedOut, "signIn.timedOut"),
        (SignInError::Refused, "signIn.refused"),
        (SignInError::Blocked, "signIn.blocked"),
        (
            SignInError::ClockOff {
                minutes: 7,
                ahead: true,
            },
            "signIn.clockOff",
        ),
        (SignInError::PortsBusy, "signIn.portsBusy"),
        (SignInError::StateMismatch, "signIn.stateMismatch"),
        (SignInError::TokenInvalid("nonce"), "signIn.tokenInvalid"),
        (SignInError::Browser, "signIn.browser"),
        (SignInError::Network(Failure::Timeout), "network.timeout"),
        (SignInError::Vault(VaultError::Locked), "keyring.locked"),
        (SignInError::Vault(VaultError::Missing), "keyring.missing"),
        (
            SignInError::Vault(VaultError::Failed("x")),
            "keyring.failed",
        ),
    ];
    for (error, code) in codes {
        assert_eq!(error.problem().code, code);
    }
    let off = SignInError::ClockOff {
        minutes: 7,
        ahead: true,
    }
    .problem();
    assert_eq!(off.data["minutes"], "7");
}
