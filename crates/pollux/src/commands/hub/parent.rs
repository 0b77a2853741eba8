//! `pollux hub device parent`: under which edge device a device is.

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use pollux_client::Rest;
use serde_json::{Value, json};

use super::Target;
use super::device::{One, path, quoted};
use crate::session::Session;

/// The edge device that a device is under
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Put a device under an edge device
    Set(Set),
    /// Show the edge device that it is under
    Show(One),
    /// Take it away from there
    Remove(One),
}

/// Put a device under an edge device
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pollux hub device create --device-id gateway --edge-enabled
  pollux hub device parent set --device-id leaf --parent-device-id gateway")]
pub(crate) struct Set {
    /// The device's id
    #[arg(long, short = 'd')]
    device_id: String,
    /// The edge device's id
    #[arg(long, visible_alias = "pd")]
    parent_device_id: String,
    #[command(flatten)]
    target: Target,
}

/// Runs a command of this group.
pub(super) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Set(Set { device_id, parent_device_id, target }) => {
            let rest = session.hub(target.hub_name.as_deref())?;
            let parent = found(&rest, &parent_device_id).await?;
            if !is_edge(&parent) {
                bail!("'{parent_device_id}' is no edge device: make one with --edge-enabled");
            }
            let changed = place(&rest, &device_id, parent["deviceScope"].clone()).await?;
            session.output.document(&changed)
        }
        Command::Show(One { device_id, target }) => {
            let rest = session.hub(target.hub_name.as_deref())?;
            let device = found(&rest, &device_id).await?;
            let Some(id) = parent_of(&device) else {
                bail!("the device '{device_id}' is under no edge device")
            };
            session.output.document(&found(&rest, id).await?)
        }
        Command::Remove(One { device_id, target }) => {
            let rest = session.hub(target.hub_name.as_deref())?;
            session.output.document(&place(&rest, &device_id, Value::Null).await?)
        }
    }
}

async fn found(rest: &Rest, id: &str) -> Result<Value> {
    let answer = rest.get(&path(id)).send().await;
    Ok(answer.with_context(|| format!("cannot show the device '{id}'"))?.body)
}

fn is_edge(device: &Value) -> bool {
    device["capabilities"]["iotEdge"] == true
}

/// The id of the edge device that it is under: a scope is `ms-azure-iot-edge://<id>-<generation>`.
fn parent_of(device: &Value) -> Option<&str> {
    let scope = if is_edge(device) { &device["parentScopes"][0] } else { &device["deviceScope"] };
    let (id, _generation) = scope.as_str()?.strip_prefix("ms-azure-iot-edge://")?.rsplit_once('-')?;
    Some(id)
}

/// An edge device has a scope of its own and its parent's beside it; any other has its parent's.
async fn place(rest: &Rest, id: &str, scope: Value) -> Result<Value> {
    let what = || format!("cannot change the device '{id}'");
    let answer = rest.get(&path(id)).send().await.with_context(what)?;
    let etag = quoted(answer.etag().unwrap_or("*"));
    let mut device = answer.body;
    if is_edge(&device) {
        device["parentScopes"] = if scope.is_null() { json!([]) } else { json!([scope]) };
    } else {
        device["deviceScope"] = if scope.is_null() { json!("") } else { scope };
        if let Some(fields) = device.as_object_mut() {
            fields.remove("parentScopes"); // They follow.
        }
    }
    let changed = rest.put(&path(id)).if_match(&etag).json(device).send().await;
    Ok(changed.with_context(what)?.body)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parent_of;

    #[test]
    fn a_scope_names_the_parent() {
        let scope = "ms-azure-iot-edge://gate-way-637500000";
        let leaf = json!({ "capabilities": { "iotEdge": false }, "deviceScope": scope });
        assert_eq!(parent_of(&leaf), Some("gate-way"));
        let own = json!({ "capabilities": { "iotEdge": true }, "deviceScope": scope, "parentScopes": [] });
        assert_eq!(parent_of(&own), None);
        let inner =
            json!({ "capabilities": { "iotEdge": true }, "deviceScope": "x", "parentScopes": [scope] });
        assert_eq!(parent_of(&inner), Some("gate-way"));
        assert_eq!(parent_of(&json!({ "deviceScope": null })), None);
    }
}
