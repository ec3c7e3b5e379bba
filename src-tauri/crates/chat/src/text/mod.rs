//! From what other people wrote to what may be shown.
//!
//! ```text
//! formatted_body ─html─▶ tokens ─┐
//! body ────────────plain────────┴▶ links, mentions ─▶ Vec<Node>   (at most 64 kB, 32 deep, 4,000 nodes)
//! names, file names ─────────────▶ names::*         (no direction tricks, no invisible letters)
//! ```

pub mod html;
pub mod links;
pub mod names;
mod tokens;

use crate::view::Node;

/// Longest text that is turned into nodes, in bytes. What is longer is cut and said to be.
pub const MAX_TEXT: usize = 64 * 1024;
/// Deepest nesting of elements; what is deeper is shown without its own element.
pub const MAX_DEPTH: usize = 32;
/// Most nodes of one message; after that only text is added.
pub const MAX_NODES: usize = 4_000;

/// Who reads, to recognise a mention of themself, and what they call others.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    pub user_id: &'a str,
    /// The name of a person in this room. What a sender writes around somebody's address is not believed.
    pub name_of: &'a dyn Fn(&str) -> Option<String>,
}

impl Reader<'_> {
    pub(crate) fn mention(&self, user_id: String) -> Node {
        let name = (self.name_of)(&user_id).unwrap_or_else(|| names::person(None, &user_id));
        Node::Mention {
            me: user_id == self.user_id,
            name,
            user_id,
        }
    }
}

/// Rich text and whether something was cut.
#[derive(Clone, Debug, PartialEq)]
pub struct Rich {
    pub nodes: Vec<Node>,
    pub truncated: bool,
}

/// The nodes of a text without markup: paragraphs as they are, addresses as links.
pub fn plain(body: &str) -> Rich {
    let (body, truncated) = cut(body, MAX_TEXT);
    let mut nodes = Vec::new();
    for (index, line) in body.split('\n').enumerate() {
        if nodes.len() >= MAX_NODES {
            return Rich {
                nodes,
                truncated: true,
            };
        }
        if index > 0 {
            nodes.push(Node::Break);
        }
        links::push_linked(line, &mut nodes);
    }
    Rich { nodes, truncated }
}

/// The text alone on one line, for previews and notifications, at most `max` characters.
pub fn one_line(body: &str, max: usize) -> String {
    let mut line = String::new();
    let mut letters = 0;
    let mut gap = false;
    for letter in body.chars() {
        if letter.is_whitespace() {
            gap = letters > 0;
            continue;
        }
        if names::is_trick(letter) {
            continue;
        }
        if letters + usize::from(gap) >= max {
            line.push('…');
            break;
        }
        if gap {
            line.push(' ');
            letters += 1;
            gap = false;
        }
        line.push(letter);
        letters += 1;
    }
    line
}

/// The first `max` bytes, not splitting a letter.
pub(crate) fn cut(text: &str, max: usize) -> (&str, bool) {
    if text.len() <= max {
        return (text, false);
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    (&text[..end], true)
}
