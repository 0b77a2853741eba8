//! Which hub a device goes to.
//!
//! Azure article "How to use allocation policies across IoT hubs". Hubs are weighed by their `allocation_weight`;
//! `hashed` and `geoLatency` leave out hubs whose `apply_allocation_policy` is off. Azure measures latencies; here the
//! operator says them, hub by hub, for all devices or by the network that they come from (`pollux dps link-hub
//! --latency-ms, --latency-from`). Of hubs equally near, and where none is said, `geoLatency` picks like `hashed`.

use std::net::IpAddr;
use std::sync::Arc;

use pollux_model::enrollment::{Allocation, InitialTwin};
use pollux_model::partition_key::partition_of;
use pollux_model::registration::Registration;
use pollux_model::resource::{LinkedHub, Resource, ResourceKind};
use serde_json::Value;

use super::Provisioning;
use super::operate::{Choice, Deciding, Outcome};

/// What an allocation chose.
#[derive(Debug)]
pub(super) struct Allocated {
    pub(super) hub: Arc<Resource>,
    /// From the webhook: overrides the enrollment's.
    pub(super) initial_twin: Option<InitialTwin>,
    /// From the webhook, for the device.
    pub(super) payload: Option<Value>,
}

/// A hub to choose from, and its weight.
pub(super) type Candidate = (Arc<Resource>, LinkedHub);

impl Provisioning {
    pub(super) async fn allocate(
        &self,
        dps: &Resource,
        record: &Registration,
        deciding: &Deciding,
        current: Option<&Resource>,
    ) -> Choice {
        let candidates = self.candidates(dps, &deciding.rules.hubs)?;
        match &deciding.rules.allocation {
            Allocation::Custom { webhook } => {
                let call =
                    super::webhook::Call { webhook, record, deciding, current, candidates: &candidates };
                self.call_webhook(call).await
            }
            Allocation::Static => match candidates.as_slice() {
                [(hub, _)] => Ok(plain(hub)),
                _ => Err(Outcome::failed(
                    400_208,
                    "static allocation needs exactly one hub: name it in iotHubs",
                )),
            },
            Allocation::Hashed | Allocation::GeoLatency => {
                let nearest = deciding.rules.allocation == Allocation::GeoLatency;
                let candidates =
                    if nearest { nearest_of(candidates, record.operation.address) } else { candidates };
                pick(&candidates, &record.registration_id).map(plain).ok_or_else(|| {
                    Outcome::failed(400_208, "no linked hub takes part in allocation: link one or turn it on")
                })
            }
        }
    }

    /// The linked hubs, or those of them that the enrollment names.
    fn candidates(&self, dps: &Resource, named: &[String]) -> Result<Vec<Candidate>, Outcome> {
        let linked = &Self::dps(dps).map_err(Outcome::of)?.linked_hubs;
        let found = linked
            .iter()
            .filter_map(|link| Some((self.context.table.named(ResourceKind::Hub, &link.hub)?, link.clone())));
        let wanted = |hub: &Resource| {
            named.is_empty() || named.iter().any(|name| name.eq_ignore_ascii_case(&hub.host_name))
        };
        let candidates: Vec<_> = found.filter(|(hub, _)| wanted(hub)).collect();
        if candidates.is_empty() {
            return Err(Outcome::failed(
                400_208,
                "no hub to choose from: link a hub, or name a linked one in iotHubs",
            ));
        }
        Ok(candidates)
    }
}

fn plain(hub: &Arc<Resource>) -> Allocated {
    Allocated { hub: Arc::clone(hub), initial_twin: None, payload: None }
}

/// Those that take part and are nearest; of those whose distance is not known none is, unless it is known of no one.
fn nearest_of(candidates: Vec<Candidate>, device: Option<IpAddr>) -> Vec<Candidate> {
    let taking: Vec<_> = candidates.into_iter().filter(|(_, link)| link.apply_allocation_policy).collect();
    let nearest = taking.iter().filter_map(|(_, link)| link.latency_from(device)).min();
    taking.into_iter().filter(|(_, link)| link.latency_from(device) == nearest).collect()
}

/// The same id goes to the same hub as long as hubs and weights stay.
fn pick<'a>(candidates: &'a [Candidate], registration_id: &str) -> Option<&'a Arc<Resource>> {
    let taking: Vec<_> = candidates.iter().filter(|(_, link)| link.apply_allocation_policy).collect();
    let total: u32 = taking.iter().map(|(_, link)| link.allocation_weight.max(1)).sum();
    if total == 0 {
        return None;
    }
    let mut at = partition_of(registration_id, total);
    taking.into_iter().find_map(|(hub, link)| {
        let weight = link.allocation_weight.max(1);
        if at < weight {
            return Some(hub);
        }
        at -= weight;
        None
    })
}
