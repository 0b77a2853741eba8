//! Where a receiver begins: the selector filter of its source.
//!
//! ```text
//!   amqp.annotation.x-opt-offset > '1024'            also >=; '-1': from the beginning; '@latest': what comes next
//!   amqp.annotation.x-opt-sequence-number >= '17'
//!   amqp.annotation.x-opt-enqueued-time > '1700000000000'      milliseconds
//! ```
//!
//! Source: `EventPosition._event_position_selector` of PyPI's azure-eventhub, `getEventPositionFilter` of npm's
//! @azure/event-hubs. Some clients (`amqp.annotation.x-opt-offset > '@latest'`) name the end by a word.

use pollux_model::{Error, ErrorCode, Result, Timestamp};
use pollux_services::events::ReadFrom;

const PREFIX: &str = "amqp.annotation.";

/// The position a selector names; without one, the beginning.
pub(super) fn parse(selector: Option<&str>) -> Result<ReadFrom> {
    let Some(selector) = selector else { return Ok(ReadFrom::Earliest) };
    let unknown = || {
        let text = format!(
            "the filter '{}' is none that event hubs know: use x-opt-offset, x-opt-sequence-number or \
             x-opt-enqueued-time with > or >= and a value in quotes",
            pollux_model::ids::shown(selector)
        );
        Error::new(ErrorCode::InvalidArgument, text)
    };
    let rest = selector.trim().strip_prefix(PREFIX).ok_or_else(unknown)?;
    let (name, rest) = rest.split_once('>').ok_or_else(unknown)?;
    let inclusive = rest.starts_with('=');
    let value = rest.trim_start_matches('=').trim();
    let value = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')).unwrap_or(value);
    let number = || value.parse::<i64>().map_err(|_| unknown());
    match (name.trim(), value) {
        ("x-opt-offset", "@latest") => Ok(ReadFrom::Latest),
        ("x-opt-offset", "-1") => Ok(ReadFrom::Earliest),
        ("x-opt-offset", _) => Ok(ReadFrom::Offset { offset: number()?, inclusive }),
        ("x-opt-sequence-number", _) => Ok(ReadFrom::Sequence { number: number()?, inclusive }),
        // Clients know milliseconds and events have microseconds: what is "after" a millisecond begins with its end.
        // The second is what azure-event-hubs of npm and the C client write.
        ("x-opt-enqueued-time" | "x-opt-enqueuedtimeutc", _) => {
            let millis = number()?;
            let micros = if inclusive {
                millis.saturating_mul(1000).saturating_sub(1)
            } else {
                millis.saturating_mul(1000).saturating_add(999)
            };
            Ok(ReadFrom::Enqueued { after: Timestamp::from_micros(micros) })
        }
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_clients_write() {
        let at = |text: &str| parse(Some(&format!("amqp.annotation.{text}"))).unwrap();
        assert_eq!(parse(None).unwrap(), ReadFrom::Earliest);
        assert_eq!(at("x-opt-offset > '-1'"), ReadFrom::Earliest);
        assert_eq!(at("x-opt-offset > '@latest'"), ReadFrom::Latest);
        assert_eq!(at("x-opt-offset >= '12'"), ReadFrom::Offset { offset: 12, inclusive: true });
        assert_eq!(at("x-opt-sequence-number > '7'"), ReadFrom::Sequence { number: 7, inclusive: false });
        assert_eq!(at("x-opt-sequence-number >= '7'"), ReadFrom::Sequence { number: 7, inclusive: true });
        let after = |micros| ReadFrom::Enqueued { after: Timestamp::from_micros(micros) };
        assert_eq!(at("x-opt-enqueued-time > '1000'"), after(1_000_999));
        assert_eq!(at("x-opt-enqueued-time >= '1000'"), after(999_999));
        assert_eq!(at("x-opt-enqueuedtimeutc > 1000"), after(1_000_999));
    }

    /// `fuzz/` gives it worse.
    #[test]
    fn no_piece_of_a_selector_makes_it_panic() {
        let good = "amqp.annotation.x-opt-sequence-number >= '9223372036854775807'";
        for at in 0..good.len() {
            for odd in ["", "'", ">", "=", "ä", "'-1", " "] {
                let (head, tail) = good.split_at(at);
                for text in [format!("{head}{odd}{tail}"), format!("{head}{odd}"), format!("{odd}{tail}")] {
                    if let Err(error) = parse(Some(&text)) {
                        assert!(error.message.len() < 600, "{}", error.message);
                    }
                }
            }
        }
        let far = parse(Some("amqp.annotation.x-opt-enqueued-time >= '9223372036854775807'")).unwrap();
        assert!(matches!(far, ReadFrom::Enqueued { .. }));
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "true",
            "amqp.annotation.x-opt-offset < '1'",
            "amqp.annotation.x > '1'",
            "amqp.annotation.x-opt-offset > 'x'",
            "amqp.annotation.x-opt-sequence-number > '@latest'",
        ] {
            assert_eq!(parse(Some(text)).unwrap_err().code, ErrorCode::InvalidArgument, "{text}");
        }
    }
}
