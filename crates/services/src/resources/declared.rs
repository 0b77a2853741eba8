//! What an operator says about a resource, in the configuration or over the admin API. Every field but the name may be
//! left out: then a new resource gets the default and an existing one keeps what it has.
//!
//! Field names are `snake_case`; the camelCase spelling of the admin API is taken as well.

use std::collections::BTreeMap;

use ipnet::IpNet;
use pollux_model::resource::{
    Consistency, Encoding, IsoDuration, PolicyRight, ResourceKind, RouteSource, Setting, TelemetryMapping,
};
use pollux_model::{Error, ResourceName, Result};
use serde::Deserialize;

/// A declaration of one resource.
#[derive(Debug, Clone)]
pub enum Declared {
    /// A provisioning service.
    Dps(DeclaredDps),
    /// A hub.
    Hub(DeclaredHub),
    /// An event hubs namespace.
    Events(DeclaredEvents),
    /// A digital twins instance.
    Twins(DeclaredTwins),
    /// A function app.
    Functions(DeclaredFunctions),
}

/// A provisioning service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeclaredDps {
    /// The resource's name.
    #[serde(deserialize_with = "resource_name")]
    pub name: String,
    /// Its group; `default` when left out.
    pub group: Option<String>,
    /// The host name clients use.
    #[serde(alias = "hostName")]
    pub host_name: Option<String>,
    /// `0ne` and 8 upper-case hex digits.
    #[serde(alias = "idScope")]
    pub id_scope: Option<String>,
    /// Shared access policies to make or change.
    pub policies: Vec<DeclaredPolicy>,
    /// Hubs to link.
    #[serde(alias = "linkedHubs")]
    pub linked_hubs: Vec<DeclaredLink>,
    /// What enrollments get that name no allocation policy: `hashed` when left out.
    #[serde(alias = "allocationPolicy")]
    pub allocation_policy: Option<String>,
}

/// A hub linked to a provisioning service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredLink {
    /// The hub's resource name.
    pub hub: String,
    /// 1 to 1000; 1 when left out.
    #[serde(default, alias = "allocationWeight")]
    pub allocation_weight: Option<u32>,
    /// Whether allocation policies may pick it; true when left out.
    #[serde(default, alias = "applyAllocationPolicy")]
    pub apply_allocation_policy: Option<bool>,
    /// How far it is from the devices, in milliseconds; unknown when left out.
    #[serde(default, alias = "latencyMs")]
    pub latency_ms: Option<u32>,
    /// The same by the network that devices come from (`10.1.0.0/16`); those said take the place of all that were.
    #[serde(default)]
    pub latencies: Option<BTreeMap<IpNet, u32>>,
}

/// A hub.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeclaredHub {
    /// The resource's name.
    #[serde(deserialize_with = "resource_name")]
    pub name: String,
    /// Its group; `default` when left out.
    pub group: Option<String>,
    /// The host name clients use.
    #[serde(alias = "hostName")]
    pub host_name: Option<String>,
    /// Shared access policies to make or change.
    pub policies: Vec<DeclaredPolicy>,
    /// Routing endpoints to make or change.
    pub endpoints: Vec<DeclaredEndpoint>,
    /// Routes to make or change.
    pub routes: Vec<DeclaredRoute>,
    /// What messages get on their way to endpoints, to make or change.
    pub enrichments: Vec<DeclaredEnrichment>,
    /// The built-in endpoint.
    pub events: DeclaredBuiltIn,
    /// Whether device-to-cloud messages that no route takes go to the built-in endpoint; true when left out.
    #[serde(alias = "fallbackRoute")]
    pub fallback_route: Option<bool>,
    /// How it treats messages to devices.
    #[serde(alias = "cloudToDevice")]
    pub cloud_to_device: DeclaredCloudToDevice,
    /// How its devices upload files.
    #[serde(alias = "fileUpload")]
    pub file_upload: Box<DeclaredFileUpload>,
    /// Which of Azure's tiers it is held to; none when left out.
    pub sku: Option<DeclaredSku>,
}

