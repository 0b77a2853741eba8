//! Configurations as IoT Hub's API writes them (`Configuration` of the service SDKs).

use std::collections::BTreeMap;

use pollux_model::configuration::{Configuration, ConfigurationContent};
use pollux_model::{Error, Result};
use pollux_services::hub::{ConfigurationInput, Measured, TestedQueries};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::device_twins::named;

/// A configuration as a client writes it; members that only the hub writes are not looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigurationBody {
    id: Option<String>,
    schema_version: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    content: Option<ContentBody>,
    target_condition: Option<String>,
    priority: Option<i64>,
    metrics: Option<MetricsBody>,
}

/// What is set. Clients write `null` and `{}` for what they do not set.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContentBody {
    device_content: Option<Map<String, Value>>,
    module_content: Option<Map<String, Value>>,
    modules_content: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
struct MetricsBody {
    queries: Option<BTreeMap<String, String>>,
}

/// `ConfigurationQueriesTestInput`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QueriesBody {
    pub(super) target_condition: Option<String>,
    pub(super) custom_metric_queries: Option<BTreeMap<String, String>>,
}

impl ConfigurationBody {
    /// What the service is told; the id is the path's.
    pub(super) fn input(self, id: String) -> Result<ConfigurationInput> {
        named("id", self.id, &id)?;
        let priority = self.priority.map(i32::try_from).transpose();
        let priority = priority.map_err(|_| Error::invalid("priority must be 0 to 2147483647"))?;
        Ok(ConfigurationInput {
            id,
            schema_version: self.schema_version,
            labels: self.labels.unwrap_or_default(),
            content: self.content.map(ContentBody::content),
            target_condition: self.target_condition,
            priority,
            metrics: self.metrics.and_then(|metrics| metrics.queries).unwrap_or_default(),
        })
    }
}

impl ContentBody {
    pub(super) fn content(self) -> ConfigurationContent {
        ConfigurationContent {
            device: self.device_content.unwrap_or_default(),
            module: self.module_content.unwrap_or_default(),
            modules: self.modules_content.unwrap_or_default(),
        }
    }
}

/// A configuration as the API shows it; `measured`: what its metrics come to, if that was looked at.
pub(super) fn configuration(configuration: &Configuration, measured: Option<&Measured>) -> Value {
    let content = &configuration.content;
    let parts = [
        ("deviceContent", &content.device),
        ("moduleContent", &content.module),
        ("modulesContent", &content.modules),
    ];
    let parts = parts.into_iter().filter(|(_, part)| !part.is_empty());
    let parts: Map<String, Value> = parts.map(|(name, part)| (name.to_owned(), json!(part))).collect();
    let (system, own) = match measured {
        Some(Measured { targeted, applied, metrics }) => {
            (json!({"targetedCount": targeted, "appliedCount": applied}), json!(metrics))
        }
        None => (json!({}), json!({})),
    };
    json!({
        "id": configuration.id,
        "schemaVersion": configuration.schema_version,
        "labels": configuration.labels,
        "content": parts,
        "targetCondition": configuration.target_condition,
        "createdTimeUtc": configuration.created,
        "lastUpdatedTimeUtc": configuration.last_updated,
        "priority": configuration.priority,
        "systemMetrics": {"results": system, "queries": system_queries(configuration)},
        "metrics": {"results": own, "queries": configuration.metrics},
        "etag": configuration.etag,
    })
}

/// Queries that list the twins which the system metrics count; clients run them as they are.
fn system_queries(configuration: &Configuration) -> Value {
    let (id, condition) = (&configuration.id, configuration.target_condition.trim());
    let of_modules = condition.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("from"))
        && condition.to_ascii_lowercase().contains("devices.modules");
    let (columns, from) =
        if of_modules { ("deviceId, moduleId", "devices.modules") } else { ("deviceId", "devices") };
    let of_edge = configuration.content.device.is_empty() && !configuration.content.modules.is_empty();
    let edge = "capabilities.iotEdge = true";
    let targeted = match condition {
        "" => String::new(),
        "*" if of_edge => format!("select {columns} from {from} where {edge}"),
        "*" => format!("select {columns} from {from}"),
        _ if of_edge => format!("select {columns} from {from} where {edge} and ({condition})"),
        _ if condition.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("from")) => {
            format!("select {columns} {condition}")
        }
        _ => format!("select {columns} from {from} where {condition}"),
    };
    let applied = format!("select {columns} from {from} where configurations.[[{id}]].status = 'Applied'");
    json!({"targetedCount": targeted, "appliedCount": applied})
}

/// `ConfigurationQueriesTestResponse`.
pub(super) fn tested(tested: &TestedQueries) -> Value {
    json!({"targetConditionError": tested.target, "customMetricQueryErrors": tested.metrics})
}
