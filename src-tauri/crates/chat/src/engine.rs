//! The threads chat runs on.
//!
//! The SDK reads and drops the HTML of a message by recursion, one step for each nested element, before we get
//! to see it. A message of 64 kB can nest twenty thousand of them, and an overflowing stack ends the whole
//! program. Threads of our own with a large stack make such a message a message like any other. The size is
//! address space: only the pages that are touched become memory.

use std::sync::OnceLock;

use futures_util::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};

use crate::error::ChatError;

/// Deepest nesting that fits into one event, 65,536 bytes of `<b>`, times what one step takes in a build
/// without optimisation, with as much again to spare.
const STACK: usize = 64 * 1024 * 1024;
const THREADS: usize = 2;
/// Databases and pictures work beside them; idle ones end.
const BLOCKING: usize = 16;

/// Runs work of chat on its own threads. What was begun is finished even when nobody waits for it any more.
/// It is boxed so that the futures of callers stay small, in memory and for the compiler.
/// Like an `async fn`, it begins when it is first polled.
pub(crate) fn run<T: Send + 'static>(
    work: BoxFuture<'static, Result<T, ChatError>>,
) -> BoxFuture<'static, Result<T, ChatError>> {
    Box::pin(async move {
        let Some(engine) = engine() else {
            return Err(ChatError::Other("the threads of chat cannot be started"));
        };
        engine
            .spawn(work)
            .await
            .unwrap_or(Err(ChatError::Other("a task of chat ended early")))
    })
}

fn engine() -> Option<&'static Runtime> {
    static ENGINE: OnceLock<Option<Runtime>> = OnceLock::new();
    ENGINE
        .get_or_init(|| {
            Builder::new_multi_thread()
                .worker_threads(THREADS)
                .max_blocking_threads(BLOCKING)
                .thread_stack_size(STACK)
                .thread_name("chat")
                .enable_all()
                .build()
                .inspect_err(|error| tracing::error!(kind = ?error.kind(), "No threads for chat"))
                .ok()
        })
        .as_ref()
}
