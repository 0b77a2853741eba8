//! What every service is given: the seams to the world.

use std::sync::{Arc, OnceLock};

use pollux_client::tls::SystemTrust;
use pollux_eventlog::EventLog;
use pollux_model::{Clock, Random};
use pollux_store::store::DynStore;

use crate::cluster::Cluster;
use crate::limits::Limits;
use crate::resources::ResourceTable;

/// The seams to the world, shared by all services.
#[derive(Debug)]
pub struct Context {
    /// State.
    pub store: DynStore,
    /// Events.
    pub log: Arc<dyn EventLog>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The other nodes, if there are any.
    pub cluster: Cluster,
    /// The deployment's resources, in memory.
    pub table: ResourceTable,
    /// Every bound, with Azure's documented sizes as defaults.
    pub limits: Limits,
    /// The ports of our own HTTPS listeners, once they are bound: a webhook that leads to them is called in process.
    pub https_ports: OnceLock<Vec<u16>>,
    /// For webhooks and foreign services: trusts the system's and the configured roots, and our own CA.
    pub http: reqwest::Client,
    /// The same roots, for AMQP to endpoints elsewhere.
    pub trust: SystemTrust,
}
