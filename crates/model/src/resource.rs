//! Resources: the instances of each service that live side by side, in groups, with their own names, keys and data.

mod ca_certificate;
mod certificate_issuer;
mod cloud_to_device;
mod dps;
mod enrichment;
mod file_upload;
mod route;
mod sku;
mod storage;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::{Etag, Key, KeyPair, ResourceName, Timestamp};

pub use ca_certificate::CaCertificate;
pub use certificate_issuer::{CertificateIssuer, PrivateKey, Revocation};
pub use cloud_to_device::{CloudToDevice, Feedback, IsoDuration};
pub use dps::{Dps, LinkedHub, ServiceAllocation};
pub use enrichment::Enrichment;
pub use file_upload::{FileUpload, StorageEndpoint};
pub use route::{Route, RouteSource};
pub use sku::{Sku, SkuName};
pub use storage::{BlobsOf, Encoding, FileNameFormat, FirstMessage, StorageContainer};

/// The five kinds of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceKind {
    /// A device provisioning service.
    Dps,
    /// An IoT hub.
    Hub,
    /// An event hubs namespace.
    Events,
    /// A digital twins instance.
    Twins,
    /// A function app.
    Functions,
}

impl ResourceKind {
    /// Every kind, in the order they depend on each other when deleted.
    pub const ALL: [Self; 5] = [Self::Dps, Self::Hub, Self::Functions, Self::Events, Self::Twins];

    /// The word used in commands, paths and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dps => "dps",
            Self::Hub => "hub",
            Self::Events => "events",
            Self::Twins => "twins",
            Self::Functions => "functions",
        }
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ResourceKind {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            Error::invalid(format!(
                "'{}' is no kind of resource: use dps, hub, events, twins or functions",
                crate::ids::shown(text)
            ))
        })
    }
}

/// One instance of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Unique among resources of the same kind.
    pub name: ResourceName,
    /// The resource group it belongs to (and is deleted with).
    pub group: String,
    /// The host name clients use and the one handed out to devices (no port).
    pub host_name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Changes with every change.
    pub etag: Etag,
    /// What only this kind has.
    pub properties: Properties,
}

impl Resource {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> ResourceKind {
        match self.properties {
            Properties::Dps(_) => ResourceKind::Dps,
            Properties::Hub(_) => ResourceKind::Hub,
            Properties::Events(_) => ResourceKind::Events,
            Properties::Twins(_) => ResourceKind::Twins,
            Properties::Functions(_) => ResourceKind::Functions,
        }
    }

    /// The moment as of which its queries are answered that name none; `None`: the present one.
    #[must_use]
    pub fn seen_by_queries(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.properties {
            Properties::Twins(Twins {
                consistency: Consistency::Eventual(seconds),
                history: Some(history),
                ..
            }) => {
                // Of what was before the history began nothing is known.
                Some(now.minus(Duration::from_secs(u64::from(*seconds))).max(history.begins(now)))
            }
            _ => None,
        }
    }

    /// How it keeps its history, where it is a digital twins instance that does.
    #[must_use]
    pub const fn twin_history(&self) -> Option<&TwinHistory> {
        match &self.properties {
            Properties::Twins(twins) => twins.history.as_ref(),
            _ => None,
        }
    }

    /// The endpoints that its routes can lead to, the built-in one of a hub not among them.
    #[must_use]
    pub fn endpoints(&self) -> &[RoutingEndpoint] {
        match &self.properties {
            Properties::Hub(hub) => &hub.endpoints,
            Properties::Twins(twins) => &twins.endpoints,
            Properties::Dps(_) | Properties::Events(_) | Properties::Functions(_) => &[],
        }
    }

    /// The shared access policy of that name (names compare without case).
    #[must_use]
    pub fn policy(&self, name: &str) -> Option<&Policy> {
        let policies = match &self.properties {
            Properties::Dps(dps) => &dps.policies,
            Properties::Hub(hub) => &hub.policies,
            Properties::Events(events) => &events.policies,
            Properties::Twins(_) | Properties::Functions(_) => return None,
        };
        policies.iter().find(|policy| policy.name.eq_ignore_ascii_case(name))
    }
}

/// What only one kind of resource has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Properties {
    /// Of a provisioning service.
    Dps(Dps),
    /// Of a hub.
    Hub(Hub),
    /// Of an event hubs namespace.
    Events(Events),
    /// Of a digital twins instance.
    Twins(Twins),
    /// Of a function app.
    Functions(Functions),
}

