//! Topic names and topic filters: what is valid, what matches (MQTT 3.1.1, section 4.7).

use crate::event::Violation;

/// Whether `topic` may be published to: not empty, no wildcard, no NUL, at most `max` bytes.
pub(crate) fn check_name(topic: &str, max: usize) -> Result<(), Violation> {
    let problem = match topic {
        "" => "empty",
        _ if topic.len() > max => "too long",
        _ if topic.bytes().any(|b| matches!(b, b'#' | b'+')) => "a wildcard",
        _ if topic.contains('\0') => "a NUL character",
        _ => return Ok(()),
    };
    Err(Violation::InvalidTopic(problem))
}

/// Whether `filter` may be subscribed to: `#` only as the last level, `+` only as a whole level.
pub(crate) fn check_filter(filter: &str, max: usize) -> Result<(), Violation> {
    let problem = match filter {
        "" => "empty",
        _ if filter.len() > max => "too long",
        _ if filter.contains('\0') => "a NUL character",
        _ if !wildcards_in_place(filter) => "a misplaced wildcard",
        _ => return Ok(()),
    };
    Err(Violation::InvalidFilter(problem))
}

fn wildcards_in_place(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let alone = level.len() == 1;
        if level.contains('+') && !alone || level.contains('#') && (!alone || levels.peek().is_some()) {
            return false;
        }
    }
    true
}

/// Whether a valid `filter` covers a valid `topic`. A filter that starts with a wildcard does not cover a topic that
/// starts with `$` (MQTT-4.7.2-1).
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['#', '+']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            // "sport/#" also covers "sport" itself, hence before the look at the level.
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_with_wildcards_out_of_place_are_invalid() {
        for valid in
            ["#", "+", "a/#", "a/+/b", "+/+", "/", "$iothub/twin/res/#", "devices/d 1/messages/devicebound/#"]
        {
            assert_eq!(check_filter(valid, 100), Ok(()), "{valid}");
        }
        for invalid in ["", "a#", "#/a", "a/#/b", "a+", "a/b+/c", "\0", "##", "++"] {
            assert!(check_filter(invalid, 100).is_err(), "{invalid}");
        }
        assert!(check_filter("abcd", 3).is_err());
    }

    #[test]
    fn names_have_no_wildcards() {
        assert_eq!(check_name("devices/d/messages/events/%24.ct=a%2Fb&c=d", 100), Ok(()));
        for invalid in ["", "a/#", "a/+", "c++", "a\0"] {
            assert!(check_name(invalid, 100).is_err(), "{invalid}");
        }
        assert!(check_name("abcd", 3).is_err());
    }

    #[test]
    fn filters_cover_what_the_standard_says() {
        for (filter, topic, covered) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$dps/registrations/res/202/?$rid=1", false),
            ("$dps/registrations/res/#", "$dps/registrations/res/202/?$rid=1", true),
            ("a/b", "a/b/c", false),
        ] {
            assert_eq!(matches(filter, topic), covered, "{filter} {topic}");
        }
    }
}
