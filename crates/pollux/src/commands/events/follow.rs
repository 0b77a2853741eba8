//! The events of several partitions as one stream.

use anyhow::Result;
use futures_util::stream::{self, BoxStream, SelectAll, StreamExt as _};
use pollux_amqp::Message;
use pollux_client::EventHubs;
use pollux_client::event_hubs::{EventHubsError, Events};

/// Events, each with its partition. Ends when all links have.
pub(crate) type Followed = SelectAll<BoxStream<'static, (String, Result<Message, EventHubsError>)>>;

/// Receives from these partitions, from where the selector says on. A refusal comes as a partition's first event.
pub(crate) async fn follow(
    client: &EventHubs,
    event_hub: &str,
    group: &str,
    partitions: Vec<String>,
    selector: &str,
) -> Result<Followed> {
    let mut all = SelectAll::new();
    for partition in partitions {
        let events = client.receive(event_hub, group, &partition, Some(selector)).await?;
        let next = |(mut events, partition): (Events, String)| async move {
            let event = events.recv().await?;
            Some(((partition.clone(), event), (events, partition)))
        };
        all.push(stream::unfold((events, partition), next).boxed());
    }
    Ok(all)
}
