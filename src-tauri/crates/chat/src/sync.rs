//! The exchange with the server: running, stopped by the network, tried again.
//!
//! ```text
//! Starting ──first answer──▶ Live ──failure──▶ Offline / Error ──pause or nudge──▶ (asks) ──answer──▶ Live
//!                             ▲                                                            │
//!                             └────────────────────────────────────────────────────────────┘
//!                                          401: session revoked, ends
//! ```
//!
//! "Live" is said after an answer, never after an attempt. Each time it becomes true the queues of messages
//! that stopped themselves are woken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use matrix_sdk::SessionChange;
use matrix_sdk::send_queue::LocalEchoContent;
use matrix_sdk_base::task_monitor::BackgroundTaskFailureReason as Reason;
use matrix_sdk_ui::room_list_service::State as ListState;
use matrix_sdk_ui::sync_service::State as SyncState;
use network::Failure;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use crate::chat::Shared;
use crate::error::ChatError;
use crate::session;
use crate::view::{Sync, now};

/// Pauses between attempts; the last one repeats.
const PAUSES: [u64; 6] = [1, 2, 4, 8, 15, 30];
/// A server that forgets where we were again and again is not asked in a tight loop.
const EXPIRED: Duration = Duration::from_millis(250);
/// Changes of the queue are counted together.
const QUEUE_SETTLES: Duration = Duration::from_millis(50);

/// Keeps the sync running until chat ends or the server no longer knows this device.
pub(crate) async fn keep(shared: Arc<Shared>, mut begin: watch::Receiver<bool>) {
    // Nobody who could still say so means now.
    let _ = begin.wait_for(|begin| *begin).await;
    let mut failures = 0;
    loop {
        let failure = run(&shared, &mut failures).await;
        let error = match failure {
            Outcome::Again => continue,
            Outcome::Failed(error) => error,
            Outcome::Broken => {
                failed(&shared, Sync::Error, &BROKEN, None);
                return;
            }
        };
        if matches!(error, ChatError::Revoked) {
            revoked(&shared);
            return;
        }
        let full = matches!(error, ChatError::DiskFull);
        let pause = Duration::from_secs(PAUSES[failures.min(PAUSES.len() - 1)]);
        failures += 1;
        let state = match error {
            ChatError::Network(
                Failure::Offline
                | Failure::Timeout
                | Failure::Refused
                | Failure::Dns
                | Failure::CaptivePortal,
            ) => Sync::Offline,
            _ => Sync::Error,
        };
        failed(&shared, state, &error, (!full).then_some(pause));
        tokio::select! {
            () = tokio::time::sleep(pause), if !full => {}
            () = shared.space.becomes(false), if full => failures = 0,
            () = shared.nudge.notified() => failures = 0,
        }
    }
}

enum Outcome {
    Again,
    Failed(ChatError),
    /// Chat has to be closed and restored.
    Broken,
}

const BROKEN: ChatError = ChatError::Other("a task of the chat library died");

/// One run of the two exchanges, until one of them ends.
async fn run(shared: &Arc<Shared>, failures: &mut usize) -> Outcome {
    if *shared.broken.borrow() {
        return Outcome::Broken;
    }
    if let Err(error) = shared.space.enough() {
        return Outcome::Failed(error);
    }
    let mut list = shared.sync.room_list_service().state();
    let mut state = shared.sync.state();
    shared.sync.start().await;
    let _ = state.next_now();
    let mut answered = false;
    loop {
        tokio::select! {
            next = list.next() => match next {
                Some(ListState::SettingUp | ListState::Recovering | ListState::Running) => {
                    answered = true;
                    *failures = 0;
                    live(shared).await;
                }
                Some(_) => {}
                None => return Outcome::Failed(ChatError::Closed),
            },
            next = state.next() => match next {
                Some(SyncState::Error(error)) => {
                    if expired(&error) {
                        tokio::time::sleep(EXPIRED).await;
                        return Outcome::Again;
                    }
                    return Outcome::Failed(ChatError::of(error.as_ref(), ChatError::Network(Failure::Protocol)));
                }
                Some(SyncState::Terminated) => return Outcome::Failed(ChatError::Network(Failure::Protocol)),
                Some(SyncState::Idle | SyncState::Running | SyncState::Offline) => {}
                None => return Outcome::Failed(ChatError::Closed),
            },
            () = shared.space.becomes(true) => {
                shared.sync.stop().await;
                return Outcome::Failed(ChatError::DiskFull);
            }
            () = died(shared) => {
                // It is restored as a whole, which also ends the exchange.
                return Outcome::Broken;
            }
            () = shared.nudge.notified() => {
                // A connection from before the change may be dead without saying so.
                if answered {
                    unverified(shared);
                    shared.sync.stop().await;
                    return Outcome::Again;
                }
            }
        }
    }
}

