#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::Ordering;
use std::time::Duration;

use network::Failure;

use super::*;
use crate::double::{CLIENT, Refresh, Service, SetClock, access_token};
use crate::vault::double;

const LIFETIME: Duration = Duration::from_mins(5);

struct Stage {
    service: Service,
    vault: Vault,
    clock: SetClock,
}

impl Stage {
    async fn new() -> Self {
        Self::with(Vault::in_memory()).await
    }

    async fn with(vault: Vault) -> Self {
        let clock = SetClock::now_is(SystemTime::now());
        Self {
            service: Service::start().await,
            vault,
            clock,
        }
    }

    fn record(&self) -> Record {
        let at = |path: &str| Url::parse(&(self.service.identity(&[]).issuer + path)).unwrap();
        let kept = serde_json::json!({
            "version": 1, "organisation": "h.example", "client_id": CLIENT,
            "token_endpoint": at("token"), "revocation_endpoint": at("revoke"),
            "end_session_endpoint": at("logout"),
            "claims": { "subject": "nathalie" },
            "access_token": access_token(0), "refresh_token": "refresh-0", "id_token": "an.id.token",
            "issued_at": self.clock.now(), "lifetime": LIFETIME,
        });
        serde_json::from_value(kept).unwrap()
    }

    async fn session(&self) -> Session {
        let record = self.record();
        record.save(&self.vault).await.unwrap();
        self.resume(record)
    }

    fn resume(&self, record: Record) -> Session {
        let clock = Arc::new(self.clock.clone());
        Session::start(record, self.service.clients(), self.vault.clone(), clock)
    }

    async fn kept_refresh_token(&self) -> Option<Secret> {
        Record::load(&self.vault)
            .await
            .unwrap()
            .unwrap()
            .refresh_token
    }
}

#[allow(clippy::unnecessary_wraps)]
fn token(number: u32) -> Result<Secret, TokenError> {
    Ok(Secret::from(access_token(number)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_callers_with_an_expired_token_cause_exactly_one_refresh() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    stage.clock.advance(LIFETIME);
    let open = stage.service.close_gate();
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let session = session.clone();
            tokio::spawn(async move { session.access_token().await })
        })
        .collect();
    while stage.service.asked("/token") == 0 {
        tokio::task::yield_now().await;
    }
    open.send(()).unwrap();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), token(1));
    }
    assert_eq!(stage.service.asked("/token"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn near_the_end_of_a_token_nobody_waits_for_a_slow_token_endpoint() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    let open = stage.service.close_gate();
    stage.clock.advance(Duration::from_secs(290));
    // Both come back although the token endpoint says nothing yet.
    assert_eq!(session.access_token().await, token(0));
    assert_eq!(session.access_token().await, token(0));
    open.send(()).unwrap();
    while session.access_token().await != token(1) {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        stage.kept_refresh_token().await,
        Some(Secret::from("refresh-1"))
    );
    assert_eq!(stage.service.asked("/token"), 1);
}

#[tokio::test]
async fn a_rotated_refresh_token_is_in_the_keyring_before_anybody_gets_the_access_token() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    for round in 1..=3 {
        stage.clock.advance(LIFETIME);
        assert_eq!(session.access_token().await, token(round));
        let kept = stage.kept_refresh_token().await;
        assert_eq!(kept, Some(Secret::from(format!("refresh-{round}"))));
    }
}

#[tokio::test]
async fn a_service_that_does_not_rotate_keeps_its_refresh_token() {
    let stage = Stage::new().await;
    stage.service.with(|habits| habits.refresh = Refresh::Keep);
    let session = stage.session().await;
    for round in 1..=2 {
        stage.clock.advance(LIFETIME);
        assert_eq!(session.access_token().await, token(round));
    }
    assert_eq!(
        stage.kept_refresh_token().await,
        Some(Secret::from("refresh-0"))
    );
}

#[tokio::test]
async fn a_revoked_session_is_said_and_everything_is_kept() {
    for error in ["invalid_grant", "invalid_request"] {
        let stage = Stage::new().await;
        stage
            .service
            .with(|habits| habits.refresh = Refresh::Refuse(error));
        let session = stage.session().await;
        stage.clock.advance(LIFETIME);
        assert_eq!(session.access_token().await, Err(TokenError::Revoked));
        assert_eq!(session.access_token().await, Err(TokenError::Revoked));
        let watched = session.state();
        let SessionState::Revoked { problem } = &*watched.borrow() else {
            panic!()
        };
        assert_eq!(problem.code, "signIn.revoked");
        assert_eq!(
            stage.service.asked("/token"),
            1,
            "it is not asked again and again"
        );
        assert!(stage.kept_refresh_token().await.is_some());
    }
}

