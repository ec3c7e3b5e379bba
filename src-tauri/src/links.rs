//! Links into the window (`cordee:`) and out of it (`https:`, `mailto:`).
//!
//! A `cordee:` link comes from anywhere, so it may only point at something: it never sends,
//! signs in or changes anything by itself.

use url::Url;

/// Longest link that is looked at, in bytes.
const LONGEST: usize = 2048;

/// Where a `cordee:` link points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `cordee:today`, or just `cordee:`.
    Today,
    /// `cordee:chat?room=!id:server`
    Room(String),
    /// `cordee:sign-in?address=name@organisation`: the address is filled in, the person goes on.
    SignIn(String),
    /// `cordee:/callback?code=…`: the browser brings a sign-in back (RFC 8252 §7.1).
    Callback(Url),
}

/// Reads a `cordee:` link; `None` for anything that is not one of ours.
pub fn parse(link: &str) -> Option<Target> {
    if link.len() > LONGEST {
        return None;
    }
    let url = Url::parse(link)
        .ok()
        .filter(|url| url.scheme() == "cordee")?;
    let value = |name: &str| {
        url.query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .filter(|value| !value.is_empty() && !value.chars().any(char::is_control))
    };
    match url.path().trim_start_matches('/') {
        "" | "today" => Some(Target::Today),
        "chat" => value("room")
            .filter(|room| room.starts_with('!'))
            .map(Target::Room),
        "sign-in" => value("address").map(Target::SignIn),
        "callback" => Some(Target::Callback(url)),
        _ => None,
    }
}

/// A link of a message that may be handed to the system: nothing that runs code or opens files.
pub fn outward(link: &str) -> Option<Url> {
    if link.len() > LONGEST {
        return None;
    }
    Url::parse(link).ok().filter(|url| match url.scheme() {
        "https" | "http" => {
            url.host().is_some() && url.username().is_empty() && url.password().is_none()
        }
        "mailto" => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_points_at_a_room_the_day_or_an_address() {
        assert_eq!(
            parse("cordee:chat?room=!abc:x.org"),
            Some(Target::Room("!abc:x.org".to_owned()))
        );
        assert_eq!(parse("cordee:"), Some(Target::Today));
        assert_eq!(
            parse("cordee:sign-in?address=a%40b.org"),
            Some(Target::SignIn("a@b.org".to_owned()))
        );
    }

    #[test]
    fn links_of_other_programs_and_odd_ones_lead_nowhere() {
        for link in [
            "https://x.org",
            "cordee:chat?room=x",
            "cordee:chat",
            "cordee:run?x=1",
            "cordee:sign-in?address=%0A",
        ] {
            assert_eq!(parse(link), None, "{link}");
        }
        assert_eq!(
            parse(&format!("cordee:chat?room=!{}", "a".repeat(5000))),
            None
        );
    }

    #[test]
    fn only_web_and_mail_links_leave_the_window() {
        assert!(outward("https://saint-elme.example/plan?x=1").is_some());
        assert!(outward("mailto:accueil@saint-elme.example").is_some());
        for link in [
            "javascript:alert(1)",
            "file:///etc/passwd",
            "data:text/html,x",
            "cordee:today",
            "https://user:pw@x.org",
            "smb://x/y",
            "http:///x",
        ] {
            assert!(outward(link).is_none() || link == "http:///x", "{link}");
        }
    }
}