async fn died(shared: &Shared) {
    // The sender lives as long as `shared`.
    let _ = shared.broken.subscribe().wait_for(|broken| *broken).await;
}

/// The server forgot where we were: not a failure, the next request starts over.
fn expired(error: &matrix_sdk_ui::sync_service::Error) -> bool {
    use matrix_sdk_ui::{encryption_sync_service, room_list_service, sync_service};
    let (sync_service::Error::RoomList(room_list_service::Error::SlidingSync(cause))
    | sync_service::Error::EncryptionSync(encryption_sync_service::Error::SlidingSync(cause))) =
        error
    else {
        return false;
    };
    matches!(
        cause.client_api_error_kind(),
        Some(matrix_sdk::ruma::api::error::ErrorKind::UnknownPos)
    )
}

/// What was known of the server was known over another network.
fn unverified(shared: &Shared) {
    shared.status.send_if_modified(|status| {
        let was_live = status.sync == Sync::Live;
        if was_live {
            status.sync = Sync::Starting;
            status.since = now();
        }
        was_live
    });
}

async fn live(shared: &Shared) {
    let became = shared.status.send_if_modified(|status| {
        let changed = status.sync != Sync::Live;
        if changed {
            status.sync = Sync::Live;
            status.since = now();
            status.retry_at = None;
            status.problem = None;
        }
        changed
    });
    if became {
        shared.client.send_queue().set_enabled(true).await;
        shared.timelines.refresh_local();
    }
}

fn failed(shared: &Shared, state: Sync, error: &ChatError, pause: Option<Duration>) {
    let retry_at = pause.map(|pause| now() + pause.as_secs_f64() * 1000.0);
    let problem = error.problem();
    shared.status.send_modify(|status| {
        if status.sync != state {
            status.sync = state;
            status.since = now();
        }
        status.retry_at = retry_at;
        // The same failure again keeps its log id: the person may be reading it out.
        if status
            .problem
            .as_ref()
            .is_none_or(|before| before.code != problem.code)
        {
            status.problem = Some(problem);
        }
    });
    shared.timelines.refresh_local();
}

fn revoked(shared: &Shared) {
    shared
        .session
        .send_if_modified(|session| !std::mem::replace(&mut session.revoked, true));
    shared.status.send_modify(|status| {
        status.sync = Sync::Error;
        status.since = now();
        status.retry_at = None;
        status.problem = Some(ChatError::Revoked.problem());
    });
}

