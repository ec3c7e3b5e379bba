//! The HTML of `formatted_body`, reduced to [`Node`]s.
//!
//! The elements are those of the Matrix specification (Client-Server API §11.2.1.6, `m.room.message`
//! msgtypes). Unknown elements lose their tag and keep their text; scripts, styles and the quoted text of old
//! replies (`mx-reply`) lose both. There is no recursion on the input: depth, nodes and bytes are bounded.

use super::links::{self, Target};
use super::tokens::{Token, attribute, entities, next_token};
use super::{MAX_DEPTH, MAX_NODES, MAX_TEXT, Reader, Rich, cut};
use crate::view::{ElementName, Node};

/// Turns HTML of a stranger into nodes. Never fails: what makes no sense is text or nothing.
pub fn rich(html: &str, reader: Reader<'_>) -> Rich {
    let (html, cut_short) = cut(html, MAX_TEXT);
    let mut builder = Builder {
        reader,
        stack: vec![Frame::new(Kind::Root, "")],
        beyond: 0,
        count: 0,
        skipping: None,
    };
    let mut rest = html;
    while !rest.is_empty() && builder.count < MAX_NODES {
        let (token, after) = next_token(rest);
        builder.take(token);
        rest = after;
    }
    let truncated = cut_short || !rest.is_empty();
    Rich {
        nodes: builder.finish(),
        truncated,
    }
}

enum Kind {
    Root,
    Element(ElementName),
    Link(Target),
}

struct Frame {
    kind: Kind,
    /// The tag that opened it, to find it when it closes.
    tag: String,
    children: Vec<Node>,
}

impl Frame {
    fn new(kind: Kind, tag: &str) -> Self {
        Self {
            kind,
            tag: tag.to_owned(),
            children: Vec::new(),
        }
    }

    fn is_block(&self) -> bool {
        match &self.kind {
            Kind::Root => true,
            Kind::Element(name) => is_block(*name),
            Kind::Link(_) => false,
        }
    }
}

fn is_block(name: ElementName) -> bool {
    use ElementName::{Blockquote, H, Li, Ol, P, Pre, Ul};
    matches!(name, P | Pre | Blockquote | Ul | Ol | Li | H)
}

struct Builder<'a> {
    reader: Reader<'a>,
    stack: Vec<Frame>,
    /// Open elements that were not put on the stack because it is deep enough.
    beyond: usize,
    count: usize,
    /// Inside an element whose content is not shown, and how deep.
    skipping: Option<(String, usize)>,
}

