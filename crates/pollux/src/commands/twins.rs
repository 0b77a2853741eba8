//! `pollux twins`: digital twins instances. What is in them: `pollux twin`.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use pollux_model::resource::ResourceKind;
use serde_json::json;

use crate::output::Column;
use crate::resources::{self, Create, Delete, List, Show};
use crate::session::Session;

const KIND: ResourceKind = ResourceKind::Twins;
const COLUMNS: &[Column] =
    &[("name", "/name"), ("group", "/group"), ("host name", "/hostName"), ("created", "/created")];

/// Digital twins instances
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an instance
    Create(CreateTwins),
    /// Change an instance
    Update(Update),
    /// List instances
    List(List),
    /// Show an instance
    Show(Show),
    /// Delete an instance with all its models, twins and relationships
    Delete(Delete),
}

/// Make an instance
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux twins create -n twins2
  pollux twins create -n twins2 --index Temperature:number --index climate.zone   queries find by these from the start")]
pub(crate) struct CreateTwins {
    #[command(flatten)]
    create: Create,
    /// A property that has an index from the start; may be given again. With ':number' or ':text' only such values
    #[arg(long = "index", value_name = "PROPERTY")]
    indexes: Vec<String>,
}

/// Change an instance
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux twins update -n twins1 --history-hours 168   keeps what twins and relationships were for a week
  pollux twins update -n twins1 --history-hours 0     keeps it no more, and forgets what was kept
  pollux twins update -n twins1 --consistency eventual:10s   queries are 10 seconds behind, as Azure's may be
  pollux twins update -n twins1 --index Temperature:number   declares this index, and no other any more
  pollux twins update -n twins1 --index ''                   declares none")]
pub(crate) struct Update {
    /// Its name
    #[arg(long, short = 'n')]
    name: String,
    /// For how many hours it keeps what twins and relationships were; 0: not at all
    #[arg(long)]
    history_hours: Option<u32>,
    /// What queries see: strong, or eventual:10s to test that a client does not rely on more
    #[arg(long, value_name = "strong|eventual:<seconds>s")]
    consistency: Option<String>,
    /// A property that has an index from the start; may be given again, and those not given are declared no more. '': none
    #[arg(long = "index", value_name = "PROPERTY")]
    indexes: Vec<String>,
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Create(args) => {
            let more = json!({ "indexes": declared(&args.indexes) });
            resources::create(session, KIND, args.create, more).await
        }
        Command::Update(args) => update(session, args).await,
        Command::List(args) => resources::list(session, KIND, &args, COLUMNS).await,
        Command::Show(args) => resources::show(session, KIND, &args).await,
        Command::Delete(args) => resources::delete(session, KIND, &args).await,
    }
}

async fn update(session: &Session, args: Update) -> Result<()> {
    let mut body = json!({});
    if let Some(hours) = args.history_hours {
        body["historyHours"] = json!(hours);
    }
    if let Some(consistency) = &args.consistency {
        body["consistency"] = json!(consistency);
    }
    if !args.indexes.is_empty() {
        body["indexes"] = json!(declared(&args.indexes));
    }
    let changed = session.admin()?.patch(&resources::path(KIND, &args.name)).json(body).send().await;
    let changed = changed.with_context(|| format!("cannot change the twins '{}'", args.name))?;
    session.output.document(&changed.body)
}

/// What is declared: one that is empty stands for none.
fn declared(indexes: &[String]) -> Vec<&String> {
    indexes.iter().filter(|index| !index.is_empty()).collect()
}
