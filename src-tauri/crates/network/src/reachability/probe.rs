//! The requests behind the decisions.

use std::time::{Duration, Instant};

use http::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Client, Response};

use super::portal::{self, Answer, Seen};
use crate::{Expect, Failure, PortalCheck, Watched};

/// For everything from the name to the last byte that is looked at.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);
/// Enough for every discovery document; a longer answer is not what was asked for.
const MOST: usize = 256 * 1024;

/// Milliseconds until the expected answer was there.
pub(super) async fn probe(client: Client, watched: Watched) -> Result<u32, Failure> {
    let begun = Instant::now();
    let answer = client
        .get(watched.url)
        .timeout(DEADLINE)
        .send()
        .await
        .map_err(|error| Failure::of(&error))?;
    expected(answer, &watched.expect).await?;
    Ok(u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX))
}

async fn expected(answer: Response, expect: &Expect) -> Result<(), Failure> {
    let status = answer.status();
    let other = || Failure::of_status(status).unwrap_or(Failure::Protocol);
    match expect {
        Expect::Answer => match Failure::of_status(status) {
            // Too many requests, or come back later: the service is there.
            None | Some(Failure::Server { status: ..500 }) => Ok(()),
            Some(failure) => Err(failure),
        },
        Expect::Status(code) if status.as_u16() == *code => Ok(()),
        Expect::Status(_) => Err(other()),
        Expect::JsonField(_) if !status.is_success() => Err(other()),
        Expect::JsonField(field) => {
            let body = body(answer).await?;
            let value: serde_json::Value =
                serde_json::from_slice(&body).map_err(|_| Failure::Protocol)?;
            value.get(field).map(drop).ok_or(Failure::Protocol)
        }
    }
}

async fn body(mut answer: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| Failure::of(&error))? {
        if body.len() + chunk.len() > MOST {
            return Err(Failure::Protocol);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Only status and headers are read: a welcome page's content is nobody's business.
pub(super) async fn look_for_portal(client: Client, check: PortalCheck) -> Seen {
    let asked = check.url.clone();
    match client.get(check.url).timeout(DEADLINE).send().await {
        Err(error) => Seen::Nothing(Failure::of(&error)),
        Ok(answer) => {
            let header = |name| answer.headers().get(name)?.to_str().ok();
            Seen::Answer(Answer {
                status: answer.status().as_u16(),
                leads_to: answer
                    .status()
                    .is_redirection()
                    .then(|| portal::leaves(&asked, header(LOCATION)?))
                    .flatten(),
                page: header(CONTENT_TYPE)
                    .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/html")),
            })
        }
    }
}
