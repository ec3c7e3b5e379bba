//! Signing in: the gateway asks, a person answers, until there is a cookie.
//!
//! ```text
//!   begin ──▶ form (name) ──▶ form (password) ──▶ form (code from the phone) ──▶ cookie
//!                 ▲  │ wrong: the same form again, with the gateway's words
//!                 └──┘                    └──▶ refused
//! ```

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, COOKIE, HOST, LOCATION, SET_COOKIE, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

use super::AGENT;
use super::form::{Answers, Cookie, Form};
use super::gateway::Gateway;
use super::xml::{self, Asked, Said};
use crate::source::{Ended, Refusal};

/// How long the gateway may take for one answer. Text messages are on their way meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it may send us elsewhere on itself.
const MOST_REDIRECTS: u8 = 4;
const MOST_COOKIES: usize = 32;

/// Where a sign-in is. The caller answers forms until it holds a cookie.
#[derive(Debug)]
pub enum Step {
    /// A person has to answer; see [`Dialogue::form`].
    Form(Box<Dialogue>),
    /// Signed in. The cookie opens sessions; see [`super::AnyConnect::sign_in`].
    Done(Cookie),
}

/// Begins to sign in.
#[derive(Debug)]
pub struct SignIn;

impl SignIn {
    /// Asks the gateway what it wants to know.
    pub async fn begin(gateway: &Gateway) -> Result<Step, Ended> {
        let mut conversation = Conversation {
            gateway: gateway.clone(),
            line: None,
            cookies: Vec::new(),
            path: "/".to_owned(),
        };
        let address = format!("https://{}/", gateway.authority());
        let hello = |no_certificate| xml::begin(&address, gateway.group(), no_certificate);
        let (said, cookie) = conversation.say(hello(false)).await?;
        let (said, cookie) = match said {
            Said::WantsCertificate => conversation.say(hello(true)).await?,
            said => (said, cookie),
        };
        conversation.step(said, cookie)
    }
}

/// A form that waits for its answers.
pub struct Dialogue {
    asked: Asked,
    conversation: Conversation,
}

impl Dialogue {
    /// What the gateway asks.
    pub fn form(&self) -> &Form {
        &self.asked.form
    }

    /// Sends the answers. A wrong one leads to the form again or to [`Refusal::WrongCredentials`], as the gateway
    /// likes.
    pub async fn send(mut self: Box<Self>, answers: &Answers) -> Result<Step, Ended> {
        self.conversation.go_to(&self.asked.action)?;
        let (said, cookie) = self
            .conversation
            .say(xml::answer(&self.asked, answers))
            .await?;
        self.conversation.step(said, cookie)
    }
}

impl std::fmt::Debug for Dialogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialogue")
            .field("form", self.form())
            .finish_non_exhaustive()
    }
}

/// One sign-in's connection, cookies and place.
struct Conversation {
    gateway: Gateway,
    line: Option<Line>,
    cookies: Vec<(String, Zeroizing<String>)>,
    path: String,
}

struct Line {
    requests: SendRequest<Full<Bytes>>,
    _connection: AbortOnDropHandle<()>,
}

impl Conversation {
    fn step(self, said: Said, cookie: Option<Cookie>) -> Result<Step, Ended> {
        match said {
            Said::Asks(asked)
                if asked.form.questions().next().is_none() && asked.form.error.is_some() =>
            {
                Err(Ended::Refused(Refusal::WrongCredentials))
            }
            Said::Asks(asked) => Ok(Step::Form(Box::new(Dialogue {
                asked,
                conversation: self,
            }))),
            Said::Complete { token } => token
                .and_then(Cookie::new)
                .or(cookie)
                .map(Step::Done)
                .ok_or(Ended::Protocol("signed in, but without a cookie")),
            Said::WantsCertificate => Err(Ended::Refused(Refusal::NotAllowed)),
        }
    }

