//! While the person is in the browser: the way back listens, for one leg or for two.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::exchange::{Arrival, Exchange};
use super::preparing::{Prepared, WayBack};
use super::{Phase, SecondLeg, SignIn};
use crate::error::SignInError;
use crate::loopback::{self, Reply};
use crate::oidc::authorization::{self, Proof};
use crate::oidc::discovery::Provider;
use crate::random;
use crate::secret::Secret;

/// The person came back from the first leg.
pub struct Visited {
    pub provider: Provider,
    pub proof: Proof,
    pub redirect: Url,
    pub code: Secret,
    pub way_back: Listening,
    pub second_expected: bool,
}

/// The way back, still open for the second leg and for the last page.
pub struct Listening {
    pub arrivals: mpsc::Receiver<Arrival>,
    pub task: AbortOnDropHandle<()>,
}

pub async fn visit(
    sign_in: &SignIn,
    prepared: Prepared,
    second_leg: Option<SecondLeg>,
    phases: &watch::Sender<Phase>,
    delivered: mpsc::Receiver<Url>,
) -> Result<Visited, SignInError> {
    let Prepared {
        provider,
        way_back,
        first,
        second,
    } = prepared;
    let proof = Proof::new()?;
    let identity = &sign_in.identity;
    let url = authorization::request(
        &provider,
        &identity.client_id,
        &identity.scopes,
        &first,
        &proof,
    );
    let second_expected = second_leg.is_some();
    let exchange = Exchange::new(
        proof.state.clone(),
        provider.issuer.clone(),
        second_leg.map(|leg| (leg, second)),
        random::token()?,
    );
    let mut way_back = listen(sign_in, way_back, exchange, delivered);

    // Before the browser opens: a very quick answer must not find an older phase on the screen.
    phases.send_replace(Phase::Browser {
        url: url.clone(),
        since: sign_in.clock.now(),
    });
    (sign_in.open_browser)(&url).map_err(|_| SignInError::Browser)?;

    match way_back.arrivals.recv().await {
        Some(Arrival::First(Ok(code))) => Ok(Visited {
            provider,
            proof,
            redirect: first,
            code,
            way_back,
            second_expected,
        }),
        Some(Arrival::First(Err(error))) => {
            // The page that says so is still on its way to the browser.
            let _ = way_back.task.await;
            Err(error)
        }
        _ => Err(SignInError::Internal("the way back closed")),
    }
}

fn listen(
    sign_in: &SignIn,
    way_back: WayBack,
    mut exchange: Exchange,
    mut delivered: mpsc::Receiver<Url>,
) -> Listening {
    // Two arrivals at most: one for each leg.
    let (news, arrivals) = mpsc::channel(2);
    let task = match way_back {
        WayBack::Loopback(loopback) => {
            let pages = sign_in.pages.clone();
            tokio::spawn(loopback.serve(pages, move |visit| {
                let (reply, arrival) = exchange.visit(visit);
                if let Some(arrival) = arrival {
                    let _ = news.try_send(arrival);
                }
                (reply, exchange.over())
            }))
        }
        WayBack::PrivateScheme => {
            let open_browser = Arc::clone(&sign_in.open_browser);
            tokio::spawn(async move {
                while !exchange.over() {
                    let Some(url) = delivered.recv().await else {
                        return;
                    };
                    let (reply, arrival) = exchange.visit(loopback::visit(&url));
                    if let Some(arrival) = arrival {
                        let _ = news.try_send(arrival);
                    }
                    // Nobody waits for an answer here, so the browser is opened once more. If that
                    // fails the second leg's deadline says so.
                    if let Reply::Continue(next) = reply {
                        let _ = open_browser(&next);
                    }
                }
            })
        }
    };
    Listening {
        arrivals,
        task: AbortOnDropHandle::new(task),
    }
}
