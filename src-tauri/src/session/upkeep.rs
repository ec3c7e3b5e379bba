//! Chat that died is opened again without anybody's doing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Office;

/// The first pause before chat is opened again; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
/// What kills it every time must not keep the machine busy.
const LONGEST: Duration = Duration::from_mins(5);

impl Office {
    /// Opens chat again whenever a part of it died, for as long as the program runs.
    pub async fn keep_chat_alive(office: Arc<Self>) {
        let mut desks = office.desks();
        let mut pause = PAUSE;
        let mut since = Instant::now();
        loop {
            let desk = desks.borrow_and_update().clone();
            let died = async {
                let Some(desk) = desk else {
                    return std::future::pending().await;
                };
                let mut broken = desk.chat().broken();
                drop(desk);
                // Chat that was closed does not break any more.
                if broken.wait_for(|broken| *broken).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                changed = desks.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                () = died => {}
            }
            if since.elapsed() > LONGEST {
                pause = PAUSE;
            }
            tracing::warn!(?pause, "chat died and is opened again");
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
            since = Instant::now();
            office.leave_desk().await;
            Self::restore(&office).await;
        }
    }
}
