//! This device's clock, and how far it is from the servers'.
//!
//! A clock that is minutes off makes valid tokens look expired or not yet valid; the person can
//! mend that in a minute when told.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, header};

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> f64 {
    ms(SystemTime::now())
}

/// Milliseconds since the Unix epoch; 0 for times before it.
pub fn ms(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64() * 1000.0)
        .floor()
}

/// How far this device's clock is from a server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    /// Positive when this device is ahead.
    pub seconds: i64,
}

impl Skew {
    /// Tokens allow a little; beyond this they fail.
    pub const TOLERATED: Duration = Duration::from_mins(2);

    pub fn matters(self) -> bool {
        self.seconds.unsigned_abs() > Self::TOLERATED.as_secs()
    }

    /// Whole minutes, rounded, whatever the direction.
    pub fn minutes(self) -> u64 {
        (self.seconds.unsigned_abs() + 30) / 60
    }
}

/// Compares a server's `Date` header (RFC 9110 §6.6.1) with `here`, the local time at which the
/// answer arrived. `None` when the server sent no readable date.
pub fn skew(headers: &HeaderMap, here: SystemTime) -> Option<Skew> {
    let there = httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()?;
    let seconds = match here.duration_since(there) {
        Ok(ahead) => i64::try_from(ahead.as_secs()).ok()?,
        Err(behind) => -i64::try_from(behind.duration().as_secs()).ok()?,
    };
    Some(Skew { seconds })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn skew_of(date: &str, here: u64) -> Option<Skew> {
        let mut headers = HeaderMap::new();
        headers.insert(header::DATE, date.parse().unwrap());
        skew(&headers, UNIX_EPOCH + Duration::from_secs(here))
    }

    #[test]
    fn a_clock_that_is_ahead_or_behind_is_measured_in_minutes() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let then = 784_111_777;
        assert_eq!(skew_of(date, then), Some(Skew { seconds: 0 }));
        let ahead = skew_of(date, then + 3600).unwrap();
        assert_eq!((ahead.seconds, ahead.minutes()), (3600, 60));
        let behind = skew_of(date, then - 400).unwrap();
        assert_eq!((behind.seconds, behind.minutes()), (-400, 7));
        assert!(behind.matters() && !skew_of(date, then + 100).unwrap().matters());
    }

    #[test]
    fn a_server_without_a_readable_date_says_nothing() {
        assert_eq!(skew(&HeaderMap::new(), SystemTime::now()), None);
        assert_eq!(skew_of("yesterday", 0), None);
    }
}
