//! `pollux hub c2d-message`: cloud-to-device messages, as `az iot device c2d-message` has them. What a device does is done
//! over HTTPS, with the key of a policy that may act for devices.

mod feedback;

use anyhow::{Context as _, Result, bail};
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use pollux_client::rest::Response;
use serde_json::{Map, Value, json};

use self::feedback::Feedback;
use super::{End, Target};
use crate::input::segment;
use crate::session::Session;

/// Cloud-to-device messages
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send a message to a device
    Send(Send),
    /// Receive the next message of a device, as the device would
    Receive(Receive),
    /// Complete a message that was received: it is done
    Complete(Settle),
    /// Reject a message that was received: it is dead-lettered
    Reject(Settle),
    /// Abandon a message that was received: it goes back into the queue
    Abandon(Settle),
    /// Take all messages out of a device's queue
    Purge(Purge),
    /// Show what became of messages whose sender wanted to know, as it comes
    Feedback(Feedback),
}

/// Send a message to a device
#[derive(Debug, Args)]
#[command(after_help = "\
It waits for the device: for an hour, unless the hub or --expiry says otherwise.

Examples:
  pollux hub c2d-message send -d thermostat-67 --data 'hello'
  pollux hub c2d-message send -d thermostat-67 --data '{\"on\": true}' --ct application/json --ack full \\
      --mid m-1 --props 'level=info;floor=3'")]
#[command(group = ArgGroup::new("body").args(["data", "data_file_path"]))]
pub(crate) struct Send {
    /// The device
    #[arg(long, short = 'd')]
    device_id: String,
    /// The message's body
    #[arg(long, visible_alias = "da", default_value = "Ping from Pollux")]
    data: String,
    /// A file with the body
    #[arg(long, visible_alias = "df", value_name = "FILE")]
    data_file_path: Option<std::path::PathBuf>,
    /// Which feedback is wanted
    #[arg(long, value_enum)]
    ack: Option<Ack>,
    /// Application properties: name=value, with semicolons between them
    #[arg(long, short = 'p', visible_alias = "properties")]
    props: Option<String>,
    /// The message's id, by which feedback names it
    #[arg(long, visible_alias = "mid")]
    message_id: Option<String>,
    /// The id of what it belongs to
    #[arg(long, visible_alias = "cid")]
    correlation_id: Option<String>,
    /// Who it is from
    #[arg(long, visible_alias = "uid")]
    user_id: Option<String>,
    /// The body's type
    #[arg(long, visible_alias = "ct")]
    content_type: Option<String>,
    /// The body's encoding
    #[arg(long, visible_alias = "ce")]
    content_encoding: Option<String>,
    /// When it expires: RFC 3339, or milliseconds since 1970
    #[arg(long, visible_alias = "expiry")]
    expiry_time_utc: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// Which feedback is wanted.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Ack {
    /// When the device completed it
    Positive,
    /// When it was dead-lettered
    Negative,
    /// In either case
    Full,
}

impl Ack {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Full => "full",
        }
    }
}

/// Receive the next message of a device
#[derive(Debug, Args)]
#[command(after_help = "\
Prints nothing where none waits. The message is locked for a minute: settle it by its etag, or at once.

Examples:
  pollux hub c2d-message receive -d thermostat-67
  pollux hub c2d-message receive -d thermostat-67 --complete")]
#[command(group = ArgGroup::new("settle").args(["complete", "reject", "abandon"]))]
pub(crate) struct Receive {
    /// The device
    #[arg(long, short = 'd')]
    device_id: String,
    /// Complete it
    #[arg(long)]
    complete: bool,
    /// Reject it
    #[arg(long)]
    reject: bool,
    /// Abandon it
    #[arg(long)]
    abandon: bool,
    #[command(flatten)]
    target: Target,
}

/// Settle a message that was received
#[derive(Debug, Args)]
pub(crate) struct Settle {
    /// The device
    #[arg(long, short = 'd')]
    device_id: String,
    /// The etag that the message came with: its lock token
    #[arg(long, short = 'e')]
    etag: String,
    #[command(flatten)]
    target: Target,
}

