//! The moment of an event as text.

use std::time::Duration;

/// `2026-01-31T12:00:00.123Z`: RFC 3339 in UTC, with milliseconds, always of this length.
pub(super) type Timestamp = [u8; 24];

const SECONDS_A_DAY: u64 = 24 * 60 * 60;
const DAYS_OF_400_YEARS: u64 = 146_097;

/// The moment so long after 1970 began, up to the year 9999; later ones are written as that year's.
///
/// Reckoned here, because a general formatter costs more than the rest of an event's line.
pub(super) fn timestamp(since_1970: Duration) -> Timestamp {
    let seconds = since_1970.as_secs();
    let (year, month, day) = date(seconds / SECONDS_A_DAY);
    let of_day = seconds % SECONDS_A_DAY;
    let mut text = *b"0000-00-00T00:00:00.000Z";
    for (last, number) in [
        (3, year.min(9999)),
        (6, month),
        (9, day),
        (12, of_day / 3600),
        (15, of_day / 60 % 60),
        (18, of_day % 60),
        (22, u64::from(since_1970.subsec_millis())),
    ] {
        write_backwards(text.get_mut(..=last).unwrap_or_default(), number);
    }
    text
}

/// Writes a number's digits so that the last one ends `text`.
fn write_backwards(text: &mut [u8], mut number: u64) {
    for place in text.iter_mut().rev() {
        if number == 0 {
            return;
        }
        *place = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
///
/// Years are taken to begin in March, so that the leap day is a year's last, and 400 of them always have
/// as many days.
const fn date(days_since_1970: u64) -> (u64, u64, u64) {
    // From 0000-03-01 to 1970-01-01.
    let days = days_since_1970 + 719_468;
    let (era, of_era) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Five months from March on have 153 days, and so have the next five.
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use gangplank_pki::clock::{at, rfc3339};
    use proptest::prelude::*;

    use super::*;

    fn written(seconds: u64, millis: u64) -> String {
        let moment = Duration::from_secs(seconds) + Duration::from_millis(millis);
        String::from_utf8(timestamp(moment).to_vec()).unwrap()
    }

    #[test]
    fn moments_have_milliseconds() {
        assert_eq!(written(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(written(951_782_399, 7), "2000-02-28T23:59:59.007Z");
        assert_eq!(written(951_782_400, 70), "2000-02-29T00:00:00.070Z");
        assert_eq!(written(4_107_542_400, 999), "2100-03-01T00:00:00.999Z");
    }

    proptest! {
        #[test]
        fn as_the_certificates_clock_writes_them(seconds in 0_u64..=253_402_300_799) {
            let whole = rfc3339(at(seconds));
            prop_assert_eq!(written(seconds, 123), whole.replace('Z', ".123Z"));
        }
    }
}
