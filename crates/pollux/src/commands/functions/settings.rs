//! `pollux functions settings`: which twins and which events a function app works on, by the names of Microsoft's article.

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use pollux_model::resource::ResourceKind;
use serde_json::{Value, json};

use super::Target;
use crate::input::segment;
use crate::output::Column;
use crate::resources::path;
use crate::session::Session;

const COLUMNS: &[Column] = &[("name", "/name"), ("value", "/value")];

/// Settings: which twins and which events an app works on
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Settings:
  ADT_SERVICE_URL               the digital twins instance [default: this server's]
  EVENTHUB_CONNECTIONSTRING     the event hubs namespace [default: this server's]
  AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET, AZURE_AUTHORITY_HOST
                                the credential for a digital twins instance elsewhere")]
pub(crate) enum Command {
    /// List settings with their values, which may be secret
    List(Target),
    /// Set settings
    Set(Set),
    /// Go back to the defaults
    Unset(Unset),
}

/// Set settings
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pollux functions settings set ADT_SERVICE_URL=https://my-twins.api.weu.digitaltwins.azure.net")]
pub(crate) struct Set {
    /// NAME=VALUE, one or more
    #[arg(value_name = "NAME=VALUE", required_unless_present = "settings", value_parser = pair)]
    pairs: Vec<(String, String)>,
    /// The same, as `az functionapp config appsettings set` takes it
    #[arg(long, value_name = "NAME=VALUE", num_args = 1.., value_parser = pair)]
    settings: Vec<(String, String)>,
    #[command(flatten)]
    target: Target,
}

/// Go back to the defaults
#[derive(Debug, Args)]
pub(crate) struct Unset {
    /// Names of settings
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    target: Target,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it must be NAME=VALUE".to_owned()),
    }
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::List(target) => list(session, target.app(session)?).await,
        Command::Set(args) => {
            let pairs = args.pairs.into_iter().chain(args.settings);
            change(session, args.target.app(session)?, pairs).await
        }
        Command::Unset(args) => {
            // An empty value removes a setting.
            let pairs = args.names.into_iter().map(|name| (name, String::new()));
            change(session, args.target.app(session)?, pairs).await
        }
    }
}

async fn list(session: &Session, app: &str) -> Result<()> {
    let found = session.admin()?.get(&base(app)).send().await;
    let mut found = found.with_context(|| format!("cannot list the settings of '{app}'"))?.body;
    let Value::Object(settings) = found["settings"].take() else {
        bail!("the server answered without settings")
    };
    let rows = settings.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    session.output.rows(rows, COLUMNS)
}

async fn change(session: &Session, app: &str, pairs: impl Iterator<Item = (String, String)>) -> Result<()> {
    let admin = session.admin()?;
    for (name, value) in pairs {
        let request = admin.put(&format!("{}/{}", base(app), segment(&name))).json(json!({ "value": value }));
        request.send().await.with_context(|| format!("cannot set '{name}' of '{app}'"))?;
    }
    list(session, app).await
}

fn base(app: &str) -> String {
    format!("{}/settings", path(ResourceKind::Functions, app))
}