/// A tier and its units; see [`Sku`](pollux_model::resource::Sku).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeclaredSku {
    /// F1, S1, S2 or S3; `none`: it is held to nothing.
    pub name: Option<String>,
    /// How many units; what it was, or 1, when left out.
    pub capacity: Option<u32>,
}

/// How a hub treats messages to devices; see [`CloudToDevice`](pollux_model::resource::CloudToDevice) for ranges and
/// defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeclaredCloudToDevice {
    /// How long a message lives that says nothing itself, such as `PT1H`.
    #[serde(alias = "defaultTtlAsIso8601")]
    pub default_ttl_as_iso8601: Option<IsoDuration>,
    /// How often a message may be abandoned.
    #[serde(alias = "maxDeliveryCount")]
    pub max_delivery_count: Option<u32>,
    /// About feedback.
    pub feedback: DeclaredFeedback,
}

/// How a hub treats feedback about messages to devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeclaredFeedback {
    /// How long a receiver has for it.
    #[serde(alias = "lockDurationAsIso8601")]
    pub lock_duration_as_iso8601: Option<IsoDuration>,
    /// How long it is kept.
    #[serde(alias = "ttlAsIso8601")]
    pub ttl_as_iso8601: Option<IsoDuration>,
    /// How often it may be abandoned.
    #[serde(alias = "maxDeliveryCount")]
    pub max_delivery_count: Option<u32>,
}

pub use super::file_upload::DeclaredFileUpload;

/// The built-in endpoint of a hub.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeclaredBuiltIn {
    /// 1 to 32; 4 when left out; may only grow.
    pub partitions: Option<u32>,
    /// Hours events are kept; 24 when left out.
    #[serde(alias = "retentionHours")]
    pub retention_hours: Option<u32>,
    /// Bytes a partition keeps at most; no bound when left out.
    #[serde(alias = "retentionBytes")]
    pub retention_bytes: Option<u64>,
    /// Consumer groups to make, beside `$Default`.
    #[serde(alias = "consumerGroups")]
    pub consumer_groups: Vec<String>,
}

/// A routing endpoint of a hub or digital twins instance: an event hub of this deployment, by namespace and name, or one
/// elsewhere, by connection string; a webhook, by URL; of hubs also a storage container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeclaredEndpoint {
    /// Its name among the endpoints.
    pub name: String,
    /// The event hubs namespace.
    pub namespace: Option<String>,
    /// The event hub in it.
    #[serde(alias = "eventHub")]
    pub event_hub: Option<String>,
    /// `Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…;EntityPath=<event hub>` of a namespace elsewhere.
    #[serde(alias = "connectionString")]
    pub connection_string: Option<Setting>,
    /// `https://…` or `http://…` of a web server that takes `CloudEvents`.
    pub webhook: Option<Setting>,
    /// Whether what the webhook does not take is kept; true when left out.
    #[serde(alias = "deadLetters")]
    pub dead_letters: Option<bool>,
    /// A storage container, of hubs: of the account in `connection_string` (or by its URL there, with a shared access
    /// signature), or a folder that the deployment keeps.
    #[serde(alias = "containerName")]
    pub container: Option<String>,
    /// How messages are written there: `Avro` when left out, or `JSON`.
    pub encoding: Option<Encoding>,
    /// What blobs are called; `{iothub}/{partition}/{YYYY}/{MM}/{DD}/{HH}/{mm}` when left out.
    #[serde(alias = "fileNameFormat")]
    pub file_name_format: Option<String>,
    /// How long messages are gathered; 300 when left out.
    #[serde(alias = "batchFrequencyInSeconds")]
    pub batch_frequency_seconds: Option<u32>,
    /// When a blob is full; 314572800 when left out.
    #[serde(alias = "maxChunkSizeInBytes")]
    pub max_chunk_bytes: Option<u64>,
}

