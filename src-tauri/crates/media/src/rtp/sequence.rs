//! 16-bit sequence numbers that wrap, as numbers that do not.

/// Numbers start here so that a packet before the first one has a place.
const START: u64 = 1 << 16;

/// Unwraps sequence numbers around the newest one seen (RFC 3550 appendix A.1).
#[derive(Debug, Default)]
pub(crate) struct Unwrapper {
    newest: Option<u64>,
}

impl Unwrapper {
    pub fn unwrap(&mut self, sequence: u16) -> u64 {
        let Some(newest) = self.newest else {
            let first = START + u64::from(sequence);
            self.newest = Some(first);
            return first;
        };
        let ahead = sequence.wrapping_sub((newest & 0xffff) as u16);
        let number = if ahead < 0x8000 {
            newest + u64::from(ahead)
        } else {
            // Half the circle at most, and the numbers start one whole circle above zero.
            newest.saturating_sub(0x1_0000 - u64::from(ahead))
        };
        self.newest = Some(newest.max(number));
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_wrap_goes_on_upwards_and_a_late_packet_stays_below() {
        let mut unwrapper = Unwrapper::default();
        let first = unwrapper.unwrap(65_534);
        assert_eq!(unwrapper.unwrap(1), first + 3);
        assert_eq!(unwrapper.unwrap(65_535), first + 1);
        assert_eq!(unwrapper.unwrap(2), first + 4);
    }

    proptest! {
        #[test]
        fn the_low_bits_are_always_the_sequence_number(sequences: Vec<u16>) {
            let mut unwrapper = Unwrapper::default();
            for sequence in sequences {
                prop_assert_eq!((unwrapper.unwrap(sequence) & 0xffff) as u16, sequence);
            }
        }
    }
}
