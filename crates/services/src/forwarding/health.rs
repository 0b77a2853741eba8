//! How endpoints fare (ARM reference "Iot Hub Resource - Get Endpoint Health"). Whoever sends what waits in a partition remembers how
//! that went; asked, all nodes are, and of each partition the newest attempt counts. A node that starts knows of none.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use pollux_model::resource::{BUILT_IN_ENDPOINT, Properties, Resource, RoutingEndpoint};
use pollux_model::{OwnerName, Result, Timestamp};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Forwarding, Place, administer};
use crate::caller::Caller;
use crate::context::Context;
use crate::destination::Destination;
use crate::streams::{Stream, owner_of};

/// On which nodes are asked.
const SUBJECT: &str = "endpoint-health";
/// An endpoint that accepts nothing for so long is dead. Ours: Azure says "after IoT Hub retried … for the retrial period".
const DEAD: Duration = Duration::from_secs(24 * 3600);
/// Bytes of an error that are shown.
const SHOWN: usize = 512;

/// What became of the attempts of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Attempts {
    last: Option<Timestamp>,
    success: Option<Timestamp>,
    error: Option<(String, Timestamp)>,
    /// Since when nothing is accepted.
    failing: Option<Timestamp>,
    /// Whether the newest was refused for the event's own sake.
    refused: bool,
}

/// What this node knows.
#[derive(Debug, Default)]
pub(super) struct Reports(Mutex<HashMap<Place, Attempts>>);

/// The status of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthStatus {
    /// Nothing was sent there yet.
    Unknown,
    /// It accepts what is sent.
    Healthy,
    /// It accepts some: other partitions fail, or the newest event was refused for its own sake.
    Degraded,
    /// It does not accept what is sent; that is tried again.
    Unhealthy,
    /// It has not for a day.
    Dead,
}

impl HealthStatus {
    /// The ARM name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::Dead => "dead",
        }
    }
}

/// How an endpoint fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointHealth {
    /// Its name.
    pub endpoint: String,
    /// In a word.
    pub status: HealthStatus,
    /// Why the last attempt that failed did, and when that was.
    pub last_known_error: Option<(String, Timestamp)>,
    /// When something was accepted the last time.
    pub last_successful_send_attempt: Option<Timestamp>,
    /// When something was sent the last time.
    pub last_send_attempt: Option<Timestamp>,
}

impl Reports {
    pub(super) fn succeeded(&self, place: &Place, now: Timestamp) {
        self.note(place, now, |attempts| {
            (attempts.success, attempts.failing, attempts.refused) = (Some(now), None, false);
        });
    }

    /// An event was refused for its own sake: the endpoint is there.
    pub(super) fn refused(&self, place: &Place, why: &str, now: Timestamp) {
        self.note(place, now, |attempts| {
            (attempts.error, attempts.failing, attempts.refused) = (Some((shown(why), now)), None, true);
        });
    }

    pub(super) fn failed(&self, place: &Place, why: &str, now: Timestamp) {
        self.note(place, now, |attempts| {
            attempts.error = Some((shown(why), now));
            attempts.failing.get_or_insert(now);
        });
    }

    fn note(&self, place: &Place, now: Timestamp, change: impl FnOnce(&mut Attempts)) {
        let mut reports = self.0.lock();
        let attempts = reports.entry(place.clone()).or_default();
        attempts.last = Some(now);
        change(attempts);
    }

    /// Forgets all others: as many are remembered as there are places.
    pub(super) fn keep(&self, places: &[Place]) {
        let mut reports = self.0.lock();
        if reports.keys().any(|place| !places.contains(place)) {
            reports.retain(|place, _| places.contains(place));
        }
    }

    fn of(&self, owner: &OwnerName) -> Vec<Report> {
        let reports = self.0.lock();
        let own = reports.iter().filter(|(place, _)| place.owner == *owner);
        own.map(|(place, attempts)| Report {
            endpoint: place.endpoint.clone(),
            partition: place.partition,
            attempts: attempts.clone(),
        })
        .collect()
    }
}

fn shown(why: &str) -> String {
    let end = (0..=SHOWN.min(why.len())).rev().find(|at| why.is_char_boundary(*at)).unwrap_or(0);
    why[..end].to_owned()
}

/// A partition's part of an answer.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    endpoint: String,
    partition: u32,
    attempts: Attempts,
}

/// A node's answer.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    node: String,
    reports: Vec<Report>,
}

impl Forwarding {
    /// How each endpoint of a hub or digital twins instance fares, the built-in one first.
    pub async fn endpoint_health(&self, caller: &Caller, keeper: &Resource) -> Result<Vec<EndpointHealth>> {
        administer(caller, keeper)?;
        let owner = owner_of(keeper);
        let known = self.reports_of_all(&owner).await;
        let mut all = Vec::new();
        if let Properties::Hub(hub) = &keeper.properties {
            let stream = Destination::of(Stream::built_in(&keeper.name, hub));
            all.push(of_stream(&self.context, BUILT_IN_ENDPOINT, stream).await);
        }
        for endpoint in keeper.endpoints() {
            all.push(match endpoint.target.is_elsewhere() {
                true => merged(endpoint, &known, self.context.clock.now()),
                false => {
                    let stream = Destination::of_endpoint(&self.context, &owner, endpoint);
                    of_stream(&self.context, &endpoint.name, stream).await
                }
            });
        }
        Ok(all)
    }

