//! A device provisioning service: linked hubs, certificates of authorities, and its own allocation policy.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{CaCertificate, CertificateIssuer, Policy, Revocation};
use crate::ResourceName;
use crate::enrollment::Der;
use crate::error::{Error, Result};

/// A device provisioning service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dps {
    /// `0ne` and 8 upper-case hex digits; unique; what devices know.
    pub id_scope: String,
    /// Shared access policies.
    pub policies: Vec<Policy>,
    /// Hubs that devices can be assigned to, in the order they were linked.
    pub linked_hubs: Vec<LinkedHub>,
    /// Certificates of authorities that enrollments can name.
    #[serde(default)]
    pub certificates: Vec<CaCertificate>,
    /// What enrollments get that name no allocation policy; `None`: `hashed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation: Option<ServiceAllocation>,
    /// What makes certificates of devices' requests; `None`: such requests are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<CertificateIssuer>,
    /// Certificates it made that hold no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revocations: Vec<Revocation>,
}

/// The allocation policy of a provisioning service (ARM's `allocationPolicy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceAllocation {
    /// By a hash of the registration id, weighted.
    Hashed,
    /// To the hub with the lowest latency.
    GeoLatency,
    /// To the one hub that the enrollment names; by hash where it names none, or several.
    Static,
}

impl ServiceAllocation {
    /// ARM's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hashed => "Hashed",
            Self::GeoLatency => "GeoLatency",
            Self::Static => "Static",
        }
    }
}

impl FromStr for ServiceAllocation {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::Hashed, Self::GeoLatency, Self::Static];
        all.into_iter().find(|one| one.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
            Error::invalid(format!(
                "allocation policy '{}' is unknown: use hashed, geoLatency or static",
                crate::ids::shown(text)
            ))
        })
    }
}

impl Dps {
    /// The certificate that enrollments name so, if somebody has proved to have its key.
    #[must_use]
    pub fn trusted_certificate(&self, name: &str) -> Option<&Der> {
        let found = self.certificates.iter().find(|one| one.name.eq_ignore_ascii_case(name))?;
        found.verified.then_some(&found.certificate)
    }

    /// Whether the certificate of that issuer (its subject, as text) and serial number was revoked.
    #[must_use]
    pub fn has_revoked(&self, issuer: &str, serial_number: &str) -> bool {
        self.revocations.iter().any(|one| one.serial_number == serial_number && one.issuer == issuer)
    }
}

/// A hub linked to a provisioning service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedHub {
    /// The hub's resource name.
    pub hub: ResourceName,
    /// 1 to 1000; more devices go to the heavier hub.
    pub allocation_weight: u32,
    /// Whether allocation policies may pick it.
    pub apply_allocation_policy: bool,
    /// How far it is from this provisioning service's devices, in milliseconds, as the operator measured it: `geoLatency`
    /// picks the nearest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u32>,
    /// The same for devices of one region each, told by the network that they come from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub latencies: BTreeMap<IpNet, u32>,
}

impl LinkedHub {
    /// How far it is from a device with that address, in milliseconds: by the smallest network that has the address, else by
    /// what is said of all devices. `None`: nothing is known.
    #[must_use]
    pub fn latency_from(&self, address: Option<IpAddr>) -> Option<u32> {
        let address = address.map(|address| address.to_canonical());
        let regions =
            self.latencies.iter().filter(|(network, _)| address.is_some_and(|one| network.contains(&one)));
        regions
            .max_by_key(|(network, _)| network.prefix_len())
            .map(|(_, latency)| *latency)
            .or(self.latency_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::LinkedHub;

    #[test]
    fn the_smallest_network_says_how_far_a_hub_is() {
        let hub: LinkedHub = serde_json::from_value(serde_json::json!({
            "hub": "hub1", "allocation_weight": 1, "apply_allocation_policy": true, "latency_ms": 90,
            "latencies": { "10.0.0.0/8": 40, "10.1.0.0/16": 5, "fd00::/8": 7 },
        }))
        .unwrap();
        for (address, latency) in [
            ("10.1.2.3", 5),
            ("::ffff:10.1.2.3", 5),
            ("10.2.0.1", 40),
            ("fd00::1", 7),
            ("192.0.2.1", 90),
            ("2001:db8::1", 90),
        ] {
            assert_eq!(hub.latency_from(Some(address.parse().unwrap())), Some(latency), "{address}");
        }
        assert_eq!(hub.latency_from(None), Some(90));
    }
}
