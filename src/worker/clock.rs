//! The wall clock, for what people and other machines read: never for deadlines.

use std::cell::RefCell;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
pub fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The text of a `Date` field.
pub type HttpDate = [u8; DATE_LENGTH];

/// The date as messages carry it, written once a second.
#[derive(Debug)]
pub struct DateClock(RefCell<(u64, HttpDate)>);

impl Default for DateClock {
    fn default() -> Self {
        Self(RefCell::new((0, written(0))))
    }
}

impl DateClock {
    /// Now (RFC 9110 section 5.6.7).
    pub fn now(&self) -> HttpDate {
        let second = unix_seconds();
        let mut last = self.0.borrow_mut();
        if last.0 != second {
            *last = (second, written(second));
        }
        last.1
    }
}

fn written(second: u64) -> HttpDate {
    let mut text = [b' '; DATE_LENGTH];
    // A clock of the year 10000 is wrong, and no reason to fall over.
    let second = second.min(LAST_SECOND);
    let date = httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(second));
    // The form has one length, so it always fits.
    let _ = write!(&mut text[..], "{date}");
    text
}

/// Length of `Sun, 06 Nov 1994 08:49:37 GMT`.
const DATE_LENGTH: usize = 29;

/// The end of the year 9999, beyond which the form has no room.
const LAST_SECOND: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_of_the_one_form() {
        assert_eq!(&written(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&written(u64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
        let clock = DateClock::default();
        let text = clock.now();
        let read = httpdate::parse_http_date(std::str::from_utf8(&text).unwrap()).unwrap();
        assert!(
            read.duration_since(UNIX_EPOCH)
                .unwrap()
                .as_secs()
                .abs_diff(unix_seconds())
                <= 1
        );
    }
}
