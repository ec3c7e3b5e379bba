//! Each message once.
//!
//! The SDK (matrix-sdk-ui 0.18) enters what was just sent by itself. Where the server's own copy of it arrives in that
//! moment, both can stay in its list, with the same event id. The later one is the server's: it is kept, as receipts and
//! edits are applied to it.

use std::collections::HashMap;

use eyeball_im::{Vector, VectorDiff};

use crate::view::Item;

/// The list as the SDK holds it, and whether it holds anything twice.
#[derive(Debug, Default)]
pub(super) struct Once {
    told: Vector<Item>,
    twice: bool,
}

impl Once {
    /// Changes of the SDK's list as changes of `shown`, the same list with every message once.
    pub(super) fn pass(
        &mut self,
        changes: Vec<VectorDiff<Item>>,
        shown: &Vector<Item>,
    ) -> Vec<VectorDiff<Item>> {
        let mut ours = self.twice;
        for change in &changes {
            ours |= brings_own(change);
            change.clone().apply(&mut self.told);
        }
        // The list may hold thousands: it is looked through only when a message of one's own came.
        let left = ours.then(|| without_copies(&self.told)).flatten();
        let was = std::mem::replace(&mut self.twice, left.is_some());
        match left {
            None if !was => changes,
            left => difference(shown, left.as_ref().unwrap_or(&self.told)),
        }
    }
}

/// The list without the older copies; `None` when each message is there once.
fn without_copies(told: &Vector<Item>) -> Option<Vector<Item>> {
    let mut last = HashMap::with_capacity(told.len());
    let mut twice = false;
    for (at, item) in told.iter().enumerate() {
        if let Some(id) = event_id(item) {
            twice |= last.insert(id, at).is_some();
        }
    }
    twice.then(|| {
        let kept = |(at, item): (usize, &Item)| {
            event_id(item)
                .is_none_or(|id| last.get(id) == Some(&at))
                .then(|| item.clone())
        };
        told.iter().enumerate().filter_map(kept).collect()
    })
}

/// The event of a message of one's own that the server has taken.
fn event_id(item: &Item) -> Option<&str> {
    match item {
        Item::Message {
            event_id,
            mine: true,
            ..
        } => event_id.as_deref(),
        _ => None,
    }
}

fn brings_own(change: &VectorDiff<Item>) -> bool {
    match change {
        VectorDiff::Append { values } | VectorDiff::Reset { values } => {
            values.iter().any(|item| event_id(item).is_some())
        }
        VectorDiff::PushFront { value }
        | VectorDiff::PushBack { value }
        | VectorDiff::Insert { value, .. }
        | VectorDiff::Set { value, .. } => event_id(value).is_some(),
        VectorDiff::PopFront
        | VectorDiff::PopBack
        | VectorDiff::Remove { .. }
        | VectorDiff::Truncate { .. }
        | VectorDiff::Clear => false,
    }
}

/// What leads from one list to the other: what both begin and end with stays untouched.
fn difference(before: &Vector<Item>, after: &Vector<Item>) -> Vec<VectorDiff<Item>> {
    let both = before.len().min(after.len());
    let front = (0..both).take_while(|at| before.get(*at) == after.get(*at));
    let front = front.count();
    let back = (1..=both - front)
        .take_while(|at| before.get(before.len() - at) == after.get(after.len() - at));
    let back = back.count();
    let (old, new) = (before.len() - front - back, after.len() - front - back);
    let set = (0..old.min(new)).map(|at| front + at);
    let set = set.filter_map(|index| {
        let value = after.get(index)?.clone();
        Some(VectorDiff::Set { index, value })
    });
    let gone = (new..old).map(|_| VectorDiff::Remove { index: front + new });
    let added = (old..new).map(|at| front + at).filter_map(|index| {
        let value = after.get(index)?.clone();
        Some(VectorDiff::Insert { index, value })
    });
    set.chain(gone).chain(added).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;
    use crate::view::{Author, Body, Sending};

    fn message(id: u8, event: Option<u8>) -> Item {
        Item::Message {
            id: id.to_string(),
            event_id: event.map(|event| format!("${event}")),
            author: Author {
                id: "@a:b".to_owned(),
                name: "A".to_owned(),
                avatar: None,
                ambiguous: false,
            },
            mine: event.is_none_or(|event| event < 4),
            at: 0.0,
            body: Body::Redacted,
            sending: Sending::Sent,
            edited: false,
            reply: None,
            read_by: Vec::new(),
            read_by_count: 0,
            mentions_me: false,
            clear: false,
        }
    }

    fn passed(once: &mut Once, shown: &mut Vector<Item>, changes: Vec<VectorDiff<Item>>) -> usize {
        let changes = once.pass(changes, shown);
        let count = changes.len();
        for change in changes {
            change.apply(shown);
        }
        count
    }

    #[test]
    fn the_servers_copy_takes_the_place_of_what_was_sent() {
        let (mut once, mut shown) = (Once::default(), Vector::new());
        let values = [message(0, Some(0)), message(1, Some(1))]
            .into_iter()
            .collect();
        passed(&mut once, &mut shown, vec![VectorDiff::Append { values }]);
        let value = message(2, Some(1));
        let changes = vec![VectorDiff::PushBack {
            value: value.clone(),
        }];
        assert_eq!(
            passed(&mut once, &mut shown, changes),
            1,
            "one change of one place"
        );
        let expected: Vector<Item> = [message(0, Some(0)), value].into_iter().collect();
        assert_eq!(shown, expected);
        passed(&mut once, &mut shown, vec![VectorDiff::PopBack]);
        let expected: Vector<Item> = [message(0, Some(0)), message(1, Some(1))]
            .into_iter()
            .collect();
        assert_eq!(shown, expected, "the copy that is left is shown again");
    }

    fn any_item() -> impl Strategy<Value = Item> {
        (any::<u8>(), proptest::option::weighted(0.8, 0..6_u8))
            .prop_map(|(id, event)| message(id, event))
    }

    proptest! {
        #[test]
        fn whatever_changes_the_list_that_is_shown_is_the_same_without_copies(
            batches in proptest::collection::vec(
                proptest::collection::vec((0..9_u8, any::<prop::sample::Index>(), any_item()), 1..4), 1..20),
        ) {
            let (mut once, mut shown, mut told) = (Once::default(), Vector::new(), Vector::new());
            for batch in batches {
                let mut changes = Vec::new();
                for (kind, place, value) in batch {
                    let len = told.len();
                    let change = match kind {
                        0 => VectorDiff::PushFront { value },
                        1 if len > 0 => VectorDiff::PopFront,
                        2 if len > 0 => VectorDiff::PopBack,
                        3 if len > 0 => VectorDiff::Set { index: place.index(len), value },
                        4 if len > 0 => VectorDiff::Remove { index: place.index(len) },
                        5 => VectorDiff::Insert { index: place.index(len + 1), value },
                        6 if len > 5 => VectorDiff::Truncate { length: place.index(len) },
                        7 => VectorDiff::Append { values: [value.clone(), value].into_iter().collect() },
                        _ => VectorDiff::PushBack { value },
                    };
                    change.clone().apply(&mut told);
                    changes.push(change);
                }
                passed(&mut once, &mut shown, changes);
                let expected: Vector<Item> = told
                    .iter()
                    .enumerate()
                    .filter(|(at, item)| event_id(item).is_none_or(|id| {
                        told.iter().skip(at + 1).all(|later| event_id(later) != Some(id))
                    }))
                    .map(|(_, item)| item.clone())
                    .collect();
                prop_assert_eq!(&shown, &expected);
            }
        }
    }
}
