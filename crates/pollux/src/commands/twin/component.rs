//! `pollux twin component`: components of twins.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};

use super::Target;
use crate::input::{self, segment};
use crate::session::Session;

/// Components of twins
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a component
    Show(One),
    /// Change a component with JSON Patch
    Update(Update),
}

/// Which component.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The twin's id
    #[arg(long, short = 'i')]
    twin_id: String,
    /// The component's name in the twin's model
    #[arg(long, visible_alias = "component-name")]
    component: String,
    #[command(flatten)]
    target: Target,
}

/// Change a component with JSON Patch
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pollux twin component update -i phone --component frontCamera \\
      --json-patch '{\"op\": \"replace\", \"path\": \"/resolution\", \"value\": 12}'")]
pub(crate) struct Update {
    #[command(flatten)]
    one: One,
    /// One operation or a list of them: JSON, or a file
    #[arg(long, visible_alias = "patch")]
    json_patch: String,
    /// Only if the twin still is of this etag
    #[arg(long, visible_alias = "etag")]
    if_match: Option<String>,
}

fn path(one: &One) -> String {
    format!("/digitaltwins/{}/components/{}", segment(&one.twin_id), segment(&one.component))
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Show(one) => show(session, &one).await,
        Command::Update(args) => {
            let patch = input::operations("--json-patch", &args.json_patch)?;
            let rest = session.twins(args.one.target.dt_name.as_deref())?;
            let mut request = rest.patch(&path(&args.one)).json_patch(patch);
            if let Some(etag) = &args.if_match {
                request = request.if_match(etag);
            }
            let what =
                || format!("cannot change the component '{}' of '{}'", args.one.component, args.one.twin_id);
            request.send().await.with_context(what)?;
            show(session, &args.one).await
        }
    }
}

async fn show(session: &Session, one: &One) -> Result<()> {
    let found = session.twins(one.target.dt_name.as_deref())?.get(&path(one)).send().await;
    let what = || format!("cannot show the component '{}' of '{}'", one.component, one.twin_id);
    session.output.document(&found.with_context(what)?.body)
}