/// Take all messages out of a device's queue
#[derive(Debug, Args)]
pub(crate) struct Purge {
    /// The device
    #[arg(long, short = 'd')]
    device_id: String,
    #[command(flatten)]
    target: Target,
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Send(args) => send(session, args).await,
        Command::Receive(args) => receive(session, args).await,
        Command::Complete(args) => settle(session, &args, End::Complete).await,
        Command::Reject(args) => settle(session, &args, End::Reject).await,
        Command::Abandon(args) => settle(session, &args, End::Abandon).await,
        Command::Purge(args) => purge(session, args).await,
        Command::Feedback(args) => feedback::run(session, args).await,
    }
}

async fn send(session: &Session, args: Send) -> Result<()> {
    let body = match &args.data_file_path {
        Some(path) => std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
        None => args.data.into_bytes(),
    };
    let rest = session.hub(args.target.hub_name.as_deref())?;
    let to = queue(&args.device_id);
    let mut request = rest.post("/messages/devicebound").header("iothub-to", &to).bytes(body);
    for (name, value) in [
        ("iothub-ack", args.ack.map(|ack| ack.as_str().to_owned())),
        ("iothub-messageid", args.message_id),
        ("iothub-correlationid", args.correlation_id),
        ("iothub-userid", args.user_id),
        ("iothub-contenttype", args.content_type),
        ("iothub-contentencoding", args.content_encoding),
        ("iothub-expiry", args.expiry_time_utc),
    ] {
        if let Some(value) = value {
            request = request.header(name, &value);
        }
    }
    for pair in args.props.iter().flat_map(|props| props.split(';')).filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            bail!("--props is name=value with semicolons between them: '{pair}' has no '='");
        };
        request = request.header(&format!("iothub-app-{name}"), value);
    }
    request.send().await.with_context(|| format!("no message is sent to '{}'", args.device_id))?;
    Ok(())
}

async fn receive(session: &Session, args: Receive) -> Result<()> {
    let rest = session.hub(args.target.hub_name.as_deref())?;
    let answer = rest.get(&queue(&args.device_id)).send().await;
    let answer = answer.with_context(|| format!("cannot receive for '{}'", args.device_id))?;
    if answer.status == 204 {
        return Ok(());
    }
    let document = shown(&answer);
    session.output.document(&document)?;
    let end = match (args.complete, args.reject, args.abandon) {
        (true, ..) => End::Complete,
        (_, true, _) => End::Reject,
        (.., true) => End::Abandon,
        _ => return Ok(()),
    };
    let etag = document["etag"].as_str().unwrap_or_default().to_owned();
    settle(session, &Settle { device_id: args.device_id, etag, target: args.target }, end).await
}

async fn settle(session: &Session, args: &Settle, end: End) -> Result<()> {
    let what = format!("the message of '{}'", args.device_id);
    super::settle(session, &args.target, (&queue(&args.device_id), &args.etag), end, &what).await
}

fn queue(device: &str) -> String {
    format!("/devices/{}/messages/devicebound", segment(device))
}

async fn purge(session: &Session, args: Purge) -> Result<()> {
    let rest = session.hub(args.target.hub_name.as_deref())?;
    let answer = rest.delete(&format!("/devices/{}/commands", segment(&args.device_id))).send().await;
    let answer = answer.with_context(|| format!("the queue of '{}' is not purged", args.device_id))?;
    session.output.document(&answer.body)
}

/// The message: `properties.app` and `properties.system` by the names of headers.
fn shown(answer: &Response) -> Value {
    let (mut app, mut system) = (Map::new(), Map::new());
    for (name, value) in &answer.headers {
        let value = json!(String::from_utf8_lossy(value.as_bytes()));
        if let Some(own) = name.as_str().strip_prefix("iothub-app-") {
            app.insert(own.to_owned(), value);
        } else if name.as_str().starts_with("iothub-") {
            system.insert(name.to_string(), value);
        }
    }
    let data = match &answer.body {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    json!({
        "etag": answer.header("etag").map(|etag| etag.trim_matches('"')),
        "data": data,
        "properties": { "app": app, "system": system },
    })
}
