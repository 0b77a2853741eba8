//! Time as a value. The only place that reads the machine's clock is [`SystemClock`]; everything else takes a
//! [`Clock`], so that tests and fault injection own it.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// A moment in UTC: microseconds since the Unix epoch. Ordered, `Copy`, eight bytes.
///
/// Written in JSON as Azure's services write it: `2024-05-01T10:20:30.1234560Z` (seven fractional digits).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// 9999-12-31T23:59:59.999999Z, the last moment RFC 3339 can write.
const MAX_MICROS: i64 = 253_402_300_799_999_999;
/// 0001-01-01T00:00:00Z: what Azure's services write for "never".
const NEVER_MICROS: i64 = -62_135_596_800_000_000;

impl Timestamp {
    /// Azure's "never": `0001-01-01T00:00:00Z`.
    pub const NEVER: Self = Self(NEVER_MICROS);

    /// From microseconds since the Unix epoch; values outside years 1 to 9999 are clamped.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        if micros > MAX_MICROS {
            Self(MAX_MICROS)
        } else if micros < NEVER_MICROS {
            Self(NEVER_MICROS)
        } else {
            Self(micros)
        }
    }

    /// From milliseconds since the Unix epoch (clamped like [`Timestamp::from_micros`]).
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self::from_micros(millis.saturating_mul(1000))
    }

    /// From seconds since the Unix epoch (clamped like [`Timestamp::from_micros`]).
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self::from_micros(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch, rounded towards the past.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Whole seconds since the Unix epoch, rounded towards the past.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This moment plus a duration (saturating).
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This moment minus a duration (saturating).
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self::from_micros(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads RFC 3339 with any offset and any number of fractional digits (those past microseconds are dropped).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(moment.unix_timestamp_nanos().div_euclid(1000)).ok().map(Self::from_micros)
    }
}

impl Timestamp {
    /// As HTTP and Azure Resource Manager write it (`date-time-rfc1123`): `Sun, 06 Nov 1994 08:49:37 GMT`.
    #[must_use]
    pub fn http_date(self) -> String {
        let form = format_description!(
            "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
        );
        let moment = OffsetDateTime::from_unix_timestamp(self.as_secs()).ok();
        moment.and_then(|moment| moment.format(&form).ok()).unwrap_or_default()
    }
}

/// How a moment is written; each digit stands in a place of its own.
const FORM: [u8; 28] = *b"0001-01-01T00:00:00.0000000Z";
/// Of it, what comes before the fraction.
const WHOLE: usize = 19;

impl Timestamp {
    /// Every record that is stored has several, so it is written digit by digit.
    fn with_text<R>(self, used: impl FnOnce(&str) -> R) -> R {
        let mut text = FORM;
        if let Ok(moment) = OffsetDateTime::from_unix_timestamp(self.as_secs()) {
            let mut put = |place: std::ops::Range<usize>, mut number: u32| {
                for digit in text[place].iter_mut().rev() {
                    *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
                    number /= 10;
                }
            };
            put(0..4, moment.year().unsigned_abs());
            put(5..7, u8::from(moment.month()).into());
            put(8..10, moment.day().into());
            put(11..13, moment.hour().into());
            put(14..16, moment.minute().into());
            put(17..19, moment.second().into());
            put(20..26, u32::try_from(self.0.rem_euclid(1_000_000)).unwrap_or_default());
        }
        // Azure's services leave the fraction out when it is zero.
        let mut length = FORM.len();
        if text[20..27] == *b"0000000" {
            text[WHOLE] = b'Z';
            length = WHOLE + 1;
        }
        used(str::from_utf8(&text[..length]).unwrap_or_default())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.write_str(text))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_text(|text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("expected a date and time as RFC 3339 writes it"))
    }
}

/// Where "now" comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present moment in UTC.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// A clock that stands still until it is told to move. For tests and replay.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that reads `now`.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn http_dates() {
        assert_eq!(Timestamp::from_secs(784_111_777).http_date(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(Timestamp::NEVER.http_date(), "Mon, 01 Jan 0001 00:00:00 GMT");
    }

    proptest! {
        #[test]
        fn a_moment_is_written_as_the_calendar_says(micros in NEVER_MICROS..=MAX_MICROS, whole in any::<bool>()) {
            let moment = Timestamp::from_micros(if whole { micros - micros.rem_euclid(1_000_000) } else { micros });
            let there = OffsetDateTime::from_unix_timestamp_nanos(i128::from(moment.as_micros()) * 1000).unwrap();
            let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:7]Z");
            let expected = there.format(&form).unwrap().replace(".0000000Z", "Z");
            prop_assert_eq!(&moment.to_string(), &expected);
            prop_assert_eq!(serde_json::to_value(moment).unwrap(), serde_json::json!(expected));
            prop_assert_eq!(Timestamp::parse(&moment.to_string()), Some(moment));
        }
    }
}
