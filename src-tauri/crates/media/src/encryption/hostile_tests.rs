//! Sealed frames and their trailers, damaged.

use proptest::prelude::*;

use super::frame::{Kind, Sealed};
use super::{KeyRing, Material, OpenError, recognise};
use crate::hostile::{bound, damaged, expect, peak};

const KINDS: [Kind; 3] = [
    Kind::Audio,
    Kind::Vp8 { key_frame: true },
    Kind::Vp8 { key_frame: false },
];

#[test]
fn each_sealed_frame_of_the_corpus_is_taken_apart_or_refused_as_its_name_says() {
    expect("sealed", |frame| {
        KINDS
            .iter()
            .any(|kind| Sealed::parse(*kind, frame).is_some())
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Nobody has the key of the corpus: whatever is opened was forged.
    #[test]
    fn a_damaged_frame_is_never_opened_nor_believed(
        frame in damaged("sealed"),
        trailer in prop::collection::vec(any::<u8>(), 0..4),
        known: u8,
    ) {
        let ring = KeyRing::new();
        for index in [0, 1, 2, known] {
            ring.set("camille", index, Material::raw([index; 16]));
        }
        for kind in KINDS {
            let mut opened = None;
            let took = peak(|| opened = Some(ring.open("camille", kind, &frame)));
            prop_assert!(took <= bound(frame.len()), "{took} bytes for {}", frame.len());
            let refused = matches!(
                opened,
                Some(Err(OpenError::Malformed | OpenError::NoKey(_) | OpenError::Refused(_)))
            );
            prop_assert!(refused, "{opened:?}");
        }
        let known = matches!(recognise(&frame, &trailer), super::Injected::Known(_));
        prop_assert!(!known);
    }
}
