//! How the webview paints on a Linux computer without a graphics processor.
//!
//! `WebKitGTK` hands every frame over as a buffer of the GPU (DMA-BUF). Where there is none, Mesa makes
//! those buffers with the processor: the window repaints about ten times a second, and a message is seen
//! a quarter of a second later. The older way through shared memory is three times as fast there, and
//! takes less memory (measured with `./x bench chat`).

use std::ffi::OsStr;

/// `WebKit` reads it once, when the first webview is made.
const SHARED_MEMORY: &str = "WEBKIT_DISABLE_DMABUF_RENDERER";

/// Chooses shared memory where there is no GPU, unless whoever starts the program has chosen already.
///
/// Call it first in `main`: the environment must not change once a second thread may read it.
#[allow(
    unsafe_code,
    clippy::disallowed_methods,
    reason = "the webview takes this from the environment only, and there is one thread yet"
)]
pub fn choose() {
    if std::env::var_os(SHARED_MEMORY).is_some() || has_gpu() {
        return;
    }
    // SAFETY: `main` calls this before anything that starts a thread.
    unsafe { std::env::set_var(SHARED_MEMORY, "1") }
}

/// Each GPU that programs may draw with has a render node (Documentation/gpu/drm-uapi.rst).
fn has_gpu() -> bool {
    let Ok(nodes) = std::fs::read_dir("/dev/dri") else {
        return false;
    };
    nodes
        .filter_map(Result::ok)
        .any(|node| is_render_node(&node.file_name()))
}

fn is_render_node(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.starts_with("renderD"))
}

#[cfg(test)]
mod tests {
    use super::is_render_node;

    #[test]
    fn a_display_without_a_render_node_is_no_gpu() {
        assert!(is_render_node("renderD128".as_ref()));
        assert!(!is_render_node("card0".as_ref()));
    }
}
