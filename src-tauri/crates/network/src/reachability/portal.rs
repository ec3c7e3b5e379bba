//! Is it the network's welcome page that answers?
//!
//! A captive portal shows itself only without encryption: it redirects plain HTTP to its own page,
//! or serves that page in the place of any other (RFC 8952 §2). So one looks, over plain HTTP, at
//! a page of the organisation's own server and judges whether the organisation answered. What the
//! organisation answers is either written in its document, or learned while the network works.

use url::Url;

use crate::{Failure, PortalCheck};

/// What came back over plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Nothing(Failure),
    Answer(Answer),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The host of a redirect that leaves the host that was asked.
    pub(super) leads_to: Option<String>,
    /// The body is a web page.
    pub(super) page: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A welcome page answers.
    Portal,
    /// The organisation's server answered: the network works.
    Genuine,
    /// Nobody answered.
    Silent,
}

/// `usual` is what was seen while services were reachable.
pub(super) fn judge(check: &PortalCheck, usual: Option<&Answer>, seen: &Seen) -> Verdict {
    let answer = match seen {
        Seen::Nothing(_) => return Verdict::Silent,
        Seen::Answer(answer) => answer,
    };
    // RFC 6585 §6: the status exists for this.
    if answer.status == 511 {
        return Verdict::Portal;
    }
    match (check.status, usual) {
        (Some(expected), _) if answer.status == expected => Verdict::Genuine,
        // The organisation's own server in trouble.
        (Some(_), _) if answer.status >= 500 => Verdict::Genuine,
        (Some(_), _) => Verdict::Portal,
        (None, Some(usual)) if usual == answer => Verdict::Genuine,
        (None, _) if answer.leads_to.is_some() => Verdict::Portal,
        (None, _) if answer.page && answer.status == 200 => Verdict::Portal,
        (None, _) => Verdict::Genuine,
    }
}

/// The host a redirect leads to, when that is neither the host asked nor one below or above it
/// (`example.org` → `www.example.org` is the same house).
pub(super) fn leaves(asked: &Url, location: &str) -> Option<String> {
    let from = asked.host_str()?;
    let target = asked.join(location).ok()?;
    let to = target.host_str().unwrap_or_default();
    let related = to == from || is_below(to, from) || is_below(from, to);
    (!related).then(|| to.to_owned())
}

/// `www.example.org` is below `example.org`; nothing is below a name of one label.
fn is_below(name: &str, top: &str) -> bool {
    top.contains('.')
        && name
            .strip_suffix(top)
            .is_some_and(|front| front.ends_with('.'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn check(status: Option<u16>) -> PortalCheck {
        PortalCheck {
            url: Url::parse("http://saint-elme.example/alive").unwrap(),
            status,
        }
    }

    fn answer(status: u16, leads_to: Option<&str>, page: bool) -> Answer {
        Answer {
            status,
            leads_to: leads_to.map(str::to_owned),
            page,
        }
    }

    #[test]
    fn an_organisation_that_names_its_answer_is_recognised_by_it() {
        let judge = |seen: Answer| judge(&check(Some(204)), None, &Seen::Answer(seen));
        assert_eq!(judge(answer(204, None, false)), Verdict::Genuine);
        assert_eq!(judge(answer(200, None, true)), Verdict::Portal);
        assert_eq!(
            judge(answer(302, Some("wifi.hotel"), false)),
            Verdict::Portal
        );
        assert_eq!(judge(answer(503, None, true)), Verdict::Genuine);
        assert_eq!(judge(answer(511, None, true)), Verdict::Portal);
    }

    #[test]
    fn without_a_named_answer_only_what_looks_like_a_portal_is_one() {
        let judge = |seen: Answer| judge(&check(None), None, &Seen::Answer(seen));
        assert_eq!(
            judge(answer(302, Some("wifi.hotel"), false)),
            Verdict::Portal
        );
        assert_eq!(judge(answer(200, None, true)), Verdict::Portal);
        assert_eq!(judge(answer(301, None, false)), Verdict::Genuine);
        assert_eq!(judge(answer(404, None, true)), Verdict::Genuine);
    }

    #[test]
    fn an_answer_learned_while_the_network_worked_is_no_portal() {
        let usual = answer(200, None, true);
        let judge = |seen: Answer| judge(&check(None), Some(&usual), &Seen::Answer(seen));
        assert_eq!(judge(answer(200, None, true)), Verdict::Genuine);
        assert_eq!(
            judge(answer(302, Some("wifi.hotel"), false)),
            Verdict::Portal
        );
    }

    #[test]
    fn silence_is_no_portal() {
        let silence = Seen::Nothing(Failure::Timeout);
        assert_eq!(judge(&check(Some(204)), None, &silence), Verdict::Silent);
    }

    #[test]
    fn a_redirect_within_the_organisations_house_does_not_leave_it() {
        let asked = Url::parse("http://saint-elme.example/alive").unwrap();
        assert_eq!(leaves(&asked, "https://saint-elme.example/alive"), None);
        assert_eq!(leaves(&asked, "https://www.saint-elme.example/"), None);
        assert_eq!(leaves(&asked, "/elsewhere"), None);
        assert_eq!(
            leaves(&asked, "http://wifi.hotel/login").as_deref(),
            Some("wifi.hotel")
        );
        assert_eq!(
            leaves(&asked, "http://notsaint-elme.example/").as_deref(),
            Some("notsaint-elme.example")
        );
    }
}
