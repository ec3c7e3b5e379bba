//! The `media:` scheme: pictures of messages and people, decrypted by the chat crate, for `<img>` only.

use std::sync::Arc;

use http::{Request, Response, StatusCode, header};
use tauri::{Manager as _, UriSchemeContext, UriSchemeResponder, Wry};

use crate::session::Office;

pub const SCHEME: &str = "media";

/// How the webview spells our scheme: `WebView2` knows custom schemes only as hosts.
pub const BASE: &str = if cfg!(windows) {
    "http://media.localhost"
} else {
    "media://localhost"
};

/// Answers one request of the webview. Only pictures come out: the chat crate sniffs the bytes.
pub fn answer(
    context: UriSchemeContext<'_, Wry>,
    request: Request<Vec<u8>>,
    responder: UriSchemeResponder,
) {
    let office = Arc::clone(&context.app_handle().state::<Arc<Office>>());
    tauri::async_runtime::spawn(async move {
        let token = request.uri().path().trim_start_matches('/').to_owned();
        let variant = chat::Variant::from_query(request.uri().query().unwrap_or_default());
        let found = match office.chat() {
            Ok(chat) => chat.media(&token, variant).await.ok(),
            Err(_) => None,
        };
        let response = match found {
            Some(media) => Response::builder()
                .header(header::CONTENT_TYPE, media.mime)
                .header(
                    header::CACHE_CONTROL,
                    "private, max-age=31536000, immutable",
                )
                .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
                .body(media.bytes.to_vec()),
            None => Response::builder()
                .status(StatusCode::NOT_FOUND)
                .body(Vec::new()),
        };
        if let Ok(response) = response {
            responder.respond(response);
        }
    });
}