    /// What all nodes know; of each partition what is newest.
    async fn reports_of_all(&self, owner: &OwnerName) -> BTreeMap<(String, u32), Attempts> {
        let mut newest = BTreeMap::new();
        let mut add = |reports: Vec<Report>| {
            for Report { endpoint, partition, attempts } in reports {
                let place: &mut Attempts = newest.entry((endpoint, partition)).or_default();
                if attempts.last > place.last {
                    *place = attempts;
                }
            }
        };
        add(self.reports.of(owner));
        if let Some(shared) = self.context.cluster.others()
            && let Ok(text) = serde_json::to_vec(owner)
        {
            let take = |answer: &Bytes| {
                let Answer { node, reports } = serde_json::from_slice(answer).ok()?;
                add(reports);
                Some(node)
            };
            if !shared.gather_from_members(SUBJECT, text.into(), take).await {
                tracing::warn!(%owner, "not all nodes say how its endpoints fare");
            }
        }
        newest
    }

    /// Answers other nodes until shutdown.
    pub(crate) async fn answer_health(self: std::sync::Arc<Self>, shutdown: CancellationToken) {
        let Some(shared) = self.context.cluster.others() else { return };
        let answer = |asked: &Bytes| {
            let owner: OwnerName = serde_json::from_slice(asked).ok()?;
            let answer = Answer { node: shared.node.clone(), reports: self.reports.of(&owner) };
            serde_json::to_vec(&answer).ok().map(Bytes::from)
        };
        shared.answer(SUBJECT, &shutdown, answer).await;
    }
}

/// An endpoint of this deployment: it accepts what is appended.
async fn of_stream(context: &Context, name: &str, stream: Option<Destination>) -> EndpointHealth {
    let (mut last, mut error) = (None, None);
    match stream {
        None => error = Some("the event hub is gone".to_owned()),
        Some(destination) => {
            for partition in 0..destination.partitions() {
                match context.log.partition(&destination.stream, partition).await {
                    Ok(info) if info.last_sequence_number >= 0 => {
                        last = last.max(Some(info.last_enqueued_time))
                    }
                    Ok(_) => {}
                    Err(why) => error = Some(why.to_string()),
                }
            }
        }
    }
    let status = match (&error, last) {
        (Some(_), _) => HealthStatus::Unhealthy,
        (None, Some(_)) => HealthStatus::Healthy,
        (None, None) => HealthStatus::Unknown,
    };
    EndpointHealth {
        endpoint: name.to_owned(),
        status,
        last_known_error: error.map(|why| (why, context.clock.now())),
        last_successful_send_attempt: last,
        last_send_attempt: last,
    }
}

fn merged(
    endpoint: &RoutingEndpoint,
    known: &BTreeMap<(String, u32), Attempts>,
    now: Timestamp,
) -> EndpointHealth {
    let own: Vec<&Attempts> =
        known.iter().filter(|((name, _), _)| *name == endpoint.name).map(|(_, attempts)| attempts).collect();
    let last_known_error = own.iter().filter_map(|one| one.error.clone()).max_by_key(|(_, when)| *when);
    let last = own.iter().filter_map(|one| one.last).max();
    let success = own.iter().filter_map(|one| one.success).max();
    let failing = own.iter().filter_map(|one| one.failing).min();
    let some_accept = own.iter().any(|one| one.failing.is_none() && one.success.is_some());
    let status = match failing {
        _ if last.is_none() => HealthStatus::Unknown,
        Some(_) if some_accept => HealthStatus::Degraded,
        Some(since) if now.since(since) >= DEAD => HealthStatus::Dead,
        Some(_) => HealthStatus::Unhealthy,
        None if own.iter().any(|one| one.refused) => HealthStatus::Degraded,
        None => HealthStatus::Healthy,
    };
    EndpointHealth {
        endpoint: endpoint.name.clone(),
        status,
        last_known_error,
        last_successful_send_attempt: success,
        last_send_attempt: last,
    }
}

#[cfg(test)]
mod tests {
    use pollux_model::ResourceName;
    use pollux_model::resource::{EndpointTarget, Setting};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn an_endpoint_fares_as_its_partitions_do() {
        let owner = OwnerName::of_hub(&ResourceName::parse("hub1").unwrap());
        let place = |partition| Place::new(&owner, "app", partition);
        let url = Setting("https://app.example/".to_owned());
        let target = EndpointTarget::Webhook { url, dead_letters: true };
        let endpoint = RoutingEndpoint { name: "app".to_owned(), target };
        let reports = Reports::default();
        let health = |now| {
            let known = reports.of(&owner).into_iter();
            let known = known.map(|one| ((one.endpoint, one.partition), one.attempts)).collect();
            merged(&endpoint, &known, at(now))
        };
        assert_eq!(health(0).status, HealthStatus::Unknown);
        reports.failed(&place(0), "it is away", at(10));
        reports.failed(&place(0), "it is away still", at(20));
        let found = health(20);
        assert_eq!(found.status, HealthStatus::Unhealthy);
        assert_eq!(found.last_known_error, Some(("it is away still".to_owned(), at(20))));
        assert_eq!((found.last_send_attempt, found.last_successful_send_attempt), (Some(at(20)), None));
        assert_eq!(health(10 + 24 * 3600).status, HealthStatus::Dead);
        reports.succeeded(&place(1), at(30));
        assert_eq!(health(30).status, HealthStatus::Degraded);
        reports.succeeded(&place(0), at(40));
        let found = health(40);
        assert_eq!((found.status, found.last_successful_send_attempt), (HealthStatus::Healthy, Some(at(40))));
        reports.refused(&place(1), &"ü".repeat(SHOWN), at(50));
        let found = health(50);
        assert_eq!(found.status, HealthStatus::Degraded);
        assert_eq!(found.last_known_error.unwrap().0.len(), SHOWN);
        reports.keep(&[place(0)]);
        assert_eq!(reports.of(&owner).len(), 1);
    }
}
