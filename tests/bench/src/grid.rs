//! Twenty rows of a list on the screen, and the moment at which the last of them was there.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::pixels::{Area, Moment, ink, likeness};

/// How many named rooms must be there.
pub const ROWS: usize = 20;
/// The share of each name that must be painted as it stays.
const PAINTED: f64 = 0.95;

/// Where the names of the first [`ROWS`] rooms stand.
#[derive(Debug, Clone)]
pub struct Grid {
    pub rows: Vec<Area>,
}

impl Grid {
    /// The smallest area that holds all rows.
    pub fn area(&self) -> Area {
        let left = self.rows.iter().map(|row| row.x).min().unwrap_or_default();
        let top = self.rows.iter().map(|row| row.y).min().unwrap_or_default();
        let right = self
            .rows
            .iter()
            .map(|row| i32::from(row.x) + i32::from(row.width))
            .max()
            .unwrap_or_default();
        let bottom = self
            .rows
            .iter()
            .map(|row| i32::from(row.y) + i32::from(row.height))
            .max()
            .unwrap_or_default();
        let length =
            |end: i32, start: i16| u16::try_from(end - i32::from(start)).unwrap_or_default();
        Area {
            x: left,
            y: top,
            width: length(right, left),
            height: length(bottom, top),
        }
    }

    /// When all rows were first painted as they are in the last of these moments.
    pub fn complete(&self, moments: &[Moment]) -> Result<Duration> {
        let Some(last) = moments.last() else {
            anyhow::bail!("nothing was seen")
        };
        let empty = self
            .rows
            .iter()
            .filter(|row| ink(&last.picture, **row) < 20)
            .count();
        ensure!(
            empty == 0,
            "{empty} of {} rows have no name in the end",
            self.rows.len()
        );
        let done = moments.iter().find(|moment| {
            self.rows
                .iter()
                .all(|row| likeness(&moment.picture, &last.picture, *row) >= PAINTED)
        });
        Ok(done.map_or(last.after, |moment| moment.after))
    }
}
