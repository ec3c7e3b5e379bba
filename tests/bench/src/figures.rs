//! What was measured: a table for people, JSON for programs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

/// One measure. Everything here is a cost: smaller is better, and a ratio below 1 means that ours costs less.
#[derive(Debug, Serialize)]
pub struct Row {
    pub measure: String,
    pub ours: f64,
    pub peer: Option<f64>,
    pub peer_name: Option<String>,
    pub unit: &'static str,
    /// ours / peer
    pub ratio: Option<f64>,
}

impl Row {
    pub fn alone(measure: impl Into<String>, ours: f64, unit: &'static str) -> Self {
        Self {
            measure: measure.into(),
            ours,
            peer: None,
            peer_name: None,
            unit,
            ratio: None,
        }
    }

    pub fn beside(
        measure: impl Into<String>,
        ours: f64,
        peer: Option<f64>,
        peer_name: &str,
        unit: &'static str,
    ) -> Self {
        let ratio = peer.filter(|peer| *peer > 0.0).map(|peer| ours / peer);
        let peer_name = peer.map(|_| peer_name.to_owned());
        Self {
            measure: measure.into(),
            ours,
            peer,
            peer_name,
            unit,
            ratio,
        }
    }
}

/// The value below which this share of the values lies (nearest rank).
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    let rank = ((share * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len().max(1));
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

pub fn megabytes(bytes: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
    let bytes = bytes as f64;
    bytes / 1_048_576.0
}

#[allow(clippy::print_stdout)]
pub fn print(rows: &[Row]) {
    let number =
        |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
    let peer = rows
        .iter()
        .find_map(|row| row.peer_name.clone())
        .unwrap_or_else(|| "peer".to_owned());
    let width = rows
        .iter()
        .map(|row| row.measure.chars().count())
        .max()
        .unwrap_or_default();
    println!(
        "{:width$}  {:>10}  {:>10}  {:>6}  unit (smaller is better)",
        "measure", "Cordée", peer, "ratio"
    );
    for row in rows {
        let (ours, peer, ratio) = (number(Some(row.ours)), number(row.peer), number(row.ratio));
        println!(
            "{:width$}  {ours:>10}  {peer:>10}  {ratio:>6}  {}",
            row.measure, row.unit
        );
    }
}

pub fn write(folder: &Path, name: &str, rows: &[Row]) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = folder.join(format!("{name}.json"));
    std::fs::write(&file, serde_json::to_vec_pretty(rows)?)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "ranks pick a value as it is")]
    use super::percentile;

    #[test]
    fn a_percentile_is_one_of_the_values_by_nearest_rank() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 0.5), 50.0);
        assert_eq!(percentile(&values, 0.95), 95.0);
        assert_eq!(percentile(&[7.0], 0.95), 7.0);
        assert!(percentile(&[], 0.5).is_nan());
    }
}
