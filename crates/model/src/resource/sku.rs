//! Which tier of Azure's a hub is held to, and how many units of it (`sku` of the ARM resource: `{"name": "S1", "capacity": 2}`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A tier and its units. A hub without one is held to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sku {
    /// The tier.
    pub name: SkuName,
    /// How many units: 1 of F1, up to 200 of S1 and S2, up to 10 of S3 (Azure article "Choose the right IoT Hub tier").
    pub capacity: u32,
}

/// The tiers that have all that a hub can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SkuName {
    /// Free.
    F1,
    /// Standard.
    S1,
    /// Standard.
    S2,
    /// Standard.
    S3,
}

impl SkuName {
    /// As in the ARM resource.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::F1 => "F1",
            Self::S1 => "S1",
            Self::S2 => "S2",
            Self::S3 => "S3",
        }
    }
}

impl fmt::Display for SkuName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SkuName {
    type Err = Error;

    /// In any case of letters.
    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::F1, Self::S1, Self::S2, Self::S3];
        let found = all.into_iter().find(|one| one.as_str().eq_ignore_ascii_case(text));
        found.ok_or_else(|| Error::invalid("sku.name must be F1, S1, S2, S3 or none"))
    }
}

impl Sku {
    /// Checks how many units there are.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`](crate::ErrorCode::InvalidArgument).
    pub fn check(self) -> Result<()> {
        let most = match self.name {
            SkuName::F1 => 1,
            SkuName::S1 | SkuName::S2 => 200,
            SkuName::S3 => 10,
        };
        if (1..=most).contains(&self.capacity) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "sku.capacity of {} must be 1 to {most}, not {}",
            self.name, self.capacity
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_bounded_by_tier() {
        for (name, capacity, holds) in
            [("f1", 1, true), ("F1", 2, false), ("S1", 200, true), ("S2", 0, false), ("S3", 11, false)]
        {
            let sku = Sku { name: name.parse().unwrap(), capacity };
            assert_eq!(sku.check().is_ok(), holds, "{sku:?}");
        }
        assert!("B1".parse::<SkuName>().is_err());
    }
}
