#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

const GOOD: &str = r#"version = 1

[wireguard]
gateway = "vpn.corp.test:51820"
other_ports = [443]
gateway_key = "VNw0xzHnm+oiiMsQsjGh1BAODx9i3GiYxq74BNFrqFY="
private_key = "QElHe2zC1z4jHq0FSaC0Tqg0Wq1ov6y5s8PTQ9gnVXg="
addresses = ["10.77.0.2", "fd77::2"]
networks = ["10.50.0.0/16", "10.77.0.0/24", "fd50::/32", "fd77::/64"]
keepalive = 25
mtu = 1420
echo = "10.77.0.1"
websocket = "wss://vpn.corp.test/wireguard"
ca = "ca.pem"

[names]
servers = ["10.50.0.53"]
search = ["corp.test"]

[policy]
suffixes = ["corp.test"]
networks = ["10.50.0.0/16", "fd50::/32"]
other = "refused"

[probe]
host = "intra.corp.test"
path = "/probe"
expect = "works"
ca = "/etc/corp.pem"

[underlay]
url = "http://corp.test/alive"
status = 204

[proxy]
listen = "127.0.0.1:0"

[[forward]]
listen = "127.0.0.1:13389"
host = "rdp.corp.test"
port = 3389
"#;

fn parse(text: &str) -> Result<Profile, Vec<Mistake>> {
    Profile::parse(text, Path::new("/etc/cordee"))
}

/// The profile with one line changed; answers its mistakes, and the number of the line.
fn broken(line: &str, instead: &str) -> (Vec<Mistake>, usize) {
    let at = GOOD
        .lines()
        .position(|candidate| candidate == line)
        .unwrap_or_else(|| panic!("no line {line}"));
    let text: Vec<&str> = GOOD
        .lines()
        .enumerate()
        .map(|(number, line)| if number == at { instead } else { line })
        .collect();
    match parse(&text.join("\n")) {
        Ok(_) => panic!("{instead} is accepted"),
        Err(mistakes) => (mistakes, at + 1),
    }
}

#[test]
fn a_good_profile_says_what_it_says() {
    let profile = parse(GOOD).unwrap();
    let SourceProfile::WireGuard(wireguard) = &profile.source else {
        panic!("WireGuard")
    };
    assert_eq!(
        (wireguard.host.as_str(), &wireguard.ports[..]),
        ("vpn.corp.test", &[51820, 443][..])
    );
    assert_eq!(
        wireguard.ca.as_deref(),
        Some(Path::new("/etc/cordee/ca.pem"))
    );
    assert_eq!(wireguard.config.inside.v6, Some("fd77::2".parse().unwrap()));
    assert_eq!(profile.probe.ca, Path::new("/etc/corp.pem"));
    assert_eq!(profile.probe.port, 443);
    assert!(profile.coexist);
    assert_eq!(profile.underlay.unwrap().path, "/alive");
    assert_eq!(profile.forwards[0].port, 3389);
}

#[test]
fn a_profile_for_anyconnect_needs_little() {
    let text = r#"version = 1
        coexist = false
        [anyconnect]
        gateway = "vpn.corp.test"
        user = "nathalie"
        [policy]
        networks = ["10.50.0.0/16"]
        [probe]
        host = "10.50.0.80"
        path = "/"
        expect = "x"
        ca = "ca.pem""#;
    let profile = parse(text).unwrap();
    let SourceProfile::AnyConnect(anyconnect) = profile.source else {
        panic!("AnyConnect")
    };
    assert_eq!(
        (anyconnect.host.as_str(), anyconnect.port),
        ("vpn.corp.test", 443)
    );
    assert!(!profile.coexist && profile.proxy.is_none());
}

