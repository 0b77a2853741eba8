//! How a hub treats cloud-to-device messages and the feedback about them (Azure article "Understand cloud-to-device
//! messaging from an IoT hub", "Cloud-to-device configuration options"; names as in the ARM resource).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

/// `cloudToDevice` of a hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CloudToDevice {
    /// How long a message lives that says nothing itself: one minute to two days; an hour.
    pub default_ttl_as_iso8601: IsoDuration,
    /// How often a message may be abandoned before it is dead-lettered: 1 to 100; 10.
    pub max_delivery_count: u32,
    /// About feedback.
    pub feedback: Feedback,
}

/// `cloudToDevice.feedback` of a hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Feedback {
    /// How long a receiver has for it: 5 to 300 seconds; 60.
    pub lock_duration_as_iso8601: IsoDuration,
    /// How long it is kept: one minute to two days; an hour.
    pub ttl_as_iso8601: IsoDuration,
    /// How often it may be abandoned before it is forgotten: 1 to 100; 10.
    pub max_delivery_count: u32,
}

impl Default for CloudToDevice {
    fn default() -> Self {
        Self {
            default_ttl_as_iso8601: IsoDuration(HOUR),
            max_delivery_count: 10,
            feedback: Feedback::default(),
        }
    }
}

impl Default for Feedback {
    fn default() -> Self {
        Self {
            lock_duration_as_iso8601: IsoDuration(60),
            ttl_as_iso8601: IsoDuration(HOUR),
            max_delivery_count: 10,
        }
    }
}

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

impl CloudToDevice {
    /// Checks the documented ranges.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`](crate::ErrorCode::InvalidArgument) names the option.
    pub fn check(&self) -> Result<()> {
        check_duration("cloudToDevice.defaultTtlAsIso8601", self.default_ttl_as_iso8601, 60, 2 * DAY)?;
        check_count("cloudToDevice.maxDeliveryCount", self.max_delivery_count)?;
        self.feedback.check("cloudToDevice.feedback")
    }
}

impl Feedback {
    /// Checks the documented ranges; `of` is for messages.
    pub(super) fn check(&self, of: &str) -> Result<()> {
        check_duration(&format!("{of}.lockDurationAsIso8601"), self.lock_duration_as_iso8601, 5, 300)?;
        check_duration(&format!("{of}.ttlAsIso8601"), self.ttl_as_iso8601, 60, 2 * DAY)?;
        check_count(&format!("{of}.maxDeliveryCount"), self.max_delivery_count)
    }
}

/// An option's seconds must be in a range.
pub(super) fn check_duration(
    name: &str,
    IsoDuration(seconds): IsoDuration,
    least: u64,
    most: u64,
) -> Result<()> {
    if (least..=most).contains(&seconds) {
        return Ok(());
    }
    let (least, most) = (IsoDuration(least), IsoDuration(most));
    Err(Error::invalid(format!("{name} must be {least} to {most}, not {}", IsoDuration(seconds))))
}

fn check_count(name: &str, count: u32) -> Result<()> {
    if (1..=100).contains(&count) {
        return Ok(());
    }
    Err(Error::invalid(format!("{name} must be 1 to 100, not {count}")))
}

/// A duration in whole seconds, in text as ISO 8601 writes it: `PT1H`, `P1DT12H`, `PT0H1M0S`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsoDuration(pub u64);

impl IsoDuration {
    /// As a duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl fmt::Display for IsoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, hours) = (self.0 / DAY, self.0 % DAY / HOUR);
        let (minutes, seconds) = (self.0 % HOUR / 60, self.0 % 60);
        f.write_str("P")?;
        if days > 0 {
            write!(f, "{days}D")?;
        }
        if !self.0.is_multiple_of(DAY) || days == 0 {
            f.write_str("T")?;
        }
        for (number, unit) in [(hours, 'H'), (minutes, 'M')] {
            if number > 0 {
                write!(f, "{number}{unit}")?;
            }
        }
        if seconds > 0 || self.0 == 0 {
            write!(f, "{seconds}S")?;
        }
        Ok(())
    }
}

impl FromStr for IsoDuration {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        read(text).map(Self).ok_or_else(|| {
            Error::invalid(format!(
                "'{}' is no ISO 8601 duration of days, hours, minutes and seconds, such as PT1H",
                crate::ids::shown(text)
            ))
        })
    }
}

fn read(text: &str) -> Option<u64> {
    let (date, time) = match text.strip_prefix('P')?.split_once('T') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text.strip_prefix('P')?, ""),
    };
    let days = units(date, &[('D', DAY)])?;
    let rest = units(time, &[('H', HOUR), ('M', 60), ('S', 1)])?;
    if date.is_empty() && time.is_empty() { None } else { days.checked_add(rest) }
}

/// Numbers with their units, each once, in the order given.
fn units(mut text: &str, units: &[(char, u64)]) -> Option<u64> {
    let mut sum = 0_u64;
    for (unit, seconds) in units {
        if let Some((number, rest)) = text.split_once(*unit) {
            if !number.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(*seconds)?)?;
            text = rest;
        }
    }
    text.is_empty().then_some(sum)
}

impl Serialize for IsoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IsoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, seconds, written) in [
            ("PT1H", 3600, "PT1H"),
            ("PT1H0M0S", 3600, "PT1H"),
            ("P2D", 172_800, "P2D"),
            ("P1DT12H", 129_600, "P1DT12H"),
            ("PT90S", 90, "PT1M30S"),
            ("PT0S", 0, "PT0S"),
        ] {
            let read: IsoDuration = text.parse().unwrap();
            assert_eq!((read, read.to_string().as_str()), (IsoDuration(seconds), written));
        }
        for wrong in ["", "P", "PT", "1H", "PT1", "PT1M1H", "P1H", "PT-1S", "PT1.5S", "P1Y", "PTH"] {
            assert!(wrong.parse::<IsoDuration>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_documented_ranges_hold() {
        let with = |change: fn(&mut CloudToDevice)| {
            let mut options = CloudToDevice::default();
            change(&mut options);
            options.check().is_ok()
        };
        assert!(with(|_| {}) && with(|it| it.default_ttl_as_iso8601 = IsoDuration(172_800)));
        assert!(!with(|it| it.default_ttl_as_iso8601 = IsoDuration(59)));
        assert!(!with(|it| it.max_delivery_count = 0) && !with(|it| it.feedback.max_delivery_count = 101));
        assert!(!with(|it| it.feedback.lock_duration_as_iso8601 = IsoDuration(301)));
    }
}
