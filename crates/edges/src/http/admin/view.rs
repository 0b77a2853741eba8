//! Resources as the admin API shows them, with or without keys; settings of function apps by name only.

use pollux_model::KeyPair;
use pollux_model::resource::{EventHub, Policy, Properties, Resource, Route};
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
    if let Value::Object(own) = own(&resource.properties) {
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

fn own(properties: &Properties) -> Value {
    match properties {
        Properties::Dps(dps) => {
            let link = |link: &pollux_model::resource::LinkedHub| {
                json!({
                    "hub": link.hub,
                    "allocationWeight": link.allocation_weight,
                    "applyAllocationPolicy": link.apply_allocation_policy,
                })
            };
            let links: Vec<_> = dps.linked_hubs.iter().map(link).collect();
            json!({ "idScope": dps.id_scope, "linkedHubs": links, "policies": policies(&dps.policies) })
        }
        Properties::Hub(hub) => {
            let endpoint = |one: &pollux_model::resource::RoutingEndpoint| json!({ "name": one.name, "namespace": one.namespace, "eventHub": one.event_hub });
            json!({
                "policies": policies(&hub.policies),
                "endpoints": hub.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
                "routes": hub.routes.iter().map(route).collect::<Vec<_>>(),
            })
        }
        Properties::Events(events) => json!({
            "policies": policies(&events.policies),
            "eventHubs": events.event_hubs.iter().map(event_hub).collect::<Vec<_>>(),
        }),
        Properties::Twins(_) => json!({}),
        Properties::Functions(functions) => json!({
            "keys": keys(&functions.keys),
            "settings": functions.settings.keys().collect::<Vec<_>>(),
            "mapping": functions.mapping,
        }),
    }
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
