#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn whole() -> Value {
    json!({
        "version": 1,
        "name": "Cliniques Saint-Elme",
        "domain": "saint-elme.example",
        "help": "Poste 4040, jour et nuit",
        "accent": "#0b6e75",
        "identity": {
            "issuer": "https://auth.saint-elme.example",
            "clientId": "cordee",
            "redirectPorts": [47811, 47812, 47813],
            "privateScheme": "cordee",
            "scopes": ["openid", "profile"],
            "secondFactor": "sms",
        },
        "chat": {
            "homeserver": "https://chat.saint-elme.example",
            "identityProvider": "oidc-llng",
        },
        "services": [
            { "id": "intranet", "name": "Intranet", "url": "https://intra.saint-elme.example/health", "expect": { "status": 204 } },
            { "id": "scheduling", "kind": "other", "url": "https://fhir.saint-elme.example/metadata", "expect": { "jsonField": "fhirVersion" } },
            { "id": "web", "url": "https://www.saint-elme.example" },
        ],
        "internalDomains": ["saint-elme.example", "*.intra.saint-elme.example"],
        "connectivityCheck": { "url": "http://saint-elme.example/alive" },
        "settings": { "notificationContent": { "value": false, "reason": "Secret médical" } },
        "applications": [{ "anything": [1, 2, 3] }],
        "somethingFromTheFuture": { "version": 9 },
    })
}

fn parse(document: &Value) -> Result<Document, DocumentError> {
    Document::parse(document.to_string().as_bytes())
}

/// The whole document with `value` at `pointer`; `null` removes.
fn with(pointer: &str, value: Value) -> Value {
    let mut document = whole();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap() {
        Value::Object(members) if value.is_null() => {
            members.remove(name);
        }
        Value::Object(members) => {
            members.insert(name.to_owned(), value);
        }
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = value,
        other => panic!("{other}"),
    }
    document
}

fn place_of(document: &Value) -> String {
    match parse(document) {
        Err(DocumentError::Bad { place, .. }) => place.as_str().to_owned(),
        other => panic!("{document}: {other:?}"),
    }
}

#[test]
fn a_whole_document_is_understood_and_what_is_unknown_is_kept_raw() {
    let document = parse(&whole()).unwrap();
    let identity = document.identity.as_ref().unwrap();
    assert_eq!(identity.issuer, "https://auth.saint-elme.example");
    assert_eq!(identity.second_factor, Some(SecondFactor::Sms));
    assert_eq!(document.services[0].expect.status, Some(204));
    assert_eq!(document.connectivity_check.as_ref().unwrap().status, 204);
    assert_eq!(document.settings["notificationContent"].value, json!(false));
    assert_eq!(document.raw["applications"][0]["anything"][2], 3);
}

#[test]
fn a_version_and_a_name_are_enough() {
    let document = parse(&json!({ "version": 1, "name": "Saint-Elme" })).unwrap();
    assert_eq!(document.identity, None);
    assert_eq!(document.sign_in(), crate::SignIn::Password);
}

#[test]
fn an_identity_with_only_an_issuer_has_the_documented_defaults() {
    let document = with(
        "/identity",
        json!({ "issuer": "https://auth.saint-elme.example/" }),
    );
    let identity = parse(&document).unwrap().identity.unwrap();
    assert_eq!(
        identity,
        Identity::usual("https://auth.saint-elme.example/".to_owned())
    );
}

#[test]
fn a_byte_order_mark_is_forgiven() {
    let text = format!("\u{FEFF}{}", whole());
    assert!(Document::parse(text.as_bytes()).is_ok());
}

#[test]
fn what_is_not_json_is_named_with_line_and_column() {
    let error = Document::parse(b"{\n \"version\": 1,\n}").unwrap_err();
    assert_eq!(error.to_string(), "at the top: not JSON (line 3, column 1)");
    for text in [
        "",
        "[]",
        "1",
        "null",
        "\"text\"",
        "{\"version\":1",
        "<html>",
    ] {
        assert!(
            matches!(Document::parse(text.as_bytes()), Err(DocumentError::Bad { place, .. }) if place.as_str().is_empty()),
            "{text}"
        );
    }
}

