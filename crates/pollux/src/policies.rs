//! Shared access policies, over the operator's API: what `policy` of a hub, a DPS and a namespace share.

use anyhow::{Context as _, Result, bail};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, ValueEnum};
use pollux_model::resource::ResourceKind;
use serde_json::{Map, Value, json};

use crate::input::segment;
use crate::output::Column;
use crate::resources::{self, hide_keys, values};
use crate::session::Session;

const COLUMNS: &[Column] = &[("name", "/name"), ("rights", "/rights")];
const KEY_COLUMNS: &[Column] = &[("key", "/name"), ("value", "/value")];

/// The options that say whose policy is meant.
pub(crate) trait Target: Args + std::fmt::Debug {
    /// What policies of this kind may allow.
    const RIGHTS: &'static [&'static str];

    /// Whose it is.
    fn holder(&self, session: &Session) -> Result<Holder>;
}

/// Whose policies.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) kind: ResourceKind,
    pub(crate) name: String,
    pub(crate) event_hub: Option<String>,
}

/// Shared access policies
#[derive(Debug, Subcommand)]
pub(crate) enum Command<T: Target> {
    /// Make or change a policy
    #[command(visible_alias = "update")]
    Create(Create<T>),
    /// List the policies, without their keys
    List(T),
    /// Show a policy
    Show(Show<T>),
    /// Delete a policy: what was opened with its keys is closed
    Delete(One<T>),
    /// Keys of a policy
    #[command(subcommand)]
    Keys(KeysCommand<T>),
    /// Print the connection string that a policy's key makes
    ConnectionString(ConnectionString<T>),
}

/// Keys of a policy
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand<T: Target> {
    /// Show both keys
    List(One<T>),
    /// Make a key anew: what was opened with the old one is closed
    #[command(visible_alias = "renew")]
    Regenerate(Regenerate<T>),
}

/// Make or change a policy: what is not said stays
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux events policy create --name sender --rights Send --eventhub-name deviceevents
  pollux hub policy create --name backend --rights ServiceConnect RegistryRead

Keys that are not given are made. Manage brings Send and Listen along.")]
pub(crate) struct Create<T: Target> {
    #[command(flatten)]
    one: One<T>,
    /// What it may do; needed for a new one
    #[arg(long, visible_alias = "permissions", num_args = 1.., ignore_case = true,
        value_parser = PossibleValuesParser::new(T::RIGHTS))]
    rights: Vec<String>,
    /// A key of one's own, base64 of 16 to 64 bytes: text, `@file`, or `-` for standard input
    #[arg(long, visible_alias = "pk")]
    primary_key: Option<String>,
    /// The other one
    #[arg(long, visible_alias = "sk")]
    secondary_key: Option<String>,
}

/// Show a policy
#[derive(Debug, Args)]
pub(crate) struct Show<T: Target> {
    #[command(flatten)]
    one: One<T>,
    /// Show its keys too
    #[arg(long, visible_alias = "keys")]
    show_keys: bool,
}

/// Which policy
#[derive(Debug, Args)]
pub(crate) struct One<T: Target> {
    /// The policy's name: up to 50 letters, digits and . _ -
    #[arg(long, visible_alias = "name")]
    policy_name: String,
    #[command(flatten)]
    target: T,
}

/// Make a key anew
#[derive(Debug, Args)]
#[command(after_help = "\
To change keys without a break: give clients the secondary key, regenerate the primary one, give them that,
regenerate the secondary one.")]
pub(crate) struct Regenerate<T: Target> {
    #[command(flatten)]
    one: One<T>,
    /// Which of the two
    #[arg(long, value_enum)]
    key: Key,
}

/// Print a connection string
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pollux events policy connection-string --name sender --eventhub-name deviceevents

That of an event hub's policy ends with EntityPath; clients take the event hub's name from it.")]
pub(crate) struct ConnectionString<T: Target> {
    #[command(flatten)]
    one: One<T>,
    /// With which of the two keys
    #[arg(long, value_enum, default_value = "primary")]
    key: Key,
}

/// One of a policy's keys.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Key {
    /// The one connection strings carry
    #[value(alias = "PrimaryKey")]
    Primary,
    /// The one in reserve
    #[value(alias = "SecondaryKey")]
    Secondary,
}

impl Key {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }
}

impl Holder {
    fn resource(&self) -> String {
        resources::path(self.kind, &self.name)
    }

    fn list(&self) -> String {
        match &self.event_hub {
            Some(event_hub) => format!("{}/event-hubs/{}/policies", self.resource(), segment(event_hub)),
            None => format!("{}/policies", self.resource()),
        }
    }

    fn policy(&self, name: &str) -> String {
        format!("{}/{}", self.list(), segment(name))
    }

    /// For messages.
    fn said(&self) -> String {
        match &self.event_hub {
            Some(event_hub) => format!("event hub '{event_hub}'"),
            None => format!("{} '{}'", self.kind, self.name),
        }
    }
}