#[tokio::test]
async fn a_service_in_trouble_is_asked_again_after_a_pause_and_callers_learn_when() {
    for (habit, failure) in [
        (Refresh::Busy, Failure::Server { status: 503 }),
        (Refresh::HangUp, Failure::Protocol),
    ] {
        let stage = Stage::new().await;
        stage.service.with(|habits| habits.refresh = habit);
        let session = stage.session().await;
        stage.clock.advance(LIFETIME);
        let Err(TokenError::Offline {
            retry_at,
            failure: said,
        }) = session.access_token().await
        else {
            panic!()
        };
        assert!(retry_at > stage.clock.now());
        if habit == Refresh::Busy {
            assert_eq!(said, failure);
        }
        assert!(matches!(
            &*session.state().borrow(),
            SessionState::Offline { .. }
        ));
        let asked = stage.service.asked("/token");
        // During the pause callers hear at once that there is none.
        assert!(matches!(
            session.access_token().await,
            Err(TokenError::Offline { .. })
        ));
        assert_eq!(stage.service.asked("/token"), asked);
        // The network is back: no pause counts.
        stage
            .service
            .with(|habits| habits.refresh = Refresh::Rotate);
        session.retry_now();
        assert_eq!(session.access_token().await, token(1));
        assert_eq!(*session.state().borrow(), SessionState::Valid);
    }
}

#[tokio::test]
async fn a_session_is_restored_without_the_network() {
    let stage = Stage::new().await;
    stage.session().await.close().await;
    let remembered = Session::remembered(&stage.vault).await.unwrap().unwrap();
    assert_eq!(remembered.organisation(), "h.example");
    let clock = Arc::new(stage.clock.clone());
    let session = remembered.resume(stage.service.clients(), stage.vault.clone(), clock);
    assert_eq!(*session.state().borrow(), SessionState::Valid);
    assert_eq!(session.access_token().await, token(0));
    assert_eq!(stage.service.asked("/token"), 0);
}

#[tokio::test]
async fn a_locked_keyring_at_the_start_is_not_nobody() {
    let (vault, hands) = double(usize::MAX);
    let stage = Stage::with(vault).await;
    stage.session().await.close().await;
    hands.locked.store(true, Ordering::SeqCst);
    let locked = Session::remembered(&stage.vault).await;
    assert!(matches!(locked, Err(VaultError::Locked)));
    hands.locked.store(false, Ordering::SeqCst);
    assert!(Session::remembered(&stage.vault).await.unwrap().is_some());
}

#[tokio::test]
async fn a_keyring_locked_in_the_middle_does_not_end_the_session_and_is_written_later() {
    let (vault, hands) = double(usize::MAX);
    let stage = Stage::with(vault).await;
    let session = stage.session().await;
    hands.locked.store(true, Ordering::SeqCst);
    stage.clock.advance(LIFETIME);
    assert_eq!(session.access_token().await, token(1));
    hands.locked.store(false, Ordering::SeqCst);
    assert_eq!(
        stage.kept_refresh_token().await,
        Some(Secret::from("refresh-0"))
    );
    session.close().await;
    assert_eq!(
        stage.kept_refresh_token().await,
        Some(Secret::from("refresh-1"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_refresh_under_way_is_finished_when_its_caller_and_the_session_are_dropped() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    stage.clock.advance(LIFETIME);
    let open = stage.service.close_gate();
    let caller = {
        let session = session.clone();
        tokio::spawn(async move { session.access_token().await })
    };
    while stage.service.asked("/token") == 0 {
        tokio::task::yield_now().await;
    }
    caller.abort();
    drop(session);
    open.send(()).unwrap();
    while stage.kept_refresh_token().await != Some(Secret::from("refresh-1")) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn without_a_refresh_token_the_session_ends_with_its_access_token() {
    let stage = Stage::new().await;
    let mut record = stage.record();
    record.refresh_token = None;
    let session = stage.resume(record);
    stage.clock.advance(Duration::from_secs(299));
    assert_eq!(session.access_token().await, token(0));
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!(session.access_token().await, Err(TokenError::Revoked));
}

#[tokio::test]
async fn signing_out_revokes_the_tokens_and_forgets_them() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    let done = session.sign_out().await;
    assert!(done.revoked && done.forgotten);
    let sent = String::from_utf8(stage.service.last("/revoke").body).unwrap();
    assert!(sent.contains("token=refresh-0") && sent.contains("token_type_hint=refresh_token"));
    assert_eq!(stage.vault.get(KEY).await, Ok(None));
    assert_eq!(session.access_token().await, Err(TokenError::Ended));
}

#[tokio::test]
async fn signing_out_says_what_it_could_not_revoke_and_where_the_browsers_session_ends() {
    let stage = Stage::new().await;
    let mut record = stage.record();
    record.revocation_endpoint = None;
    record.save(&stage.vault).await.unwrap();
    let done = stage.resume(record).sign_out().await;
    assert!(!done.revoked && done.forgotten);
    let end = done.end_session.unwrap();
    assert_eq!(end.path(), "/logout");
    assert!(end.query().unwrap().contains("id_token_hint=an.id.token"));
}

#[tokio::test]
async fn a_record_of_an_unknown_shape_stays_until_the_next_sign_in() {
    let vault = Vault::in_memory();
    for strange in ["{}", "not json", r#"{"version":99}"#] {
        vault.set(KEY, Secret::from(strange)).await.unwrap();
        assert!(Session::remembered(&vault).await.unwrap().is_none());
        assert_eq!(vault.get(KEY).await, Ok(Some(Secret::from(strange))));
    }
}

#[tokio::test]
async fn a_record_shows_no_token() {
    let shown = format!("{:?}", Stage::new().await.record());
    for hidden in ["access-0", "refresh-0", "an.id.token", "nathalie"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}
