//! What may come back from the browser, in which order, and what it is answered with. No I/O.

use std::collections::BTreeMap;

use url::Url;

use super::SecondLeg;
use crate::error::SignInError;
use crate::loopback::{Reply, Visit};
use crate::oidc::authorization;
use crate::secret::Secret;

pub const FIRST: &str = "/callback";
pub const SECOND: &str = "/second";

/// News from the browser.
#[derive(Debug)]
pub enum Arrival {
    First(Result<Secret, SignInError>),
    Second(BTreeMap<String, String>),
}

/// The order of an attempt's returns:
/// first leg (ours: `state`) → second leg, if there is one (ours: `s`) → over.
pub struct Exchange {
    state: String,
    issuer: String,
    second: Option<(SecondLeg, Url)>,
    /// Random part of the second return address.
    second_key: String,
    stage: Stage,
}

#[derive(PartialEq, Eq)]
enum Stage {
    First,
    Second,
    Over { refused: bool },
}

impl Exchange {
    /// `second`: the leg and the address, without its random part, that it shall return to.
    pub fn new(
        state: String,
        issuer: String,
        second: Option<(SecondLeg, Url)>,
        second_key: String,
    ) -> Self {
        Self {
            state,
            issuer,
            second,
            second_key,
            stage: Stage::First,
        }
    }

    pub fn over(&self) -> bool {
        matches!(self.stage, Stage::Over { .. })
    }

    pub fn visit(&mut self, visit: Visit) -> (Reply, Option<Arrival>) {
        match (visit.path.as_str(), &self.stage) {
            (FIRST, Stage::First) => self.first(&visit.query),
            (SECOND, Stage::Second) if visit.query.get("s") == Some(&self.second_key) => {
                self.stage = Stage::Over { refused: false };
                let mut query = visit.query;
                query.remove("s");
                (Reply::Done, Some(Arrival::Second(query)))
            }
            // The person reloads the page that they already saw.
            (FIRST | SECOND, Stage::Over { refused: false }) => (Reply::Done, None),
            (FIRST | SECOND, Stage::Over { refused: true }) => (Reply::Refused, None),
            _ => (Reply::NotFound, None),
        }
    }

    fn first(&mut self, query: &BTreeMap<String, String>) -> (Reply, Option<Arrival>) {
        let code = authorization::answer(query, &self.state, &self.issuer);
        let reply = match (&code, self.second.take()) {
            (Err(_), _) => {
                self.stage = Stage::Over { refused: true };
                Reply::Refused
            }
            (Ok(_), None) => {
                self.stage = Stage::Over { refused: false };
                Reply::Done
            }
            (Ok(_), Some((leg, mut back))) => {
                self.stage = Stage::Second;
                back.query_pairs_mut()
                    .clear()
                    .append_pair("s", &self.second_key);
                Reply::Continue((leg.start)(back))
            }
        };
        (reply, Some(Arrival::First(code)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn exchange(second: bool) -> Exchange {
        let leg = second.then(|| {
            let start = |back: Url| {
                let mut url = Url::parse("https://hs.example/sso").unwrap();
                url.query_pairs_mut()
                    .append_pair("redirectUrl", back.as_str());
                url
            };
            (
                SecondLeg::new(start),
                Url::parse("http://127.0.0.1:47811/second").unwrap(),
            )
        });
        Exchange::new("state".into(), "https://a".into(), leg, "key".into())
    }

    fn visit(address: &str) -> Visit {
        crate::loopback::visit(
            &Url::parse("http://127.0.0.1:47811")
                .unwrap()
                .join(address)
                .unwrap(),
        )
    }

    #[test]
    fn one_trip_serves_both_legs_in_order() {
        let mut exchange = exchange(true);
        let (reply, arrival) = exchange.visit(visit("/callback?state=state&code=c"));
        let Reply::Continue(url) = reply else {
            panic!("{reply:?}")
        };
        let back = url
            .query_pairs()
            .find(|(key, _)| key == "redirectUrl")
            .unwrap()
            .1
            .into_owned();
        assert_eq!(back, "http://127.0.0.1:47811/second?s=key");
        assert!(matches!(arrival, Some(Arrival::First(Ok(_)))));
        assert!(!exchange.over());
        let (reply, arrival) = exchange.visit(visit("/second?s=key&loginToken=t"));
        assert!(matches!(reply, Reply::Done));
        let Some(Arrival::Second(query)) = arrival else {
            panic!()
        };
        assert_eq!(
            query.into_iter().collect::<Vec<_>>(),
            [("loginToken".into(), "t".into())]
        );
        assert!(exchange.over());
    }

    #[test]
    fn a_second_leg_without_its_random_part_changes_nothing() {
        let mut exchange = exchange(true);
        assert!(matches!(
            exchange.visit(visit("/second?s=key")),
            (Reply::NotFound, None)
        ));
        exchange.visit(visit("/callback?state=state&code=c"));
        for guess in [
            "/second",
            "/second?s=",
            "/second?s=other&loginToken=evil",
            "/favicon.ico",
        ] {
            assert!(
                matches!(exchange.visit(visit(guess)), (Reply::NotFound, None)),
                "{guess}"
            );
        }
        assert!(!exchange.over());
    }

    #[test]
    fn a_code_is_taken_once_and_a_reload_shows_the_same_page() {
        let mut exchange = exchange(false);
        assert!(matches!(
            exchange.visit(visit("/callback?state=state&code=c")),
            (Reply::Done, Some(Arrival::First(Ok(_))))
        ));
        assert!(matches!(
            exchange.visit(visit("/callback?state=state&code=c")),
            (Reply::Done, None)
        ));
    }

    #[test]
    fn a_refusal_ends_the_trip_without_a_second_leg() {
        let mut exchange = exchange(true);
        let (reply, arrival) = exchange.visit(visit("/callback?state=state&error=access_denied"));
        assert!(matches!(reply, Reply::Refused));
        assert!(matches!(
            arrival,
            Some(Arrival::First(Err(SignInError::Refused)))
        ));
        assert!(exchange.over());
    }
}
