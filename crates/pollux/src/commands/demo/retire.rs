//! The end of the devices: deleted in the hub, they are cut off and their twins are gone.

use anyhow::{Context as _, Result};
use futures_util::stream::{self, StreamExt as _};
use pollux_client::hub_device::{HubDevice, HubOptions};
use pollux_client::rest::Paging;
use tokio::time::{Instant, timeout};

use super::check::Checks;
use super::device::Device;
use super::progress::Progress;
use super::report::Story;
use super::stage::{HALL, Stage};
use super::{patience, wait};
use crate::input::segment;

/// Requests at the same time.
const AT_ONCE: usize = 32;

/// Deletes all devices and waits until nothing is left of them.
pub(super) async fn all(
    stage: &Stage,
    progress: &Progress,
    checks: &mut Checks,
    story: &mut Story,
    devices: &mut [Device],
) -> Result<()> {
    let count = devices.len();
    let [deleted, cut, gone] =
        ["deleted in the hub", "cut off", "twins gone"].map(|name| progress.step(name, count));
    first(stage, story, &devices[0]).await?;
    deleted.inc(1);
    let others = stream::iter(&devices[1..]).map(async |device: &Device| {
        let done = delete(stage, device).await;
        deleted.inc(u64::from(done.is_ok()));
        done
    });
    let others: Vec<_> = others.buffer_unordered(AT_ONCE).collect().await;
    let reason = others.iter().find_map(|one| one.as_ref().err().map(|error| format!("{error:#}")));
    let done = 1 + others.iter().filter(|one| one.is_ok()).count();
    checks.count_or("every device is deleted through the hub's API", done, count, reason);
    let patience = patience(count);
    let ended = stream::iter(&*devices).map(async |device: &Device| {
        let ended = timeout(patience, device.hub.closed()).await.is_ok();
        cut.inc(u64::from(ended));
        ended
    });
    let ended: Vec<_> = ended.buffer_unordered(count).collect().await;
    checks.count("every deleted device is cut off", ended.iter().filter(|ended| **ended).count(), count);
    let left = async || {
        // The hall's twin stays.
        let left = stage.count("DIGITALTWINS").await.ok()?.saturating_sub(1);
        gone.set_position((count - left.min(count)) as u64);
        (left == 0).then_some(())
    };
    let all_gone = wait::until(patience, left).await.is_some();
    let left = stage.count("DIGITALTWINS").await?.saturating_sub(1);
    checks.add("every twin is gone", all_gone, format!("{left} left"));
    aftermath(stage, checks, &devices[0], count).await
}

/// The first device's end, told hop by hop.
async fn first(stage: &Stage, story: &mut Story, device: &Device) -> Result<()> {
    let patience = patience(1);
    let began = Instant::now();
    delete(stage, device).await?;
    let Some(timeline) = &mut story.timeline else { return Ok(()) };
    timeline.hop("hub: device deleted", began);
    timeout(patience, device.hub.closed()).await.context("the first device was not cut off")?;
    timeline.hop("hub: connection cut", began);
    wait::until(patience, async || matches!(stage.twin(&device.id).await, Ok(None)).then_some(()))
        .await
        .context("the first device's twin was not removed")?;
    timeline.hop("twin: gone", began);
    Ok(())
}

async fn delete(stage: &Stage, device: &Device) -> Result<()> {
    let gone = stage.hub.delete(&format!("/devices/{}", segment(&device.id))).if_match("*").send().await;
    gone.with_context(|| format!("cannot delete {}", device.id))?;
    Ok(())
}

/// What must be true when all are gone.
async fn aftermath(stage: &Stage, checks: &mut Checks, device: &Device, count: usize) -> Result<()> {
    let path = format!("/digitaltwins/{HALL}/relationships");
    let left = stage.twins.pages(Paging::Link { path }).collect(10).await?.len();
    let all = stage.count("RELATIONSHIPS").await?;
    checks.add("the relationships are gone with them", left + all == 0, format!("{} left", left.max(all)));
    let host = &device.assignment.assigned_hub;
    let options = HubOptions::new(host, &device.id, stage.credential(&device.id));
    let refused = HubDevice::connect(&stage.hub_endpoint(host)?, options).await.is_err();
    checks.add("a deleted device is refused by the hub", refused, device.id.clone());
    let retired = retired(stage).await?;
    checks.count("every delete event was consumed once", retired, count);
    let app = stage.admin.get("/admin/resources/functions").send().await?;
    let app = app.body["value"][0]["name"].as_str().context("there is no function app")?.to_owned();
    let letters =
        stage.admin.get(&format!("/admin/resources/functions/{}/dead-letters", segment(&app))).send().await?;
    let letters = letters.body["value"].as_array().map_or(usize::MAX, Vec::len);
    checks.add("no event became a dead letter", letters == 0, format!("{letters} dead letters"));
    Ok(())
}

/// Delete events the retire function has applied, by the server's own metrics.
async fn retired(stage: &Stage) -> Result<usize> {
    let metrics = stage.admin.get("/metrics").send().await.context("cannot read the metrics")?;
    let text = metrics.body.as_str().context("the metrics are no text")?;
    let applied = |line: &&str| {
        line.starts_with("pollux_function_events_total{")
            && line.contains("function=\"retire\"")
            && line.contains("outcome=\"applied\"")
    };
    let line = text.lines().find(applied).context("there is no metric of the retire function")?;
    let value = line.rsplit(' ').next().unwrap_or_default();
    value.parse().with_context(|| format!("'{value}' is no count"))
}