#[test]
fn a_version_from_the_future_is_refused_as_such() {
    for version in [2, 3, 1000] {
        let document = with("/version", json!(version));
        assert_eq!(
            parse(&document),
            Err(DocumentError::UnsupportedVersion { version })
        );
    }
    for version in [json!("1"), json!(0), json!(1.5), json!(-1), json!({})] {
        assert_eq!(place_of(&with("/version", version)), "/version");
    }
    assert_eq!(place_of(&with("/version", Value::Null)), "/version");
}

#[test]
fn the_version_is_judged_before_anything_else() {
    let document = json!({ "version": 2, "name": 5 });
    assert_eq!(
        parse(&document),
        Err(DocumentError::UnsupportedVersion { version: 2 })
    );
}

#[test]
fn a_wrong_type_is_named_with_its_place() {
    for (pointer, value) in [
        ("/name", json!(5)),
        ("/help", json!(["4040"])),
        ("/identity", json!("https://auth.example")),
        ("/identity/redirectPorts", json!("47811")),
        ("/identity/redirectPorts/1", json!(70000)),
        ("/identity/secondFactor", json!("pigeon")),
        ("/chat/homeserver", json!(true)),
        ("/services", json!({})),
        ("/services/1/kind", json!("magic")),
        ("/services/0/expect/status", json!("204")),
        ("/internalDomains/0", json!({})),
        ("/settings/notificationContent", json!(false)),
    ] {
        assert_eq!(place_of(&with(pointer, value)), pointer);
    }
}

#[test]
fn an_impossible_value_is_named_with_its_place() {
    let long = "x".repeat(501);
    for (pointer, value) in [
        ("/name", json!("  ")),
        ("/name", json!("Saint\u{202E}emlE")),
        ("/help", json!(long)),
        ("/domain", json!("na@saint-elme.example")),
        ("/accent", json!("teal")),
        ("/accent", json!("#0b6e7")),
        ("/identity/issuer", json!("http://auth.saint-elme.example")),
        ("/identity/issuer", json!("auth.saint-elme.example")),
        (
            "/identity/issuer",
            json!("https://auth.saint-elme.example/?realm=x"),
        ),
        (
            "/identity/issuer",
            json!("https://na:pw@auth.saint-elme.example/"),
        ),
        ("/identity/clientId", json!("")),
        ("/identity/redirectPorts/0", json!(80)),
        ("/identity/privateScheme", json!("https")),
        ("/identity/privateScheme", json!("Cordee:")),
        ("/identity/scopes", json!(["profile"])),
        ("/identity/scopes/1", json!("pro file")),
        ("/chat/homeserver", json!("http://chat.saint-elme.example")),
        ("/chat/identityProvider", json!("a/../b")),
        ("/services/0/id", json!("chat")),
        ("/services/1/id", json!("intranet")),
        ("/services/0/url", json!("ftp://intra.saint-elme.example")),
        (
            "/services/0/expect",
            json!({ "status": 204, "jsonField": "x" }),
        ),
        ("/services/0/expect/status", json!(7)),
        ("/internalDomains/1", json!("..")),
        (
            "/connectivityCheck/url",
            json!("https://saint-elme.example/alive"),
        ),
        ("/settings/notificationContent/reason", json!("")),
    ] {
        assert_eq!(place_of(&with(pointer, value.clone())), pointer, "{value}");
    }
    let unreachable =
        json!({ "issuer": "https://a.example", "redirectPorts": [], "privateScheme": null });
    assert_eq!(
        place_of(&with("/identity", unreachable)),
        "/identity/redirectPorts"
    );
}

#[test]
fn a_missing_member_is_named_at_the_object_that_lacks_it() {
    assert_eq!(
        place_of(&with("/identity/issuer", Value::Null)),
        "/identity"
    );
    let error = parse(&with("/chat/homeserver", Value::Null)).unwrap_err();
    assert_eq!(error.to_string(), "at /chat: missing field `homeserver`");
}

#[test]
fn too_many_of_anything_is_refused() {
    let services: Vec<_> = (0..65)
        .map(|n| json!({ "id": format!("s{n}"), "url": "https://a.example" }))
        .collect();
    assert_eq!(place_of(&with("/services", json!(services))), "/services");
    assert_eq!(
        place_of(&with("/internalDomains", json!(vec!["a.example"; 1001]))),
        "/internalDomains"
    );
    let large = with("/applications", json!("x".repeat(LARGEST)));
    assert_eq!(parse(&large), Err(DocumentError::TooLarge));
}

