//! What a hub adds to messages on their way.

use serde::{Deserialize, Serialize};

/// An application property that messages get on their way to some endpoints (Azure article "Message enrichments for
/// device-to-cloud IoT Hub messages"; `EnrichmentProperties` of the ARM resource).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrichment {
    /// The property's name: letters, digits and `-_.`; unique in the hub.
    pub key: String,
    /// A text, `$iothubname`, or a path into the device's twin: `$twin.tags.…`, `$twin.properties.desired.…`,
    /// `$twin.properties.reported.…`.
    pub value: String,
    /// Names of endpoints, the built-in one (`events`) included.
    pub endpoints: Vec<String>,
}

impl Enrichment {
    /// The path into the device's twin, where the value is one.
    #[must_use]
    pub fn twin_path(&self) -> Option<&str> {
        let path = self.value.strip_prefix("$twin.")?;
        let sides = ["tags.", "properties.desired.", "properties.reported."];
        sides.iter().any(|side| path.starts_with(side)).then_some(path)
    }
}