/// An IoT hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hub {
    /// Shared access policies.
    pub policies: Vec<Policy>,
    /// Where routes can lead, beside the built-in endpoint.
    pub endpoints: Vec<RoutingEndpoint>,
    /// Message routes, in no order: each is tried.
    pub routes: Vec<Route>,
    /// The built-in endpoint, [`BUILT_IN_ENDPOINT`].
    #[serde(default)]
    pub events: BuiltInEndpoint,
    /// Whether device-to-cloud messages that no route takes go to the built-in endpoint.
    #[serde(default = "in_force")]
    pub fallback_route: bool,
    /// Certificates of authorities: a device that is registered so may show one that such a one signed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CaCertificate>,
    /// What messages get on their way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enrichments: Vec<Enrichment>,
    /// How it treats messages to devices.
    #[serde(default)]
    pub cloud_to_device: CloudToDevice,
    /// How its devices upload files.
    #[serde(default, skip_serializing_if = "FileUpload::is_default")]
    pub file_upload: FileUpload,
    /// Which of Azure's tiers it is held to; none: it is held to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<Sku>,
}

const fn in_force() -> bool {
    true
}

/// The name under which routes lead to a hub's built-in endpoint.
pub const BUILT_IN_ENDPOINT: &str = "events";

/// A hub's built-in endpoint: an event hub of its own (Azure article "Read device-to-cloud messages from the built-in endpoint").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltInEndpoint {
    /// 1 to 32.
    pub partitions: u32,
    /// How long events are kept, in hours.
    pub retention_hours: u32,
    /// How many bytes a partition keeps at most; `None`: as many as the time allows.
    pub retention_bytes: Option<u64>,
    /// Consumer groups; `$Default` is always among them.
    pub consumer_groups: Vec<String>,
}

impl Default for BuiltInEndpoint {
    fn default() -> Self {
        let consumer_groups = vec!["$Default".to_owned()];
        Self { partitions: 4, retention_hours: 24, retention_bytes: None, consumer_groups }
    }
}

impl BuiltInEndpoint {
    /// Its Event Hub-compatible name: Azure's is made of the hub's name likewise.
    #[must_use]
    pub fn name(hub: &str) -> String {
        format!("iothub-ehub-{hub}")
    }

    /// The event hub it is for clients of event hubs.
    #[must_use]
    pub fn event_hub(&self, hub: &str) -> EventHub {
        EventHub {
            name: Self::name(hub),
            partitions: self.partitions,
            retention_hours: self.retention_hours,
            retention_bytes: self.retention_bytes,
            consumer_groups: self.consumer_groups.clone(),
            policies: Vec::new(),
        }
    }
}

/// A place a route leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutingEndpoint {
    /// Its name among the endpoints of the hub or digital twins instance.
    pub name: String,
    /// Where it is.
    #[serde(flatten)]
    pub target: EndpointTarget,
}

/// Where a routing endpoint is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EndpointTarget {
    /// An event hub of this deployment.
    EventHub {
        /// The namespace.
        namespace: ResourceName,
        /// The event hub in it.
        event_hub: String,
    },
    /// A container that messages are written to in batches. Of hubs only. It stands before what it could be taken for.
    Storage(StorageContainer),
    /// An event hub elsewhere, reached over AMQP.
    External {
        /// `Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…;EntityPath=<event hub>`.
        connection_string: Setting,
    },
    /// A web server that takes `CloudEvents` 1.0, one a POST, in structured mode.
    Webhook {
        /// `https://…` or `http://…`; may carry a key.
        url: Setting,
        /// Whether an event that it does not take is kept, to be shown and replayed.
        dead_letters: bool,
    },
}

impl EndpointTarget {
    /// Whether events wait here until they are sent there.
    #[must_use]
    pub const fn is_elsewhere(&self) -> bool {
        match self {
            Self::EventHub { .. } => false,
            Self::Storage(_) | Self::External { .. } | Self::Webhook { .. } => true,
        }
    }
}

impl RoutingEndpoint {
    /// Whether it leads to this event hub of the deployment.
    #[must_use]
    pub fn leads_to(&self, namespace: &str, event_hub: &str) -> bool {
        matches!(&self.target, EndpointTarget::EventHub { namespace: of, event_hub: name } if **of == *namespace && name == event_hub)
    }
}

/// An event hubs namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Shared access policies of the namespace.
    pub policies: Vec<Policy>,
    /// Its event hubs.
    pub event_hubs: Vec<EventHub>,
}

/// An event hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventHub {
    /// Its name in the namespace, lower case.
    pub name: String,
    /// 1 to 32.
    pub partitions: u32,
    /// How long events are kept, in hours.
    pub retention_hours: u32,
    /// How many bytes a partition keeps at most; `None`: as many as the time allows.
    pub retention_bytes: Option<u64>,
    /// Consumer groups; `$Default` is always among them.
    pub consumer_groups: Vec<String>,
    /// Shared access policies of this event hub alone.
    pub policies: Vec<Policy>,
}

