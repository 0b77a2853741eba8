//! Every bound in one place. Defaults are Azure's documented sizes; the articles are named at each.

use std::time::Duration;

use pollux_model::resource::{Sku, SkuName};
use serde::Deserialize;

/// Bounds that services and edges obey. Sizes in bytes, durations in seconds where configured.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// A device-to-cloud message with its properties: 256 KiB ("IoT Hub quotas and throttling").
    pub device_message: usize,
    /// A cloud-to-device message with its properties: 64 KiB (the same article).
    pub cloud_message: usize,
    /// Cloud-to-device messages that wait for one device: 50 ("Understand cloud-to-device messaging", as the next one).
    pub cloud_messages: u32,
    /// How long a device has for a message it received, in seconds: 60.
    pub cloud_message_lock_seconds: u64,
    /// Desired or reported properties: 32 KiB each; tags: 8 KiB ("Understand and use device twins").
    pub device_twin_properties: usize,
    /// Tags of a device twin.
    pub device_twin_tags: usize,
    /// A body on a service's REST API unless another bound is named: 1 MiB.
    pub request_body: usize,
    /// A digital twin or relationship without its metadata, and the body of each request about one: 32 KiB ("Azure
    /// Digital Twins service limits", as the next nine).
    pub digital_twin: usize,
    /// A string in a digital twin or relationship: 4 KiB.
    pub digital_twin_string: usize,
    /// The name of a property of a digital twin, keys of maps too: 1 KiB.
    pub digital_twin_name: usize,
    /// Twins of one digital twins instance: 2,000,000. 0: any number.
    pub twins: u64,
    /// Relationships of one digital twins instance: 20,000,000. 0: any number.
    pub relationships: u64,
    /// Relationships that start at one twin: 50,000. 0: any number.
    pub outgoing_relationships: u64,
    /// Relationships that lead to one twin: 50,000. 0: any number.
    pub incoming_relationships: u64,
    /// Whether the nine that follow bind: how much one node answers in a second about one digital twins instance ("Azure Digital
    /// Twins service limits", "Rate limits").
    pub twin_rates: bool,
    /// Requests about models: 100.
    pub model_requests: u32,
    /// Reads of twins and relationships: 1,000.
    pub twin_reads: u32,
    /// Patches of twins and relationships: 1,000.
    pub twin_patches: u32,
    /// Twins and relationships that are made or deleted: 500.
    pub twin_puts_and_deletes: u32,
    /// Changes of one twin and of the relationships that start at it: 10.
    pub changes_of_a_twin: u32,
    /// Queries, each page by itself: 500.
    pub twin_queries: u32,
    /// Query units, as `query-charge` tells them: 4,000.
    pub query_units: u32,
    /// Requests about event routes: 100.
    pub event_route_requests: u32,
    /// Requests about import and delete jobs: 1.
    pub job_requests: u32,
    /// A model: 1 MiB.
    pub model: usize,
    /// Models of one digital twins instance: 10,000.
    pub models: usize,
    /// Models in one request: 250.
    pub models_per_request: usize,
    /// The body of a request that uploads models: 8 MiB. Ours: Azure names none.
    pub models_body: usize,
    /// Models in one import, all together: 64 MiB. Ours: they are taken as one set, in memory.
    pub graph_models: usize,
    /// The body of a request that carries a part of a graph: 72 MiB. Ours.
    pub graph_body: usize,
    /// The input of an import job: 64 GiB. Ours.
    pub job_input: u64,
    /// Relationships that may go with a twin when it is asked to be deleted with them: 10,000. Ours: they go in one
    /// transaction.
    pub cascade: usize,
    /// The highest version of DTDL that a model may be written in: 3 ("Learn about twin models"); 4 is understood too.
    /// Models that are stored already stay when it is lowered.
    pub dtdl_version: u8,
    /// Twins, relationships and combinations of them that one digital twins query may look at, all its pages together.
    pub query_work: u64,
    /// Bytes that a digital twins query may hold for rows it must put in order, or groups.
    pub query_memory: usize,
    /// How long one page of a digital twins query may be worked on, in seconds; thrice as long where every page needs all
    /// rows, because they are put in order or groups.
    pub query_page_seconds: u64,
    /// Bytes that all twin graphs held in memory may take together (about 1.5 kB for a twin with its relationships); one
    /// that does not fit is read from the store by each query. 0: none is held.
    pub graph_memory: usize,
    /// Indexes on properties of twins that one digital twins instance may declare, and have in a store of many nodes, which
    /// also adopts them for what its queries ask often: 8. Ours, as the next two: each costs every change of a twin. 0: none.
    pub property_indexes: usize,
    /// Those of all instances: 32.
    pub property_indexes_in_all: usize,
    /// Days after which one that no query used is dropped: 7.
    pub property_index_days: u64,
    /// A webhook's answer: 64 KiB.
    pub webhook_answer: usize,
    /// How long a custom allocation webhook may take, in seconds: 5 ("Use custom allocation policies").
    pub webhook_timeout_seconds: u64,
    /// How long a webhook of an event route may take for one event, in seconds: 30, as Event Grid gives its webhooks
    /// ("Event Grid message delivery and retry").
    pub event_webhook_timeout_seconds: u64,
    /// Attempts of a webhook of an event route on one event that it answers, but does not take, before it becomes a dead
    /// letter: 10, within a minute. Ours: Azure says "several times" ("Endpoints and event routes").
    pub webhook_attempts: u32,
    /// Endpoints of one digital twins instance: 6 ("Azure Digital Twins service limits").
    pub endpoints: usize,
    /// Event routes of one digital twins instance: 6 (the same article).
    pub event_routes: usize,
    /// A payload a registering device sends along: 16 KiB.
    pub registration_payload: usize,
    /// Enrollment groups of one provisioning service by certificate, and as many by key: 100 ("Quotas and limits" in "What
    /// is DPS?"). Who a device is may have to be tried with each of them.
    pub enrollment_groups: usize,
    /// Whether the three that follow bind; counted they are in any case (`pollux dps stats`).
    pub provisioning_quotas: bool,
    /// Registration records of one provisioning service: 1,000,000 (the same article, as the next four).
    pub registrations: u64,
    /// Individual enrollments: 1,000,000.
    pub individual_enrollments: u64,
    /// Hubs linked to it: 50.
    pub linked_hubs: usize,
    /// How often a device may ask what became of its registration: 5 times.
    pub registration_polls: u32,
    /// Within so many seconds: 10.
    pub registration_poll_seconds: u64,
    /// Enrollments in one bulk operation: 10 (REST reference, "Run Bulk Operation").
    pub bulk_enrollments: usize,
    /// Refusals of one address that the audit record keeps a minute. Ours: Azure names none.
    pub audited_refusals_a_minute: u32,
    /// Attempts of a custom allocation webhook that does not answer, or says that it failed (429, 5xx). Ours.
    pub allocation_attempts: u32,
    /// How long a device may be away before routes of connection states are told that it is, in seconds: 60 ("React to IoT Hub
    /// events by using Event Grid").
    pub connection_state_seconds: u64,
    /// Modules of one device: 50 ("Understand and use module twins in IoT Hub").
    pub modules_per_device: usize,
    /// Configurations of a hub: 100 ("IoT Hub quotas and throttling"); where the hub has a tier, at most as many as that has, as
    /// for its scheduled jobs, endpoints, routes and enrichments.
    pub configurations: usize,
    /// Metrics of one configuration: 20. Ours: the portal takes five.
    pub configuration_metrics: usize,
    /// A configuration: 128 KiB. Ours.
    pub configuration: usize,
    /// What goes along with a direct method, in bytes: 128 KiB ("Understand and invoke direct methods from IoT Hub").
    pub method_payload: usize,
    /// Files that one device uploads at a time: 10 ("Upload files with IoT Hub").
    pub uploads: u32,
    /// A file in a folder of the deployment: 4 GiB. Ours, as the next two: a storage account has bounds of its own.
    pub file: u64,
    /// Files of one hub in a folder of the deployment, together with what of them is under way: 16 GiB.
    pub files: u64,
    /// A block of a file: 100 MiB.
    pub file_block: u64,
    /// Scheduled jobs of a hub that run at once: 10 ("IoT Hub quotas and throttling", tier S3; 5 in S2, 1 in the others). More
    /// are refused.
    pub active_jobs: u64,
    /// Scheduled jobs of a hub that wait for their time: 1,000. Ours.
    pub waiting_jobs: u64,
    /// Scheduled jobs that a hub keeps, those that are over among them, for 30 days at most (the same article): 2,000, the
    /// oldest go first. Ours.
    pub kept_jobs: u64,
    /// Devices and modules of one scheduled job: 1,000,000, as many as a hub has in the article.
    pub job_devices: u64,
    /// Endpoints of one hub beside the built-in one: 10 ("IoT Hub quotas and throttling").
    pub hub_endpoints: usize,
    /// Routes of one hub: 100 (the same article).
    pub routes: usize,
    /// Enrichments of a hub: 10 ("Message enrichments for device-to-cloud IoT Hub messages").
    pub enrichments: usize,
    /// Certificates of authorities that a provisioning service may have.
    pub ca_certificates: usize,
    /// Revoked certificates that a provisioning service remembers until they end. Ours.
    pub revocations: usize,
    /// How long a device waits between polls of its registration, in seconds (`retry-after`).
    pub registration_retry_after_seconds: u32,
    /// A message to an event hub, batches too: 1 MiB ("Azure Event Hubs quotas and limits", standard tier).
    pub event: usize,
    /// Consumer groups of one event hub, `$Default` among them: 20 ("Azure Event Hubs quotas and limits", standard tier).
    pub consumer_groups: usize,
    /// Shared access policies of one DPS, hub, namespace or event hub: 12 (the same article, "authorization rules").
    pub policies: usize,
    /// Open connections, all protocols together.
    pub connections: usize,
    /// Open connections that have not authenticated yet; one address may have half of them.
    pub unauthenticated_connections: usize,
    /// How long a connection may take for its TLS handshake and first request or CONNECT, in seconds.
    pub handshake_timeout_seconds: u64,
    /// Attempts of a function on one event before it becomes a dead letter.
    pub function_attempts: u32,
    /// Dead letters a function app keeps; the oldest go first.
    pub dead_letters: u32,
}

