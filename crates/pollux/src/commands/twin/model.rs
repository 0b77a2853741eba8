//! `pollux twin model`: models, in DTDL.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use pollux_client::rest::Paging;
use serde_json::{Value, json};

use super::model_validate::Validate;
use super::{Target, model_files};
use crate::input::segment;
use crate::output::Column;
use crate::session::Session;

const COLUMNS: &[Column] = &[
    ("id", "/id"),
    ("display name", "/displayName/en"),
    ("decommissioned", "/decommissioned"),
    ("uploaded", "/uploadTime"),
];

/// Models, in DTDL
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Server(ServerCommand),
    /// Check models without a server
    Validate(Validate),
}

/// What a server does with models.
#[derive(Debug, Subcommand)]
pub(crate) enum ServerCommand {
    /// Upload models
    Create(Create),
    /// Show a model
    Show(Show),
    /// List models
    List(List),
    /// Delete a model that no other model needs
    Delete(One),
    /// Decommission a model: no new twins of it
    Decommission(One),
}

/// Upload models
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux twin model create --from Thermostat.json
  pollux twin model create --from ./ontology              every .json in it and below
  pollux twin model create --from '{\"@id\": \"dtmi:a:b;1\", \"@type\": \"Interface\", \"@context\": \"dtmi:dtdl:context;2\"}'

All of them or none, up to 250; more are uploaded in the order they need each other.")]
pub(crate) struct Create {
    /// A file, a folder, or JSON; may be repeated
    #[arg(long, required = true, num_args = 1.., visible_aliases = ["models", "from-directory"])]
    from: Vec<String>,
    #[command(flatten)]
    target: Target,
}

/// Show a model
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The model's id
    #[arg(long, short = 'm')]
    dtmi: String,
    /// With its DTDL
    #[arg(long, visible_alias = "def")]
    definition: bool,
    #[command(flatten)]
    target: Target,
}

/// List models
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only this model and what it needs; may be repeated
    #[arg(long)]
    dependencies_for: Vec<String>,
    /// With their DTDL
    #[arg(long, visible_alias = "def")]
    definition: bool,
    /// At most this many
    #[arg(long, default_value_t = 10_000)]
    top: usize,
    #[command(flatten)]
    target: Target,
}

/// Which model.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The model's id
    #[arg(long, short = 'm')]
    dtmi: String,
    #[command(flatten)]
    target: Target,
}

fn path(dtmi: &str) -> String {
    format!("/models/{}", segment(dtmi))
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: ServerCommand) -> Result<()> {
    match command {
        ServerCommand::Create(args) => create(session, args).await,
        ServerCommand::Show(args) => {
            let rest = session.twins(args.target.dt_name.as_deref())?;
            let request = rest.get(&path(&args.dtmi)).query("includeModelDefinition", flag(args.definition));
            let found =
                request.send().await.with_context(|| format!("cannot show the model '{}'", args.dtmi))?;
            session.output.document(&found.body)
        }
        ServerCommand::List(args) => {
            let rest = session.twins(args.target.dt_name.as_deref())?;
            let wanted = args.dependencies_for.iter().map(|id| format!("&dependenciesFor={}", segment(id)));
            let wanted: String = wanted.collect();
            let path = format!("/models?includeModelDefinition={}{wanted}", flag(args.definition));
            let rows = rest
                .pages(Paging::Link { path })
                .collect(args.top)
                .await
                .context("cannot list the models")?;
            session.output.rows(rows, COLUMNS)
        }
        ServerCommand::Delete(args) => {
            let gone = session.twins(args.target.dt_name.as_deref())?.delete(&path(&args.dtmi)).send().await;
            gone.with_context(|| format!("cannot delete the model '{}'", args.dtmi))?;
            session.output.note(&format!("deleted the model '{}'", args.dtmi))
        }
        ServerCommand::Decommission(args) => {
            let patch = json!([{ "op": "replace", "path": "/decommissioned", "value": true }]);
            let rest = session.twins(args.target.dt_name.as_deref())?;
            let done = rest.patch(&path(&args.dtmi)).json_patch(patch).send().await;
            done.with_context(|| format!("cannot decommission the model '{}'", args.dtmi))?;
            session.output.note(&format!("decommissioned the model '{}'", args.dtmi))
        }
    }
}

const fn flag(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

async fn create(session: &Session, args: Create) -> Result<()> {
    let mut models = Vec::new();
    for from in &args.from {
        models.extend(model_files::read(from)?);
    }
    let rest = session.twins(args.target.dt_name.as_deref())?;
    let mut made = Vec::new();
    for batch in model_files::batches(models) {
        let answer = rest.post("/models").json(Value::Array(batch)).send().await;
        let answer = answer.with_context(|| match made.len() {
            0 => "cannot upload the models".to_owned(),
            done => format!("cannot upload the models after the first {done}"),
        })?;
        if let Value::Array(rows) = answer.body {
            made.extend(rows);
        }
    }
    session.output.rows(made, COLUMNS)
}