/// A digital twins instance. Who may use it is decided by roles in tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Twins {
    /// How long it keeps what twins and relationships were; `None`: not at all.
    #[serde(default)]
    pub history: Option<TwinHistory>,
    /// What its queries see; each other operation sees what was written.
    #[serde(default)]
    pub consistency: Consistency,
    /// Properties that have an index from the start, as they were declared: `temperature`, `in.part:number`.
    #[serde(default)]
    pub indexes: Vec<String>,
    /// Where event routes can lead.
    #[serde(default)]
    pub endpoints: Vec<RoutingEndpoint>,
    /// Event routes, in no order: each is tried.
    #[serde(default)]
    pub event_routes: Vec<EventRoute>,
}

/// What queries of a digital twins instance see. In text `strong` or, with the lag, `eventual:10s`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Consistency {
    /// Whatever was acknowledged before they began.
    #[default]
    Strong,
    /// What stood so many seconds ago: for tests of clients that must not rely on more, for the real service's queries may
    /// be behind (Azure article "Query the Azure Digital Twins twin graph", up to 10 seconds).
    Eventual(u32),
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strong => f.write_str("strong"),
            Self::Eventual(seconds) => write!(f, "eventual:{seconds}s"),
        }
    }
}

impl FromStr for Consistency {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let lag = text.strip_prefix("eventual:").and_then(|lag| lag.strip_suffix('s')).map(str::parse);
        match (text, lag) {
            ("strong", _) => Ok(Self::Strong),
            (_, Some(Ok(seconds @ 1..=3600))) => Ok(Self::Eventual(seconds)),
            _ => Err(Error::invalid(format!(
                "consistency is strong, or eventual with a lag from 1 to 3600 seconds, like eventual:10s; it is not '{}'",
                crate::ids::shown(text)
            ))),
        }
    }
}

impl Serialize for Consistency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Consistency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How a digital twins instance keeps its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwinHistory {
    /// For how many hours, from when a version ended.
    pub hours: u32,
    /// When it was switched on: nothing is known of what changed before.
    pub since: Timestamp,
}

impl TwinHistory {
    /// The first moment of which everything is known.
    #[must_use]
    pub fn begins(&self, now: Timestamp) -> Timestamp {
        now.minus(Duration::from_secs(u64::from(self.hours) * 3600)).max(self.since)
    }
}

/// An event route of a digital twins instance (Azure article "Endpoints and event routes").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRoute {
    /// Unique among those of the instance; case matters.
    pub id: String,
    /// The name of one of the instance's endpoints.
    pub endpoint: String,
    /// Which notifications it takes; `true` takes all, `false` none.
    pub filter: String,
}

/// A function app: the allocation webhook and the two event hub consumers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Functions {
    /// The function key that `?code=` must carry.
    pub keys: KeyPair,
    /// Settings by the names of Microsoft's article (`ADT_SERVICE_URL`, `EVENTHUB_CONNECTIONSTRING`, …). May be secret.
    pub settings: BTreeMap<String, Setting>,
    /// How telemetry fields become twin properties.
    pub mapping: Vec<TelemetryMapping>,
}

/// A setting's value; may be a connection string, so `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Setting(pub String);

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Setting(***)")
    }
}

/// A telemetry field that is written to a twin property of another name or place. Fields without a mapping go to the
/// writable property of the same name, if the twin's model has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetryMapping {
    /// Only for twins of this model (or one that extends it); `None`: for all.
    pub model: Option<String>,
    /// JSON pointer into the message body, such as `/climate/temp`.
    pub field: String,
    /// JSON pointer into the twin, such as `/Temperature` or `/Sensor/Temperature`; empty: the field is not written.
    pub property: String,
}

/// A shared access policy: a name, two keys, rights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Such as `iothubowner`.
    pub name: String,
    /// Either key signs.
    pub keys: KeyPair,
    /// What it may do; each kind of resource has its own words.
    pub rights: Vec<PolicyRight>,
}

impl Policy {
    /// A policy with new keys.
    #[must_use]
    pub fn new(name: &str, keys: KeyPair, rights: &[PolicyRight]) -> Self {
        Self { name: name.to_owned(), keys, rights: rights.to_vec() }
    }

    /// The primary key, for connection strings.
    #[must_use]
    pub const fn primary(&self) -> &Key {
        &self.keys.primary
    }
}

/// What a shared access policy may do (the names Azure's articles and ARM use).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PolicyRight {
    /// DPS: everything the service API offers.
    ServiceConfig,
    /// DPS: read enrollments.
    EnrollmentRead,
    /// DPS: write enrollments.
    EnrollmentWrite,
    /// DPS: read registration records.
    RegistrationStatusRead,
    /// DPS: delete registration records.
    RegistrationStatusWrite,
    /// DPS and hub: what a device may do.
    DeviceConnect,
    /// Hub: read identities.
    RegistryRead,
    /// Hub: read and write identities.
    RegistryWrite,
    /// Hub: twins, methods, messages to devices.
    ServiceConnect,
    /// Events: receive.
    Listen,
    /// Events: send.
    Send,
    /// Events: manage, send and receive.
    Manage,
}

#[cfg(test)]
mod tests;
