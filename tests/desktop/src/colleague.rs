//! The other person in a conversation: a real Matrix client of its own, with its own keys, and no window.
//!
//! The client's futures are deep; they are boxed here, so that whoever waits for a colleague compiles in passing.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use chat::{Chat, Draft, Setup, Store};
use futures_util::{FutureExt as _, StreamExt as _};
use network::{Clients, Trust};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use workplace::{Person, Workplace};

use crate::wait::{PATIENCE, until};

/// Somebody else at the hospital.
pub struct Colleague {
    chat: Chat,
    rooms: Mirror,
    /// Removed at the end: the store of this client.
    _folder: tempfile::TempDir,
}

impl Colleague {
    /// Signs in with the password that the homeserver knows and waits for the first sync.
    pub async fn arrive(workplace: &Workplace, person: &Person) -> Result<Self> {
        network::install_crypto_provider();
        let folder = tempfile::Builder::new()
            .prefix("cordee-colleague-")
            .tempdir()?;
        let trust = Trust::from_pem(workplace.authority().as_bytes())?;
        let setup = Setup {
            store: Store {
                folder: folder.path().join("chat"),
                key: [7; 32],
            },
            http: Clients::new(&trust)?.matrix(),
            media_base: "media://localhost".to_owned(),
            device_name: "Collègue".to_owned(),
            begin: tokio::sync::watch::Sender::new(true).subscribe(),
        };
        let homeserver = workplace.homeserver().parse()?;
        let chat = Chat::sign_in_password(&homeserver, &person.uid, &person.password, setup)
            .boxed()
            .await?;
        let (first, diffs) = chat.rooms();
        let rooms = Mirror::follow(&first, diffs);
        let arrived = Self {
            chat,
            rooms,
            _folder: folder,
        };
        let mut status = arrived.chat.status();
        let live = status.wait_for(|status| status.sync == chat::Sync::Live);
        tokio::time::timeout(PATIENCE, live)
            .await
            .context("the colleague's client does not sync")??;
        Ok(arrived)
    }

    /// The client itself.
    pub fn chat(&self) -> &Chat {
        &self.chat
    }

    /// Waits until a room of this name is in the list; accepts an invitation to it. Returns its id.
    pub async fn room(&self, name: &str) -> Result<String> {
        let room = until(
            &format!("{name} is among the colleague's rooms"),
            PATIENCE,
            || async {
                Ok(self
                    .rooms
                    .list()
                    .into_iter()
                    .find(|room| room["name"] == name))
            },
        )
        .await?;
        let id = room["id"].as_str().context("a room without id")?.to_owned();
        if room["invited"] == true {
            self.chat.join(&id).boxed().await?;
        }
        Ok(id)
    }

    /// The encrypted conversation with somebody; it is made if there is none.
    pub async fn direct(&self, person: &Person) -> Result<String> {
        Ok(self.chat.direct(&person.mxid).boxed().await?)
    }

    pub async fn write(&self, room: &str, text: &str) -> Result<()> {
        let draft = Draft {
            text: text.to_owned(),
            reply_to: None,
            mentions: Vec::new(),
        };
        Ok(self.chat.send(room, draft).boxed().await?)
    }

    /// Opens a conversation and keeps it open.
    pub async fn open(&self, room: &str) -> Result<Conversation> {
        let opened = self.chat.open_timeline(room).boxed().await?;
        Ok(Conversation {
            items: Mirror::follow(&opened.items, opened.diffs),
            id: opened.id,
            chat: self.chat.clone(),
        })
    }

    /// Answers the first message that has this text, from another task; the answer is `answer`.
    pub async fn will_answer(
        &self,
        room: &str,
        question: &str,
        answer: &str,
    ) -> Result<JoinHandle<Result<()>>> {
        let conversation = self.open(room).await?;
        let (chat, room) = (self.chat.clone(), room.to_owned());
        let (question, answer) = (question.to_owned(), answer.to_owned());
        Ok(tokio::spawn(async move {
            conversation.hear(&question, PATIENCE * 2).await?;
            let typing = chat.typing(&room, true).boxed().await;
            typing.context("typing could not be told")?;
            chat.typing(&room, false).boxed().await?;
            chat.send(
                &room,
                Draft {
                    text: answer,
                    reply_to: None,
                    mentions: Vec::new(),
                },
            )
            .boxed()
            .await?;
            Ok(())
        }))
    }

