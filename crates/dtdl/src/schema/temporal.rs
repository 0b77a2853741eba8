//! Dates, times and durations as text: RFC 3339 (section 5.6) and ISO 8601 durations. Form and ranges only; nothing
//! is converted.

/// RFC 3339 `full-date`, with the days that the month has.
pub(super) fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return false;
    }
    match (digits(&bytes[..4]), digits(&bytes[5..7]), digits(&bytes[8..])) {
        (Some(year), Some(month), Some(day)) => day >= 1 && day <= days_of(year, month),
        _ => false,
    }
}

/// RFC 3339 `date-time`; the offset may be left out, as ADT allows.
pub(super) fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_at_checked(10) else { return false };
    is_date(date) && time.strip_prefix(['T', 't']).is_some_and(is_time)
}

/// RFC 3339 `partial-time`, with or without an offset.
pub(super) fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || bytes[2] != b':' || bytes[5] != b':' {
        return false;
    }
    let clock = (digits(&bytes[..2]), digits(&bytes[3..5]), digits(&bytes[6..8]));
    // Second 60 is a leap second.
    let in_range = matches!(clock, (Some(0..=23), Some(0..=59), Some(0..=60)));
    in_range && fraction_and_offset(&bytes[8..])
}

fn fraction_and_offset(rest: &[u8]) -> bool {
    let offset = match rest.split_first() {
        Some((b'.', tail)) => {
            let length = tail.iter().take_while(|b| b.is_ascii_digit()).count();
            if length == 0 {
                return false;
            }
            &tail[length..]
        }
        _ => rest,
    };
    match offset {
        [] | [b'Z' | b'z'] => true,
        [b'+' | b'-', a, b, b':', c, d] => {
            matches!((digits(&[*a, *b]), digits(&[*c, *d])), (Some(0..=23), Some(0..=59)))
        }
        _ => false,
    }
}

/// ISO 8601 duration: `P[nY][nM][nD][T[nH][nM][nS]]` or `PnW`, with a fraction in the last part only, and an
/// optional sign before.
pub(crate) fn is_duration(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let Some(rest) = text.strip_prefix('P') else { return false };
    let (date, time) = rest.split_once('T').map_or((rest, None), |(date, time)| (date, Some(time)));
    let weeks = time.is_none() && date.len() > 1 && parts(date, "W");
    let calendar = parts(date, "YMD") && time.is_none_or(|time| !time.is_empty() && parts(time, "HMS"));
    let after_fraction = text.split_once(['.', ',']).map_or("", |(_, tail)| tail);
    let fraction_is_last = after_fraction.bytes().filter(u8::is_ascii_alphabetic).count() <= 1;
    !rest.is_empty() && fraction_is_last && (weeks || calendar)
}

/// Numbers, each followed by one of `units`, in their order, each at most once.
fn parts(text: &str, units: &str) -> bool {
    let mut units = units.chars();
    let mut number = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() || matches!(c, '.' | ',') {
            number.push(c);
            continue;
        }
        let is_number = number.as_bytes().first().is_some_and(u8::is_ascii_digit)
            && number.as_bytes().last().is_some_and(u8::is_ascii_digit)
            && number.bytes().filter(|b| !b.is_ascii_digit()).count() <= 1;
        if !is_number || !units.any(|unit| unit == c) {
            return false;
        }
        number.clear();
    }
    number.is_empty()
}

fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0, |sum, b| b.is_ascii_digit().then(|| sum * 10 + u32::from(b - b'0')))
}

fn days_of(year: u32, month: u32) -> u32 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 0,
    }
}
