//! The text of the `date` header (RFC 9110 §5.6.7, IMF-fixdate).

use crate::decimal::{write_decimal, write_padded};

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The text of one second, made once for all responses of that second.
#[derive(Debug, Clone, Default)]
pub struct DateText {
    /// The second that `text` says; `None`: not set yet.
    unix_seconds: Option<u64>,
    text: Vec<u8>,
}

impl DateText {
    /// Sets the second, counted from 1970.
    pub fn set(&mut self, unix_seconds: u64) {
        if self.unix_seconds.replace(unix_seconds) != Some(unix_seconds) {
            self.text.clear();
            write_date(unix_seconds, &mut self.text);
        }
    }

    pub fn text(&self) -> &[u8] {
        &self.text
    }
}

/// Appends a time, given in seconds since 1970, as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn write_date(unix_seconds: u64, out: &mut Vec<u8>) {
    let days = unix_seconds / 86_400;
    let second = unix_seconds % 86_400;
    let (year, month, day) = civil(days);
    out.extend_from_slice(DAYS[(days % 7) as usize].as_bytes());
    out.extend_from_slice(b", ");
    write_padded(day, 2, out);
    out.push(b' ');
    out.extend_from_slice(MONTHS[month - 1].as_bytes());
    out.push(b' ');
    write_decimal(year, out);
    for (before, number) in [(b' ', second / 3600), (b':', second / 60 % 60), (b':', second % 60)] {
        out.push(before);
        write_padded(number, 2, out);
    }
    out.extend_from_slice(b" GMT");
}

/// The Gregorian date of a day counted from 1970-01-01.
///
/// Years are counted from March, so that the leap day is the last of its year and the months have a
/// fixed pattern (Howard Hinnant, "chrono-compatible low-level date algorithms", 2014).
fn civil(days: u64) -> (u64, usize, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month as usize, day)
}

#[cfg(test)]
mod tests {
    use super::DateText;

    #[test]
    fn known_dates() {
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (1_795_379_454, "Sun, 22 Nov 2026 20:30:54 GMT"),
        ];
        let mut date = DateText::default();
        for (seconds, text) in cases {
            for _ in 0..2 {
                date.set(seconds);
                assert_eq!(String::from_utf8_lossy(date.text()), text);
            }
        }
    }
}
