//! Who gets how much: sound first, then of every track the smallest layer, then the next.

/// For one track of sound: Opus with the headers of 50 packets a second.
const SOUND: f64 = 60_000.0;
/// A picture at less than this is worse than none.
const LEAST_LAYER: f64 = 50_000.0;
/// A layer runs with at least this part of its rate…
const ENOUGH: f64 = 0.6;
/// …and begins with this one, so that it does not come and go.
const ENOUGH_TO_BEGIN: f64 = 0.85;

/// One layer of one track, as it would be without limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LayerWish {
    /// In bits per second.
    pub rate: u32,
    /// Nobody needs a layer that nobody watches.
    pub watched: bool,
    pub running: bool,
}

impl LayerWish {
    /// Less than this is not worth while.
    fn least(self, lowest: bool) -> f64 {
        let rate = f64::from(self.rate);
        if lowest {
            rate.min(LEAST_LAYER)
        } else if self.running {
            rate * ENOUGH
        } else {
            rate * ENOUGH_TO_BEGIN
        }
    }
}

/// What each layer may send in bits per second; 0 is nothing. `tracks` hold their layers from small to large.
pub(crate) fn share(rate: f64, sounds: usize, tracks: &[Vec<LayerWish>]) -> Vec<Vec<u32>> {
    #[expect(clippy::cast_precision_loss)]
    let mut left = rate - sounds as f64 * SOUND;
    let mut shares: Vec<Vec<u32>> = tracks.iter().map(|_| Vec::new()).collect();
    let most = tracks.iter().map(Vec::len).max().unwrap_or(0);
    for at in 0..most {
        for (track, shares) in tracks.iter().zip(&mut shares) {
            let Some(wish) = track.get(at) else { continue };
            let mut below = track.iter().zip(shares.iter()).filter(|(w, _)| w.watched);
            // A layer above one that does not fit would be the first to go again.
            let lowest = below.clone().next().is_none();
            let fits =
                wish.watched && below.all(|(_, share)| *share > 0) && left >= wish.least(lowest);
            let given = if fits {
                left.min(wish.rate.into())
            } else {
                0.0
            };
            left -= given;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            shares.push(given as u32);
        }
    }
    shares
}

/// What all of it would take.
pub(crate) fn wanted(sounds: usize, tracks: &[Vec<LayerWish>]) -> f64 {
    let watched = tracks.iter().flatten().filter(|layer| layer.watched);
    #[expect(clippy::cast_precision_loss)]
    let sound = sounds as f64 * SOUND;
    sound + watched.map(|layer| f64::from(layer.rate)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn camera(running: bool) -> Vec<LayerWish> {
        [160_000, 450_000, 1_700_000]
            .map(|rate| LayerWish {
                rate,
                watched: true,
                running,
            })
            .to_vec()
    }

    #[test]
    fn at_one_megabit_the_sound_and_two_layers_fit() {
        let shares = share(900_000.0, 1, &[camera(true)]);
        assert_eq!(shares, [[160_000, 450_000, 0]]);
    }

    #[test]
    fn a_layer_that_runs_is_slowed_down_before_it_ends_and_begins_only_with_room() {
        assert_eq!(share(1_800_000.0, 0, &[camera(true)])[0][2], 1_190_000);
        assert_eq!(share(1_800_000.0, 0, &[camera(false)])[0][2], 0);
        assert_eq!(share(2_400_000.0, 0, &[camera(false)])[0][2], 1_700_000);
    }

    #[test]
    fn everybodys_small_layer_comes_before_anybodys_large_one() {
        let shares = share(500_000.0, 0, &[camera(true), camera(true)]);
        assert_eq!(shares, [[160_000, 0, 0], [160_000, 0, 0]]);
    }

    #[test]
    fn layers_that_nobody_watches_take_nothing() {
        let mut track = camera(true);
        track[0].watched = false;
        track[2].watched = false;
        assert_eq!(share(300_000.0, 0, &[track.clone()]), [[0, 300_000, 0]]);
        assert!((wanted(0, &[track]) - 450_000.0).abs() < 1.0);
    }

    #[test]
    fn sound_is_never_shared_with_pictures() {
        assert_eq!(share(100_000.0, 1, &[camera(true)]), [[0, 0, 0]]);
    }

    proptest! {
        #[test]
        fn no_more_is_given_than_there_is(
            rate in -1e6_f64..1e7,
            sounds in 0_usize..4,
            tracks in proptest::collection::vec(
                proptest::collection::vec((any::<u32>(), any::<bool>(), any::<bool>()), 0..4),
                0..4,
            ),
        ) {
            let tracks: Vec<Vec<_>> = tracks
                .into_iter()
                .map(|layers| {
                    let wish = |(rate, watched, running)| LayerWish { rate, watched, running };
                    layers.into_iter().map(wish).collect()
                })
                .collect();
            let given: f64 = share(rate, sounds, &tracks).iter().flatten().map(|s| f64::from(*s)).sum();
            prop_assert!(given <= rate.max(0.0) + 1.0);
        }
    }
}
