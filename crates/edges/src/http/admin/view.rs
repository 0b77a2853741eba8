//! Resources as the admin API shows them, with or without keys; settings of function apps by name only.

use pollux_model::KeyPair;
use pollux_model::resource::{
    EndpointTarget, Enrichment, EventHub, EventRoute, FileUpload, Policy, Properties, Resource, Route,
    RoutingEndpoint, ServiceAllocation,
};
use serde_json::{Map, Value, json};

/// With its keys: only the operator gets here.
pub(super) fn resource(resource: &Resource) -> Value {
    let mut view = Map::new();
    view.insert("kind".to_owned(), json!(resource.kind().as_str()));
    view.insert("name".to_owned(), json!(resource.name));
    view.insert("group".to_owned(), json!(resource.group));
    view.insert("hostName".to_owned(), json!(resource.host_name));
    view.insert("created".to_owned(), json!(resource.created));
    view.insert("etag".to_owned(), json!(resource.etag));
    if let Value::Object(own) = own(&resource.name, &resource.properties) {
        view.extend(own);
    }
    Value::Object(view)
}

/// For lists, and for answers about something else than keys.
pub(super) fn without_keys(of: &Resource) -> Value {
    hidden(resource(of))
}

/// Without what is named `keys`, at any depth.
pub(super) fn hidden(mut view: Value) -> Value {
    hide(&mut view);
    view
}

fn hide(view: &mut Value) {
    match view {
        Value::Object(fields) => {
            fields.retain(|name, _| name != "keys");
            fields.values_mut().for_each(hide);
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        _ => {}
    }
}

fn own(name: &str, properties: &Properties) -> Value {
    match properties {
        Properties::Dps(dps) => {
            let link = |link: &pollux_model::resource::LinkedHub| {
                json!({
                    "hub": link.hub,
                    "allocationWeight": link.allocation_weight,
                    "applyAllocationPolicy": link.apply_allocation_policy,
                    "latencyMs": link.latency_ms,
                    "latencies": link.latencies,
                })
            };
            let links: Vec<_> = dps.linked_hubs.iter().map(link).collect();
            json!({
                "idScope": dps.id_scope,
                "linkedHubs": links,
                "allocationPolicy": dps.allocation.unwrap_or(ServiceAllocation::Hashed).as_str(),
                "policies": policies(&dps.policies),
            })
        }
        Properties::Hub(hub) => {
            json!({
                "policies": policies(&hub.policies),
                "endpoints": hub.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
                "routes": hub.routes.iter().map(route).collect::<Vec<_>>(),
                "enrichments": hub.enrichments.iter().map(enrichment).collect::<Vec<_>>(),
                "events": event_hub(&hub.events.event_hub(name)),
                "fallbackRoute": hub.fallback_route,
                "cloudToDevice": hub.cloud_to_device,
                "fileUpload": file_upload(&hub.file_upload),
                "sku": hub.sku,
            })
        }
        Properties::Events(events) => json!({
            "policies": policies(&events.policies),
            "eventHubs": events.event_hubs.iter().map(event_hub).collect::<Vec<_>>(),
        }),
        Properties::Twins(twins) => json!({
            "historyHours": twins.history.as_ref().map_or(0, |history| history.hours),
            "consistency": twins.consistency,
            "historySince": twins.history.as_ref().map(|history| history.since),
            "indexes": twins.indexes,
            "endpoints": twins.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
            "eventRoutes": twins.event_routes.iter().map(event_route).collect::<Vec<_>>(),
        }),
        Properties::Functions(functions) => json!({
            "keys": keys(&functions.keys),
            "settings": functions.settings.keys().collect::<Vec<_>>(),
            "mapping": functions.mapping,
        }),
    }
}

/// Of a storage account no secret: it is shown to nobody again.
fn file_upload(of: &FileUpload) -> Value {
    let storage = of.storage.as_ref().map(|storage| {
        let account = pollux_services::blobs::Account::read(&storage.connection_string).ok();
        json!({ "hostName": account.map(|account| account.host()), "containerName": storage.container_name })
    });
    json!({
        "storage": storage,
        "sasTtlAsIso8601": of.sas_ttl_as_iso8601,
        "enableFileUploadNotifications": of.enable_file_upload_notifications,
        "fileNotifications": of.file_notifications,
    })
}

fn enrichment(one: &Enrichment) -> Value {
    json!({ "key": one.key, "value": one.value, "endpoints": one.endpoints })
}

/// Of one elsewhere no key: it is shown to nobody again.
fn endpoint(endpoint: &RoutingEndpoint) -> Value {
    match &endpoint.target {
        EndpointTarget::EventHub { namespace, event_hub } => {
            json!({ "name": endpoint.name, "namespace": namespace, "eventHub": event_hub })
        }
        EndpointTarget::Storage(storage) => json!({
            "name": endpoint.name,
            "container": storage.container,
            "endpoint": storage.connection_string.as_ref().and_then(|text| account(&text.0)),
            "encoding": storage.encoding.as_str(),
            "fileNameFormat": storage.file_name_format,
            "batchFrequencyInSeconds": storage.batch_frequency_seconds,
            "maxChunkSizeInBytes": storage.max_chunk_bytes,
        }),
        EndpointTarget::External { connection_string } => {
            let parts = connection_string.0.split(';').filter_map(|part| part.split_once('='));
            let shown = |name: &str| {
                parts.clone().find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value)
            };
            json!({ "name": endpoint.name, "endpoint": shown("Endpoint"), "eventHub": shown("EntityPath"), "policy": shown("SharedAccessKeyName") })
        }
        EndpointTarget::Webhook { url, dead_letters } => {
            json!({ "name": endpoint.name, "webhook": without_secrets(&url.0), "deadLetters": dead_letters })
        }
    }
}

fn event_route(route: &EventRoute) -> Value {
    json!({ "id": route.id, "endpoint": route.endpoint, "filter": route.filter })
}

/// The account or URL of a container, without what opens it.
fn account(text: &str) -> Option<String> {
    let parts = || text.split(';').filter_map(|part| part.split_once('='));
    let named = |name: &str| {
        parts().find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    without_secrets(text)
        .or_else(|| named("BlobEndpoint"))
        .or_else(|| named("S3Endpoint"))
        .or_else(|| named("AccountName"))
}

/// Without what may be a key in it: user, password, query and fragment.
fn without_secrets(url: &str) -> Option<String> {
    let mut url = url::Url::parse(url).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    url.set_username("").and_then(|()| url.set_password(None)).ok()?;
    Some(url.into())
}

fn route(route: &Route) -> Value {
    json!({
        "name": route.name,
        "source": route.source.as_str(),
        "condition": route.condition,
        "endpoint": route.endpoint,
        "enabled": route.enabled,
    })
}

pub(super) fn event_hub(event_hub: &EventHub) -> Value {
    json!({
        "name": event_hub.name,
        "partitions": event_hub.partitions,
        "retentionHours": event_hub.retention_hours,
        "retentionBytes": event_hub.retention_bytes,
        "consumerGroups": event_hub.consumer_groups,
        "policies": policies(&event_hub.policies),
    })
}

fn policies(policies: &[Policy]) -> Vec<Value> {
    policies.iter().map(policy).collect()
}

pub(super) fn policy(policy: &Policy) -> Value {
    json!({ "name": policy.name, "rights": policy.rights, "keys": keys(&policy.keys) })
}

fn keys(keys: &KeyPair) -> Value {
    json!({ "primary": keys.primary.reveal(), "secondary": keys.secondary.reveal() })
}
