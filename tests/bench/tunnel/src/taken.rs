//! What was measured so far, and the table of it.

use std::collections::BTreeMap;

use crate::figures::{Row, percentile};

/// Ours, among the names of those who are measured.
pub const OURS: &str = "ours";
/// Unit of a transfer: a cost, as all figures of `./x bench`; 1 ms/Mbit is a gigabit per second.
pub const TRANSFER: &str = "ms/Mbit";

/// Values of each measure and peer, one per round. The first of the key is the place in the table.
#[derive(Default)]
pub struct Taken(BTreeMap<(u32, &'static str, &'static str), BTreeMap<&'static str, Vec<f64>>>);

impl Taken {
    pub fn add(
        &mut self,
        (place, measure, unit): (u32, &'static str, &'static str),
        peer: &'static str,
        value: f64,
    ) {
        self.0
            .entry((place, measure, unit))
            .or_default()
            .entry(peer)
            .or_default()
            .push(value);
    }

    /// One row per measure and peer; the median counts.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for ((_, measure, unit), peers) in &self.0 {
            let Some(ours) = peers.get(OURS).map(|values| percentile(values, 0.5)) else {
                continue;
            };
            let others = peers.iter().filter(|(name, _)| **name != OURS);
            let before = rows.len();
            rows.extend(others.map(|(name, values)| {
                Row::beside(*measure, ours, Some(percentile(values, 0.5)), name, unit)
            }));
            if rows.len() == before {
                rows.push(Row::alone(*measure, ours, unit));
            }
        }
        rows
    }
}

/// Rates are told as people know them.
pub fn print(rows: &[Row]) {
    let width = rows.iter().map(|row| row.measure.chars().count()).max();
    let width = width.unwrap_or_default();
    println!(
        "{:width$} {:>10} {:>10} {:>6}  unit, peer (ratio: cost of ours / cost of the peer, smaller is better)",
        "measure", "ours", "peer", "ratio"
    );
    for row in rows {
        let rate = row.unit == TRANSFER;
        let told = |number: Option<f64>| number.map_or("–".to_owned(), |it| format!("{it:.2}"));
        let shown = |cost: f64| if rate { 1000.0 / cost } else { cost };
        println!(
            "{:width$} {:>10} {:>10} {:>6}  {}{}",
            row.measure,
            told(Some(shown(row.ours))),
            told(row.peer.map(shown)),
            told(row.ratio),
            if rate { "Mbit/s" } else { row.unit },
            row.peer_name
                .as_ref()
                .map_or_else(String::new, |peer| format!(", {peer}")),
        );
    }
}