/// An event route of a digital twins instance.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredEventRoute {
    /// Unique among those of the instance.
    pub id: String,
    /// The endpoint's name.
    #[serde(alias = "endpointName")]
    pub endpoint: String,
    /// Which notifications it takes; `true` when left out.
    #[serde(default)]
    pub filter: Option<String>,
}

/// A message route of a hub.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredRoute {
    /// Its name among the hub's routes.
    pub name: String,
    /// Which messages it looks at.
    pub source: RouteSource,
    /// The routing query; `true` when left out.
    #[serde(default)]
    pub condition: Option<String>,
    /// The endpoint's name.
    pub endpoint: String,
    /// Whether it is in force; true when left out.
    #[serde(default)]
    pub enabled: Option<bool>,
}

/// What messages get on their way to endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredEnrichment {
    /// The application property's name.
    pub key: String,
    /// A text, `$iothubname`, or a path into the twin such as `$twin.tags.floor`.
    pub value: String,
    /// Names of endpoints.
    #[serde(alias = "endpointNames")]
    pub endpoints: Vec<String>,
}

/// An event hubs namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeclaredEvents {
    /// The resource's name.
    #[serde(deserialize_with = "resource_name")]
    pub name: String,
    /// Its group; `default` when left out.
    pub group: Option<String>,
    /// The host name clients use.
    #[serde(alias = "hostName")]
    pub host_name: Option<String>,
    /// Shared access policies to make or change.
    pub policies: Vec<DeclaredPolicy>,
    /// Event hubs to make or change.
    #[serde(alias = "eventHubs")]
    pub event_hubs: Vec<DeclaredEventHub>,
}

/// An event hub of a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeclaredEventHub {
    /// Its name in the namespace.
    pub name: String,
    /// 1 to 32; 4 when left out; may only grow.
    pub partitions: Option<u32>,
    /// Hours events are kept; 24 when left out.
    #[serde(alias = "retentionHours")]
    pub retention_hours: Option<u32>,
    /// Bytes a partition keeps at most; 0: no bound, as when left out for a new one.
    #[serde(alias = "retentionBytes")]
    pub retention_bytes: Option<u64>,
    /// Consumer groups to make, beside `$Default`.
    #[serde(alias = "consumerGroups")]
    pub consumer_groups: Vec<String>,
    /// Shared access policies of this event hub alone, to make or change.
    pub policies: Vec<DeclaredPolicy>,
}

/// A digital twins instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeclaredTwins {
    /// The resource's name.
    #[serde(deserialize_with = "resource_name")]
    pub name: String,
    /// Its group; `default` when left out.
    pub group: Option<String>,
    /// The host name clients use.
    #[serde(alias = "hostName")]
    pub host_name: Option<String>,
    /// For how many hours it keeps what twins and relationships were; 0, which a new one has: not at all.
    #[serde(alias = "historyHours")]
    pub history_hours: Option<u32>,
    /// `strong`, which a new one has, or `eventual:10s`: its queries see what stood 10 seconds ago, out of its history, which
    /// is kept for an hour where nothing else is said.
    pub consistency: Option<Consistency>,
    /// Properties that have an index from the start, all of them: `temperature`, `in.part:number`.
    pub indexes: Option<Vec<String>>,
    /// Endpoints to make or change.
    pub endpoints: Vec<DeclaredEndpoint>,
    /// Event routes to make or change.
    #[serde(alias = "eventRoutes")]
    pub event_routes: Vec<DeclaredEventRoute>,
}

/// A function app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeclaredFunctions {
    /// The resource's name.
    #[serde(deserialize_with = "resource_name")]
    pub name: String,
    /// Its group; `default` when left out.
    pub group: Option<String>,
    /// The host name clients use.
    #[serde(alias = "hostName")]
    pub host_name: Option<String>,
    /// The function key (base64 of 16 to 64 bytes).
    pub key: Option<Setting>,
    /// Settings to set; an empty value removes one.
    pub settings: BTreeMap<String, Setting>,
    /// How telemetry fields become twin properties.
    pub mapping: Option<Vec<TelemetryMapping>>,
}

