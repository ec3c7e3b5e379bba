//! A small sign-in service over real TLS that can be told to misbehave, a browser without a
//! screen, and a clock that tests set.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use network::Clients;
use network::testing::{Answer, Authority, Behaviour, Request, Server};
use organisation::Identity;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::Url;

use crate::clock::Clock;

pub const CLIENT: &str = "cordee";

#[derive(Clone)]
pub struct SetClock(Arc<Mutex<SystemTime>>);

impl SetClock {
    pub fn now_is(time: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(time)))
    }

    pub fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for SetClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

/// How a refresh is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    Rotate,
    Keep,
    Refuse(&'static str),
    Busy,
    HangUp,
}

/// What the service does differently from a good one.
pub struct Habits {
    pub claims: Box<dyn Fn(&mut Value) + Send>,
    pub forge_signature: bool,
    pub userinfo: Option<Value>,
    pub userinfo_status: u16,
    pub expires_in: u64,
    pub refresh: Refresh,
    /// The service's clock minus this computer's, in seconds.
    pub ahead: i64,
    pub revocation: bool,
    /// The token endpoint waits until something is sent here.
    pub gate: Option<Receiver<()>>,
    pub redirect_token: Option<String>,
    nonce: String,
    challenge: String,
    redirect: String,
    valid_refresh: String,
    issued: u32,
}

pub struct Service {
    pub habits: Arc<Mutex<Habits>>,
    pub authority: Authority,
    server: Server,
}

impl Service {
    pub async fn start() -> Self {
        let authority = Authority::new();
        let habits = Arc::new(Mutex::new(Habits {
            claims: Box::new(|_| {}),
            forge_signature: false,
            userinfo: Some(json!({
                "sub": "nathalie", "name": "Nathalie Martin", "email": "n@h.example",
                "preferred_username": "nathalie", "role": "Secrétaire", "department": "Cardiologie"
            })),
            userinfo_status: 200,
            expires_in: 300,
            refresh: Refresh::Rotate,
            ahead: 0,
            revocation: true,
            gate: None,
            redirect_token: None,
            nonce: String::new(),
            challenge: String::new(),
            redirect: String::new(),
            valid_refresh: "refresh-0".into(),
            issued: 0,
        }));
        let server = Server::start(&authority, |_| Answer::new(404)).await;
        let issuer = format!("https://{}", server.authority());
        let key = KeyPair::generate().unwrap();
        let told = Arc::clone(&habits);
        server.answer_with(move |request| {
            let gate = told.lock().unwrap().gate.take();
            if let Some(gate) = gate.filter(|_| request.path == "/token") {
                gate.recv_timeout(Duration::from_secs(10)).unwrap();
            }
            let mut habits = told.lock().unwrap();
            let answer = answer(request, &mut habits, &issuer, &key);
            answer.header("date", &date(habits.ahead))
        });
        Self {
            habits,
            authority,
            server,
        }
    }

    pub fn with(&self, change: impl FnOnce(&mut Habits)) {
        change(&mut self.habits.lock().unwrap());
    }

    /// The next token request waits until this is sent to, or dropped.
    pub fn close_gate(&self) -> Sender<()> {
        let (open, gate) = channel();
        self.with(|habits| habits.gate = Some(gate));
        open
    }

    pub fn clients(&self) -> Clients {
        self.authority.clients()
    }

    pub fn identity(&self, ports: &[u16]) -> Identity {
        let json = json!({
            "version": 1, "name": "H",
            "identity": {
                "issuer": format!("https://{}/", self.server.authority()),
                "clientId": CLIENT, "redirectPorts": ports, "privateScheme": "cordee"
            }
        });
        let document = organisation::Document::parse(json.to_string().as_bytes()).unwrap();
        document.identity.unwrap()
    }

    pub fn asked(&self, path: &str) -> usize {
        self.server
            .requests()
            .iter()
            .filter(|request| request.path == path)
            .count()
    }

    pub fn last(&self, path: &str) -> Request {
        self.server
            .requests()
            .into_iter()
            .rfind(|request| request.path == path)
            .unwrap()
    }

    /// What the service's own page does when the person has signed in: gives the address that the
    /// browser is sent back to.
    pub fn authorize(&self, url: &Url) -> Url {
        let asked: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(asked["client_id"], CLIENT);
        assert_eq!(asked["code_challenge_method"], "S256");
        let mut back = Url::parse(&asked["redirect_uri"]).unwrap();
        self.with(|habits| {
            habits.nonce.clone_from(&asked["nonce"]);
            habits.challenge.clone_from(&asked["code_challenge"]);
            habits.redirect.clone_from(&asked["redirect_uri"]);
        });
        back.query_pairs_mut()
            .append_pair("code", "the-code")
            .append_pair("state", &asked["state"]);
        back
    }
}

