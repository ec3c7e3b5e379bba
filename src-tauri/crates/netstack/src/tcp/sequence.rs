//! Sequence numbers that do not wrap.
//!
//! Inside, both directions count bytes in 64 bits from the SYN, which is number 0; the first byte
//! is number 1. Only what travels is cut to 32 bits, so no comparison in the protocol has to think
//! of RFC 9293 §3.4's circle.

/// One direction's numbering.
#[derive(Debug, Clone, Copy)]
pub struct Numbering {
    /// What travels for number 0.
    initial: u32,
}

impl Numbering {
    pub const fn new(initial: u32) -> Self {
        Self { initial }
    }

    pub const fn to_wire(self, number: u64) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the wire has the low half")]
        let low = number as u32;
        self.initial.wrapping_add(low)
    }

    /// The number nearest to `near` that travels as `wire`; `None` when that lies before the SYN.
    pub fn nearest(self, wire: u32, near: u64) -> Option<u64> {
        let distance = wire.wrapping_sub(self.to_wire(near)).cast_signed();
        near.checked_add_signed(i64::from(distance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_wrap() {
        let numbering = Numbering::new(u32::MAX - 5);
        for number in [0, 1, 6, 1 << 20, (1 << 32) - 1, 1 << 32, (1 << 40) + 17] {
            let wire = numbering.to_wire(number);
            for near in [number, number + 1_000_000, number.saturating_sub(1_000_000)] {
                assert_eq!(numbering.nearest(wire, near), Some(number));
            }
        }
    }

    #[test]
    fn what_lies_before_the_syn_has_no_number() {
        let numbering = Numbering::new(1000);
        assert_eq!(numbering.nearest(999, 0), None);
        assert_eq!(numbering.nearest(1000, 5), Some(0));
    }
}
