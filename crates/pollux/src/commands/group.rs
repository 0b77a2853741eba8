//! `pollux group`: resource groups, which are deleted with everything in them.

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::input::{self, segment};
use crate::output::{Column, table};
use crate::resources::values;
use crate::session::Session;

const COLUMNS: &[Column] =
    &[("kind", "/kind"), ("name", "/name"), ("host name", "/hostName"), ("holds", "/holds")];

/// Resource groups
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the groups
    List,
    /// Show what is in a group
    Show(Show),
    /// Delete a group with everything in it
    Delete(Delete),
}

/// Show what is in a group
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The group's name
    #[arg(value_name = "NAME")]
    group: String,
}

/// Delete a group with everything in it: shows what, asks, deletes
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pollux group delete north\n  pollux group delete north --yes")]
pub(crate) struct Delete {
    /// The group's name
    #[arg(value_name = "NAME")]
    group: String,
    /// Do not ask
    #[arg(long, short = 'y')]
    yes: bool,
}

fn path(group: &str) -> String {
    format!("/admin/groups/{}", segment(group))
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::List => {
            let groups = values(session.admin()?.get("/admin/groups").send().await?);
            let named =
                |group: Value| if group.is_string() { serde_json::json!({ "name": group }) } else { group };
            session.output.rows(groups.into_iter().map(named).collect(), &[("name", "/name")])
        }
        Command::Show(args) => {
            let contents = contents(session, &args.group).await?;
            session.output.rows(contents, COLUMNS)
        }
        Command::Delete(args) => delete(session, &args).await,
    }
}

async fn contents(session: &Session, group: &str) -> Result<Vec<Value>> {
    let found = session.admin()?.get(&path(group)).send().await;
    let mut found = found.with_context(|| format!("cannot show the group '{group}'"))?.body;
    match found.get_mut("resources").map(Value::take) {
        Some(Value::Array(rows)) => Ok(rows),
        _ => Ok(Vec::new()),
    }
}

async fn delete(session: &Session, args: &Delete) -> Result<()> {
    let contents = contents(session, &args.group).await?;
    session.output.note(&format!("The group '{}' holds:", args.group))?;
    session.output.note(list(&contents).trim_end())?;
    if !args.yes && !input::confirmed("Delete all of this, for ever? [y/N]")? {
        bail!("nothing was deleted: say yes, or --yes");
    }
    let gone = session.admin()?.delete(&path(&args.group)).send().await;
    let gone = gone.with_context(|| format!("cannot delete the group '{}'", args.group))?;
    session.output.document(&gone.body)
}

/// What the resources of each kind hold.
fn list(contents: &[Value]) -> String {
    let row = |one: &Value| {
        let kind = one["kind"].as_str().unwrap_or_default();
        let what = match kind {
            "dps" => "registrations",
            "hub" => "devices",
            "twins" => "twins",
            _ => "",
        };
        let holds = one["holds"].as_u64().filter(|_| !what.is_empty());
        let holds = holds.map(|count| format!("{count} {what}")).unwrap_or_default();
        vec![kind.to_owned(), one["name"].as_str().unwrap_or_default().to_owned(), holds]
    };
    table(&["kind", "name", "with"], contents.iter().map(row).collect())
}
