//! `pollux dps deprovision`: shut a device, or all devices of a group, out for good or for a while.
//!
//! Azure article "How to deprovision devices that were previously auto-provisioned". The order makes sure that no device
//! comes back in between, and every step may be repeated, so that whatever was cut off is taken up by running it again:
//!
//! ```text
//!   1  the entry is disabled: from here nobody registers through it
//!   2  a registration that was under way comes to its end (it asks the entry once more, and fails)
//!   3  what was issued to it is revoked, if it goes for good
//!   4  the device is disabled in its hub, or deleted: it is cut off, and with it goes its digital twin
//!   5  its registration record goes, if it is to
//!   6  the entry is deleted, if it is to be, and nobody else would let the device in again
//! ```

mod device;
mod group;
mod individual;

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail};
use clap::{ArgGroup, Args};
use pollux_client::Rest;
use serde_json::{Value, json};

use super::Target;
use crate::connections::Instance;
use crate::input;
use crate::retry::until_answered;
use crate::session::Session;

/// Shut a device, or all devices of a group, out: of the provisioning service and of its hub
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("whom").required(true).args(["registration_id", "group"])))]
#[command(after_help = "\
Examples:
  pollux dps deprovision --registration-id device-1 --dry-run     what would be done
  pollux dps deprovision --registration-id device-1               disabled in both: it can be let in again
  pollux dps deprovision --registration-id device-1 --permanent   deleted in its hub, its digital twin with it
  pollux dps deprovision --group line-1 --permanent --yes         all devices that registered through the group

A device that came through a group gets a disabled individual enrollment, which shuts it out whatever groups say: of its
certificate where you have it (--certificate), else of a key. That entry must stay.
An entry stays, disabled, where another one would let devices in again, or where that cannot be told.
What was disabled is let in again in two places, for its hub keeps a device disabled whatever enrollments say:
  pollux dps enrollment delete --registration-id device-1         the entry that was made; one that was there: update
  pollux dps enrollment-group update --enrollment-id line-1 --provisioning-status enabled
  pollux hub device update --device-id device-1 --status enabled  each device of a group
What was cut off is taken up by running the same command again. Exit code 0 only if all of it was done.")]
pub(crate) struct Deprovision {
    /// The device's registration id
    #[arg(long, visible_alias = "rid")]
    registration_id: Option<String>,
    /// The enrollment group's id: all devices that registered through it
    #[arg(long, visible_aliases = ["enrollment-id", "group-id"])]
    group: Option<String>,
    /// Disable, so that it can be undone: the entry, and each device in its hub [default]
    #[arg(long, conflicts_with = "permanent")]
    temporary: bool,
    /// Delete: devices in their hubs with their digital twins, records, and the entry
    #[arg(long)]
    permanent: bool,
    /// Keep registration records; they count against the quota
    #[arg(long)]
    keep_records: bool,
    /// Delete the entry even if another one would, or might, let devices in again
    #[arg(long, requires = "permanent")]
    delete_entry: bool,
    /// The device's certificate with the intermediates it would send: PEM, its own first
    #[arg(long, visible_alias = "certificate-path", conflicts_with = "group", value_name = "PEM")]
    certificate: Option<std::path::PathBuf>,
    /// Tell what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    yes: bool,
    #[command(flatten)]
    target: Target,
}

/// What is going to be done.
#[derive(Debug, Default)]
struct Plan {
    steps: Vec<String>,
    warnings: Vec<String>,
}

impl Plan {
    fn step(&mut self, text: impl Into<String>) {
        self.steps.push(text.into());
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    fn json(&self) -> Value {
        json!({ "steps": self.steps, "warnings": self.warnings })
    }

    fn lines(&self) -> Vec<String> {
        let steps = (1..).zip(&self.steps).map(|(at, step)| format!("{at}. {step}"));
        steps.chain(self.warnings.iter().map(|warning| format!("warning: {warning}"))).collect()
    }
}

/// What the steps share.
struct Work<'a> {
    session: &'a Session,
    args: &'a Deprovision,
    dps: Rest,
    /// The hubs of this server, by host name in lower case.
    hubs: HashMap<String, Rest>,
}

impl Work<'_> {
    const fn removes_records(&self) -> bool {
        self.args.permanent && !self.args.keep_records
    }

    /// `None`: the hub is gone, and its devices with it. One whose domain has changed since bears its name in the first label.
    fn hub(&self, host: &str) -> Option<&Rest> {
        let host = host.to_ascii_lowercase();
        let label = host.split('.').next().unwrap_or_default();
        let named = || self.session.connections.hub.iter().find(|hub| hub.name.eq_ignore_ascii_case(label));
        let of = |hub: &Instance| self.hubs.get(&hub.host_name.to_ascii_lowercase());
        self.hubs.get(&host).or_else(|| named().and_then(of))
    }

    const fn verb(&self) -> &'static str {
        if self.args.permanent { "delete" } else { "disable" }
    }

    const fn how(&self) -> &'static str {
        if self.args.permanent { "permanently" } else { "temporarily" }
    }

    /// Shows the plan; whether to go on.
    fn agreed(&self, plan: &Plan) -> Result<bool> {
        let output = self.session.output;
        if self.args.dry_run {
            if output.is_for_eyes() {
                output.line(&plan.lines().join("\n"))?;
            } else {
                output.document(&json!({ "plan": plan.json(), "done": null }))?;
            }
            return Ok(false);
        }
        output.note(&plan.lines().join("\n"))?;
        if !self.args.yes && !input::confirmed("Do it? [y/N]")? {
            bail!("nothing was done: say yes, or --yes");
        }
        Ok(true)
    }

    /// Puts it into the audit record, under a device or a group.
    async fn note(&self, (name, id): (&str, &str), detail: &str) -> Result<()> {
        let note = json!({ name: id, "detail": format!("{}: {detail}", self.how()) });
        let noted = until_answered(async || self.dps.post("/audit").json(note.clone()).send().await).await;
        noted.map(|_| ()).context("it cannot be put into the audit record")
    }

    /// Puts it into the audit record that it begins: whoever cuts it off is named there.
    async fn begun(&self, whom: (&str, &str), plan: &Plan) -> Result<()> {
        self.note(whom, &format!("begun: {}", plan.steps.join("; "))).await
    }

    /// Puts it into the audit record, and says what was done.
    async fn finished(&self, whom: (&str, &str), plan: &Plan, done: &Value) -> Result<()> {
        let noted = self.note(whom, &plan.steps.join("; ")).await;
        noted.context("all of it is done, but")?;
        self.session.output.document(&json!({ "plan": plan.json(), "done": done }))
    }
}

/// Runs it.
pub(crate) async fn run(session: &Session, args: Deprovision) -> Result<()> {
    let dps = session.dps(args.target.dps_name.as_deref())?;
    let mut hubs = HashMap::new();
    for hub in &session.connections.hub {
        hubs.insert(hub.host_name.to_ascii_lowercase(), session.hub(Some(&hub.name))?);
    }
    let work = Work { session, args: &args, dps, hubs };
    match (&args.registration_id, &args.group) {
        (Some(id), _) => individual::run(&work, id).await,
        (None, Some(group)) => group::run(&work, group).await,
        // clap lets nobody through who names neither.
        (None, None) => bail!("name --registration-id or --group"),
    }
}