fn answer(request: &Request, habits: &mut Habits, issuer: &str, key: &KeyPair) -> Answer {
    let at = |path: &str| format!("{issuer}{path}");
    match request.path.as_str() {
        "/.well-known/openid-configuration" => {
            let mut metadata = json!({
                "issuer": issuer, "authorization_endpoint": at("/authorize"),
                "token_endpoint": at("/token"), "jwks_uri": at("/keys"),
                "userinfo_endpoint": at("/userinfo"), "end_session_endpoint": at("/logout"),
            });
            if habits.revocation {
                metadata["revocation_endpoint"] = at("/revoke").into();
            }
            Answer::json(200, metadata.to_string())
        }
        "/keys" => Answer::json(200, keys(key).to_string()),
        "/userinfo" => match &habits.userinfo {
            Some(said) => Answer::json(habits.userinfo_status, said.to_string()),
            None => Answer::new(500),
        },
        "/revoke" => Answer::new(200),
        "/token" => token(&form(&request.body), habits, issuer, key),
        _ => Answer::new(404),
    }
}

fn token(
    form: &BTreeMap<String, String>,
    habits: &mut Habits,
    issuer: &str,
    key: &KeyPair,
) -> Answer {
    if let Some(elsewhere) = &habits.redirect_token {
        return Answer::redirect(307, elsewhere);
    }
    let refused = |error: &str| Answer::json(400, json!({ "error": error }).to_string());
    assert_eq!(form["client_id"], CLIENT);
    let mut granted = json!({ "token_type": "Bearer", "expires_in": habits.expires_in });
    if form["grant_type"] == "authorization_code" {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes()));
        if form["code"] != "the-code"
            || challenge != habits.challenge
            || form["redirect_uri"] != habits.redirect
        {
            return refused("invalid_grant");
        }
        granted["refresh_token"] = habits.valid_refresh.clone().into();
        granted["id_token"] = id_token(habits, issuer, key).into();
    } else {
        match habits.refresh {
            Refresh::Refuse(error) => return refused(error),
            Refresh::Busy => return Answer::new(503),
            Refresh::HangUp => return Answer::new(200).behaving(Behaviour::HangUp),
            _ if form["refresh_token"] != habits.valid_refresh => return refused("invalid_grant"),
            Refresh::Rotate => {
                habits.valid_refresh = format!("refresh-{}", habits.issued + 1);
                granted["refresh_token"] = habits.valid_refresh.clone().into();
            }
            Refresh::Keep => {}
        }
        habits.issued += 1;
    }
    granted["access_token"] = access_token(habits.issued).into();
    Answer::json(200, granted.to_string())
}

pub fn access_token(number: u32) -> String {
    format!("access-{number}")
}

fn id_token(habits: &Habits, issuer: &str, key: &KeyPair) -> String {
    let now = i64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs(),
    )
    .unwrap()
        + habits.ahead;
    let hash = Sha256::digest(access_token(habits.issued).as_bytes());
    let mut claims = json!({
        "iss": issuer, "aud": [CLIENT], "azp": CLIENT, "sub": "nathalie", "nonce": habits.nonce,
        "iat": now, "exp": now + 3600, "at_hash": URL_SAFE_NO_PAD.encode(&hash[..16]),
    });
    (habits.claims)(&mut claims);
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({ "alg": "ES256", "kid": "k", "typ": "JWT" });
    let message = format!("{}.{}", encode(&header), encode(&claims));
    let mut signature = fixed_size(&key.sign(message.as_bytes()).unwrap());
    if habits.forge_signature {
        signature[10] ^= 1;
    }
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn keys(key: &KeyPair) -> Value {
    let point = key.der_bytes();
    assert_eq!(point.len(), 65);
    json!({ "keys": [
        { "kty": "XYZ", "kid": "from the future" },
        {
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "k",
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]),
        }
    ] })
}

/// ASN.1 `SEQUENCE { r, s }` to the 64 bytes of RFC 7518 §3.4.
fn fixed_size(der: &[u8]) -> Vec<u8> {
    let mut fixed = Vec::new();
    let mut rest = &der[2..];
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let number = &number[number.len().saturating_sub(32)..];
        fixed.extend(std::iter::repeat_n(0, 32 - number.len()));
        fixed.extend_from_slice(number);
        rest = &rest[2 + length..];
    }
    fixed
}

fn form(body: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

fn date(ahead: i64) -> String {
    let now = chrono::DateTime::<chrono::Utc>::from(SystemTime::now());
    (now + chrono::TimeDelta::seconds(ahead))
        .format("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

/// A browser's visit to the loopback listener: status, `Location`, page.
pub async fn browse(url: &Url) -> (u16, Option<Url>, String) {
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let host = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n");
    let answer = raw(url.port().unwrap(), &request).await;
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    let location = answer
        .lines()
        .find_map(|line| line.strip_prefix("Location: "));
    let page = answer
        .split_once("\r\n\r\n")
        .map(|(_, page)| page.to_owned());
    let onward = location.and_then(|to| Url::parse(to).ok());
    if let Some(last) = onward.as_ref().filter(|to| to.path() == "/done") {
        assert_eq!(last.query(), None, "the last address holds nothing");
        return Box::pin(browse(last)).await;
    }
    (status, onward, page.unwrap_or_default())
}

pub async fn raw(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Ports that are free now; each test takes its own.
pub async fn free_ports<const N: usize>() -> [u16; N] {
    let mut ports = [0; N];
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        *port = listener.local_addr().unwrap().port();
        held.push(listener);
    }
    ports
}
