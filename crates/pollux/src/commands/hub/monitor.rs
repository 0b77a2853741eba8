//! `pollux hub monitor`: what comes to a hub's built-in endpoint, as it comes.
//!
//! Options and the shape of an event are those of `az iot hub monitor-events` (azext_iot/monitor of
//! Azure/azure-iot-cli-extension): `{"event": {origin, module, interface, component, properties, annotations, payload}}`, the
//! payload as JSON where its content type says that it is.

mod event;

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use futures_util::stream::StreamExt as _;
use pollux_amqp::performative::{Error as AmqpError, condition};
use pollux_client::event_hubs::EventHubsError;
use pollux_model::Timestamp;

use self::event::{Part, Wanted};
use crate::commands::events;
use crate::output::Output;
use crate::session::Session;

/// Show what devices send, as it comes to the hub's built-in endpoint
#[derive(Debug, Args)]
#[command(
    visible_alias = "monitor-events",
    after_help = "\
Examples:
  pollux hub monitor                                        all devices, from now on
  pollux hub monitor --device-id 'sim-*' --properties all   of some, with all properties
  pollux hub monitor -d sim-00001 --content-type application/json --output json | jq .event.payload
  pollux hub monitor --enqueued-time 2026-11-25T12:00:00Z --timeout 5
                                                            what came since then; ends when nothing came for five seconds
  pollux hub monitor --consumer-group dashboards            make it first: pollux hub consumer-group create -n dashboards

It shows what no route takes, and what a route sends to the endpoint 'events'. What goes to an event hub elsewhere is shown by
`pollux events tail`. It ends with Ctrl+C."
)]
pub(crate) struct Monitor {
    /// Only this device; * and ? stand for any letters and one
    #[arg(long, short = 'd')]
    device_id: Option<String>,
    /// Only this module of it; * and ? as well
    #[arg(long, short = 'm')]
    module_id: Option<String>,
    /// The consumer group
    #[arg(long, short = 'c', visible_alias = "cg", default_value = "$Default")]
    consumer_group: String,
    /// What is shown beside the payload: the system's properties, the application's, the hub's annotations
    #[arg(long, short = 'p', value_enum, num_args = 1.., value_delimiter = ',')]
    properties: Vec<Part>,
    /// What payloads are, whatever they say: application/json is shown as JSON, all else as text
    #[arg(long, visible_alias = "ct")]
    content_type: Option<String>,
    /// From when on: milliseconds since 1970, or a time such as 2026-11-25T12:00:00Z [default: now]
    #[arg(long, visible_alias = "et")]
    enqueued_time: Option<EnqueuedTime>,
    /// End when nothing came for so many seconds; 0: never
    #[arg(long, short = 't', visible_alias = "to", default_value_t = 300)]
    timeout: u64,
    /// End after so many events
    #[arg(long, visible_alias = "mc")]
    message_count: Option<u64>,
    /// How events are printed [default: indented on a terminal, else a line each]
    #[arg(long, short = 'o', value_enum)]
    output: Option<Form>,
    /// The hub, by name or host name [default: the first]
    #[arg(long, short = 'n')]
    hub_name: Option<String>,
}

/// How events are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A line each
    Json,
}

/// From when on, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EnqueuedTime(i64);

impl std::str::FromStr for EnqueuedTime {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let millis = text.parse().ok().or_else(|| Timestamp::parse(text).map(|time| time.as_millis()));
        millis.map(Self).ok_or("use milliseconds since 1970, or a time such as 2026-11-25T12:00:00Z")
    }
}

/// Why there is no next event.
enum End {
    Enough,
    Interrupted,
    Silence,
}

pub(super) async fn run(session: &Session, args: Monitor) -> Result<()> {
    let (client, event_hub) = events::connect_to_hub(session, args.hub_name.as_deref()).await?;
    let partitions = client.partitions(&event_hub).await?;
    let selector = args.enqueued_time.map_or_else(
        || "amqp.annotation.x-opt-offset > '@latest'".to_owned(),
        |time| format!("amqp.annotation.x-opt-enqueued-time >= '{}'", time.0),
    );
    let count = partitions.len();
    let mut all = events::follow(&client, &event_hub, &args.consumer_group, partitions, &selector).await?;
    let of = args.device_id.as_ref().map_or_else(String::new, |id| format!(" of '{id}'"));
    session.output.note(&format!(
        "events{of} at '{event_hub}', {count} partitions, consumer group {}; end with Ctrl+C",
        args.consumer_group
    ))?;
    let output = if args.output == Some(Form::Json) { Output::new(true) } else { session.output };
    let wanted = Wanted {
        device: args.device_id,
        module: args.module_id,
        parts: args.properties,
        content_type: args.content_type,
    };
    let patience = (args.timeout > 0).then(|| Duration::from_secs(args.timeout));
    let mut shown = 0;
    // One for all: a signal between two would be heard by neither.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let end = loop {
        if args.message_count.is_some_and(|most| shown >= most) {
            break End::Enough;
        }
        let next = tokio::select! {
            next = all.next() => next,
            () = silence(patience) => break End::Silence,
            ended = &mut interrupted => { ended.context("cannot wait for Ctrl+C")?; break End::Interrupted }
        };
        let (partition, event) = next.context("the server has closed the connection")?;
        let event = match event {
            Ok(event) => event,
            Err(EventHubsError::Said(error)) => bail!("partition {partition}: {error}{}", advice(&error)),
            Err(error) => return Err(error.into()),
        };
        if let Some(event) = wanted.shown(&event) {
            shown += 1;
            output.event(&event)?;
        }
    };
    client.close().await;
    session.output.note(&match end {
        End::Silence => format!("{shown} events; nothing came for {} s", args.timeout),
        End::Enough | End::Interrupted => format!("{shown} events"),
    })
}

/// Ends when nothing came for so long; never without a bound.
async fn silence(patience: Option<Duration>) {
    match patience {
        Some(patience) => tokio::time::sleep(patience).await,
        None => std::future::pending().await,
    }
}

/// What to do about a refusal.
fn advice(error: &AmqpError) -> &'static str {
    if error.condition == condition::NOT_FOUND {
        "; see `pollux hub consumer-group list`, or make one: `pollux hub consumer-group create`"
    } else if error.condition == condition::UNAUTHORIZED_ACCESS {
        "; a policy with ServiceConnect may read there: see `pollux hub policy list`"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_milliseconds_or_as_people_write_them() {
        let parsed = |text: &str| text.parse::<EnqueuedTime>().map(|time| time.0);
        assert_eq!((parsed("1500"), parsed("1970-01-01T00:00:02Z")), (Ok(1500), Ok(2000)));
        assert!(parsed("yesterday").is_err());
    }
}
