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
    println!(
        "{:40} {:>10} {:>10} {:>6}  unit, peer (ratio: cost of ours / cost of the peer, smaller is better)",
        "measure", "ours", "peer", "ratio"
    );
    for row in rows {
        let rate = row.unit == TRANSFER;
        let shown = |cost: f64| if rate { 1000.0 / cost } else { cost };
        println!(
            "{:40} {:>10.2} {:>10.2} {:>6.2}  {}, {}",
            row.measure,
            shown(row.ours),
            row.peer.map_or(f64::NAN, shown),
            row.ratio.unwrap_or(f64::NAN),
            if rate { "Mbit/s" } else { row.unit },
            row.peer_name.as_deref().unwrap_or("–"),
        );
    }
}
