//! What enrollments and enrollment groups have in common: options, and the fields they become.

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use pollux_client::Rest;
use pollux_client::rest::Paging;
use serde_json::{Map, Value, json};

use super::attestation::{Attestation, Of};
use crate::connections::pick;
use crate::input;
use crate::session::Session;

/// Rows of a list unless more are asked for.
pub(super) const TOP: usize = 1000;

/// Options of `create` and `update`.
#[derive(Debug, Args)]
pub(super) struct Rules {
    /// How devices are given to hubs [default: custom with a webhook, else hashed]
    #[arg(long, visible_alias = "ap", value_enum)]
    allocation_policy: Option<AllocationPolicy>,
    /// The webhook of a custom allocation policy
    #[arg(long, visible_alias = "wh", conflicts_with = "allocate")]
    webhook_url: Option<String>,
    /// The webhook is this server's own allocation function: each device gets its twin
    #[arg(long)]
    allocate: bool,
    /// The API version the webhook is called with
    #[arg(long, visible_alias = "av")]
    api_version: Option<String>,
    /// Hubs to choose from, by name or host name; may be repeated [default: all that are linked]
    #[arg(long, visible_alias = "ih", value_delimiter = ' ', num_args = 1..)]
    iot_hubs: Vec<String>,
    #[command(flatten)]
    attestation: Attestation,
    /// Whether devices are let in
    #[arg(long, visible_alias = "ps", value_enum)]
    provisioning_status: Option<ProvisioningStatus>,
    /// What happens to a known device's data when it registers again
    #[arg(long, visible_alias = "rp", value_enum)]
    reprovision_policy: Option<ReprovisionPolicy>,
    /// Tags a new device starts with: JSON, or a file
    #[arg(long, visible_alias = "tags")]
    initial_twin_tags: Option<String>,
    /// Desired properties a new device starts with: JSON, or a file
    #[arg(long, visible_alias = "props")]
    initial_twin_properties: Option<String>,
    /// Whether the hub is told that it is an edge device
    #[arg(long, visible_alias = "ee")]
    edge_enabled: Option<bool>,
}

/// How devices are given to hubs.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum AllocationPolicy {
    /// By a hash of the registration id, weighted
    Hashed,
    /// To the hub given
    Static,
    /// To the nearest
    #[value(name = "geolatency")]
    GeoLatency,
    /// As a webhook says
    Custom,
}

/// Whether devices are let in.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ProvisioningStatus {
    /// They are
    Enabled,
    /// They are not
    Disabled,
}

/// What happens to a known device's data.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ReprovisionPolicy {
    /// It goes along to the new hub
    #[value(name = "reprovisionandmigratedata")]
    MigrateData,
    /// It starts anew
    #[value(name = "reprovisionandresetdata")]
    ResetData,
    /// The device stays where it is
    #[value(name = "never")]
    Never,
}

impl Rules {
    /// Writes what was said into a body; what was not said stays as it is there.
    pub(super) fn apply(&self, session: &Session, of: Of, body: &mut Map<String, Value>) -> Result<()> {
        let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
        let webhook = self.webhook(session)?;
        if let Some(policy) = self.policy(webhook.is_some()) {
            set("allocationPolicy", json!(policy));
        }
        if let Some(url) = webhook {
            let mut definition = json!({ "webhookUrl": url });
            if let Some(version) = &self.api_version {
                definition["apiVersion"] = json!(version);
            }
            set("customAllocationDefinition", definition);
        }
        if !self.iot_hubs.is_empty() {
            set("iotHubs", self.iot_hubs.iter().map(|hub| json!(host_of(session, hub))).collect());
        }
        if let Some(status) = self.provisioning_status {
            let status = if matches!(status, ProvisioningStatus::Enabled) { "enabled" } else { "disabled" };
            set("provisioningStatus", json!(status));
        }
        if let Some(policy) = self.reprovision_policy {
            let (update, migrate) = match policy {
                ReprovisionPolicy::MigrateData => (true, true),
                ReprovisionPolicy::ResetData => (true, false),
                ReprovisionPolicy::Never => (false, false),
            };
            set("reprovisionPolicy", json!({ "updateHubAssignment": update, "migrateDeviceData": migrate }));
        }
        if let Some(edge) = self.edge_enabled {
            set("capabilities", json!({ "iotEdge": edge }));
        }
        self.attestation.apply(of, body)?;
        self.initial_twin(body)
    }

    fn webhook(&self, session: &Session) -> Result<Option<String>> {
        if !self.allocate {
            return Ok(self.webhook_url.clone());
        }
        let app = pick("function app", &session.connections.functions, None)?;
        app.allocate_url
            .clone()
            .map(Some)
            .with_context(|| format!("the function app '{}' has no webhook", app.name))
    }

    fn policy(&self, webhook: bool) -> Option<&'static str> {
        match self.allocation_policy {
            Some(AllocationPolicy::Hashed) => Some("hashed"),
            Some(AllocationPolicy::Static) => Some("static"),
            Some(AllocationPolicy::GeoLatency) => Some("geoLatency"),
            Some(AllocationPolicy::Custom) => Some("custom"),
            None => webhook.then_some("custom"),
        }
    }

    fn initial_twin(&self, body: &mut Map<String, Value>) -> Result<()> {
        let tags = input::optional_object("--initial-twin-tags", self.initial_twin_tags.as_deref())?;
        let desired =
            input::optional_object("--initial-twin-properties", self.initial_twin_properties.as_deref())?;
        if tags.is_none() && desired.is_none() {
            return Ok(());
        }
        let twin = body.entry("initialTwin").or_insert_with(|| json!({}));
        if let Some(tags) = tags {
            twin["tags"] = Value::Object(tags);
        }
        if let Some(desired) = desired {
            twin["properties"]["desired"] = Value::Object(desired);
        }
        Ok(())
    }
}

/// Hubs of this server may be named by their resource name.
fn host_of(session: &Session, hub: &str) -> String {
    let own = session.connections.hub.iter().find(|one| one.name == hub);
    own.map_or_else(|| hub.to_owned(), |one| one.host_name.clone())
}

/// What is at `path`, with its keys when they are wanted.
pub(super) async fn get(rest: &Rest, path: &str, keys: bool) -> Result<Value> {
    let mut found = rest.get(path).send().await?.body;
    if keys {
        found["attestation"] = rest.post(&format!("{path}/attestationmechanism")).send().await?.body;
    }
    Ok(found)
}

/// Changes what is at `path`: reads it, applies the rules, and writes it under the etag given or read.
pub(super) async fn update(
    session: &Session,
    rest: &Rest,
    (of, path): (Of, &str),
    rules: &Rules,
    etag: Option<&str>,
    more: Map<String, Value>,
) -> Result<Value> {
    let found = rest.get(path).send().await?;
    let read = found.etag().map(str::to_owned);
    let mut body = match found.body {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    rules.apply(session, of, &mut body)?;
    body.extend(more);
    let etag = etag.or(read.as_deref()).unwrap_or("*");
    Ok(rest.put(path).if_match(etag).json(Value::Object(body)).send().await?.body)
}

/// All that a query route of the provisioning service has, up to `top`.
pub(super) async fn query(rest: &Rest, path: &str, top: usize) -> Result<Vec<Value>> {
    let paging = Paging::Header { path: path.to_owned(), query: "*".to_owned() };
    Ok(rest.pages(paging).collect(top).await?)
}
