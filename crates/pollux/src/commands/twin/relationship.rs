//! `pollux twin relationship`: relationships between twins.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use pollux_client::rest::Paging;
use serde_json::{Value, json};

use super::Target;
use crate::input::{self, segment};
use crate::output::Column;
use crate::session::Session;

const COLUMNS: &[Column] = &[
    ("relationship id", "/$relationshipId"),
    ("name", "/$relationshipName"),
    ("source", "/$sourceId"),
    ("target", "/$targetId"),
];
const INCOMING_COLUMNS: &[Column] =
    &[("relationship id", "/$relationshipId"), ("name", "/$relationshipName"), ("source", "/$sourceId")];

/// Relationships between twins
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a relationship
    Create(Create),
    /// Show a relationship
    Show(One),
    /// List the relationships that begin at a twin
    List(List),
    /// List the relationships that end at a twin
    ListIncoming(ListIncoming),
    /// Delete a relationship
    Delete(Delete),
}

/// Make a relationship
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pollux twin relationship create --relationship-id hall-thermostat --kind contains --source hall --target thermostat-67")]
pub(crate) struct Create {
    #[command(flatten)]
    one: One,
    /// The relationship's name in the source's model
    #[arg(long, visible_alias = "relationship")]
    kind: String,
    /// The twin it ends at
    #[arg(long, short = 't', visible_alias = "target-twin-id")]
    target: String,
    /// Its properties: JSON, or a file
    #[arg(long, short = 'p')]
    properties: Option<String>,
    /// Only if there is none yet; else an existing one is replaced
    #[arg(long)]
    if_none_match: bool,
}

/// Which relationship.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The twin it begins at
    #[arg(long, short = 's', visible_aliases = ["twin-id", "source-twin-id"])]
    source: String,
    /// Its id
    #[arg(long, short = 'r')]
    relationship_id: String,
    #[command(flatten)]
    instance: Target,
}

/// List the relationships that begin at a twin
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The twin
    #[arg(long, short = 's', visible_aliases = ["twin-id", "source-twin-id"])]
    source: String,
    /// Only those of this name
    #[arg(long, visible_alias = "relationship")]
    kind: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 1000)]
    top: usize,
    #[command(flatten)]
    instance: Target,
}

/// List the relationships that end at a twin
#[derive(Debug, Args)]
pub(crate) struct ListIncoming {
    /// The twin
    #[arg(long, short = 't', visible_aliases = ["twin-id", "target-twin-id"])]
    target: String,
    /// At most this many
    #[arg(long, default_value_t = 1000)]
    top: usize,
    #[command(flatten)]
    instance: Target,
}

/// Delete a relationship
#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    one: One,
    /// Only if it still is of this etag
    #[arg(long, visible_alias = "etag")]
    if_match: Option<String>,
}

impl One {
    fn path(&self) -> String {
        format!("/digitaltwins/{}/relationships/{}", segment(&self.source), segment(&self.relationship_id))
    }

    fn failed(&self, verb: &str) -> String {
        format!("cannot {verb} the relationship '{}' of '{}'", self.relationship_id, self.source)
    }
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Create(args) => create(session, args).await,
        Command::Show(one) => {
            let found = session.twins(one.instance.dt_name.as_deref())?.get(&one.path()).send().await;
            session.output.document(&found.with_context(|| one.failed("show"))?.body)
        }
        Command::List(args) => {
            let mut path = format!("/digitaltwins/{}/relationships", segment(&args.source));
            if let Some(kind) = &args.kind {
                path.push_str(&format!("?relationshipName={}", segment(kind)));
            }
            let rows = list(session, &args.instance, path, args.top).await;
            let rows = rows.with_context(|| format!("cannot list the relationships of '{}'", args.source))?;
            session.output.rows(rows, COLUMNS)
        }
        Command::ListIncoming(args) => {
            let path = format!("/digitaltwins/{}/incomingrelationships", segment(&args.target));
            let rows = list(session, &args.instance, path, args.top).await;
            let rows = rows.with_context(|| format!("cannot list what leads to '{}'", args.target))?;
            session.output.rows(rows, INCOMING_COLUMNS)
        }
        Command::Delete(args) => {
            let rest = session.twins(args.one.instance.dt_name.as_deref())?;
            let mut request = rest.delete(&args.one.path());
            if let Some(etag) = &args.if_match {
                request = request.if_match(etag);
            }
            request.send().await.with_context(|| args.one.failed("delete"))?;
            session.output.note(&format!(
                "deleted the relationship '{}' of '{}'",
                args.one.relationship_id, args.one.source
            ))
        }
    }
}

async fn create(session: &Session, args: Create) -> Result<()> {
    let mut body = input::optional_object("--properties", args.properties.as_deref())?.unwrap_or_default();
    body.insert("$relationshipName".to_owned(), json!(args.kind));
    body.insert("$targetId".to_owned(), json!(args.target));
    let rest = session.twins(args.one.instance.dt_name.as_deref())?;
    let mut request = rest.put(&args.one.path()).json(Value::Object(body));
    if args.if_none_match {
        request = request.if_none_match();
    }
    let made = request.send().await.with_context(|| args.one.failed("create"))?;
    session.output.document(&made.body)
}

async fn list(session: &Session, target: &Target, path: String, top: usize) -> Result<Vec<Value>> {
    let rest = session.twins(target.dt_name.as_deref())?;
    Ok(rest.pages(Paging::Link { path }).collect(top).await?)
}