/// A shared access policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeclaredPolicy {
    /// Its name.
    pub name: String,
    /// What it may do; needed for a policy that is not there yet. `Manage` brings `Send` and `Listen` along.
    pub rights: Option<Vec<PolicyRight>>,
    /// Base64 of 16 to 64 bytes; made up when left out.
    #[serde(alias = "primaryKey")]
    pub primary_key: Option<Setting>,
    /// Base64 of 16 to 64 bytes; made up when left out.
    #[serde(alias = "secondaryKey")]
    pub secondary_key: Option<Setting>,
}

/// Reads a name and checks it, so that a bad one is refused where it stands in a file.
fn resource_name<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    // Names that are missing are filled in or refused later, with what they belong to.
    if !name.is_empty() {
        ResourceName::parse(&name).map_err(serde::de::Error::custom)?;
    }
    Ok(name)
}

impl Declared {
    /// Reads the JSON body of the admin API. `name` is taken from the path where the body has none.
    pub fn read(kind: ResourceKind, name: Option<&str>, body: serde_json::Value) -> Result<Self> {
        let wrong =
            |error: serde_json::Error| Error::invalid(format!("the {kind} is not described well: {error}"));
        let mut declared = match kind {
            ResourceKind::Dps => Self::Dps(serde_json::from_value(body).map_err(wrong)?),
            ResourceKind::Hub => Self::Hub(serde_json::from_value(body).map_err(wrong)?),
            ResourceKind::Events => Self::Events(serde_json::from_value(body).map_err(wrong)?),
            ResourceKind::Twins => Self::Twins(serde_json::from_value(body).map_err(wrong)?),
            ResourceKind::Functions => Self::Functions(serde_json::from_value(body).map_err(wrong)?),
        };
        if let Some(name) = name {
            let said = declared.name_mut();
            if !said.is_empty() && said != name {
                return Err(Error::invalid(format!("the body names '{said}', the path '{name}'")));
            }
            name.clone_into(said);
        }
        Ok(declared)
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> ResourceKind {
        match self {
            Self::Dps(_) => ResourceKind::Dps,
            Self::Hub(_) => ResourceKind::Hub,
            Self::Events(_) => ResourceKind::Events,
            Self::Twins(_) => ResourceKind::Twins,
            Self::Functions(_) => ResourceKind::Functions,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Dps(one) => &one.name,
            Self::Hub(one) => &one.name,
            Self::Events(one) => &one.name,
            Self::Twins(one) => &one.name,
            Self::Functions(one) => &one.name,
        }
    }

    fn name_mut(&mut self) -> &mut String {
        match self {
            Self::Dps(one) => &mut one.name,
            Self::Hub(one) => &mut one.name,
            Self::Events(one) => &mut one.name,
            Self::Twins(one) => &mut one.name,
            Self::Functions(one) => &mut one.name,
        }
    }

    /// Group and host name, where given.
    pub(super) fn common(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Dps(one) => (one.group.as_deref(), one.host_name.as_deref()),
            Self::Hub(one) => (one.group.as_deref(), one.host_name.as_deref()),
            Self::Events(one) => (one.group.as_deref(), one.host_name.as_deref()),
            Self::Twins(one) => (one.group.as_deref(), one.host_name.as_deref()),
            Self::Functions(one) => (one.group.as_deref(), one.host_name.as_deref()),
        }
    }

    /// The endpoints it makes or changes.
    pub(super) fn endpoints(&self) -> &[DeclaredEndpoint] {
        match self {
            Self::Hub(one) => &one.endpoints,
            Self::Twins(one) => &one.endpoints,
            Self::Dps(_) | Self::Events(_) | Self::Functions(_) => &[],
        }
    }

    /// What others refer to comes first: endpoints need the namespace, a DPS's links the hub.
    pub(super) const fn order(&self) -> u8 {
        match self {
            Self::Events(_) => 0,
            Self::Twins(_) => 1,
            Self::Functions(_) => 2,
            Self::Hub(_) => 3,
            Self::Dps(_) => 4,
        }
    }
}
