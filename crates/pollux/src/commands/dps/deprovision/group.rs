//! All devices of a group.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context as _, Result, bail};
use futures_util::stream::{self, StreamExt as _};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pollux_client::rest::Paging;
use serde_json::{Value, json};

use super::device::{InHub, find, in_hub};
use super::{Plan, Work};
use crate::commands::dps::explain::entry;
use crate::failure::NotThere;
use crate::input::segment;
use crate::retry::until_answered;

/// Devices under way.
const AT_ONCE: usize = 32;
/// Records in a page.
const PAGE: u32 = 1000;
/// Devices that are looked at in their hubs, so that the plan knows their number.
const LOOKED_AT: u64 = 1000;
/// Failed devices that are shown.
const SHOWN: u64 = 20;

/// What there is to do.
struct Found {
    group: Option<Value>,
    records: u64,
    /// Devices by hub.
    hubs: BTreeMap<String, Devices>,
    /// Enabled groups that would let them in again if this one were deleted, or might.
    above: Vec<String>,
}

/// What is known of the devices of one hub.
#[derive(Default)]
struct Devices {
    /// So many there are.
    there: u64,
    /// So many of them are disabled.
    disabled: u64,
    /// So many there are at most: they are too many to be looked at, or their hub is gone.
    recorded: u64,
}

/// What came of it.
#[derive(Default)]
struct Sum {
    devices: u64,
    unchanged: u64,
    failed: u64,
}

/// Runs it.
pub(super) async fn run(work: &Work<'_>, group: &str) -> Result<()> {
    let found = look(work, group).await?;
    if found.group.is_none() && found.records == 0 {
        let message =
            format!("there is neither an enrollment group '{group}' nor a registration record of it");
        return Err(NotThere(message).into());
    }
    let (plan, deletes) = plan(work, group, &found);
    if !work.agreed(&plan)? {
        return Ok(());
    }
    let whom = ("enrollmentGroupId", group);
    work.begun(whom, &plan).await?;
    let path = path(group);
    let entry = match work.disable_entry(&path).await? {
        Some(true) => "disabled",
        Some(false) => "unchanged",
        None => "missing",
    };
    let bar = bar(found.records);
    let sum = all(work, group, &bar).await;
    bar.finish_and_clear();
    let sum = sum?;
    let deleted = deletes && sum.failed == 0 && work.delete_entry(&path).await?;
    work.finished(
        whom,
        &plan,
        &json!({
            "enrollmentGroupId": group,
            "enrollmentGroup": if deleted { "deleted" } else { entry },
            "devices": sum.devices,
            "unchanged": sum.unchanged,
            "failed": sum.failed,
            "records": if work.removes_records() { "deleted" } else { "kept" },
        }),
    )
    .await?;
    if sum.failed > 0 {
        bail!("{} devices could not be deprovisioned; the group is disabled: run it again", sum.failed);
    }
    Ok(())
}

fn path(group: &str) -> String {
    format!("/enrollmentGroups/{}", segment(group))
}

fn records(group: &str) -> Paging {
    Paging::Header { path: format!("/registrations/{}/query", segment(group)), query: "*".to_owned() }
}

async fn look(work: &Work<'_>, group: &str) -> Result<Found> {
    let entry_path = path(group);
    let mut found = Found {
        group: find(&work.dps, &entry_path).await?,
        records: 0,
        hubs: BTreeMap::new(),
        above: Vec::new(),
    };
    let mut pages = work.dps.pages(records(group)).page_size(PAGE);
    while let Some(rows) =
        pages.next().await.with_context(|| format!("cannot list the records of '{group}'"))?
    {
        count(work, &rows, &mut found).await?;
    }
    if found.group.is_some() {
        let explain = format!("{entry_path}/explain");
        let said = until_answered(async || work.dps.post(&explain).json(json!({})).send().await).await?.body;
        let rows = said["above"].as_array().map(Vec::as_slice).unwrap_or_default();
        let enabled = rows.iter().filter(|row| row["provisioningStatus"] == "enabled");
        found.above = enabled.map(entry).collect();
        if said["uncertain"] == true {
            found.above.push("a group, of which only the devices' certificates could tell,".to_owned());
        }
    }
    Ok(found)
}

