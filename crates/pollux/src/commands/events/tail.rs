//! `pollux events tail`: events as they come.

use std::pin::pin;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use futures_util::stream::StreamExt as _;
use pollux_client::event_hubs::EventHubsError;
use pollux_model::Timestamp;
use serde_json::Value;

use super::{Place, connect_to, follow, shown};
use crate::session::Session;

/// Show events as they come, or from a place on
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pollux events tail                                       what comes to the first event hub from now on
  pollux events tail -n deviceevents --from earliest --count 10
  pollux events tail --from 2026-11-25T12:00:00Z --filter iothub-connection-device-id=t-1
  pollux events tail --hub-name hub1                       what no route takes
  pollux events tail --from 4711 --partition 0 --json | jq .body")]
pub(crate) struct Tail {
    /// The event hub [default: the first]
    #[arg(long, short = 'n')]
    name: Option<String>,
    /// Where to begin: `latest`, `earliest`, a sequence number, or a time such as 2026-11-25T12:00:00Z
    #[arg(long, default_value = "latest")]
    from: From,
    /// Only this partition [default: all]
    #[arg(long)]
    partition: Option<String>,
    /// The consumer group
    #[arg(long, default_value = "$Default")]
    consumer_group: String,
    /// Only events with this property, annotation or partition key, such as `opType=createDeviceIdentity`; may be repeated
    #[arg(long = "filter", value_name = "NAME=VALUE", value_parser = pair)]
    filters: Vec<(String, String)>,
    /// End after so many events
    #[arg(long)]
    count: Option<u64>,
    #[command(flatten)]
    place: Place,
}

/// Where to begin.
#[derive(Debug, Clone)]
pub(crate) struct From(String);

impl std::str::FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let selector = match text {
            "latest" => "x-opt-offset > '@latest'".to_owned(),
            "earliest" => "x-opt-offset > '-1'".to_owned(),
            _ if text.parse::<i64>().is_ok() => format!("x-opt-sequence-number >= '{text}'"),
            _ => {
                let time = Timestamp::parse(text).ok_or(
                    "use latest, earliest, a sequence number, or a time such as 2026-11-25T12:00:00Z",
                )?;
                format!("x-opt-enqueued-time >= '{}'", time.as_millis())
            }
        };
        Ok(Self(format!("amqp.annotation.{selector}")))
    }
}

fn pair(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) async fn run(session: &Session, args: Tail) -> Result<()> {
    let (client, event_hub) = connect_to(session, &args.place, args.name.as_deref()).await?;
    let partitions = match args.partition {
        Some(partition) => vec![partition],
        None => client.partitions(&event_hub).await?,
    };
    let mut all = follow(&client, &event_hub, &args.consumer_group, partitions, &args.from.0).await?;
    session.output.note(&format!("events of '{event_hub}'; end with Ctrl+C"))?;
    let mut seen = 0;
    // One for all: a signal between two would be heard by neither.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    while args.count.is_none_or(|count| seen < count) {
        let next = tokio::select! {
            next = all.next() => next,
            ended = &mut interrupted => { ended.context("cannot wait for Ctrl+C")?; break }
        };
        let Some((partition, event)) = next else { break };
        let event = match event {
            Ok(event) => shown::event(&partition, &event),
            Err(EventHubsError::Said(error)) => bail!("partition {partition}: {error}"),
            Err(error) => return Err(error.into()),
        };
        if args.filters.iter().all(|filter| matches(&event, filter)) {
            seen += 1;
            session.output.event(&event)?;
        }
    }
    client.close().await;
    Ok(())
}

fn matches(event: &Value, (name, wanted): &(String, String)) -> bool {
    let among = |part: &str| event[part].get(name);
    let found = among("properties").or_else(|| among("annotations")).or_else(|| among("system"));
    let found = found.or_else(|| event.get(name));
    found.is_some_and(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned) == *wanted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_are_written_as_people_write_them() {
        let selector = |text: &str| text.parse::<From>().map(|from| from.0);
        assert_eq!(selector("latest").unwrap(), "amqp.annotation.x-opt-offset > '@latest'");
        assert_eq!(selector("17").unwrap(), "amqp.annotation.x-opt-sequence-number >= '17'");
        assert_eq!(
            selector("1970-01-01T00:00:01Z").unwrap(),
            "amqp.annotation.x-opt-enqueued-time >= '1000'"
        );
        assert!(selector("yesterday").is_err());
    }

    #[test]
    fn filters_look_at_properties_annotations_and_places() {
        let event = json!({
            "properties": { "opType": "x", "n": 5 }, "annotations": { "iothub-message-source": "Telemetry" },
            "partitionKey": "t-1",
        });
        let matches = |name: &str, value: &str| matches(&event, &(name.to_owned(), value.to_owned()));
        assert!(matches("opType", "x") && matches("n", "5") && matches("iothub-message-source", "Telemetry"));
        assert!(matches("partitionKey", "t-1"));
        assert!(!matches("opType", "y") && !matches("nothing", ""));
    }
}
