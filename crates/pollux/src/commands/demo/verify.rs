//! What must be true while the devices live.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context as _, Result};
use futures_util::stream::{self, StreamExt as _};
use pollux_client::provisioning_device::register;
use pollux_client::rest::Paging;
use serde_json::{Value, json};

use super::check::Checks;
use super::device::Device;
use super::progress::Progress;
use super::report::Story;
use super::stage::{HALL, Stage, THERMOSTAT};
use super::{patience, wait};
use crate::input::segment;

/// Requests at the same time.
const AT_ONCE: usize = 32;
/// Devices that register a second time.
const AGAIN: usize = 25;

/// Every device has a twin of its model with the temperature it sent last, and the tags that name it.
pub(super) async fn twins(
    stage: &Stage,
    progress: &Progress,
    checks: &mut Checks,
    story: &mut Story,
    devices: &[Device],
) -> Result<()> {
    let bar = progress.step("on the twin", devices.len());
    let patience = patience(devices.len());
    let seen = stream::iter(devices).map(async |device: &Device| {
        let current = wait::until(patience, async || {
            let twin = stage.twin(&device.id).await.ok().flatten()?;
            (twin["Temperature"].as_f64() == Some(device.last)).then_some(twin)
        });
        let current = current.await;
        bar.inc(u64::from(current.is_some()));
        current
    });
    let seen: Vec<_> = seen.buffered(AT_ONCE).collect().await;
    let of_model = |twin: &&Value| twin["$metadata"]["$model"] == THERMOSTAT;
    checks.count(
        "every device has its twin, of the model it named",
        seen.iter().flatten().filter(of_model).count(),
        devices.len(),
    );
    checks.count(
        "the temperature on every twin is the last one sent",
        seen.iter().flatten().count(),
        devices.len(),
    );
    story.twin_after = seen.into_iter().next().flatten();
    let paging =
        Paging::Header { path: "/devices/query".to_owned(), query: "SELECT * FROM devices".to_owned() };
    let rows = stage
        .hub
        .pages(paging)
        .page_size(100)
        .collect(usize::MAX)
        .await
        .context("cannot query the devices")?;
    let tagged =
        rows.iter().filter(|row| row["tags"]["dtmi"] == THERMOSTAT && row["tags"]["dtId"] == row["deviceId"]);
    checks.count("every device twin has the tags dtmi and dtId", tagged.count(), devices.len());
    Ok(())
}

/// The hall contains the first device, which serves the hall.
pub(super) async fn relationships(stage: &Stage, checks: &mut Checks, devices: &[Device]) -> Result<()> {
    let device = &devices[0].id;
    for (source, id, name, target) in
        [(HALL, "hall-contains", "contains", device.as_str()), (device, "serves-hall", "serves", HALL)]
    {
        let path = format!("/digitaltwins/{}/relationships/{id}", segment(source));
        let body = json!({ "$relationshipName": name, "$targetId": target });
        stage
            .twins
            .put(&path)
            .json(body)
            .send()
            .await
            .with_context(|| format!("cannot create the relationship '{id}'"))?;
    }
    let ends = async |direction: &str| -> Result<usize> {
        let path = format!("/digitaltwins/{}/{direction}", segment(device));
        Ok(stage.twins.pages(Paging::Link { path }).collect(10).await?.len())
    };
    let (from, to) = (ends("relationships").await?, ends("incomingrelationships").await?);
    checks.count("a twin has a relationship to the hall and one from it", from + to, 2);
    Ok(())
}

/// The queries of the story find what was sent.
pub(super) async fn queries(stage: &Stage, checks: &mut Checks, devices: &[Device]) -> Result<()> {
    let ids = |rows: &[Value]| {
        rows.iter().filter_map(|row| Some(row["$dtId"].as_str()?.to_owned())).collect::<BTreeSet<_>>()
    };
    let first = &devices[0].id;
    let query =
        format!("SELECT * FROM DIGITALTWINS T WHERE $dtId = '{first}' AND IS_OF_MODEL('{THERMOSTAT}')");
    let found = ids(&stage.query(&query).await?);
    checks.add("a query by id and model finds the twin", found == BTreeSet::from([first.clone()]), query);
    let query = "SELECT * FROM DIGITALTWINS T WHERE T.Temperature > 20";
    let found = ids(&stage.query(query).await?);
    let warm = devices.iter().filter(|device| device.last > 20.0).map(|device| device.id.clone());
    let warm: BTreeSet<_> = warm.collect();
    checks.add(
        "a query by temperature finds exactly those that sent it",
        found == warm,
        format!("{query}: {} of {}", found.len(), warm.len()),
    );
    Ok(())
}

/// Registering again finds the same device and the same twin.
pub(super) async fn again(
    stage: &Stage,
    progress: &Progress,
    checks: &mut Checks,
    devices: &[Device],
) -> Result<()> {
    let some = &devices[..devices.len().min(AGAIN)];
    let bar = progress.step("registered again", some.len());
    let before = generations(stage, some).await?;
    let endpoint = stage.provisioning()?;
    let same = stream::iter(some).map(async |device: &Device| -> Result<bool> {
        let found = register(&endpoint, &stage.registration(&device.id, patience(1))).await?;
        let twin = stage.twin(&device.id).await?;
        let kept = twin.is_some_and(|twin| twin["Temperature"].as_f64() == Some(device.last));
        bar.inc(1);
        Ok(kept && found.device_id == device.id && found.assigned_hub == device.assignment.assigned_hub)
    });
    let same: Vec<_> = same.buffer_unordered(some.len()).collect().await;
    let reason = same.iter().find_map(|one| one.as_ref().err().map(|error| format!("{error:#}")));
    let count = same.iter().filter(|one| matches!(one, Ok(true))).count();
    checks.count_or("registering again finds the same hub, device id and twin", count, some.len(), reason);
    let kept = generations(stage, some).await? == before;
    checks.add("and leaves the device as it is (same generation id)", kept, "");
    Ok(())
}

async fn generations(stage: &Stage, devices: &[Device]) -> Result<HashMap<String, Value>> {
    let found = stream::iter(devices).map(async |device: &Device| -> Result<_> {
        let identity = stage.hub.get(&format!("/devices/{}", segment(&device.id))).send().await?;
        Ok((device.id.clone(), identity.body["generationId"].clone()))
    });
    let found: Vec<_> = found.buffer_unordered(AT_ONCE).collect().await;
    found.into_iter().collect()
}
