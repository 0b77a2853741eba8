//! `pollux events send`: an event.

use anyhow::Result;
use clap::Args;
use pollux_amqp::{ApplicationProperties, Body, Message, Properties, Symbol};

use super::{Target, connect};
use crate::input;
use crate::session::Session;

/// Send an event
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pollux events send -n deviceevents --body '{\"Temperature\": 21.5}' --partition-key t-1
  pollux events send --body @event.json --property kind=alarm --content-type application/json")]
pub(crate) struct Send {
    /// The event hub [default: the first]
    #[arg(long, short = 'n')]
    name: Option<String>,
    /// The body: text, `@file`, or `-` for standard input
    #[arg(long)]
    body: String,
    /// Events with the same key go to the same partition, in order
    #[arg(long, conflicts_with = "partition")]
    partition_key: Option<String>,
    /// To this partition
    #[arg(long)]
    partition: Option<String>,
    /// A property, NAME=VALUE; may be repeated
    #[arg(long = "property", value_name = "NAME=VALUE")]
    properties: Vec<String>,
    /// Such as application/json
    #[arg(long)]
    content_type: Option<String>,
    /// Send it so many times
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    #[command(flatten)]
    target: Target,
}

/// Messages under way at once.
const AT_ONCE: u32 = 500;

pub(super) async fn run(session: &Session, args: Send) -> Result<()> {
    let message = message(&args)?.encode();
    let (client, event_hub) = connect(session, &args.target, args.name.as_deref()).await?;
    let address = match &args.partition {
        Some(partition) => format!("{event_hub}/Partitions/{partition}"),
        None => event_hub,
    };
    let mut left = args.count;
    while left > 0 {
        let now = left.min(AT_ONCE);
        client.send(&address, (0..now).map(|_| message.clone()).collect()).await?;
        left -= now;
    }
    client.close().await;
    session.output.note(&format!("{} accepted", args.count))
}

fn message(args: &Send) -> Result<Message> {
    let mut application = ApplicationProperties::default();
    for property in &args.properties {
        let Some((name, value)) = property.split_once('=') else {
            anyhow::bail!("--property '{property}': write it as NAME=VALUE");
        };
        application.push(name, value);
    }
    let content_type = match &args.content_type {
        None => None,
        Some(text) => match Symbol::new(text.as_str()) {
            Some(symbol) => Some(symbol),
            None => anyhow::bail!("--content-type '{text}': only ASCII is allowed"),
        },
    };
    let mut message = Message {
        properties: content_type
            .map(|content_type| Properties { content_type: Some(content_type), ..Properties::default() }),
        application_properties: application,
        body: Body::data(input::text("--body", &args.body)?),
        ..Message::default()
    };
    if let Some(key) = &args.partition_key {
        message.message_annotations.push(Symbol::from_static("x-opt-partition-key"), key.as_str());
    }
    Ok(message)
}
