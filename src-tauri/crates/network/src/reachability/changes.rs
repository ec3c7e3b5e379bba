//! The system's own news about interfaces and routes.

use n0_watcher::Watcher;
use netwatch::netmon::{Monitor, State};
use tokio::sync::watch;

/// Keeps `link` at "some interface leads out" and marks it changed with every change that
/// matters. Ends with the receiver; without news from the system probes alone have to do.
pub(super) async fn watch(link: watch::Sender<bool>) {
    let monitor = match Monitor::new().await {
        Ok(monitor) => monitor,
        Err(error) => {
            tracing::warn!(%error, "No news about interfaces from this system");
            return;
        }
    };
    let mut states = monitor.interface_state();
    let mut known = states.get();
    link.send_if_modified(|link| std::mem::replace(link, leads_out(&known)) != leads_out(&known));
    loop {
        tokio::select! {
            () = link.closed() => return,
            next = states.updated() => {
                let Ok(next) = next else { return };
                if next.is_major_change(&known) {
                    tracing::info!(link = leads_out(&next), "Interfaces changed");
                    link.send_replace(leads_out(&next));
                }
                known = next;
            }
        }
    }
}

/// An address others can answer to. It proves nothing about what lies behind.
fn leads_out(state: &State) -> bool {
    state.have_v4 || state.have_v6
}
