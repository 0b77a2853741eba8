//! `pollux hub device-identity`: identities to and from files of blob storage, by jobs, as `az iot hub device-identity` has them.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::json;

use super::Target;
use crate::input::segment;
use crate::output::Column;
use crate::session::Session;

const COLUMNS: &[Column] = &[
    ("job", "/jobId"),
    ("type", "/type"),
    ("status", "/status"),
    ("progress", "/progress"),
    ("started", "/startTimeUtc"),
    ("failure", "/failureReason"),
];

/// Identities to and from files of blob storage
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Export all identities into a container
    Export(Export),
    /// Import identities from a container
    Import(Import),
    /// Jobs that export or import
    #[command(subcommand)]
    Job(Job),
}

/// Export all identities into a container
#[derive(Debug, Args)]
#[command(after_help = "\
A device or module a line, in devices.txt; the file is there when it is whole. It can be imported as it is.

Examples:
  pollux hub device-identity export --bcu 'https://plant.blob.core.windows.net/backup?sv=…&sig=…' --include-keys
  pollux hub device-identity export --bcu file:///srv/pollux-jobs/backup       a folder in jobs.folder
  pollux hub device-identity export --bcu https://plant.blob.core.windows.net/backup --identity-based")]
pub(crate) struct Export {
    /// The container's URL with its shared access signature
    #[arg(long, visible_alias = "bcu", value_name = "URI")]
    blob_container_uri: String,
    /// Keys too
    #[arg(long, visible_alias = "ik")]
    include_keys: bool,
    /// What the file is called [default: devices.txt]
    #[arg(long)]
    blob_name: Option<String>,
    /// In the hub's own storage account, by its key
    #[arg(long)]
    identity_based: bool,
    #[command(flatten)]
    target: Target,
}

/// Import identities from a container
#[derive(Debug, Args)]
#[command(after_help = "\
Of each line importMode says what is done: create, createOrUpdate (the default), update, updateTwin, delete, and all but the first
with IfMatchETag. What fails is told in importErrors.log of the output container; the rest is done.

Examples:
  pollux hub device-identity import --ibcu \"$CONTAINER\" --obcu \"$CONTAINER\"")]
pub(crate) struct Import {
    /// The container with devices.txt: its URL with its shared access signature
    #[arg(long, visible_alias = "ibcu", value_name = "URI")]
    input_blob_container_uri: String,
    /// The container for importErrors.log
    #[arg(long, visible_alias = "obcu", value_name = "URI")]
    output_blob_container_uri: String,
    /// What the file is called [default: devices.txt]
    #[arg(long)]
    blob_name: Option<String>,
    /// In the hub's own storage account, by its key
    #[arg(long)]
    identity_based: bool,
    #[command(flatten)]
    target: Target,
}

/// Jobs that export or import
#[derive(Debug, Subcommand)]
pub(crate) enum Job {
    /// List them, the newest first
    List(Target),
    /// Show one
    Show(One),
    /// Cancel one: it ends where it stands
    Cancel(One),
}

/// Which job
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The job
    #[arg(long)]
    job_id: String,
    #[command(flatten)]
    target: Target,
}

/// Runs a command of this group.
pub(super) async fn run(session: &Session, command: Command) -> Result<()> {
    let (target, body) = match command {
        Command::Job(command) => return run_job(session, command).await,
        Command::Export(args) => {
            let body = json!({
                "type": "export",
                "outputBlobContainerUri": args.blob_container_uri,
                "outputBlobName": args.blob_name,
                "excludeKeysInExport": !args.include_keys,
                "storageAuthenticationType": authentication(args.identity_based),
            });
            (args.target, body)
        }
        Command::Import(args) => {
            let body = json!({
                "type": "import",
                "inputBlobContainerUri": args.input_blob_container_uri,
                "outputBlobContainerUri": args.output_blob_container_uri,
                "inputBlobName": args.blob_name,
                "storageAuthenticationType": authentication(args.identity_based),
            });
            (args.target, body)
        }
    };
    let rest = session.hub(target.hub_name.as_deref())?;
    let made = rest.post("/jobs/create").json(body).send().await.context("no job is made")?;
    session.output.document(&made.body)
}

const fn authentication(identity_based: bool) -> &'static str {
    if identity_based { "identityBased" } else { "keyBased" }
}

async fn run_job(session: &Session, command: Job) -> Result<()> {
    let (one, cancel) = match command {
        Job::List(target) => {
            let rest = session.hub(target.hub_name.as_deref())?;
            let all = rest.get("/jobs").send().await.context("jobs cannot be listed")?;
            return session.output.rows(all.body.as_array().cloned().unwrap_or_default(), COLUMNS);
        }
        Job::Show(one) => (one, false),
        Job::Cancel(one) => (one, true),
    };
    let rest = session.hub(one.target.hub_name.as_deref())?;
    let path = format!("/jobs/{}", segment(&one.job_id));
    let request = if cancel { rest.delete(&path) } else { rest.get(&path) };
    let answer = request.send().await.with_context(|| format!("the job '{}'", one.job_id))?;
    session.output.document(&answer.body)
}
