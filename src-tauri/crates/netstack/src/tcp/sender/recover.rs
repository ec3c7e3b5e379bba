//! What acknowledgements and timers change: losses, windows, phases.

use std::time::Duration;

use super::{ACK_DELAY, Ack, BACKOFFS_MAX, GaveUp, PROBE_FLOOR, Phase, Sender, Undo};
use crate::tcp::prr::Prr;
use crate::tcp::time::Time;

impl Sender {
    pub fn acknowledged(&mut self, ack: &Ack) {
        self.widen(ack);
        let advanced = ack.una > self.una;
        if self.board.is_empty() {
            return;
        }
        let echo = ack.echo;
        let delivered = self.board.acknowledge(
            ack.una,
            &ack.ranges,
            |sent| echo.map(|echo| echo.wrapping_sub(sent.ticks()).cast_signed() >= 0),
            &self.rtt,
            ack.now,
        );
        if let Some(round_trip) = delivered.rtt {
            self.rtt.sample(round_trip, ack.now);
            self.cubic.round_trip(round_trip, ack.una, self.next);
        }
        if advanced {
            self.una = ack.una;
            self.buffer.release(ack.una.min(self.buffer.end()));
            self.rtt.progress();
            self.timers.retransmit = None;
        }
        if ack.duplicate {
            self.board.duplicate_seen(self.una, self.next);
        }
        if advanced && self.was_false_alarm(ack) {
            self.undo_reduction();
        }
        let lost_now = self.detect(ack.now);
        self.probe_answered(ack, delivered.sacked);
        self.steer(delivered.bytes, lost_now, advanced, ack.now);
        self.arm(ack.now);
    }

    /// Handles the timers that ended.
    pub fn expire(&mut self, now: Time) -> Result<(), GaveUp> {
        if self.timers.reorder.is_some_and(|at| at <= now) {
            self.timers.reorder = None;
            let lost = self.detect(now);
            self.steer(0, lost, false, now);
        }
        if self.timers.pace.is_some_and(|at| at <= now) {
            self.timers.pace = None;
        }
        if self.timers.retransmit.is_some_and(|at| at <= now) {
            return self.time_out(now);
        }
        if self.timers.probe.is_some_and(|at| at <= now) {
            self.timers.probe = None;
            self.timers.probe_due = true;
            self.timers.retransmit = Some(now + self.rtt.timeout());
        }
        Ok(())
    }

    /// RFC 8985 §7.4.2.
    fn probe_answered(&mut self, ack: &Ack, sacked: bool) {
        let Some(probe) = &self.probe else { return };
        if ack.una < probe.end {
            return;
        }
        let repaired = probe.repetition && !ack.duplicate && ack.una > probe.end;
        let finished = !probe.repetition || ack.duplicate || ack.una > probe.end || !sacked;
        if finished {
            self.probe = None;
        }
        if repaired && matches!(self.phase, Phase::Open) {
            // The probe filled a hole that nobody else saw: that was congestion too.
            self.cubic.reduce();
            self.cubic.set_window(self.cubic.threshold());
        }
    }

    fn detect(&mut self, now: Time) -> u64 {
        if !self.sack {
            return 0;
        }
        let in_recovery = !matches!(self.phase, Phase::Open);
        let found = self.board.detect(in_recovery, &self.rtt, now);
        self.timers.reorder = found
            .again_in
            .map(|pause| now + pause.max(Duration::from_millis(1)));
        found.lost
    }

    /// Moves between phases and sets the congestion window.
    fn steer(&mut self, delivered: u64, lost_now: u64, advanced: bool, now: Time) {
        match &mut self.phase {
            Phase::Open if lost_now > 0 => self.enter_recovery(lost_now),
            Phase::Open => {
                // A window that is not used says nothing about the line (RFC 9438 §4.2, §5.8).
                let used = (self.board.in_flight() + delivered) * 2 >= self.cubic.window();
                if self.window_was_full && used && delivered > 0 {
                    let rtt = self.rtt.smoothed().unwrap_or_default();
                    self.cubic.acknowledged(delivered, rtt, now);
                }
            }
            Phase::Recovery { point, .. } | Phase::Collapsed { point } if self.una >= *point => {
                if matches!(self.phase, Phase::Recovery { .. }) {
                    self.cubic.set_window(self.cubic.threshold());
                    self.board.recovery_ended();
                }
                self.phase = Phase::Open;
                self.undo = None;
            }
            Phase::Recovery { prr, .. } => {
                let safe = advanced && lost_now == 0;
                let window = prr.window(delivered, self.board.in_flight(), safe, self.mss as u64);
                self.cubic.set_window(window);
            }
            Phase::Collapsed { .. } => {
                if delivered > 0 {
                    let rtt = self.rtt.smoothed().unwrap_or_default();
                    self.cubic.acknowledged(delivered, rtt, now);
                }
            }
        }
    }

