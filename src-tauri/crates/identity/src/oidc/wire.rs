//! One request, one bounded answer.

use network::Failure;
use network::clock::Skew;
use network::reqwest::{RequestBuilder, StatusCode};
use zeroize::Zeroizing;

use crate::clock::Clock;

/// Discovery documents and token answers take a few KB; key sets of large services some tens.
const LARGEST_ANSWER: usize = 1024 * 1024;

pub struct Answer {
    pub status: StatusCode,
    pub body: Zeroizing<Vec<u8>>,
    /// How far this computer's clock was from the server's when it answered.
    pub skew: Option<Skew>,
}

/// Sends and reads it all. Deadlines are the client's. A server in trouble (5xx, 429) is a
/// [`Failure`]; other refusals are for the caller to read.
pub async fn send(request: RequestBuilder, clock: &dyn Clock) -> Result<Answer, Failure> {
    let mut response = request.send().await.map_err(|error| Failure::of(&error))?;
    let status = response.status();
    let skew = network::clock::skew(response.headers(), clock.now());
    if let Some(failure) = Failure::of_status(status) {
        return Err(failure);
    }
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| Failure::of(&error))?
    {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(Failure::Protocol);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body, skew })
}