    /// Answers whatever is written there from now on, so that whoever tries the demo is not alone.
    pub fn keep_answering(
        &self,
        room: &str,
        conversation: Arc<Conversation>,
    ) -> impl Future<Output = ()> + use<> {
        const ANSWERS: [&str; 4] = [
            "Bien reçu, merci !",
            "D’accord, je m’en occupe.",
            "Merci Camille. Je te confirme cela avant midi.",
            "Parfait, à tout à l’heure.",
        ];
        let (chat, room) = (self.chat.clone(), room.to_owned());
        let began = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64()
            * 1000.0;
        async move {
            let mut items = conversation.items.list.clone();
            // What was written before is history, also where it comes only now.
            let mut heard = 0;
            let mut answers = ANSWERS.iter().cycle();
            while items.changed().await.is_ok() {
                let now = asked(&items.borrow_and_update(), began);
                if now > heard {
                    let text = answers.next().copied().unwrap_or_default().to_owned();
                    if let Err(why) = chat
                        .send(
                            &room,
                            Draft {
                                text,
                                reply_to: None,
                                mentions: Vec::new(),
                            },
                        )
                        .boxed()
                        .await
                    {
                        tracing::warn!("the colleague cannot answer: {why}");
                    }
                }
                heard = now;
            }
        }
    }

    /// Ends the client; what it stored is removed.
    pub async fn leave(self) {
        self.chat.close().boxed().await;
    }
}

/// An open conversation as the colleague sees it.
pub struct Conversation {
    items: Mirror,
    id: u32,
    chat: Chat,
}

impl Conversation {
    /// The texts of all messages, oldest first, whoever wrote them.
    pub fn texts(&self) -> Vec<String> {
        self.items.list().iter().filter_map(text_of).collect()
    }

    /// The same from the very beginning: pages back first. After a pause a client has only the newest messages.
    pub async fn all_texts(&self) -> Result<Vec<String>> {
        until(
            "the colleague has read the whole conversation",
            PATIENCE,
            || async {
                Ok(self
                    .chat
                    .timeline_back(self.id)
                    .boxed()
                    .await?
                    .then_some(()))
            },
        )
        .await?;
        until(
            "the conversation begins with its beginning",
            PATIENCE,
            || async {
                Ok(self
                    .items
                    .list()
                    .iter()
                    .any(|item| item["kind"] == "start")
                    .then_some(()))
            },
        )
        .await?;
        Ok(self.texts())
    }

    /// Waits for a message with exactly this text from somebody else; returns it as the window would get it.
    pub async fn hear(&self, text: &str, patience: Duration) -> Result<Value> {
        until(
            &format!("the colleague reads {text:?}"),
            patience,
            || async {
                let heard = self.items.list().into_iter();
                Ok(heard
                    .into_iter()
                    .find(|item| item["mine"] == false && text_of(item).as_deref() == Some(text)))
            },
        )
        .await
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.chat.timeline_close(self.id);
    }
}

/// How many messages others have written there since a moment (milliseconds of the Unix epoch).
fn asked(items: &[Value], since: f64) -> usize {
    items
        .iter()
        .filter(|item| item["at"].as_f64().is_some_and(|at| at >= since))
        .filter(|item| item["mine"] == false && text_of(item).is_some())
        .count()
}

/// The plain text of a message; `None` for everything else.
fn text_of(item: &Value) -> Option<String> {
    fn collect(nodes: &Value, into: &mut String) {
        for node in nodes.as_array().into_iter().flatten() {
            match node["tag"].as_str() {
                Some("text") => into.push_str(node["text"].as_str().unwrap_or_default()),
                Some("break") => into.push('\n'),
                Some("mention") => into.push_str(node["name"].as_str().unwrap_or_default()),
                _ => collect(&node["children"], into),
            }
        }
    }
    if item["kind"] != "message" || item["body"]["type"] != "text" {
        return None;
    }
    let mut text = String::new();
    collect(&item["body"]["nodes"], &mut text);
    Some(text)
}