/// Azure's, and ours where it has none.
const DEFAULT: Limits = Limits {
    device_message: 256 * 1024,
    cloud_message: 64 * 1024,
    cloud_messages: 50,
    cloud_message_lock_seconds: 60,
    device_twin_properties: 32 * 1024,
    device_twin_tags: 8 * 1024,
    request_body: 1024 * 1024,
    digital_twin: 32 * 1024,
    digital_twin_string: 4 * 1024,
    digital_twin_name: 1024,
    twins: 2_000_000,
    relationships: 20_000_000,
    outgoing_relationships: 50_000,
    incoming_relationships: 50_000,
    twin_rates: false,
    model_requests: 100,
    twin_reads: 1_000,
    twin_patches: 1_000,
    twin_puts_and_deletes: 500,
    changes_of_a_twin: 10,
    twin_queries: 500,
    query_units: 4_000,
    event_route_requests: 100,
    job_requests: 1,
    model: 1024 * 1024,
    models: 10_000,
    models_per_request: 250,
    models_body: 8 * 1024 * 1024,
    graph_models: 64 * 1024 * 1024,
    graph_body: 72 * 1024 * 1024,
    job_input: 64 * 1024 * 1024 * 1024,
    cascade: 10_000,
    dtdl_version: 3,
    query_work: 10_000_000,
    query_memory: 64 * 1024 * 1024,
    query_page_seconds: 10,
    graph_memory: 512 * 1024 * 1024,
    property_indexes: 8,
    property_indexes_in_all: 32,
    property_index_days: 7,
    webhook_answer: 64 * 1024,
    webhook_timeout_seconds: 5,
    event_webhook_timeout_seconds: 30,
    webhook_attempts: 10,
    endpoints: 6,
    event_routes: 6,
    registration_payload: 16 * 1024,
    enrollment_groups: 100,
    provisioning_quotas: false,
    registrations: 1_000_000,
    individual_enrollments: 1_000_000,
    linked_hubs: 50,
    registration_polls: 5,
    registration_poll_seconds: 10,
    bulk_enrollments: 10,
    audited_refusals_a_minute: 10,
    allocation_attempts: 3,
    connection_state_seconds: 60,
    modules_per_device: 50,
    configurations: 100,
    configuration_metrics: 20,
    configuration: 128 * 1024,
    method_payload: 128 * 1024,
    uploads: 10,
    file: 4 * 1024 * 1024 * 1024,
    files: 16 * 1024 * 1024 * 1024,
    file_block: 100 * 1024 * 1024,
    active_jobs: 10,
    waiting_jobs: 1_000,
    kept_jobs: 2_000,
    job_devices: 1_000_000,
    hub_endpoints: 10,
    routes: 100,
    enrichments: 10,
    ca_certificates: 25,
    revocations: 10_000,
    registration_retry_after_seconds: 1,
    event: 1024 * 1024,
    consumer_groups: 20,
    policies: 12,
    connections: 50_000,
    unauthenticated_connections: 2_000,
    handshake_timeout_seconds: 15,
    function_attempts: 5,
    dead_letters: 10_000,
};

