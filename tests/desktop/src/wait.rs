//! Waiting for something to become true, with a deadline and a sentence for when it does not.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// What a window needs on a busy machine with two cores; an idle one is done long before.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How often we look.
const PERIOD: Duration = Duration::from_millis(40);

/// Looks until `look` finds something. An error of a look counts as "not yet"; the last one is told at the end.
pub async fn until<T, F>(what: &str, patience: Duration, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let began = Instant::now();
    let mut last;
    loop {
        // A driver whose window hangs never answers: the deadline holds for each look as well.
        let left = patience
            .saturating_sub(began.elapsed())
            .max(Duration::from_secs(1));
        match tokio::time::timeout(left, look()).await {
            Ok(Ok(Some(found))) => return Ok(found),
            Ok(Ok(None)) => last = None,
            Ok(Err(why)) => last = Some(why),
            Err(_) => last = Some(anyhow::anyhow!("no answer to the last look")),
        }
        if began.elapsed() > patience {
            match last {
                Some(why) => bail!("{what}: not within {} s ({why:#})", patience.as_secs()),
                None => bail!("{what}: not within {} s", patience.as_secs()),
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}
