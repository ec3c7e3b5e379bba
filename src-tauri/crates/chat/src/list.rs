//! A list that is shown: whoever looks gets what is there and then every change.

use std::sync::{Mutex, MutexGuard, PoisonError};

use eyeball_im::{ObservableVector, Vector, VectorDiff};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use crate::view::ListDiff;

/// Batches a slow reader may be behind. One that is slower gets a single reset instead.
const BEHIND: usize = 64;

pub(crate) struct Shown<T>(Mutex<ObservableVector<T>>);

impl<T: Clone + Send + Sync + 'static> Default for Shown<T> {
    fn default() -> Self {
        Self(Mutex::new(ObservableVector::with_capacity(BEHIND)))
    }
}

impl<T: Clone + PartialEq + Send + Sync + 'static> Shown<T> {
    /// What is there now, and the changes from there on.
    pub(crate) fn subscribe(&self) -> (Vec<T>, BoxStream<'static, Vec<ListDiff<T>>>) {
        let (values, changes) = self.lock().subscribe().into_values_and_batched_stream();
        let changes = changes
            .map(|batch| batch.into_iter().map(list_diff).collect())
            .boxed();
        (values.into_iter().collect(), changes)
    }

    /// Applies changes as one batch.
    pub(crate) fn apply(&self, changes: Vec<VectorDiff<T>>) {
        if changes.is_empty() {
            return;
        }
        let mut list = self.lock();
        let mut batch = list.transaction();
        for change in changes {
            match change {
                VectorDiff::Append { values } => batch.append(values),
                VectorDiff::Clear => batch.clear(),
                VectorDiff::PushFront { value } => batch.push_front(value),
                VectorDiff::PushBack { value } => batch.push_back(value),
                VectorDiff::PopFront => drop(batch.pop_front()),
                VectorDiff::PopBack => drop(batch.pop_back()),
                VectorDiff::Insert { index, value } if index <= batch.len() => {
                    batch.insert(index, value);
                }
                VectorDiff::Set { index, value } if index < batch.len() => {
                    if batch.get(index) != Some(&value) {
                        batch.set(index, value);
                    }
                }
                VectorDiff::Remove { index } if index < batch.len() => drop(batch.remove(index)),
                VectorDiff::Truncate { length } if length <= batch.len() => batch.truncate(length),
                VectorDiff::Reset { values } => {
                    batch.clear();
                    batch.append(values);
                }
                VectorDiff::Insert { .. }
                | VectorDiff::Set { .. }
                | VectorDiff::Remove { .. }
                | VectorDiff::Truncate { .. } => {
                    tracing::error!("A change outside of the list was left out");
                }
            }
        }
        batch.commit();
    }

    pub(crate) fn with<R>(&self, look: impl FnOnce(&Vector<T>) -> R) -> R {
        look(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, ObservableVector<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn list_diff<T: Clone>(change: VectorDiff<T>) -> ListDiff<T> {
    let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
    match change {
        VectorDiff::Append { values } => ListDiff::Append {
            values: values.into_iter().collect(),
        },
        VectorDiff::Clear => ListDiff::Clear,
        VectorDiff::PushFront { value } => ListDiff::PushFront { value },
        VectorDiff::PushBack { value } => ListDiff::PushBack { value },
        VectorDiff::PopFront => ListDiff::PopFront,
        VectorDiff::PopBack => ListDiff::PopBack,
        VectorDiff::Insert { index, value } => ListDiff::Insert {
            index: number(index),
            value,
        },
        VectorDiff::Set { index, value } => ListDiff::Set {
            index: number(index),
            value,
        },
        VectorDiff::Remove { index } => ListDiff::Remove {
            index: number(index),
        },
        VectorDiff::Truncate { length } => ListDiff::Truncate {
            length: number(length),
        },
        VectorDiff::Reset { values } => ListDiff::Reset {
            values: values.into_iter().collect(),
        },
    }
}

impl<T: Clone> ListDiff<T> {
    /// Applies the change to a copy of the list, as a view does.
    pub fn apply(self, list: &mut Vec<T>) {
        let at = |index: u32| usize::try_from(index).unwrap_or(usize::MAX);
        match self {
            Self::Append { values } => list.extend(values),
            Self::Clear => list.clear(),
            Self::PushFront { value } => list.insert(0, value),
            Self::PushBack { value } => list.push(value),
            Self::PopFront if !list.is_empty() => drop(list.remove(0)),
            Self::PopBack => drop(list.pop()),
            Self::Insert { index, value } if at(index) <= list.len() => {
                list.insert(at(index), value);
            }
            Self::Set { index, value } => {
                if let Some(place) = list.get_mut(at(index)) {
                    *place = value;
                }
            }
            Self::Remove { index } if at(index) < list.len() => drop(list.remove(at(index))),
            Self::Truncate { length } => list.truncate(at(length)),
            Self::Reset { values } => *list = values,
            Self::PopFront | Self::Insert { .. } | Self::Remove { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_reader_that_applies_every_change_sees_the_same_list() {
        let shown = Shown::<u32>::default();
        let (mut copy, mut changes) = shown.subscribe();
        shown.apply(vec![
            VectorDiff::Append {
                values: (0..5).collect(),
            },
            VectorDiff::PushFront { value: 9 },
            VectorDiff::Insert { index: 2, value: 7 },
            VectorDiff::Set { index: 0, value: 8 },
            VectorDiff::Remove { index: 3 },
            VectorDiff::PopBack,
            VectorDiff::Insert {
                index: 99,
                value: 1,
            },
            VectorDiff::Truncate { length: 4 },
        ]);
        let batch = changes.next().now_or_never().flatten().expect("one batch");
        for change in batch {
            change.apply(&mut copy);
        }
        assert_eq!(
            copy,
            shown.with(|list| list.iter().copied().collect::<Vec<_>>())
        );
    }

    #[test]
    fn a_reader_that_sleeps_gets_one_reset() {
        let shown = Shown::<u32>::default();
        let (mut copy, mut changes) = shown.subscribe();
        for value in 0..1_000 {
            shown.apply(vec![VectorDiff::PushBack { value }]);
        }
        let batch = changes.next().now_or_never().flatten().expect("one batch");
        assert!(matches!(batch.first(), Some(ListDiff::Reset { .. })));
        for change in batch {
            change.apply(&mut copy);
        }
        assert_eq!(copy.len(), 1_000);
    }
}
