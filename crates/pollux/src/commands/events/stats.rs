//! `pollux events stats`: what there is in each partition.

use anyhow::Result;
use clap::Args;
use pollux_model::Timestamp;
use serde_json::json;

use super::{Place, connect_to};
use crate::output::Column;
use crate::session::Session;

const COLUMNS: &[Column] = &[
    ("partition", "/partition"),
    ("first", "/first"),
    ("last", "/last"),
    ("events", "/events"),
    ("last offset", "/lastOffset"),
    ("last enqueued", "/lastEnqueued"),
];

/// Show how many events each partition has, and when the last one came
#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// The event hub [default: the first]
    #[arg(long, short = 'n')]
    name: Option<String>,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(session: &Session, args: Stats) -> Result<()> {
    let (client, event_hub) = connect_to(session, &args.place, args.name.as_deref()).await?;
    let mut rows = Vec::new();
    for id in client.partitions(&event_hub).await? {
        let stats = client.partition(&event_hub, &id).await?;
        let ever = stats.last >= 0;
        let events = if stats.is_empty { 0 } else { stats.last - stats.begin + 1 };
        rows.push(json!({
            "partition": id,
            "first": (!stats.is_empty).then_some(stats.begin),
            "last": ever.then_some(stats.last),
            "events": events,
            "lastOffset": ever.then_some(stats.last_offset),
            "lastEnqueued": ever.then(|| Timestamp::from_millis(stats.last_enqueued).to_string()),
        }));
    }
    client.close().await;
    session.output.rows(rows, COLUMNS)
}
