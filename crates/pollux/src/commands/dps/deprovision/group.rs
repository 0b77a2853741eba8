//! All devices of a group.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context as _, Result, bail};
use futures_util::stream::{self, StreamExt as _};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pollux_client::rest::Paging;
use serde_json::{Value, json};

use super::device::{InHub, find};
use super::{Plan, Work};
use crate::commands::dps::explain::entry;
use crate::failure::NotThere;
use crate::input::segment;
use crate::retry::until_answered;

/// Devices under way.
const AT_ONCE: usize = 32;
/// Records in a page.
const PAGE: u32 = 1000;
/// Failed devices that are shown.
const SHOWN: u64 = 20;

/// What there is to do.
struct Found {
    group: Option<Value>,
    records: u64,
    /// Devices by hub.
    hubs: BTreeMap<String, u64>,
    /// Enabled groups that would let them in again if this one were deleted.
    above: Vec<String>,
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
        found.records += rows.len() as u64;
        for hub in rows.iter().filter_map(|row| row["assignedHub"].as_str()) {
            *found.hubs.entry(hub.to_owned()).or_default() += 1;
        }
    }
    if found.group.is_some() {
        let explain = format!("{entry_path}/explain");
        let said = until_answered(async || work.dps.post(&explain).json(json!({})).send().await).await?.body;
        let rows = said["above"].as_array().map(Vec::as_slice).unwrap_or_default();
        let enabled = rows.iter().filter(|row| row["provisioningStatus"] == "enabled");
        found.above = enabled.map(entry).collect();
    }
    Ok(found)
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
    let verb = if work.args.permanent { "delete" } else { "disable" };
    for (hub, count) in &found.hubs {
        plan.step(format!("{verb} {count} devices in {hub}, and cut them off"));
    }
    if work.args.permanent {
        plan.step("their digital twins are retired by the events that tell of the deletions");
    }
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
                (id, work.retire(record).await)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((id, done)) = retired.next().await {
            bar.inc(1);
            match done {
                Ok(InHub::Before) => sum.unchanged += 1,
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

fn bar(total: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let template = "{prefix:>14} {bar:24.green/dim} {human_pos:>9} of {human_len}  {per_sec}  {elapsed}, {eta} left  {msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style.progress_chars("━━─")).with_prefix("devices")
}
