//! What must never go back, looked at again and again while the load goes on: epochs of leases and checkpoints of consumers in
//! PostgreSQL, times and values of digital twins.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Client, NoTls};

use crate::events::End;
use crate::load::Load;

const LOOK: Duration = Duration::from_millis(250);
/// For one look.
const PATIENCE: Duration = Duration::from_secs(5);
/// Twins looked at, and between two looks at one of them.
const TWINS: usize = 12;
const TWIN_LOOK: Duration = Duration::from_millis(700);
/// The owner of the ingest function's checkpoints ends so.
const INGEST: &str = "/ingest";

/// A lease as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) owner: Option<String>,
    pub(crate) epoch: i64,
    pub(crate) running: bool,
}

/// One look at the tables.
#[derive(Debug, Clone, Default)]
pub(crate) struct Look {
    pub(crate) at: Option<Instant>,
    pub(crate) leases: BTreeMap<String, Held>,
    /// Event hub, owner and partition.
    checkpoints: HashMap<(String, String, i64), i64>,
}

/// The newest look, and what went back.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    look: Mutex<Look>,
    wrong: Mutex<Vec<String>>,
    twins_wrong: Mutex<Vec<String>>,
}

impl Watch {
    pub(crate) fn look(&self) -> Look {
        self.look.lock().clone()
    }

    /// What went back in the tables since the last call.
    pub(crate) fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut *self.wrong.lock())
    }

    /// What went back on twins since the last call.
    pub(crate) fn take_twins_wrong(&self) -> Vec<String> {
        std::mem::take(&mut *self.twins_wrong.lock())
    }

    /// Looks for good; PostgreSQL may be away.
    pub(crate) async fn tables(self: Arc<Self>, url: String) {
        loop {
            if let Ok(Ok((client, connection))) =
                timeout(PATIENCE, tokio_postgres::connect(&url, NoTls)).await
            {
                let driver = tokio::spawn(connection);
                while let Ok(Ok(look)) = timeout(PATIENCE, look(&client)).await {
                    self.take(look);
                    sleep(LOOK).await;
                }
                driver.abort();
            }
            sleep(LOOK).await;
        }
    }

    fn take(&self, new: Look) {
        let mut old = self.look.lock();
        let mut wrong = self.wrong.lock();
        for (name, held) in &old.leases {
            match new.leases.get(name) {
                Some(now) if now.epoch < held.epoch => {
                    wrong.push(format!(
                        "the lease {name} went from epoch {} back to {}",
                        held.epoch, now.epoch
                    ));
                }
                Some(now) if now.epoch == held.epoch && now.owner != held.owner && now.owner.is_some() => {
                    let (before, after) = (&held.owner, &now.owner);
                    wrong.push(format!(
                        "the lease {name} went from {before:?} to {after:?} within epoch {}",
                        now.epoch
                    ));
                }
                Some(_) => {}
                None => wrong.push(format!("the lease {name} is gone, and its epoch with it")),
            }
        }
        for (key, number) in &old.checkpoints {
            let now = new.checkpoints.get(key);
            if now.is_none_or(|now| now < number) {
                wrong.push(format!("the checkpoint {key:?} went from {number} to {now:?}"));
            }
        }
        *old = new;
    }

    /// Looks for good at some twins of devices that are never deleted.
    pub(crate) async fn twins(self: Arc<Self>, load: Arc<Load>) {
        let immortal = load.ledger.devices.iter().filter(|device| !device.mortal).take(TWINS);
        let each = immortal.map(async |device| {
            let (mut value, mut times) = (0.0, [String::new(), String::new()]);
            loop {
                let path = format!("/digitaltwins/{}", device.id);
                if let Ok(answer) = load.targets.next().twins.get(&path).send().await {
                    self.compare(&device.id, &answer.body, &mut value, &mut times);
                }
                sleep(TWIN_LOOK).await;
            }
        });
        futures_util::future::join_all(each).await;
    }

    fn compare(&self, id: &str, twin: &Value, value: &mut f64, times: &mut [String; 2]) {
        let mut wrong = self.twins_wrong.lock();
        let new = twin["Temperature"].as_f64().unwrap_or(0.0);
        if new < *value {
            wrong.push(format!("the twin {id} went from {value} back to {new}"));
        }
        *value = new;
        for (name, old) in ["sourceTime", "lastUpdateTime"].iter().zip(times) {
            let text = twin["$metadata"]["Temperature"][name].as_str().unwrap_or_default();
            let new = comparable(text);
            if new < *old {
                wrong.push(format!("{name} of the twin {id} went from {old} back to {new}"));
            }
            *old = new;
        }
    }
}

impl Look {
    /// Whether the ingest function has dealt with everything up to these ends.
    pub(crate) fn has_reached(&self, ends: &[End]) -> bool {
        ends.iter().all(|(partition, end)| {
            let reached = |((hub, owner, number), checkpoint): (&(String, String, i64), &i64)| {
                hub == "deviceevents"
                    && owner.ends_with(INGEST)
                    && *number == i64::from(*partition)
                    && checkpoint >= end
            };
            *end < 0 || self.checkpoints.iter().any(reached)
        })
    }
}

/// A time that compares as text: its fraction padded.
fn comparable(time: &str) -> String {
    let time = time.trim_end_matches('Z');
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    format!("{seconds}.{fraction:0<9}")
}

async fn look(client: &Client) -> Result<Look> {
    let leases =
        client.query("SELECT name, owner, epoch, expires > clock_timestamp() FROM leases", &[]).await?;
    let leases = leases.iter().map(|row| {
        let held = Held { owner: row.get(1), epoch: row.get(2), running: row.get(3) };
        (row.get(0), held)
    });
    let checkpoints =
        client.query("SELECT event_hub, owner, partition, sequence_number FROM checkpoints", &[]).await?;
    let checkpoints = checkpoints.iter().map(|row| ((row.get(0), row.get(1), row.get(2)), row.get(3)));
    Ok(Look { at: Some(Instant::now()), leases: leases.collect(), checkpoints: checkpoints.collect() })
}

#[cfg(test)]
mod tests {
    use super::comparable;

    #[test]
    fn times_compare_as_text_whatever_their_fraction() {
        assert!(comparable("2026-01-02T03:04:05Z") < comparable("2026-01-02T03:04:05.1Z"));
        assert!(comparable("2026-01-02T03:04:05.1Z") < comparable("2026-01-02T03:04:05.1000001Z"));
        assert!(comparable("2026-01-02T03:04:05.9Z") < comparable("2026-01-02T03:04:06Z"));
    }
}