    /// Takes a path, or an address on the same gateway; anything else is somebody who wants us elsewhere.
    fn go_to(&mut self, place: &str) -> Result<(), Ended> {
        let own = format!("https://{}", self.gateway.authority());
        let path = place.strip_prefix(&own).unwrap_or(place);
        if path.is_empty() {
            return Ok(());
        }
        if !path.starts_with('/')
            || path.starts_with("//")
            || !path.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(Ended::Protocol("the sign-in leads to another place"));
        }
        path.clone_into(&mut self.path);
        Ok(())
    }

    async fn say(&mut self, text: String) -> Result<(Said, Option<Cookie>), Ended> {
        let text = Bytes::from(text);
        for _ in 0..=MOST_REDIRECTS {
            let answer = tokio::time::timeout(PATIENCE, self.post(text.clone()));
            let answer = answer
                .await
                .map_err(|_| Ended::Io(std::io::ErrorKind::TimedOut))??;
            let cookie = self.keep_cookies(&answer);
            match answer.status() {
                StatusCode::OK => {
                    let page = std::str::from_utf8(answer.body())
                        .map_err(|_| Ended::Protocol("the sign-in's answer is no text"))?;
                    let said =
                        xml::parse(page).map_err(|_| Ended::Protocol("the sign-in's answer"))?;
                    return Ok((said, cookie));
                }
                StatusCode::UNAUTHORIZED => return Err(Ended::Refused(Refusal::WrongCredentials)),
                StatusCode::FORBIDDEN => return Err(Ended::Refused(Refusal::NotAllowed)),
                StatusCode::SERVICE_UNAVAILABLE => return Err(Ended::Unreachable),
                status if status.is_redirection() => {
                    let to = answer
                        .headers()
                        .get(LOCATION)
                        .and_then(|to| to.to_str().ok());
                    let to = to
                        .ok_or(Ended::Protocol("the sign-in leads nowhere"))?
                        .to_owned();
                    self.go_to(&to)?;
                }
                _ => {
                    return Err(Ended::Protocol(
                        "the sign-in was answered with another status",
                    ));
                }
            }
        }
        Err(Ended::Protocol("the sign-in leads in circles"))
    }

    async fn post(&mut self, text: Bytes) -> Result<Response<Bytes>, Ended> {
        // The gateway may have closed the connection while a person typed: then once more on a fresh one.
        if self
            .line
            .as_ref()
            .is_some_and(|line| !line.requests.is_closed())
            && let Ok(answer) = self.post_once(text.clone()).await
        {
            return Ok(answer);
        }
        self.line = Some(Line::open(&self.gateway).await?);
        self.post_once(text).await
    }

    async fn post_once(&mut self, text: Bytes) -> Result<Response<Bytes>, Ended> {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={}", value.as_str()))
            .collect();
        let mut request = Request::post(self.path.as_str())
            .header(HOST, self.gateway.authority())
            .header(USER_AGENT, AGENT)
            .header("X-Transcend-Version", "1")
            .header("X-Aggregate-Auth", "1")
            .header(CONTENT_TYPE, "application/xml; charset=utf-8");
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        let request = request
            .body(Full::new(text))
            .map_err(|_| Ended::Protocol("the sign-in's address"))?;
        let line = self.line.as_mut().ok_or(Ended::Closed)?;
        line.requests.ready().await.map_err(|_| Ended::Closed)?;
        let answer = line.requests.send_request(request).await;
        let (head, body) = answer.map_err(|error| why(&error))?.into_parts();
        let body = Limited::new(body, xml::LONGEST).collect().await;
        let body =
            body.map_err(|_| Ended::Protocol("the sign-in's answer ended early or was too long"))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    /// Keeps what the gateway wants back, and finds the cookie that opens sessions.
    fn keep_cookies(&mut self, answer: &Response<Bytes>) -> Option<Cookie> {
        let mut session = None;
        for line in answer.headers().get_all(SET_COOKIE) {
            let Ok(line) = line.to_str() else { continue };
            let pair = line.split(';').next().unwrap_or_default();
            let Some((name, value)) = pair.split_once('=') else {
                continue;
            };
            let (name, value) = (name.trim(), value.trim());
            self.cookies.retain(|(known, _)| known != name);
            if name == "webvpn" {
                session = Cookie::new(value).or(session);
            } else if !value.is_empty() && self.cookies.len() < MOST_COOKIES {
                self.cookies
                    .push((name.to_owned(), Zeroizing::new(value.to_owned())));
            }
        }
        session
    }
}

impl Line {
    async fn open(gateway: &Gateway) -> Result<Self, Ended> {
        let stream = gateway.connect(&gateway.resolve().await?).await?;
        let (requests, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| why(&error))?;
        let connection = tokio::spawn(async move {
            // How it ended is what the request that was under way says.
            let _ = connection.await;
        });
        Ok(Self {
            requests,
            _connection: AbortOnDropHandle::new(connection),
        })
    }
}

fn why(error: &hyper::Error) -> Ended {
    if error.is_parse() {
        return Ended::Protocol("the sign-in's answer is no HTTP");
    }
    Ended::Closed
}