/// A list kept equal to one that is published as diffs, in the form in which the window gets it.
struct Mirror {
    list: watch::Receiver<Arc<Vec<Value>>>,
    task: JoinHandle<()>,
}

impl Mirror {
    fn follow<T, D, S>(first: &[T], mut diffs: S) -> Self
    where
        T: Serialize,
        D: Serialize,
        S: futures_util::Stream<Item = Vec<D>> + Send + Unpin + 'static,
        D: Send,
    {
        let first: Vec<Value> = first
            .iter()
            .filter_map(|one| serde_json::to_value(one).ok())
            .collect();
        let (sender, list) = watch::channel(Arc::new(first));
        let task = tokio::spawn(async move {
            while let Some(batch) = diffs.next().await {
                sender.send_modify(|list| {
                    let list = Arc::make_mut(list);
                    for diff in &batch {
                        if let Err(why) = serde_json::to_value(diff)
                            .map_err(Into::into)
                            .and_then(|d| apply(list, d))
                        {
                            tracing::error!("a list cannot be followed: {why:#}");
                        }
                    }
                });
            }
        });
        Self { list, task }
    }

    fn list(&self) -> Vec<Value> {
        self.list.borrow().as_ref().clone()
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn apply(list: &mut Vec<Value>, mut diff: Value) -> Result<()> {
    let index = usize::try_from(diff["index"].as_u64().unwrap_or_default())?;
    let value = diff["value"].take();
    let values = |diff: &mut Value| match diff["values"].take() {
        Value::Array(values) => values,
        _ => Vec::new(),
    };
    match diff["op"].as_str() {
        Some("append") => list.extend(values(&mut diff)),
        Some("reset") => *list = values(&mut diff),
        Some("clear") => list.clear(),
        Some("pushFront") => list.insert(0, value),
        Some("pushBack") => list.push(value),
        Some("popFront") if !list.is_empty() => drop(list.remove(0)),
        Some("popBack") if !list.is_empty() => drop(list.pop()),
        Some("insert") if index <= list.len() => list.insert(index, value),
        Some("set") if index < list.len() => list[index] = value,
        Some("remove") if index < list.len() => drop(list.remove(index)),
        Some("truncate") => list.truncate(usize::try_from(
            diff["length"].as_u64().unwrap_or_default(),
        )?),
        _ => bail!("{} does not fit a list of {}", diff["op"], list.len()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use serde_json::json;

    use super::{apply, text_of};

    #[test]
    fn a_followed_list_becomes_equal_to_the_published_one() {
        let mut list = vec![json!(1)];
        for diff in [
            json!({ "op": "append", "values": [2, 3] }),
            json!({ "op": "pushFront", "value": 0 }),
            json!({ "op": "insert", "index": 2, "value": 9 }),
            json!({ "op": "set", "index": 0, "value": 7 }),
            json!({ "op": "remove", "index": 1 }),
            json!({ "op": "popBack" }),
        ] {
            apply(&mut list, diff).unwrap();
        }
        assert_eq!(list, [7, 9, 2]);
        assert!(apply(&mut list, json!({ "op": "set", "index": 3, "value": 0 })).is_err());
    }

    #[test]
    fn the_text_of_a_message_is_read_through_its_markup() {
        let message = json!({ "kind": "message", "body": { "type": "text", "nodes": [
            { "tag": "element", "name": "p", "children": [{ "tag": "text", "text": "Bonjour " },
              { "tag": "element", "name": "strong", "children": [{ "tag": "text", "text": "Nora" }] }] }] } });
        assert_eq!(text_of(&message).as_deref(), Some("Bonjour Nora"));
        assert_eq!(text_of(&json!({ "kind": "day" })), None);
    }
}
