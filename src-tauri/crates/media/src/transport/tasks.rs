//! The tasks of one transport: they end with it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[derive(Clone, Default)]
pub(super) struct Tasks {
    tracker: TaskTracker,
    end: CancellationToken,
}

impl Tasks {
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let end = self.end.clone();
        self.tracker.spawn(async move {
            end.run_until_cancelled(task).await;
        });
    }

    /// Asks all of them to end.
    pub fn cancel(&self) {
        self.end.cancel();
    }

    /// Ends all of them, and waits for it no longer than this.
    pub async fn finish(&self, longest: Duration) {
        self.cancel();
        self.tracker.close();
        let _ = tokio::time::timeout(longest, self.tracker.wait()).await;
    }
}
