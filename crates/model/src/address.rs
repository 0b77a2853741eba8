//! Whom a hub knows: a device, or a module of a device. Each has a connection, a twin and keys of its own.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{DeviceId, Error, ModuleId, Result};

/// A device, or a module of a device. As text, in JSON too: `device` or `device/module`; neither id has a slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceAddress {
    /// The device.
    pub device: DeviceId,
    /// Its module; `None`: the device itself.
    pub module: Option<ModuleId>,
}

impl DeviceAddress {
    /// A module of a device.
    #[must_use]
    pub const fn module(device: DeviceId, module: ModuleId) -> Self {
        Self { device, module: Some(module) }
    }

    /// Ids as a client writes them.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorCode::InvalidArgument) where one of them is none.
    pub fn of(device: &str, module: Option<&str>) -> Result<Self> {
        Ok(Self { device: DeviceId::parse(device)?, module: module.map(ModuleId::parse).transpose()? })
    }

    /// The text form.
    ///
    /// # Errors
    /// As [`DeviceAddress::of`].
    pub fn parse(text: &str) -> Result<Self> {
        match text.split_once('/') {
            Some((device, module)) => Self::of(device, Some(module)),
            None => Self::of(text, None),
        }
    }

    /// What it is, in words: `device` or `module`.
    #[must_use]
    pub const fn noun(&self) -> &'static str {
        if self.module.is_some() { "module" } else { "device" }
    }
}

impl From<DeviceId> for DeviceAddress {
    fn from(device: DeviceId) -> Self {
        Self { device, module: None }
    }
}

impl fmt::Display for DeviceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.device)?;
        match &self.module {
            Some(module) => write!(f, "/{module}"),
            None => Ok(()),
        }
    }
}

impl Serialize for DeviceAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeviceAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error: Error| serde::de::Error::custom(error.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_text_tells_it_apart() {
        for text in ["d", "d/m", "d*.:/$edgeAgent"] {
            let address = DeviceAddress::parse(text).unwrap();
            assert_eq!(address.to_string(), text);
            let json = serde_json::to_string(&address).unwrap();
            assert_eq!(serde_json::from_str::<DeviceAddress>(&json).unwrap(), address);
        }
        for text in ["", "/", "d/", "/m", "d/m/n", "d m"] {
            assert!(DeviceAddress::parse(text).is_err(), "{text}");
        }
        assert_eq!(DeviceAddress::parse("d/m").unwrap(), DeviceAddress::of("d", Some("m")).unwrap());
        assert_ne!(DeviceAddress::parse("d/m").unwrap(), DeviceId::parse("d").unwrap().into());
    }
}
