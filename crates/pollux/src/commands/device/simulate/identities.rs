//! Who the devices are: registered in a hub for this, or let in by the provisioning service.

use anyhow::{Context as _, Result, bail};
use pollux_client::hub_device::HubOptions;
use pollux_client::provisioning_device::{Registration, register as provision_device};
use pollux_client::{Credential, Endpoint};
use pollux_model::{Key, SystemRandom};
use serde_json::{Value, json};

use super::each;
use super::tally::Tally;
use crate::connections::pick;
use crate::input::segment;
use crate::retry::until_answered;
use crate::session::Session;

/// Identities of one request (REST reference, "Bulk Registry - Update Registry").
const AT_ONCE: usize = 100;
/// Requests at the same time.
const REQUESTS: usize = 8;

/// A device that can connect.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) endpoint: Endpoint,
    pub(super) options: HubOptions,
}

/// Registers those that the hub does not know. Devices that it knows keep their keys. Also gives back which were made.
pub(super) async fn register(
    session: &Session,
    hub_name: Option<&str>,
    ids: Vec<String>,
    tally: &Tally,
) -> Result<(Vec<Device>, Vec<String>)> {
    let hub = pick("hub", &session.connections.hub, hub_name)?;
    let (rest, endpoint) = (session.hub(hub_name)?, session.mqtt(&hub.host_name)?);
    let parts: Vec<Vec<String>> = ids.chunks(AT_ONCE).map(<[String]>::to_vec).collect();
    let found = each(parts, REQUESTS, async |ids: Vec<String>| {
        let keys: Vec<_> = ids.iter().map(|_| Key::generate(&SystemRandom)).collect();
        let items = ids.iter().zip(&keys).map(|(id, key)| {
            let keys =
                json!({ "primaryKey": key.reveal(), "secondaryKey": Key::generate(&SystemRandom).reveal() });
            json!({ "id": id, "importMode": "create", "authentication": { "symmetricKey": keys } })
        });
        let items: Value = items.collect();
        // Sent again it finds what it made the first time: then the keys are read.
        let answer =
            until_answered(async || rest.post("/devices").json(items.clone()).send_any().await).await?;
        let errors = answer.body["errors"].as_array().cloned().unwrap_or_default();
        if answer.status >= 400 && errors.is_empty() {
            bail!("the hub does not register devices: {} {}", answer.status, answer.body);
        }
        let mut devices = Vec::with_capacity(ids.len());
        for (id, key) in ids.into_iter().zip(keys) {
            let refused = errors.iter().find(|error| error["deviceId"] == id.as_str());
            let (key, made) = match refused {
                None => (key, true),
                Some(error) if error["errorCode"] == "DeviceAlreadyExists" => {
                    let path = format!("/devices/{}", segment(&id));
                    let known = until_answered(async || rest.get(&path).send().await).await?;
                    let text = known.body["authentication"]["symmetricKey"]["primaryKey"].as_str();
                    // What was made by a request whose answer was lost has the key that it was to have.
                    let made = text == Some(key.reveal());
                    let known = text.and_then(Key::from_base64);
                    let known = known
                        .with_context(|| format!("'{id}' is there and has no key: use another --prefix"))?;
                    (known, made)
                }
                Some(error) => bail!("'{id}' cannot be registered: {}", error["errorStatus"]),
            };
            devices.push((id, key, made));
            tally.ready();
        }
        Ok(devices)
    })
    .await?;
    let (mut devices, mut made) = (Vec::with_capacity(ids.len()), Vec::new());
    for (id, key, new) in found.into_iter().flatten() {
        let options = HubOptions::new(&hub.host_name, &id, Credential::Key(key.bytes()));
        devices.push(Device { endpoint: endpoint.clone(), options });
        if new {
            made.push(id);
        }
    }
    Ok((devices, made))
}

/// Lets them be assigned to hubs, as devices of a group with keys.
pub(super) async fn provision(
    session: &Session,
    dps_name: Option<&str>,
    group: &str,
    ids: Vec<String>,
    payload: &Value,
    at_once: usize,
    tally: &Tally,
) -> Result<Vec<Device>> {
    let dps = pick("dps", &session.connections.dps, dps_name)?;
    let (rest, endpoint) = (session.dps(dps_name)?, session.mqtt(&dps.host_name)?);
    let path = format!("/enrollmentGroups/{}/attestationmechanism", segment(group));
    let mechanism = rest.post(&path).send().await;
    let mechanism =
        mechanism.with_context(|| format!("the keys of the enrollment group '{group}' cannot be read"))?;
    let key = mechanism.body["symmetricKey"]["primaryKey"].as_str().and_then(Key::from_base64);
    let key = key.with_context(|| {
        format!("the enrollment group '{group}' has no keys: devices of it have certificates")
    })?;
    let scope = dps.id_scope.as_deref().context("connections.json has no ID scope")?;
    each(ids, at_once, async |id: String| {
        let credential = Credential::Key(key.derive(&id).bytes());
        let registration = Registration::new(scope, &id, credential.clone()).payload(payload.clone());
        let assigned = provision_device(&endpoint, &registration).await;
        let assigned = assigned.with_context(|| format!("'{id}' cannot register"))?;
        tally.ready();
        let options = HubOptions::new(&assigned.assigned_hub, &assigned.device_id, credential);
        Ok(Device { endpoint: session.mqtt(&assigned.assigned_hub)?, options })
    })
    .await
}

/// Deletes identities.
pub(super) async fn delete(session: &Session, hub_name: Option<&str>, ids: &[String]) -> Result<()> {
    let rest = session.hub(hub_name)?;
    let parts: Vec<_> = ids.chunks(AT_ONCE).collect();
    each(parts, REQUESTS, async |ids: &[String]| {
        let items: Value = ids.iter().map(|id| json!({ "id": id, "importMode": "delete" })).collect();
        let answer =
            until_answered(async || rest.post("/devices").json(items.clone()).send_any().await).await?;
        let errors = answer.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        // Whoever is gone already need not be deleted.
        match errors.iter().find(|error| error["errorCode"] != "DeviceNotFound") {
            Some(error) => bail!("{} cannot be deleted: {}", error["deviceId"], error["errorStatus"]),
            None if answer.status >= 400 && errors.is_empty() => {
                bail!("the hub does not delete devices: {}", answer.body)
            }
            None => Ok(()),
        }
    })
    .await?;
    Ok(())
}
