#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

/// What ocserv 1.1 sends after the name.
const PASSWORD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<config-auth client="vpn" type="auth-request">
<version who="sg">0.1(1)</version>
<auth id="main">
<message>Please enter your password.</message>
<form method="post" action="/auth">
<input type="password" name="password" label="Password:" />
</form></auth>
</config-auth>"#;

/// In the manner of Cisco's gateways.
const GROUPS: &str = r#"<config-auth client="vpn" type="auth-request" aggregate-auth-version="2">
<opaque is-for="sg"><tunnel-group>Staff</tunnel-group><config-hash>1&amp;2</config-hash></opaque>
<auth id="main"><title>Login</title><message id="6" param1="Lundi &amp; mardi" param2="">Ouvert: %s.</message>
<error id="13" param1="" param2="">Login failed.</error>
<form><input type="text" name="username" label="Username:"></input><input type="password" name="password" label="Password:"/>
<input type="hidden" name="state" value="a&lt;b"/><input type="submit" name="Login" value="Login"/>
<select name="group_list" label="GROUP:"><option value="A">Staff A</option><option selected="true">Staff B</option></select>
</form></auth></config-auth>"#;

fn asked(text: &str) -> Asked {
    match parse(text).unwrap() {
        Said::Asks(asked) => asked,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_password_is_asked_for_in_the_gateways_words() {
    let asked = asked(PASSWORD);
    assert_eq!(asked.action, "/auth");
    assert_eq!(asked.opaque, None);
    assert_eq!(
        asked.form,
        Form {
            message: "Please enter your password.".to_owned(),
            error: None,
            fields: vec![Field {
                name: "password".to_owned(),
                label: "Password:".to_owned(),
                kind: FieldKind::Secret,
            }],
        }
    );
}

#[test]
fn groups_hidden_fields_and_opaque_parts_go_back_as_they_came() {
    let asked = asked(GROUPS);
    assert_eq!(asked.form.message, "Ouvert: Lundi & mardi.");
    assert_eq!(asked.form.error.as_deref(), Some("Login failed."));
    assert_eq!(asked.form.questions().count(), 3);
    let answers = Answers::new()
        .with("username", "a")
        .with("password", "p<&>\"");
    let sent = answer(&asked, &answers);
    assert!(sent.contains("<opaque is-for=\"sg\"><tunnel-group>Staff</tunnel-group><config-hash>1&amp;2</config-hash></opaque>"));
    assert!(sent.contains("<state>a&lt;b</state>"));
    assert!(sent.contains("<password>p&lt;&amp;&gt;&quot;</password>"));
    assert!(
        sent.contains("<group-select>Staff B</group-select>"),
        "{sent}"
    );
    assert!(!sent.contains("Login"));
    let other = answer(&asked, &answers.with("group_list", "A"));
    assert!(other.contains("<group-select>A</group-select>"));
}

#[test]
fn the_end_of_the_dialogue_is_recognised_with_and_without_a_token() {
    let complete = |inside: &str| {
        parse(&format!(
            r#"<config-auth client="vpn" type="complete"><version who="sg">0.1(1)</version>{inside}<auth id="success"><title>SSL VPN Service</title></auth></config-auth>"#
        ))
    };
    assert_eq!(complete(""), Ok(Said::Complete { token: None }));
    assert_eq!(
        complete("<session-token>AB@1</session-token>"),
        Ok(Said::Complete {
            token: Some("AB@1".to_owned())
        })
    );
}

#[test]
fn a_certificate_of_the_device_can_be_wanted() {
    let text =
        r#"<config-auth client="vpn" type="auth-request"><client-cert-request/></config-auth>"#;
    assert_eq!(parse(text), Ok(Said::WantsCertificate));
}

#[test]
fn what_is_no_sign_in_is_refused() {
    for text in [
        "",
        "<html><body>Welcome to our Wi-Fi</body></html>",
        "<config-auth type=\"auth-request\"><auth id=\"main\"></auth></config-auth>",
        "<!DOCTYPE x [<!ENTITY a \"aaaa\">]><config-auth type=\"auth-request\">&a;</config-auth>",
        "<config-auth type=\"hello\"><form><input name=\"a\"/></form></config-auth>",
        "not XML at all",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
    let many = "<input type=\"text\" name=\"a\"/>".repeat(33);
    assert_eq!(
        parse(&format!(
            "<config-auth type=\"auth-request\"><form>{many}</form></config-auth>"
        )),
        Err(XmlError::TooManyFields)
    );
    assert_eq!(parse(&" ".repeat(LONGEST + 1)), Err(XmlError::TooLong));
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn text_made_of_the_gateways_own_pieces_never_panics(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "<config-auth type=\"auth-request\">", "</config-auth>", "<auth id=\"main\">", "</auth>", "<form>", "</form>",
            "<opaque>", "</opaque>", "<opaque/>", "<select name=\"group_list\">", "</select>", "<option>", "<option value=\"é\">",
            "</option>", "<input name=\"a\" type=\"hidden\" value=\"&#x41;\"/>", "<message>", "%s", "</message>", "&amp;", "&#0;",
            "&unknown;", "<![CDATA[", "]]>", "<!--", "-->", "é", "<", ">", "\"", "<session-token>",
        ]), 0..40)
    ) {
        if let Ok(Said::Asks(asked)) = parse(&pieces.concat()) {
            answer(&asked, &Answers::new());
        }
    }

    #[test]
    fn a_damaged_page_never_panics(at in 0..GROUPS.len(), cut in 0..GROUPS.len(), byte in any::<u8>()) {
        let mut bytes = GROUPS.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = parse(&String::from_utf8_lossy(&bytes));
        let _ = parse(&String::from_utf8_lossy(&bytes[..cut]));
    }

    #[test]
    fn an_answer_comes_through_whatever_was_typed(typed in "\\PC{0,40}") {
        let sent = answer(&asked(PASSWORD), &Answers::new().with("password", typed.clone()));
        let mut reader = Reader::from_str(&sent);
        let mut found = String::new();
        let mut inside = false;
        loop {
            match reader.read_event().unwrap() {
                Event::Start(tag) if tag.local_name().as_ref() == "password" => inside = true,
                Event::End(tag) if tag.local_name().as_ref() == "password" => inside = false,
                Event::Text(text) if inside => found.push_str(&text.into_inner()),
                Event::GeneralRef(entity) if inside => {
                    found.push_str(resolve_predefined_entity(&entity.into_inner()).unwrap());
                }
                Event::Eof => break,
                _ => {}
            }
        }
        prop_assert_eq!(found, typed);
    }
}
