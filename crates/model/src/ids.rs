//! Ids and their rules, each as its Azure article states it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Random;
use crate::error::{Error, ErrorCode, Result};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::ops::Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// The name of a resource (a DPS, a hub, a namespace, …), unique among those of its kind: lower-case letters,
    /// digits and inner hyphens, 3 to 50 characters. It is also the first label of the resource's host name.
    ResourceName
}

text_id! {
    /// A device's id in its hub: up to 128 of ASCII letters, digits and `-:.+%_#*?!(),=@;$'`; case matters
    /// (Azure article "Understand the identity registry in your IoT hub").
    DeviceId
}

text_id! {
    /// A module's id on its device, of the same characters as a device's (the same article, "Module identity
    /// properties").
    ModuleId
}

text_id! {
    /// A device's id in the provisioning service: up to 128 of ASCII letters, digits and `-._:`, the last of them a
    /// letter, a digit or a hyphen; case does not matter, so it is kept in lower case for comparison and as it came for
    /// display (Azure article "Terminology", section "Registration ID").
    RegistrationId
}

text_id! {
    /// Who keeps streams of events, places in them and dead letters: a namespace or a function app under its own name,
    /// a hub (its built-in endpoint, what is on its way to endpoints elsewhere) as `hub1.hub`, a digital twins instance
    /// (what is on its way) as `twins1.twins`, a provisioning service (its audit record) as `dps1.dps`, so that none is taken
    /// for another.
    OwnerName
}

text_id! {
    /// An entity tag without quotes or weakness mark; each protocol dresses it as its own service does.
    Etag
}

impl ResourceName {
    /// Checks the rules above.
    pub fn parse(text: &str) -> Result<Self> {
        let bytes = text.as_bytes();
        let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        let edge = |b: Option<&u8>| b.is_some_and(|b| *b != b'-');
        if (3..=50).contains(&bytes.len())
            && bytes.iter().all(inner)
            && edge(bytes.first())
            && edge(bytes.last())
        {
            return Ok(Self(text.into()));
        }
        Err(Error::new(
            ErrorCode::InvalidArgument,
            format!(
                "'{}' is no resource name: use 3 to 50 lower-case letters, digits and inner hyphens",
                shown(text)
            ),
        ))
    }
}

impl From<ResourceName> for OwnerName {
    fn from(name: ResourceName) -> Self {
        Self(name.0)
    }
}

impl OwnerName {
    /// A hub as an owner.
    #[must_use]
    pub fn of_hub(hub: &ResourceName) -> Self {
        Self(format!("{hub}{OF_HUB}").into())
    }

    /// A digital twins instance as an owner.
    #[must_use]
    pub fn of_twins(instance: &ResourceName) -> Self {
        Self(format!("{instance}{OF_TWINS}").into())
    }

    /// A provisioning service as an owner.
    #[must_use]
    pub fn of_dps(dps: &ResourceName) -> Self {
        Self(format!("{dps}{OF_DPS}").into())
    }

    /// Reads what was kept.
    pub fn parse(text: &str) -> Result<Self> {
        let owner = [OF_HUB, OF_TWINS, OF_DPS].into_iter().find_map(|of| text.strip_suffix(of));
        ResourceName::parse(owner.unwrap_or(text))?;
        Ok(Self(text.into()))
    }

    /// The hub's name; `None` where it is no hub.
    #[must_use]
    pub fn hub(&self) -> Option<&str> {
        self.0.strip_suffix(OF_HUB)
    }

    /// The digital twins instance's name; `None` where it is none.
    #[must_use]
    pub fn twins(&self) -> Option<&str> {
        self.0.strip_suffix(OF_TWINS)
    }

    /// The provisioning service's name; `None` where it is none.
    #[must_use]
    pub fn dps(&self) -> Option<&str> {
        self.0.strip_suffix(OF_DPS)
    }
}

/// No other resource's name has a full stop.
const OF_HUB: &str = ".hub";
const OF_TWINS: &str = ".twins";
const OF_DPS: &str = ".dps";

impl DeviceId {
    /// Checks the rules above.
    pub fn parse(text: &str) -> Result<Self> {
        of_registry(text, "device").map(Self)
    }
}

impl ModuleId {
    /// Checks the rules above.
    pub fn parse(text: &str) -> Result<Self> {
        of_registry(text, "module").map(Self)
    }
}

/// An id of the identity registry.
fn of_registry(text: &str, noun: &str) -> Result<Box<str>> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-:.+%_#*?!(),=@;$'".contains(&b);
    if (1..=128).contains(&text.len()) && text.bytes().all(good) {
        return Ok(text.into());
    }
    Err(Error::new(
        ErrorCode::InvalidArgument,
        format!(
            "'{}' is no {noun} id: use 1 to 128 ASCII letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ '",
            shown(text)
        ),
    ))
}

impl RegistrationId {
    /// Checks the rules above and folds to lower case.
    pub fn parse(text: &str) -> Result<Self> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
        let last = text.bytes().last().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'-');
        if (1..=128).contains(&text.len()) && text.bytes().all(good) && last {
            return Ok(Self(text.to_ascii_lowercase().into()));
        }
        Err(Error::new(
            ErrorCode::InvalidArgument,
            format!(
                "'{}' is no registration id: use 1 to 128 ASCII letters, digits and - . _ :, ending with a letter, a digit or -",
                shown(text)
            ),
        ))
    }
}

impl Etag {
    /// Any text a client may send back.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// A fresh tag: a random UUID.
    #[must_use]
    pub fn fresh(random: &dyn Random) -> Self {
        Self(random.uuid().to_string().into())
    }
}

/// At most the first 64 characters of foreign text, control characters escaped: for messages and logs.
#[must_use]
pub fn shown(text: &str) -> String {
    let cut: String = text.chars().take(64).flat_map(char::escape_default).collect();
    if text.chars().nth(64).is_some() { cut + "…" } else { cut }
}