/// A line of [`GOOD`], what stands there instead, the place that is named, and a word of what is said.
const MISTAKES: &str = r#"
version = 1 | version = 2 | version | version 1
version = 1 | version = "1" | version | invalid type
version = 1 | verzion = 1 | verzion | unknown field
[wireguard] | [wireguard | the file |
[wireguard] | [wireguards] | wireguards | unknown field
private_key = "QElHe2zC1z4jHq0FSaC0Tqg0Wq1ov6y5s8PTQ9gnVXg=" | private_key = 7 | wireguard.private_key | invalid type
private_key = "QElHe2zC1z4jHq0FSaC0Tqg0Wq1ov6y5s8PTQ9gnVXg=" | private_key = "no key" | wireguard.private_key | base 64
private_key = "QElHe2zC1z4jHq0FSaC0Tqg0Wq1ov6y5s8PTQ9gnVXg=" | private_key = "QUJD" | wireguard.private_key | 32 bytes
gateway_key = "VNw0xzHnm+oiiMsQsjGh1BAODx9i3GiYxq74BNFrqFY=" | gateway_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" | wireguard.gateway_key | zeros
gateway = "vpn.corp.test:51820" | gateway = "vpn.corp.test" | wireguard.gateway | port
gateway = "vpn.corp.test:51820" | gateway = "vpn.corp.test:0" | wireguard.gateway | 65535
gateway = "vpn.corp.test:51820" | gateway = "a b:1" | wireguard.gateway | host
gateway = "vpn.corp.test:51820" | gateway = "fd00::1:1" | wireguard.gateway | brackets
other_ports = [443] | other_ports = [0] | wireguard.other_ports | 65535
other_ports = [443] | other_ports = [70000] | wireguard.other_ports[0] | 70000
addresses = ["10.77.0.2", "fd77::2"] | addresses = [] | wireguard.addresses | one address
addresses = ["10.77.0.2", "fd77::2"] | addresses = ["10.77.0.2/24"] | wireguard.addresses[0] | address
addresses = ["10.77.0.2", "fd77::2"] | addresses = ["10.77.0.2", "10.77.0.3"] | wireguard.addresses | each family
keepalive = 25 | keepalive = 0 | wireguard.keepalive | leave it out
keepalive = 25 | keepalive = -1 | wireguard.keepalive | -1
mtu = 1420 | mtu = 9000 | wireguard.mtu | 1500
mtu = 1420 | keepalive = 25 | the file | duplicate
echo = "10.77.0.1" | echo = "10.9.0.1" | wireguard.echo | networks
websocket = "wss://vpn.corp.test/wireguard" | websocket = "ws://vpn.corp.test/" | wireguard.websocket | wss://
servers = ["10.50.0.53"] | servers = ["1.1.1.1"] | names.servers | networks
suffixes = ["corp.test"] | suffixes = ["*.corp.test"] | policy.suffixes[0] | star
networks = ["10.50.0.0/16", "fd50::/32"] | networks = [] | policy.networks | at least one
networks = ["10.50.0.0/16", "fd50::/32"] | networks = ["10.50.0.1/16"] | policy.networks[0] | 10.50.0.0/16
networks = ["10.50.0.0/16", "fd50::/32"] | networks = ["10.50.0.0"] | policy.networks[0] | 10.50.0.0/16
other = "refused" | other = "maybe" | policy.other | unknown variant
host = "intra.corp.test" | host = "other.test" | probe.host | inside
host = "intra.corp.test" |  | probe | host
path = "/probe" | path = "probe" | probe.path | `/`
path = "/probe" | path = "/a\r\nX: y" | probe.path | `/`
expect = "works" | expect = "" | probe.expect | contain
url = "http://corp.test/alive" | url = "https://corp.test/" | underlay.url | http
listen = "127.0.0.1:0" | listen = "0.0.0.0:0" | proxy.listen | 127.0.0.1
listen = "127.0.0.1:13389" | listen = "13389" | forward[0].listen | address
host = "rdp.corp.test" | host = "rdp.other" | forward.host | inside
port = 3389 | port = 0 | forward.port | 65535
port = 3389 | ports = 1 | forward[0].ports | unknown field
"#;

#[test]
fn each_mistake_is_named_with_its_line_and_key() {
    let mut wrong = Vec::new();
    for row in MISTAKES.trim().lines() {
        let mut cells = row.split('|').map(str::trim);
        let [line, instead, key, what] = std::array::from_fn(|_| cells.next().unwrap());
        let (mistakes, number) = broken(line, instead);
        let [mistake] = &mistakes[..] else {
            panic!("{instead}: {mistakes:?}")
        };
        // What is missing is said at its table, and a broken table at one of its lines.
        let near = mistake.line.abs_diff(number) <= 1 + usize::from(instead.is_empty());
        if mistake.key != key || !mistake.what.contains(what) || !near {
            wrong.push(format!("{instead} (line {number}): {mistake}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn exactly_one_way_in_is_needed() {
    let none = GOOD.replace("[wireguard]", "[names.x]");
    assert!(parse(&none).is_err());
    let both = format!("{GOOD}\n[anyconnect]\ngateway = \"a.test\"\n");
    let mistakes = parse(&both).unwrap_err();
    assert_eq!(mistakes[0].key, "anyconnect");
    let (start, rest) = GOOD.split_at(GOOD.find("[wireguard]").unwrap());
    let rest = &rest[rest.find("[names]").unwrap()..];
    let mistakes = parse(&format!("{start}{rest}")).unwrap_err();
    assert!(mistakes[0].what.contains("[wireguard] or [anyconnect]"));
}

#[test]
fn several_mistakes_are_said_at_once() {
    let text = GOOD
        .replace("mtu = 1420", "mtu = 1")
        .replace("\"127.0.0.1:0\"", "\"192.0.2.1:0\"");
    assert_eq!(parse(&text).unwrap_err().len(), 2);
}

#[test]
fn a_key_is_never_shown() {
    let shown = format!("{:?}", parse(GOOD).unwrap());
    assert!(!shown.contains("QElHe2zC1z4jHq0FSaC0"));
    let cut = GOOD.replace(
        "QElHe2zC1z4jHq0FSaC0Tqg0Wq1ov6y5s8PTQ9gnVXg=",
        "QElHe2zC1z4jHq0FSaC0",
    );
    let mistakes = parse(&cut).unwrap_err();
    assert!(!mistakes[0].to_string().contains("QElHe2zC1z4jHq0FSaC0"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_damaged_profile_never_panics(
        cut in any::<proptest::sample::Index>(),
        length in 0usize..40,
        insert in "\\PC{0,12}",
    ) {
        let start = cut.index(GOOD.len());
        let end = (start + length).min(GOOD.len());
        let text = format!("{}{insert}{}", &GOOD[..start], &GOOD[end..]);
        if let Err(mistakes) = parse(&text) {
            prop_assert!(!mistakes.is_empty());
            prop_assert!(mistakes.iter().all(|m| m.line <= text.lines().count() + 1));
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        prop_assert!(parse(&text).is_err());
    }
}