/// What [`Limits`] say of a hub that its tier says too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubLimits {
    /// Beside the built-in one.
    pub endpoints: usize,
    pub routes: usize,
    pub enrichments: usize,
    pub configurations: usize,
    /// At once.
    pub active_jobs: u64,
}

/// The tier with most.
const PAID: HubLimits =
    HubLimits { endpoints: 10, routes: 100, enrichments: 10, configurations: 100, active_jobs: 10 };

impl Default for Limits {
    fn default() -> Self {
        DEFAULT
    }
}

impl Limits {
    /// The same for a hub: where it has a tier no more than that has ("IoT Hub quotas and throttling", "Other limits").
    #[must_use]
    pub fn of_hub(&self, tier: Option<Sku>) -> HubLimits {
        let own = HubLimits {
            endpoints: self.hub_endpoints,
            routes: self.routes,
            enrichments: self.enrichments,
            configurations: self.configurations,
            active_jobs: self.active_jobs,
        };
        let Some(tier) = tier else { return own };
        let of_tier = match tier.name {
            SkuName::F1 => {
                HubLimits { endpoints: 1, routes: 5, enrichments: 2, configurations: 10, active_jobs: 1 }
            }
            SkuName::S1 => HubLimits { active_jobs: 1, ..PAID },
            SkuName::S2 => HubLimits { active_jobs: 5, ..PAID },
            SkuName::S3 => PAID,
        };
        HubLimits {
            endpoints: own.endpoints.min(of_tier.endpoints),
            routes: own.routes.min(of_tier.routes),
            enrichments: own.enrichments.min(of_tier.enrichments),
            configurations: own.configurations.min(of_tier.configurations),
            active_jobs: own.active_jobs.min(of_tier.active_jobs),
        }
    }