/// Counts the devices that these records tell of: a record may outlive its device.
async fn count(work: &Work<'_>, rows: &[Value], found: &mut Found) -> Result<()> {
    let looks = found.records < LOOKED_AT;
    found.records += rows.len() as u64;
    let place =
        |row: &Value| Some((row["assignedHub"].as_str()?.to_owned(), row["deviceId"].as_str()?.to_owned()));
    let places: Vec<_> = rows.iter().filter_map(place).collect();
    let mut seen = stream::iter(places)
        .map(async |(host, device): (String, String)| {
            let now = match work.hub(&host).filter(|_| looks) {
                Some(hub) => Some(find(hub, &in_hub(&device)).await?),
                None => None,
            };
            anyhow::Ok((host, now))
        })
        .buffer_unordered(AT_ONCE);
    while let Some(one) = seen.next().await {
        let (host, now) = one.context("cannot look at the devices in their hubs")?;
        let devices = found.hubs.entry(host).or_default();
        match now {
            None => devices.recorded += 1,
            Some(None) => {}
            Some(Some(now)) => {
                devices.there += 1;
                devices.disabled += u64::from(now["status"] == "disabled");
            }
        }
    }
    Ok(())
}

/// What becomes of the devices themselves.
fn plan_in_hubs(work: &Work<'_>, found: &Found, plan: &mut Plan) {
    let verb = work.verb();
    let mut some = false;
    for (host, Devices { there, disabled, recorded }) in &found.hubs {
        if work.hub(host).is_none() {
            plan.step(format!("the hub {host}, where {} were, is gone", devices(*recorded)));
            continue;
        }
        let to_do = there + recorded - if work.args.permanent { 0 } else { *disabled };
        let up_to = if *recorded > 0 { "up to " } else { "" };
        match to_do {
            0 => plan.step(format!("no device in {host} is left to {verb}")),
            _ => plan.step(format!("{verb} {up_to}{} in {host}, and cut them off", devices(to_do))),
        }
        some |= to_do > 0;
    }
    if work.args.permanent && some {
        plan.step("their digital twins are retired by the events that tell of the deletions");
    }
}

fn devices(count: u64) -> String {
    format!("{count} device{}", if count == 1 { "" } else { "s" })
}

/// The plan, and whether the group goes at the end.
fn plan(work: &Work<'_>, group: &str, found: &Found) -> (Plan, bool) {
    let mut plan = Plan::default();
    match &found.group {
        None => plan.step(format!("the enrollment group '{group}' is gone already; its records are not")),
        Some(entry) if entry["provisioningStatus"] == "disabled" => {
            plan.step(format!("the enrollment group '{group}' is disabled already"));
        }
        Some(_) => plan.step(format!("disable the enrollment group '{group}'")),
    }
    plan_in_hubs(work, found, &mut plan);
    if work.removes_records() {
        plan.step(format!("delete {} registration records", found.records));
    }
    let wanted = work.args.permanent && found.group.is_some();
    let deletes = wanted && (found.above.is_empty() || work.args.delete_entry);
    if !found.above.is_empty() {
        let who = found.above.join(" and ");
        match (wanted, deletes) {
            (true, true) => {
                plan.warn(format!("{who} would let the devices in again once the group is deleted"))
            }
            (true, false) => {
                plan.warn(format!(
                    "the group stays, disabled: without it {who} would let its devices in again"
                ));
            }
            (false, _) => plan.warn(format!("do not delete the group: {who} would let its devices in again")),
        }
    }
    if deletes {
        plan.step(format!("delete the enrollment group '{group}'"));
    }
    (plan, deletes)
}

/// Every device, page by page; a page of records is all that is held.
async fn all(work: &Work<'_>, group: &str, bar: &ProgressBar) -> Result<Sum> {
    let mut sum = Sum::default();
    let mut pages = work.dps.pages(records(group)).page_size(PAGE);
    while let Some(rows) =
        pages.next().await.with_context(|| format!("cannot list the records of '{group}'"))?
    {
        let mut retired = stream::iter(rows)
            .map(async |record: Value| {
                let id = record["registrationId"].as_str().unwrap_or_default().to_owned();
                (id.clone(), retire(work, group, &id, record).await)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((id, done)) = retired.next().await {
            bar.inc(1);
            match done {
                Ok(InHub::Before | InHub::Gone) => sum.unchanged += 1,
                Ok(InHub::Disabled | InHub::Deleted) => sum.devices += 1,
                Err(error) => {
                    sum.failed += 1;
                    if sum.failed <= SHOWN {
                        bar.suspend(|| writeln!(io::stderr(), "{id}: {error:#}"))?;
                    }
                    bar.set_message(format!("{} failed", sum.failed));
                }
            }
        }
    }
    Ok(sum)
}

/// Shuts one device out; that is kept under its id too, for whoever asks for the device.
async fn retire(work: &Work<'_>, group: &str, id: &str, record: Value) -> Result<InHub> {
    let done = work.retire(record).await?;
    let detail = format!("with the enrollment group '{group}': {} in its hub", done.as_str());
    work.note(("registrationId", id), &detail).await?;
    Ok(done)
}

fn bar(total: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let template = "{prefix:>14} {bar:24.green/dim} {human_pos:>9} of {human_len}  {per_sec}  {elapsed}, {eta} left  {msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style.progress_chars("━━─")).with_prefix("devices")
}
