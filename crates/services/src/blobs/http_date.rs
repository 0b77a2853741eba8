//! Dates as HTTP writes them (RFC 9110, "IMF-fixdate"): `Tue, 14 Nov 2023 22:13:20 GMT`.

use pollux_model::Timestamp;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Writes one, to the second.
#[must_use]
pub fn http_date(at: Timestamp) -> String {
    let secs = at.as_secs();
    // The first day of all was a Thursday.
    let day = usize::try_from(secs.div_euclid(24 * 3600).rem_euclid(7)).unwrap_or_default();
    // 2023-11-14T22:13:20Z
    let text = Timestamp::from_secs(secs).to_string();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let month = part(5, 7).parse::<usize>().ok().and_then(|number| MONTHS.get(number.checked_sub(1)?));
    let (day, month) = (DAYS.get(day).copied().unwrap_or_default(), month.copied().unwrap_or_default());
    format!("{day}, {} {month} {} {} GMT", part(8, 10), part(0, 4), part(11, 19))
}

/// Reads one.
#[must_use]
pub fn read_http_date(text: &str) -> Option<Timestamp> {
    let mut words = text.split_once(", ")?.1.split(' ');
    let (day, month, year, time, zone) =
        (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    if zone != "GMT" || words.next().is_some() {
        return None;
    }
    Timestamp::parse(&format!("{year}-{month:02}-{day}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_they_are_written() {
        for (secs, text) in [
            (1_700_000_000, "Tue, 14 Nov 2023 22:13:20 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
        ] {
            assert_eq!(http_date(Timestamp::from_secs(secs)), text);
            assert_eq!(read_http_date(text), Some(Timestamp::from_secs(secs)));
        }
        for wrong in
            ["", "Tue, 14 Nov 2023", "Tue, 14 Foo 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:20 CET"]
        {
            assert_eq!(read_http_date(wrong), None, "{wrong}");
        }
    }
}