    fn enter_recovery(&mut self, lost_now: u64) {
        self.undo = Some(Undo {
            cubic: self.cubic.clone(),
            stamp: None,
        });
        let at_start = self.board.in_flight() + lost_now;
        self.cubic.reduce();
        let mut prr = Prr::new(self.cubic.threshold(), at_start);
        let window = prr.window(0, self.board.in_flight(), false, self.mss as u64);
        self.cubic.set_window(window);
        self.phase = Phase::Recovery {
            prr,
            point: self.next,
        };
        self.probe = None;
        self.timers.probe = None;
    }

    /// RFC 6298 §5.4 to §5.6.
    fn time_out(&mut self, now: Time) -> Result<(), GaveUp> {
        self.timers.retransmit = None;
        self.timers.probe = None;
        if self.board.is_empty() {
            return Ok(());
        }
        if self.rtt.backoffs() >= BACKOFFS_MAX {
            return Err(GaveUp);
        }
        self.rtt.back_off();
        if matches!(self.phase, Phase::Open) {
            self.undo = Some(Undo {
                cubic: self.cubic.clone(),
                stamp: None,
            });
        }
        // One reduction per window of losses (RFC 5681 §3.1, formula 4).
        if !matches!(self.phase, Phase::Collapsed { .. }) {
            self.cubic.reduce();
        }
        self.cubic.set_window(0);
        self.timers.repetition_due = true;
        self.phase = Phase::Collapsed { point: self.next };
        self.probe = None;
        self.board.time_out(&self.rtt, now);
        self.timers.retransmit = Some(now + self.rtt.timeout());
        Ok(())
    }

    /// The left edge moved because of a segment that was sent before the first repetition: nothing
    /// had been lost (RFC 3522 §3.2).
    fn was_false_alarm(&self, ack: &Ack) -> bool {
        let stamp = self.undo.as_ref().and_then(|undo| undo.stamp);
        match (stamp, ack.echo) {
            (Some(stamp), Some(echo)) => echo.wrapping_sub(stamp).cast_signed() < 0,
            _ => false,
        }
    }

    fn undo_reduction(&mut self) {
        if let Some(undo) = self.undo.take() {
            self.cubic = undo.cubic;
            self.cubic.set_mss(self.mss);
            self.board.forgive();
            self.phase = Phase::Open;
        }
    }

    /// The other side's room (RFC 9293 §3.10.7.4, RFC 7323 §2.3).
    fn widen(&mut self, ack: &Ack) {
        let Some(edge) = ack.edge else { return };
        self.largest_window = self.largest_window.max(edge.saturating_sub(ack.una));
        if edge > self.next && self.timers.persist.take().is_some() {
            self.rtt.progress();
        }
        self.edge = edge;
    }

    /// Starts the timers for what is under way (RFC 6298 §5, RFC 8985 §7.2).
    pub(super) fn arm(&mut self, now: Time) {
        if self.board.is_empty() {
            self.timers.retransmit = None;
            self.timers.probe = None;
            self.timers.reorder = None;
            return;
        }
        let retransmit = *self
            .timers
            .retransmit
            .get_or_insert_with(|| now + self.rtt.timeout());
        let may_probe = self.sack
            && self.probe.is_none()
            && matches!(self.phase, Phase::Open)
            && !self.board.any_sacked();
        self.timers.probe = may_probe.then(|| {
            let wait = match self.rtt.smoothed() {
                None => Duration::from_secs(1),
                Some(smoothed) => {
                    let late = if self.board.is_single() {
                        ACK_DELAY
                    } else {
                        Duration::ZERO
                    };
                    (smoothed * 2 + late).max(PROBE_FLOOR)
                }
            };
            (now + wait).min(retransmit)
        });
        if self.timers.probe.is_some_and(|at| at >= retransmit) {
            self.timers.probe = None;
        }
    }
}