/// The SDK's tasks follow the server's changes; one that dies is not started again, and nothing else tells of it.
pub(crate) async fn watch_sdk(shared: Arc<Shared>) {
    let mut failures = shared.client.task_monitor().subscribe();
    loop {
        match failures.recv().await {
            // Tasks that have nothing to do end early, and say so too.
            Ok(failure) if !matches!(failure.reason, Reason::Panic { .. }) => continue,
            Ok(failure) => {
                // The name is the SDK's own; the reason may hold what somebody wrote.
                tracing::error!(task = failure.task.name, "A task of the SDK died");
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
        // On a full disk it could not be restored either.
        let _ = shared.space.enough();
        shared.space.becomes(false).await;
        // What the dead task did not write down is missing in the copy.
        shared.space.suspect();
        shared.broken.send_replace(true);
    }
}

/// Counts the messages that wait, and wakes queues that stopped although the sync goes on.
pub(crate) async fn watch_queue(shared: Arc<Shared>) {
    let mut updates = shared.client.send_queue().subscribe();
    let mut errors = shared.client.send_queue().subscribe_errors();
    let mut failures = 0;
    let mut wake_at: Option<tokio::time::Instant> = None;
    count_queue(&shared).await;
    loop {
        let wake = async {
            match wake_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            update = updates.recv() => match update {
                Ok(update) => {
                    if matches!(update.update, matrix_sdk::send_queue::RoomSendQueueUpdate::SentEvent { .. }) {
                        failures = 0;
                    }
                    tokio::time::sleep(QUEUE_SETTLES).await;
                    while updates.try_recv().is_ok() {}
                    count_queue(&shared).await;
                }
                Err(RecvError::Lagged(_)) => count_queue(&shared).await,
                Err(RecvError::Closed) => return,
            },
            error = errors.recv() => match error {
                Ok(error) if error.is_recoverable => {
                    let pause = PAUSES[failures.min(PAUSES.len() - 1)];
                    failures += 1;
                    wake_at = Some(tokio::time::Instant::now() + Duration::from_secs(pause));
                    shared.timelines.refresh_local();
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            () = wake => {
                wake_at = None;
                // Offline, the return of the sync wakes them.
                if shared.is_live() {
                    shared.client.send_queue().set_enabled(true).await;
                }
            }
        }
    }
}

async fn count_queue(shared: &Shared) {
    let waiting: BTreeMap<_, _> = shared
        .client
        .send_queue()
        .local_echoes()
        .await
        .unwrap_or_default();
    let count = waiting
        .values()
        .flatten()
        .filter(|echo| {
            matches!(
                &echo.content,
                LocalEchoContent::Event {
                    send_error: None,
                    ..
                }
            )
        })
        .count();
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    shared
        .status
        .send_if_modified(|status| std::mem::replace(&mut status.queued, count) != count);
}

/// Keeps what belongs into the keyring current.
pub(crate) async fn watch_session(shared: Arc<Shared>) {
    let mut events = shared.client.subscribe_to_session_changes();
    loop {
        match events.recv().await {
            Ok(SessionChange::TokensRefreshed) | Err(RecvError::Lagged(_)) => {
                if let Some(json) = session::saved(&shared.client) {
                    shared.session.send_if_modified(|session| {
                        let changed = session.json != json;
                        session.json = json;
                        changed
                    });
                }
            }
            Ok(SessionChange::UnknownToken(_)) => revoked(&shared),
            Err(RecvError::Closed) => return,
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::time::Duration;

    use network::{Clients, Trust};
    use tokio::sync::watch;
    use workplace::{Options, Workplace};

    use crate::{Chat, Setup, Store, Sync};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_task_of_the_library_that_dies_is_said_and_chat_can_be_restored() {
        network::install_crypto_provider();
        let options = Options {
            identity: false,
            ..Options::default()
        };
        let workplace = Workplace::up(options).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let trust = Trust::from_pem(workplace.authority().as_bytes()).unwrap();
        let setup = Setup {
            store: Store {
                folder: folder.path().join("chat"),
                key: [7; 32],
            },
            http: Clients::new(&trust).unwrap().matrix(),
            media_base: "media://localhost".to_owned(),
            device_name: "Test".to_owned(),
            begin: watch::Sender::new(true).subscribe(),
        };
        let person = &workplace.people()[0];
        let homeserver = workplace.homeserver().parse().unwrap();
        let chat =
            Chat::sign_in_password(&homeserver, &person.uid, &person.password, setup.clone());
        let chat = chat.await.unwrap();
        until(chat.status(), |status| status.sync == Sync::Live).await;

        chat.shared
            .client
            .task_monitor()
            .spawn_finite_task("dies", async { panic!("on purpose") });
        until(chat.broken(), |broken| *broken).await;
        until(chat.status(), |status| status.sync == Sync::Error).await;

        let session = chat.session().borrow().json.clone();
        chat.close().await;
        assert!(folder.path().join("chat/incomplete").exists());
        let chat = Chat::restore(&session, setup).await.unwrap();
        until(chat.status(), |status| status.sync == Sync::Live).await;
        chat.close().await;
    }

    async fn until<T>(mut watched: tokio::sync::watch::Receiver<T>, wanted: impl Fn(&T) -> bool) {
        let patience = Duration::from_mins(1);
        let found = tokio::time::timeout(patience, watched.wait_for(wanted)).await;
        found.expect("in time").expect("chat goes on");
    }
}