/// Runs a command about policies.
pub(crate) async fn run<T: Target>(session: &Session, command: Command<T>) -> Result<()> {
    match command {
        Command::Create(args) => create(session, args).await,
        Command::List(target) => {
            let holder = target.holder(session)?;
            let found = session.admin()?.get(&holder.list()).send().await;
            let found =
                found.with_context(|| format!("cannot list the policies of the {}", holder.said()))?;
            session.output.rows(values(found), COLUMNS)
        }
        Command::Show(args) => {
            let (_, mut policy) = get(session, &args.one).await?;
            if !args.show_keys {
                hide_keys(&mut policy);
            }
            session.output.document(&policy)
        }
        Command::Delete(one) => {
            let (holder, name) = (one.target.holder(session)?, &one.policy_name);
            let gone = session.admin()?.delete(&holder.policy(name)).send().await;
            gone.with_context(|| format!("cannot delete the policy '{name}' of the {}", holder.said()))?;
            session.output.note(&format!("deleted the policy '{name}' of the {}", holder.said()))
        }
        Command::Keys(KeysCommand::List(one)) => {
            let (_, policy) = get(session, &one).await?;
            keys(session, &policy)
        }
        Command::Keys(KeysCommand::Regenerate(args)) => regenerate(session, args).await,
        Command::ConnectionString(args) => {
            let (holder, policy) = get(session, &args.one).await?;
            let about = session.admin()?.get(&holder.resource()).send().await?.body;
            let host = about["hostName"].as_str().unwrap_or_default();
            session.output.text(&connection_string(&holder, host, &policy, args.key)?)
        }
    }
}

async fn create<T: Target>(session: &Session, args: Create<T>) -> Result<()> {
    let (holder, name) = (args.one.target.holder(session)?, &args.one.policy_name);
    let mut body = Map::new();
    if !args.rights.is_empty() {
        // As the server spells them, whatever their case was.
        let same = |said: &String| T::RIGHTS.iter().find(|right| right.eq_ignore_ascii_case(said));
        let rights: Vec<_> = args.rights.iter().filter_map(same).collect();
        body.insert("rights".to_owned(), json!(rights));
    }
    for (option, field, key) in [
        ("--primary-key", "primaryKey", args.primary_key),
        ("--secondary-key", "secondaryKey", args.secondary_key),
    ] {
        if let Some(key) = key {
            let key = crate::input::text(option, &key)?;
            body.insert(field.to_owned(), json!(key.trim()));
        }
    }
    let made = session.admin()?.put(&holder.policy(name)).json(Value::Object(body)).send().await;
    let made = made.with_context(|| format!("cannot put the policy '{name}' of the {}", holder.said()))?;
    session.output.document(&made.body)
}

async fn regenerate<T: Target>(session: &Session, args: Regenerate<T>) -> Result<()> {
    let (holder, name) = (args.one.target.holder(session)?, &args.one.policy_name);
    let path = format!("{}/regenerate-key", holder.policy(name));
    let changed = session.admin()?.post(&path).json(json!({ "key": args.key.as_str() })).send().await;
    let changed = changed.with_context(|| format!("cannot change the keys of the policy '{name}'"))?;
    keys(session, &changed.body)
}

async fn get<T: Target>(session: &Session, one: &One<T>) -> Result<(Holder, Value)> {
    let (holder, name) = (one.target.holder(session)?, &one.policy_name);
    let found = session.admin()?.get(&holder.policy(name)).send().await;
    let found = found.with_context(|| format!("cannot show the policy '{name}' of the {}", holder.said()))?;
    Ok((holder, found.body))
}

fn keys(session: &Session, policy: &Value) -> Result<()> {
    let row = |key: Key| json!({ "name": key.as_str(), "value": policy["keys"][key.as_str()] });
    session.output.rows(vec![row(Key::Primary), row(Key::Secondary)], KEY_COLUMNS)
}

fn connection_string(holder: &Holder, host: &str, policy: &Value, key: Key) -> Result<String> {
    let (name, secret) = (policy["name"].as_str(), policy["keys"][key.as_str()].as_str());
    let (Some(name), Some(secret)) = (name, secret) else { bail!("the server's answer has no key") };
    let place = match holder.kind {
        ResourceKind::Events => format!("Endpoint=sb://{host}/"),
        _ => format!("HostName={host}"),
    };
    let entity = holder.event_hub.as_ref().map(|name| format!(";EntityPath={name}")).unwrap_or_default();
    Ok(format!("{place};SharedAccessKeyName={name};SharedAccessKey={secret}{entity}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_are_as_clients_read_them() {
        let policy = json!({ "name": "p", "keys": { "primary": "a2V5", "secondary": "b3RoZXI=" } });
        let made = |kind, event_hub: Option<&str>, key| {
            let event_hub = event_hub.map(str::to_owned);
            let holder = Holder { kind, name: "one".to_owned(), event_hub };
            connection_string(&holder, "one.example", &policy, key).unwrap()
        };
        let hub = made(ResourceKind::Hub, None, Key::Primary);
        assert_eq!(hub, "HostName=one.example;SharedAccessKeyName=p;SharedAccessKey=a2V5");
        let entity = made(ResourceKind::Events, Some("e"), Key::Secondary);
        let expected =
            "Endpoint=sb://one.example/;SharedAccessKeyName=p;SharedAccessKey=b3RoZXI=;EntityPath=e";
        assert_eq!(entity, expected);
        for text in [hub, entity] {
            text.parse::<pollux_client::ConnectionString>().unwrap();
        }
    }

    #[test]
    fn paths_lead_to_what_holds_the_policy() {
        let holder = |event_hub: Option<&str>| Holder {
            kind: ResourceKind::Events,
            name: "ev".to_owned(),
            event_hub: event_hub.map(str::to_owned),
        };
        assert_eq!(holder(None).policy("a b"), "/admin/resources/events/ev/policies/a%20b");
        assert_eq!(holder(Some("h")).list(), "/admin/resources/events/ev/event-hubs/h/policies");
    }
}
