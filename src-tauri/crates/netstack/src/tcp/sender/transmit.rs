//! What goes out next.

use super::{BACKOFFS_MAX, Phase, Probe, Sender, Transmission};
use crate::tcp::pacer::Pace;
use crate::tcp::rope::to_usize;
use crate::tcp::time::Time;

impl Sender {
    /// The next thing to send, already noted as sent. `None` when nothing may go now.
    pub fn transmit(&mut self, now: Time) -> Option<Transmission> {
        if self.timers.probe_due {
            self.timers.probe_due = false;
            if let Some(probe) = self.send_probe(now) {
                return Some(probe);
            }
        }
        self.timers.pace = None;
        let most = self.mss as u64;
        if let Some((start, end)) = self.board.first_lost(most) {
            let fits = self.board.in_flight() + (end - start) <= self.cubic.window();
            if !(fits || self.timers.repetition_due || self.board.in_flight() == 0) {
                return None;
            }
            if !self.timers.repetition_due && self.is_paced_out(end - start, now) {
                return None;
            }
            self.timers.repetition_due = false;
            return Some(self.repeat(start, end, now));
        }
        self.send_new(now)
    }

    /// New bytes, as far as both windows allow.
    fn send_new(&mut self, now: Time) -> Option<Transmission> {
        if self.board.is_empty() && self.next > 1 && now.since(self.last_sent) > self.rtt.timeout()
        {
            self.cubic.rested();
        }
        let end = self.buffer.end();
        let waiting = end.saturating_sub(self.next);
        let fin_waits = self.closed && self.next <= end;
        if waiting == 0 && !fin_waits {
            self.window_was_full =
                self.cubic.in_slow_start() && self.board.in_flight() * 2 >= self.cubic.window();
            return None;
        }
        let room = self.edge.saturating_sub(self.next);
        let size = waiting.min(self.mss as u64).min(room);
        let empty_fin = fin_waits && waiting == 0;
        if (size == 0 && !empty_fin) || self.is_silly(size, waiting) {
            self.window_was_full = false;
            self.persist(now);
            return None;
        }
        if self.board.in_flight() + size > self.cubic.window() && self.board.in_flight() > 0 {
            self.window_was_full = true;
            return None;
        }
        if self.is_paced_out(size, now) {
            // The window is in use, if not at this moment.
            self.window_was_full |= self.board.in_flight() * 2 >= self.cubic.window();
            return None;
        }
        self.timers.persist = None;
        let start = self.next;
        let fin = self.closed && start + size == end && room >= size;
        let after = start + size + u64::from(fin);
        self.board.push(start, after, now);
        self.next = after;
        self.last_sent = now;
        self.pacer.sent(size);
        if let Phase::Recovery { prr, .. } = &mut self.phase {
            prr.sent(size);
        }
        self.arm(now);
        Some(Transmission::Segment {
            start,
            payload: to_usize(size),
            fin,
            push: start + size == end,
        })
    }

    /// Whether this has to wait so that the window does not leave as one burst; then the timer says
    /// until when.
    fn is_paced_out(&mut self, size: u64, now: Time) -> bool {
        let slow_start = self.cubic.in_slow_start();
        let rtt = self.rtt.smoothed();
        let window = match self.phase {
            // Until the repair is done the window is only what may go at this moment.
            Phase::Recovery { .. } => self.cubic.threshold(),
            Phase::Open | Phase::Collapsed { .. } => self.cubic.window(),
        };
        let pace = Pace::of(window, rtt, slow_start, self.mss as u64);
        let at = pace.and_then(|pace| self.pacer.allows(size, pace, now).err());
        self.timers.pace = at;
        at.is_some()
    }

    /// Sender's silly window avoidance (RFC 9293 §3.8.6.2.1), without Nagle's rule: what is written
    /// goes out, but a nearly closed window is not filled crumb by crumb.
    fn is_silly(&self, size: u64, waiting: u64) -> bool {
        size < waiting && size < self.mss as u64 && size < self.largest_window / 2
    }

    /// Waits for the window to open; asks when the timer ends.
    fn persist(&mut self, now: Time) {
        if self.board.is_empty() && self.timers.persist.is_none() {
            self.timers.persist = Some(now + self.rtt.timeout());
        }
    }

    /// Whether it is time to ask a closed window. Notes that it is asked.
    pub fn window_probe(&mut self, now: Time) -> Option<Transmission> {
        if self.timers.persist.is_none_or(|at| at > now) {
            return None;
        }
        // A side that answers with a closed window lives, however long: nothing is given up.
        if self.rtt.backoffs() < BACKOFFS_MAX {
            self.rtt.back_off();
        }
        self.timers.persist = Some(now + self.rtt.timeout());
        Some(Transmission::WindowProbe)
    }

    fn repeat(&mut self, start: u64, end: u64, now: Time) -> Transmission {
        self.board.repeat(start, end, now);
        self.repeated_segments += 1;
        self.last_sent = now;
        self.pacer.sent(end - start);
        if let Some(undo) = &mut self.undo {
            undo.stamp.get_or_insert(now.ticks());
        }
        if let Phase::Recovery { prr, .. } = &mut self.phase {
            prr.sent(end - start);
        }
        if start == self.una || self.timers.retransmit.is_none() {
            self.timers.retransmit = Some(now + self.rtt.timeout());
        }
        let fin = end > self.buffer.end();
        Transmission::Segment {
            start,
            payload: to_usize(end - start) - usize::from(fin),
            fin,
            push: end >= self.buffer.end(),
        }
    }

    /// RFC 8985 §7.3: new bytes if there are, else the last ones again.
    fn send_probe(&mut self, now: Time) -> Option<Transmission> {
        if self.board.is_empty() || self.probe.is_some() {
            return None;
        }
        let before = self.next;
        let waiting = self.buffer.end().saturating_sub(self.next);
        let room = self.edge.saturating_sub(self.next);
        if waiting > 0 && room >= waiting.min(self.mss as u64) {
            // One segment beyond the congestion window is what a probe may cost.
            let window = self.cubic.window();
            self.cubic
                .set_window(self.board.in_flight() + self.mss as u64);
            let sent = self.send_new(now);
            self.cubic.set_window(window);
            self.timers.probe = None;
            if self.next > before {
                self.probe = Some(Probe {
                    end: self.next,
                    repetition: false,
                });
                return sent;
            }
        }
        let (start, end) = self.board.last(self.mss as u64)?;
        self.probe = Some(Probe {
            end: self.next,
            repetition: true,
        });
        Some(self.repeat(start, end, now))
    }
}