impl Builder<'_> {
    fn take(&mut self, token: Token<'_>) {
        if let Some((tag, depth)) = &mut self.skipping {
            match token {
                Token::Open {
                    name,
                    closed: false,
                    ..
                } if name == *tag => *depth += 1,
                Token::Close { name } if name == *tag => {
                    *depth -= 1;
                    if *depth == 0 {
                        self.skipping = None;
                    }
                }
                _ => {}
            }
            return;
        }
        match token {
            Token::Text(text) => self.text(&entities(text)),
            Token::Open {
                name,
                attributes,
                closed,
            } => self.open(&name, attributes, closed),
            Token::Close { name } => self.close(&name),
            Token::Nothing => {}
        }
    }

    fn open(&mut self, tag: &str, attributes: &str, closed: bool) {
        use ElementName::{Blockquote, Code, Del, Em, H, Li, Ol, P, Pre, Strong, U, Ul};
        let kind = match tag {
            "p" | "div" => Kind::Element(P),
            "strong" | "b" => Kind::Element(Strong),
            "em" | "i" => Kind::Element(Em),
            "del" | "s" | "strike" => Kind::Element(Del),
            "u" => Kind::Element(U),
            "code" => Kind::Element(Code),
            "pre" => Kind::Element(Pre),
            "blockquote" => Kind::Element(Blockquote),
            "ul" => Kind::Element(Ul),
            "ol" => Kind::Element(Ol),
            "li" => Kind::Element(Li),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => Kind::Element(H),
            "a" => Kind::Link(links::target(
                &attribute(attributes, "href").unwrap_or_default(),
            )),
            "br" | "hr" => return self.push(Node::Break),
            "tr" => return self.line_break(),
            "td" | "th" => return self.text(" "),
            "img" => return self.text(&attribute(attributes, "alt").unwrap_or_default()),
            "mx-reply" | "script" | "style" | "title" | "head" | "template" | "iframe"
            | "object" | "svg" | "math" | "noscript" | "textarea" | "select"
                if !closed =>
            {
                self.skipping = Some((tag.to_owned(), 1));
                return;
            }
            _ => return,
        };
        if closed {
            return;
        }
        // A new paragraph or point ends the one before it.
        if matches!(tag, "p" | "li") && self.stack.last().is_some_and(|frame| frame.tag == tag) {
            self.close(tag);
        }
        if self.stack.len() > MAX_DEPTH {
            self.beyond += 1;
            return;
        }
        self.stack.push(Frame::new(kind, tag));
    }

    fn close(&mut self, tag: &str) {
        if self.beyond > 0 {
            self.beyond -= 1;
            return;
        }
        let Some(at) = self
            .stack
            .iter()
            .rposition(|frame| frame.tag == tag)
            .filter(|at| *at > 0)
        else {
            return;
        };
        while self.stack.len() > at {
            self.close_last();
        }
    }

    fn close_last(&mut self) {
        let Some(mut frame) = self.stack.pop() else {
            return;
        };
        if frame.is_block() && !matches!(frame.kind, Kind::Element(ElementName::Pre)) {
            trim_end(&mut frame.children);
        }
        match frame.kind {
            Kind::Root => self.stack.push(frame),
            Kind::Element(_) if frame.children.is_empty() => {}
            Kind::Element(name) => self.push(Node::Element {
                name,
                children: frame.children,
            }),
            Kind::Link(Target::Web(href)) => {
                let children = if frame.children.is_empty() {
                    vec![Node::Text {
                        text: links::shown(&href),
                    }]
                } else {
                    frame.children
                };
                self.push(Node::Link { href, children });
            }
            Kind::Link(Target::Person(user_id)) => {
                let mention = self.reader.mention(user_id);
                self.push(mention);
            }
            Kind::Link(Target::Refused) => {
                for child in frame.children {
                    self.push(child);
                }
            }
        }
    }

    fn text(&mut self, text: &str) {
        let literal = self.inside(|kind| matches!(kind, Kind::Element(ElementName::Pre)));
        let linked = literal
            || self.inside(|kind| matches!(kind, Kind::Link(_) | Kind::Element(ElementName::Code)));
        let text = if literal {
            links::shown(text)
        } else {
            self.collapsed(text)
        };
        if text.is_empty() {
            return;
        }
        if linked {
            self.push(Node::Text { text });
            return;
        }
        let mut nodes = Vec::new();
        links::push_linked(&text, &mut nodes);
        for node in nodes {
            self.push(node);
        }
    }

    /// White space as a browser shows it: one space between words, none at the start of a block.
    fn collapsed(&self, text: &str) -> String {
        let at_start = self
            .stack
            .last()
            .is_some_and(|frame| match frame.children.last() {
                None => frame.is_block(),
                Some(Node::Break) => true,
                Some(Node::Element { name, .. }) => is_block(*name),
                Some(Node::Text { text }) => text.ends_with(' '),
                Some(_) => false,
            });
        let mut clear = String::with_capacity(text.len());
        for letter in text.chars() {
            if matches!(letter, ' ' | '\t' | '\n' | '\r' | '\u{c}') {
                let dropped = clear.ends_with(' ') || (clear.is_empty() && at_start);
                if !dropped {
                    clear.push(' ');
                }
            } else {
                clear.push(letter);
            }
        }
        clear
    }

    fn line_break(&mut self) {
        if self
            .stack
            .last()
            .is_some_and(|frame| !frame.children.is_empty())
        {
            self.push(Node::Break);
        }
    }

    fn inside(&self, wanted: impl Fn(&Kind) -> bool) -> bool {
        self.stack.iter().any(|frame| wanted(&frame.kind))
    }

    fn push(&mut self, node: Node) {
        self.count += 1;
        let Some(frame) = self.stack.last_mut() else {
            return;
        };
        match (frame.children.last_mut(), node) {
            (Some(Node::Text { text: before }), Node::Text { text }) => before.push_str(&text),
            (_, node) => frame.children.push(node),
        }
    }

    fn finish(mut self) -> Vec<Node> {
        while self.stack.len() > 1 {
            self.close_last();
        }
        let mut nodes = self
            .stack
            .pop()
            .map(|frame| frame.children)
            .unwrap_or_default();
        trim_end(&mut nodes);
        nodes
    }
}

/// Drops breaks and spaces at the end of a block.
fn trim_end(nodes: &mut Vec<Node>) {
    while let Some(last) = nodes.last_mut() {
        match last {
            Node::Break => {
                nodes.pop();
            }
            Node::Text { text } => {
                text.truncate(text.trim_end_matches([' ', '\n']).len());
                if !text.is_empty() {
                    return;
                }
                nodes.pop();
            }
            _ => return,
        }
    }
}

#[cfg(test)]
#[path = "html_tests.rs"]
mod tests;
