#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

fn read(html: &str) -> Vec<Node> {
    rich_of(html).nodes
}

fn rich_of(html: &str) -> Rich {
    let name_of = |id: &str| (id == "@anne:saint-elme.example").then(|| "Anne Dubois".to_owned());
    rich(
        html,
        Reader {
            user_id: "@me:saint-elme.example",
            name_of: &name_of,
        },
    )
}

fn text(text: &str) -> Node {
    Node::Text {
        text: text.to_owned(),
    }
}

fn element(name: ElementName, children: Vec<Node>) -> Node {
    Node::Element { name, children }
}

/// Nesting and number of nodes.
fn size(nodes: &[Node]) -> (usize, usize) {
    nodes.iter().fold((0, 0), |(depth, count), node| {
        let (inner, below) = match node {
            Node::Element { children, .. } | Node::Link { children, .. } => size(children),
            _ => (0, 0),
        };
        (depth.max(inner + 1), count + below + 1)
    })
}

#[test]
fn what_markdown_makes_is_read_back() {
    assert_eq!(
        read(
            "<p>Bonjour <strong>Anne</strong> &amp; co</p>\n<ul>\n<li>un</li>\n<li>deux</li>\n</ul>\n"
        ),
        [
            element(
                ElementName::P,
                vec![
                    text("Bonjour "),
                    element(ElementName::Strong, vec![text("Anne")]),
                    text(" & co")
                ]
            ),
            element(
                ElementName::Ul,
                vec![
                    element(ElementName::Li, vec![text("un")]),
                    element(ElementName::Li, vec![text("deux")])
                ]
            ),
        ]
    );
}

#[test]
fn code_keeps_its_spaces() {
    assert_eq!(
        read("<pre><code>a\n  b</code></pre>"),
        [element(
            ElementName::Pre,
            vec![element(ElementName::Code, vec![text("a\n  b")])]
        )]
    );
}

#[test]
fn a_link_that_runs_something_is_only_its_text() {
    assert_eq!(
        read("<a href=\"javascript:alert(1)\">cliquez</a>"),
        [text("cliquez")]
    );
    assert_eq!(
        read("<a href='&#106;avascript:alert(1)'>cliquez</a>"),
        [text("cliquez")]
    );
    assert_eq!(read("<a href=data:text/html,x>x</a>"), [text("x")]);
}

#[test]
fn scripts_styles_and_images_leave_nothing_that_loads() {
    assert_eq!(
        read("<script>alert(1)</script>a<style>b</style><img src=x onerror=alert(1) alt=photo>"),
        [text("aphoto")]
    );
    assert_eq!(read("<svg onload=x><p>no</p></svg>yes"), [text("yes")]);
}

#[test]
fn the_quoted_text_of_an_old_reply_is_left_out() {
    assert_eq!(
        read("<mx-reply><blockquote>avant <mx-reply>x</mx-reply></blockquote></mx-reply>après"),
        [text("après")]
    );
}

#[test]
fn a_mention_shows_the_name_the_room_knows_and_not_what_the_sender_wrote() {
    assert_eq!(
        read("<a href=\"https://matrix.to/#/@anne:saint-elme.example\">Direction</a>"),
        [Node::Mention {
            user_id: "@anne:saint-elme.example".into(),
            name: "Anne Dubois".into(),
            me: false
        }]
    );
    assert_eq!(
        read("<a href=\"https://matrix.to/#/@me:saint-elme.example\">x</a>"),
        [Node::Mention {
            user_id: "@me:saint-elme.example".into(),
            name: "me".into(),
            me: true
        }]
    );
}

#[test]
fn a_bare_address_in_rich_text_is_a_link_too() {
    let nodes = read("<p>voir https://example.org</p>");
    assert!(
        matches!(&nodes[0], Node::Element { children, .. } if matches!(children[1], Node::Link { .. }))
    );
}

#[test]
fn a_depth_bomb_is_shown_flat() {
    let bomb = "<div>".repeat(13_000) + "fond";
    let rich = rich_of(&bomb);
    assert!(size(&rich.nodes).0 <= MAX_DEPTH + 2);
    assert!(rich.truncated || format!("{:?}", rich.nodes).contains("fond"));
    let (open, close) = ("<blockquote>".repeat(1_000), "</blockquote>".repeat(1_000));
    let bomb = format!("{open}fond{close}après");
    assert!(format!("{:?}", read(&bomb)).contains("après"));
}

#[test]
fn a_megabyte_is_cut_and_said_to_be() {
    let rich = rich_of(&"a".repeat(1_000_000));
    assert!(rich.truncated);
    let many = rich_of(&"<b>a</b>".repeat(8_000));
    assert!(many.truncated && size(&many.nodes).1 <= MAX_NODES * 2 + 2);
}

#[test]
fn a_lonely_angle_bracket_is_text() {
    assert_eq!(read("3 < 4 > 2"), [text("3 < 4 > 2")]);
    assert_eq!(read("a <b unfinished"), [text("a")]);
}

#[test]
fn direction_overrides_do_not_reach_the_screen() {
    assert_eq!(read("a\u{202e}b&#x202e;c"), [text("abc")]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn any_input_gives_bounded_nodes(html in "(<[/!]?(p|a|b|div|li|ul|pre|mx-reply|script|x)( href=['\"]?[^>]{0,9}['\"]?)?[>]?|&(amp|#x?[0-9a-f]{0,7}|zz);?|[^<]{0,5}|.){0,80}") {
        let rich = rich_of(&html);
        let (depth, count) = size(&rich.nodes);
        prop_assert!(depth <= MAX_DEPTH + 2 && count <= MAX_NODES * 2);
        let shown = format!("{:?}", rich.nodes);
        prop_assert!(!shown.contains("href: \"javascript:") && !shown.contains("href: \"data:"));
    }

    #[test]
    fn any_text_at_all_is_survived(html in any::<String>()) {
        let _ = rich_of(&html);
        let _ = super::super::plain(&html);
        let _ = super::super::one_line(&html, 80);
    }
}