    /// [`Limits::webhook_timeout_seconds`] as a duration.
    #[must_use]
    pub const fn webhook_timeout(&self) -> Duration {
        Duration::from_secs(self.webhook_timeout_seconds)
    }

    /// [`Limits::connection_state_seconds`] as a duration.
    #[must_use]
    pub const fn connection_state(&self) -> Duration {
        Duration::from_secs(self.connection_state_seconds)
    }

    /// [`Limits::event_webhook_timeout_seconds`] as a duration.
    #[must_use]
    pub const fn event_webhook_timeout(&self) -> Duration {
        Duration::from_secs(self.event_webhook_timeout_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_binds_where_it_has_less() {
        let of = |limits: &Limits, tier: Option<&str>| {
            let sku = tier.map(|name| Sku { name: name.parse().unwrap(), capacity: 1 });
            let HubLimits { endpoints, routes, enrichments, configurations, active_jobs } =
                limits.of_hub(sku);
            (endpoints, routes, enrichments, configurations, active_jobs)
        };
        let more = Limits { routes: 1000, active_jobs: 100, ..DEFAULT };
        assert_eq!(of(&more, None), (10, 1000, 10, 100, 100));
        assert_eq!(of(&more, Some("F1")), (1, 5, 2, 10, 1));
        assert_eq!(of(&more, Some("S1")), (10, 100, 10, 100, 1));
        assert_eq!(of(&more, Some("S2")), (10, 100, 10, 100, 5));
        assert_eq!(of(&more, Some("S3")), (10, 100, 10, 100, 10));
        assert_eq!(of(&Limits { active_jobs: 3, ..DEFAULT }, Some("S2")).4, 3);
    }
}