#[test]
fn everything_a_document_names_is_watched() {
    let document = parse(&whole()).unwrap();
    let address = crate::Address::parse("nathalie@saint-elme.example").unwrap();
    let watched: Vec<_> = document
        .watched(&address, true)
        .into_iter()
        .map(|watched| (watched.id, watched.url.to_string()))
        .collect();
    let of = |id: &str, url: &str| (id.to_owned(), url.to_owned());
    assert_eq!(
        watched,
        [
            of(
                "organisation",
                "https://saint-elme.example/.well-known/cordee"
            ),
            of(
                "signIn",
                "https://auth.saint-elme.example/.well-known/openid-configuration"
            ),
            of(
                "chat",
                "https://chat.saint-elme.example/_matrix/client/versions"
            ),
            of("intranet", "https://intra.saint-elme.example/health"),
            of("scheduling", "https://fhir.saint-elme.example/metadata"),
            of("web", "https://www.saint-elme.example/"),
        ]
    );
    let check = document.portal_check(&address).unwrap();
    assert_eq!(
        (check.url.as_str(), check.status),
        ("http://saint-elme.example/alive", Some(204))
    );
    let bare = parse(&json!({ "version": 1, "name": "x" }))
        .unwrap()
        .portal_check(&address)
        .unwrap();
    assert_eq!(
        (bare.url.as_str(), bare.status),
        ("http://saint-elme.example/.well-known/cordee-portal", None)
    );
}

/// The published schema and the reader agree on what exists.
#[test]
fn the_published_schema_names_the_same_members_as_the_reader() {
    let schema: Value =
        serde_json::from_str(include_str!("../../../../../docs/organisation.schema.json")).unwrap();
    let members = |pointer: &str| -> Vec<String> {
        let mut names: Vec<_> = schema
            .pointer(pointer)
            .unwrap_or_else(|| panic!("{pointer}"))
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        names.sort();
        names
    };
    let mut top = vec![
        "version",
        "name",
        "domain",
        "help",
        "accent",
        "identity",
        "chat",
        "services",
        "internalDomains",
        "connectivityCheck",
        "settings",
        // Kept as they are, for features to come.
        "applications",
        "posture",
        "support",
    ];
    top.sort_unstable();
    assert_eq!(members("/properties"), top);
    let of = |pointer: &str, mut names: Vec<&str>| {
        names.sort_unstable();
        assert_eq!(members(pointer), names, "{pointer}");
    };
    of(
        "/properties/identity/properties",
        vec![
            "issuer",
            "clientId",
            "redirectPorts",
            "privateScheme",
            "scopes",
            "secondFactor",
        ],
    );
    of(
        "/properties/chat/properties",
        vec!["homeserver", "identityProvider"],
    );
    of(
        "/properties/services/items/properties",
        vec!["id", "kind", "name", "url", "expect"],
    );
    of(
        "/properties/services/items/properties/expect/properties",
        vec!["status", "jsonField"],
    );
    of(
        "/properties/connectivityCheck/properties",
        vec!["url", "status"],
    );
    of(
        "/properties/settings/properties/language/properties",
        vec!["value", "reason"],
    );
    assert_eq!(schema["properties"]["version"]["const"], VERSION);
    let example = schema["examples"][0].clone();
    parse(&example).expect("the schema's own example");
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in any::<Vec<u8>>()) {
        let _ = Document::parse(&bytes);
    }

    /// Almost right documents go deeper than noise.
    #[test]
    fn no_value_anywhere_makes_the_reader_panic(
        pointer in prop::sample::select(vec![
            "/version", "/name", "/identity", "/identity/issuer", "/identity/redirectPorts",
            "/identity/scopes/0", "/chat/homeserver", "/services/0", "/services/0/expect",
            "/internalDomains/0", "/connectivityCheck/url", "/settings/notificationContent",
        ]),
        value in any_json(),
    ) {
        let _ = parse(&with(pointer, value));
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        "https?://[a-z0-9.:@/?#-]{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z]{1,12}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
