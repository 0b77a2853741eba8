//! `pollux twin route`: which notifications go to which endpoint.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use pollux_client::rest::Paging;
use serde_json::json;

use super::Target;
use crate::input::segment;
use crate::output::Column;
use crate::session::Session;

const COLUMNS: &[Column] = &[("name", "/id"), ("endpoint", "/endpointName"), ("filter", "/filter")];
/// No instance has more, unless its operator raised the limit.
const MOST: usize = 10_000;

/// Event routes
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the event routes
    List(Target),
    /// Make or replace an event route
    Create(Create),
    /// Show an event route
    Show(One),
    /// Delete an event route
    Delete(One),
}

/// Make or replace an event route
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux twin route create --route-name all --endpoint-name alarms
  pollux twin route create --route-name hot --endpoint-name alarms --filter '$body.temperature > 40'
  pollux twin route create --route-name changes --endpoint-name app --filter \
      \"type = 'Microsoft.DigitalTwins.Twin.Update' AND STARTS_WITH(subject, 'floor')\"")]
pub(crate) struct Create {
    #[command(flatten)]
    one: One,
    /// The endpoint it leads to; see `pollux twin endpoint`
    #[arg(long, visible_alias = "en")]
    endpoint_name: String,
    /// Which notifications it takes; `false` takes none
    #[arg(long, default_value = "true")]
    filter: String,
}

/// Which event route
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The route's name
    #[arg(long, visible_alias = "rn")]
    route_name: String,
    #[command(flatten)]
    target: Target,
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::List(target) => {
            let rest = session.twins(target.dt_name.as_deref())?;
            let paging = Paging::Link { path: "/eventroutes".to_owned() };
            let rows = rest.pages(paging).collect(MOST).await.context("cannot list the event routes")?;
            session.output.rows(rows, COLUMNS)
        }
        Command::Create(Create { one, endpoint_name, filter }) => {
            let rest = session.twins(one.target.dt_name.as_deref())?;
            let body = json!({ "endpointName": endpoint_name, "filter": filter });
            let made = rest.put(&path(&one)).json(body).send().await;
            made.with_context(|| format!("cannot make the event route '{}'", one.route_name))?;
            show(session, &one).await
        }
        Command::Show(one) => show(session, &one).await,
        Command::Delete(one) => {
            let gone = session.twins(one.target.dt_name.as_deref())?.delete(&path(&one)).send().await;
            gone.with_context(|| format!("cannot delete the event route '{}'", one.route_name))?;
            session.output.note(&format!("deleted the event route '{}'", one.route_name))
        }
    }
}

fn path(one: &One) -> String {
    format!("/eventroutes/{}", segment(&one.route_name))
}

async fn show(session: &Session, one: &One) -> Result<()> {
    let found = session.twins(one.target.dt_name.as_deref())?.get(&path(one)).send().await;
    let what = || format!("cannot show the event route '{}'", one.route_name);
    session.output.document(&found.with_context(what)?.body)
}
