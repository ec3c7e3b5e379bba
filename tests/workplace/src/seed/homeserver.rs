//! The few Matrix requests that write history, sent in anybody's name with the application service's token.

use anyhow::{Context, Result, bail};
use hmac::{Hmac, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha1::Sha1;
use url::Url;

use crate::browser;
use crate::services::synapse;
use crate::site::Site;

/// The homeserver as somebody who may speak for all.
#[derive(Clone)]
pub struct Homeserver {
    http: reqwest::Client,
    base: Url,
    token: String,
}

impl Homeserver {
    pub(crate) fn new(site: &Site) -> Result<Self> {
        Ok(Self {
            http: browser::client(&site.authority)?,
            base: Url::parse(&site.homeserver())?,
            token: synapse::everybodys_token(site),
        })
    }

    /// One request in `user`'s name; with `at`, what it makes carries that time (milliseconds since 1970).
    /// `path` is a list of segments below `/_matrix/client/v3`; they are escaped here.
    pub async fn send(
        &self,
        method: Method,
        user: &str,
        path: &[&str],
        at: Option<i64>,
        body: &Value,
    ) -> Result<Value> {
        let mut url = self.url(&["_matrix", "client", "v3"], path)?;
        url.query_pairs_mut().append_pair("user_id", user);
        if let Some(at) = at {
            url.query_pairs_mut().append_pair("ts", &at.to_string());
        }
        let request = self
            .http
            .request(method.clone(), url)
            .bearer_auth(&self.token);
        let request = if method == Method::GET {
            request
        } else {
            request.json(body)
        };
        answer(request, &path.join("/")).await
    }

    /// A room event; returns its id.
    pub async fn say(
        &self,
        room: &str,
        user: &str,
        kind: &str,
        at: Option<i64>,
        content: &Value,
    ) -> Result<String> {
        let transaction = crate::site::random_hex(8);
        let path = ["rooms", room, "send", kind, &transaction];
        let said = self.send(Method::PUT, user, &path, at, content).await?;
        Ok(said["event_id"]
            .as_str()
            .context("an event without id")?
            .to_owned())
    }

    pub async fn text(&self, room: &str, user: &str, text: &str) -> Result<String> {
        self.say(
            room,
            user,
            "m.room.message",
            None,
            &json!({ "msgtype": "m.text", "body": text }),
        )
        .await
    }

    pub async fn create_room(&self, user: &str, room: &Value) -> Result<String> {
        let made = self
            .send(Method::POST, user, &["createRoom"], None, room)
            .await?;
        Ok(made["room_id"]
            .as_str()
            .context("a room without id")?
            .to_owned())
    }

    pub async fn join(&self, room: &str, user: &str) -> Result<()> {
        self.send(Method::POST, user, &["join", room], None, &json!({}))
            .await
            .map(drop)
    }

    /// `user` has read everything up to this event.
    pub async fn read(&self, room: &str, user: &str, event: &str) -> Result<()> {
        let body = json!({ "m.fully_read": event, "m.read": event });
        self.send(
            Method::POST,
            user,
            &["rooms", room, "read_markers"],
            None,
            &body,
        )
        .await
        .map(drop)
    }

    /// Uploads a file and returns its `mxc:` address.
    pub async fn upload(
        &self,
        user: &str,
        name: &str,
        mime: &str,
        bytes: Vec<u8>,
    ) -> Result<String> {
        let mut url = self.url(&["_matrix", "media", "v3", "upload"], &[])?;
        url.query_pairs_mut()
            .append_pair("user_id", user)
            .append_pair("filename", name);
        let request = self
            .http
            .post(url)
            .bearer_auth(&self.token)
            .header("content-type", mime)
            .body(bytes);
        let stored = answer(request, "upload").await?;
        Ok(stored["content_uri"]
            .as_str()
            .context("an upload without address")?
            .to_owned())
    }

    pub(super) async fn picture(&self, user: &str, address: &str) -> Result<()> {
        let body = json!({ "avatar_url": address });
        self.send(
            Method::PUT,
            user,
            &["profile", user, "avatar_url"],
            None,
            &body,
        )
        .await
        .map(drop)
    }

    /// Registers an account with a password, as an administrator who knows the shared secret does:
    /// <https://element-hq.github.io/synapse/latest/admin_api/register_api.html>
    pub(super) async fn register(
        &self,
        secret: &str,
        user: &str,
        password: &str,
        name: &str,
    ) -> Result<()> {
        let url = self.url(&["_synapse", "admin", "v1", "register"], &[])?;
        let nonce = answer(self.http.get(url.clone()), "register").await?;
        let nonce = nonce["nonce"]
            .as_str()
            .context("a registration without nonce")?;
        let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes())?;
        mac.update([nonce, user, password, "notadmin"].join("\0").as_bytes());
        let mac = crate::site::hex(mac.finalize().into_bytes());
        let body = json!({
            "nonce": nonce, "username": user, "password": password, "displayname": name,
            "admin": false, "inhibit_login": true, "mac": mac,
        });
        answer(self.http.post(url).json(&body), "register")
            .await
            .map(drop)
    }

    fn url(&self, root: &[&str], path: &[&str]) -> Result<Url> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => {
                segments.clear().extend(root).extend(path);
            }
            Err(()) => bail!("the homeserver's address is not one for HTTP"),
        }
        Ok(url)
    }
}

async fn answer(request: reqwest::RequestBuilder, what: &str) -> Result<Value> {
    let answer = request
        .send()
        .await
        .with_context(|| format!("no answer to {what}"))?;
    let status = answer.status();
    let text = answer.text().await?;
    if !status.is_success() {
        bail!("the homeserver answers {status} to {what}: {text}");
    }
    serde_json::from_str(&text).with_context(|| format!("the answer to {what} is no JSON"))
}
