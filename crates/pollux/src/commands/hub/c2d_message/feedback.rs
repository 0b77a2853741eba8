//! `pollux hub c2d-message feedback`: what became of messages, as `az iot hub monitor-feedback` shows it; over HTTPS, asked each
//! second.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::Value;

use crate::commands::hub::{End, Target, settle};
use crate::session::Session;

const QUEUE: &str = "/messages/servicebound/feedback";
/// Between two questions while there is none.
const PAUSE: Duration = Duration::from_secs(1);

/// Show what became of messages whose sender wanted to know, as it comes
#[derive(Debug, Args)]
#[command(
    visible_alias = "monitor-feedback",
    after_help = "\
The hub keeps feedback once for all who ask for it: what comes here is taken out of the queue, also what is not shown.

Examples:
  pollux hub c2d-message feedback                     all, until none came for five minutes
  pollux hub c2d-message send -d thermostat-67 --ack full --mid m-1
  pollux hub c2d-message feedback --wait-on-msg m-1   until it is known what became of m-1
  pollux hub c2d-message feedback --timeout 0         until Ctrl+C"
)]
pub(crate) struct Feedback {
    /// Only of this device
    #[arg(long, short = 'd')]
    device_id: Option<String>,
    /// End with the feedback of the message of this id
    #[arg(long, visible_alias = "wm", value_name = "MESSAGE_ID")]
    wait_on_msg: Option<String>,
    /// End when nothing came for so many seconds; 0: never
    #[arg(long, short = 't', visible_alias = "to", default_value_t = 300)]
    timeout: u64,
    #[command(flatten)]
    target: Target,
}

impl Feedback {
    fn shows(&self, record: &Value) -> bool {
        self.device_id.as_ref().is_none_or(|id| record["deviceId"] == id.as_str())
    }

    /// Whether it is the one that is waited for.
    fn ends(&self, record: &Value) -> bool {
        let waited = self.wait_on_msg.as_ref();
        waited.is_some_and(|id| record["originalMessageId"] == id.as_str()) && self.shows(record)
    }
}

pub(super) async fn run(session: &Session, args: Feedback) -> Result<()> {
    let rest = session.hub(args.target.hub_name.as_deref())?;
    // One for all: a signal between two would be heard by neither.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let mut silent = Duration::ZERO;
    loop {
        let answer = rest.get(QUEUE).send().await.context("cannot receive feedback")?;
        let records = answer.body.as_array().map_or(&[][..], Vec::as_slice);
        for record in records.iter().filter(|record| args.shows(record)) {
            session.output.event(record)?;
        }
        if let Some(etag) = answer.header("etag") {
            settle(session, &args.target, (QUEUE, etag), End::Complete, "the feedback").await?;
        }
        if records.iter().any(|record| args.ends(record)) {
            return Ok(());
        }
        if !records.is_empty() {
            silent = Duration::ZERO;
            continue;
        }
        if args.timeout > 0 && silent >= Duration::from_secs(args.timeout) {
            return session.output.note(&format!("nothing came for {} s", args.timeout));
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => silent += PAUSE,
            ended = &mut interrupted => return ended.context("cannot wait for Ctrl+C"),
        }
    }
}
