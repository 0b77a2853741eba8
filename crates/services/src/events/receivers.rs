//! Who receives from which partition for which consumer group, and who must give way.
//!
//! Azure articles "Event consumers in Azure Event Hubs" and "Event processor"; the words of the errors are those that
//! clients' logs know. A receiver with an owner level (epoch) is alone: it disconnects those with a lower or equal level
//! and those without one. Without levels there may be five at a time.
//!
//! ```text
//!   enter  one's own node: is there a greater level? ──▶ all other nodes: is there? those that must, give way
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use pollux_model::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::Events;

/// Receivers without an owner level that a partition has at most for one consumer group (Azure: "Quotas and limits").
const WITHOUT_LEVEL: usize = 5;
/// On which nodes ask each other.
pub(super) const SUBJECT: &str = "receivers";

/// A partition as one consumer group sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seat {
    /// The namespace's name.
    pub namespace: String,
    /// The event hub.
    pub event_hub: String,
    /// The consumer group, in lower case.
    pub group: String,
    /// The partition.
    pub partition: u32,
}

/// Who wants to receive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    /// `com.microsoft:receiver-name`, for messages.
    pub name: Option<String>,
    /// `com.microsoft:epoch`: the owner level.
    pub epoch: Option<i64>,
}

/// Why a receiver must go.
type Displaced = Arc<Mutex<Option<Error>>>;

/// A receiver's place. Given back when dropped.
#[derive(Debug)]
pub struct Seated {
    all: Arc<Receivers>,
    seat: Seat,
    id: u64,
    /// Cancelled when it must go.
    pub gone: CancellationToken,
    why: Displaced,
}

impl Seated {
    /// Why it must go, once it must.
    #[must_use]
    pub fn why(&self) -> Option<Error> {
        self.why.lock().clone()
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.all.leave(&self.seat, self.id);
        // Whoever waits for it to be told to go waits no more.
        self.gone.cancel();
    }
}

/// The receivers of this node.
#[derive(Debug, Default)]
pub(super) struct Receivers(Mutex<Map>);

#[derive(Debug, Default)]
struct Map {
    next: u64,
    seats: HashMap<Seat, Vec<Sitting>>,
}

#[derive(Debug)]
struct Sitting {
    id: u64,
    receiver: Receiver,
    gone: CancellationToken,
    why: Displaced,
}

/// Asked of all other nodes.
#[derive(Debug, Serialize, Deserialize)]
struct Question {
    node: String,
    seat: Seat,
    receiver: Receiver,
}

/// What a node answers.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    node: String,
    /// Receivers without a level that it has.
    count: usize,
    refused: Option<String>,
}

impl Receivers {
    /// Takes a place, those that must give way for it on this node having been told to.
    fn enter(self: &Arc<Self>, seat: &Seat, receiver: &Receiver) -> Result<Seated> {
        let mut map = self.0.lock();
        let (id, gone, why) = (map.next, CancellationToken::new(), Displaced::default());
        map.next += 1;
        let sitting = map.seats.entry(seat.clone()).or_default();
        let refused = make_way(sitting, receiver).map_or_else(
            || (without_level(sitting, receiver) >= WITHOUT_LEVEL).then(too_many),
            |text| Some(stolen(text)),
        );
        if let Some(error) = refused {
            if sitting.is_empty() {
                map.seats.remove(seat);
            }
            return Err(error);
        }
        sitting.push(Sitting { id, receiver: receiver.clone(), gone: gone.clone(), why: Arc::clone(&why) });
        drop(map);
        Ok(Seated { all: Arc::clone(self), seat: seat.clone(), id, gone, why })
    }

    /// A receiver of another node comes.
    fn enter_elsewhere(&self, question: &Question, node: String) -> Answer {
        let mut map = self.0.lock();
        let mut none = Vec::new();
        let sitting = map.seats.get_mut(&question.seat).unwrap_or(&mut none);
        let refused = make_way(sitting, &question.receiver);
        Answer { node, count: without_level(sitting, &question.receiver), refused }
    }

    /// How many without a level there are on this node.
    fn without_level(&self, seat: &Seat) -> usize {
        let map = self.0.lock();
        let sitting = map.seats.get(seat).map_or(&[][..], Vec::as_slice);
        sitting.iter().filter(|one| one.receiver.epoch.is_none()).count()
    }

    fn leave(&self, seat: &Seat, id: u64) {
        let mut map = self.0.lock();
        if let Some(sitting) = map.seats.get_mut(seat) {
            sitting.retain(|one| one.id != id);
            if sitting.is_empty() {
                map.seats.remove(seat);
            }
        }
    }

    /// Tells all with an owner level to go: this node was away from the others, and someone else may sit there.
    pub(super) fn clear_levels(&self) {
        for one in self.0.lock().seats.values_mut().flatten().filter(|one| one.receiver.epoch.is_some()) {
            tell(one, Error::new(ErrorCode::Unavailable, "this node was away from the others; attach again"));
        }
    }
}

/// How many without a level there are, if the newcomer is one of those.
fn without_level(sitting: &[Sitting], newcomer: &Receiver) -> usize {
    if newcomer.epoch.is_some() {
        0
    } else {
        sitting.iter().filter(|one| one.receiver.epoch.is_none()).count()
    }
}

/// Tells those to go that must; or says why the newcomer may not come.
fn make_way(sitting: &mut Vec<Sitting>, newcomer: &Receiver) -> Option<String> {
    let highest =
        sitting.iter().filter_map(|one| Some((one.receiver.epoch?, shown(&one.receiver.name)))).max();
    let name = shown(&newcomer.name);
    match (newcomer.epoch, highest) {
        (None, Some((level, _))) => Some(format!(
            "At least one receiver for the endpoint is created with epoch of '{level}', and so non-epoch receiver is \
             not allowed. Either reconnect with a higher epoch, or make sure all epoch receivers are closed or \
             disconnected."
        )),
        (Some(epoch), Some((level, holder))) if epoch < level => Some(format!(
            "Receiver '{holder}' with a higher epoch '{level}' already exists. Receiver '{name}' with epoch {epoch} \
             cannot be created. Make sure you are creating receiver with increasing epoch value to ensure connectivity, \
             or ensure all old epoch receivers are closed or disconnected."
        )),
        (Some(epoch), _) => {
            for one in sitting.drain(..) {
                let (held, level) = (shown(&one.receiver.name), one.receiver.epoch.unwrap_or_default());
                let text = format!(
                    "New receiver '{name}' with higher epoch of '{epoch}' is created hence current receiver '{held}' \
                     with epoch '{level}' is getting disconnected. If you are recreating the receiver, make sure a \
                     higher epoch is used."
                );
                tell(&one, stolen(text));
            }
            None
        }
        (None, None) => None,
    }
}

fn tell(one: &Sitting, why: Error) {
    *one.why.lock() = Some(why);
    one.gone.cancel();
}

fn shown(name: &Option<String>) -> String {
    name.as_deref().map_or_else(|| "nil".to_owned(), pollux_model::ids::shown)
}

fn stolen(text: String) -> Error {
    Error::new(ErrorCode::ReceiverDisplaced, text)
}

fn too_many() -> Error {
    let text = format!(
        "Exceeded the maximum number of allowed receivers per partition in a consumer group which is {WITHOUT_LEVEL}."
    );
    Error::new(ErrorCode::QuotaExceeded, text)
}

impl Events {
    /// Takes a place among the receivers of a partition, on all nodes.
    pub async fn take_seat(&self, seat: Seat, receiver: Receiver) -> Result<Seated> {
        let seated = self.receivers.enter(&seat, &receiver)?;
        let Some(shared) = self.context.cluster.others() else { return Ok(seated) };
        let without = receiver.epoch.is_none();
        let question = Question { node: shared.node.clone(), seat, receiver };
        let text = serde_json::to_vec(&question).map_err(|_| Error::internal())?;
        // Those of this node, without the newcomer.
        let (mut count, mut refused) = (self.receivers.without_level(&question.seat).saturating_sub(1), None);
        shared
            .gather_from_members(SUBJECT, text.into(), |answer| {
                let answer = serde_json::from_slice::<Answer>(answer).ok()?;
                count += answer.count;
                refused = refused.take().or(answer.refused);
                Some(answer.node)
            })
            .await;
        match refused {
            Some(text) => Err(stolen(text)),
            None if without && count >= WITHOUT_LEVEL => Err(too_many()),
            None => Ok(seated),
        }
    }

    /// Answers other nodes that ask about receivers, until shutdown.
    pub(crate) async fn answer_receivers(self: Arc<Self>, shutdown: CancellationToken) {
        let Some(shared) = self.context.cluster.others().cloned() else { return };
        let mut returns = shared.returns();
        let answering = shared.answer(SUBJECT, &shutdown, |payload: &Bytes| {
            let question = serde_json::from_slice::<Question>(payload).ok()?;
            if question.node == shared.node {
                return None;
            }
            let answer = self.receivers.enter_elsewhere(&question, shared.node.clone());
            serde_json::to_vec(&answer).ok().map(Bytes::from)
        });
        let coming_back = async {
            while returns.changed().await.is_ok() {
                self.receivers.clear_levels();
            }
        };
        tokio::select! {
            () = answering => {}
            () = coming_back => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use pollux_bus::Exchange;

    use super::*;
    use crate::Cluster;
    use crate::context::Context;
    use crate::fixture::World;
    use crate::resources::ResourceTable;

    fn seat() -> Seat {
        Seat { namespace: "n".into(), event_hub: "h".into(), group: "$default".into(), partition: 0 }
    }

    /// Two nodes of one deployment, which know each other.
    async fn two_nodes(stop: &CancellationToken) -> [Arc<Events>; 2] {
        let (world, exchange) = (World::new().await, Exchange::new());
        let nodes = ["a", "b"].map(|name| {
            let (known, bus) = (&world.services.context, exchange.join());
            let context = Context {
                store: Arc::clone(&known.store),
                log: Arc::clone(&known.log),
                clock: Arc::clone(&known.clock),
                random: Arc::clone(&known.random),
                cluster: Cluster::shared(name.to_owned(), bus, Arc::clone(&known.store)),
                table: ResourceTable::new(Vec::new()),
                limits: known.limits.clone(),
                https_ports: std::sync::OnceLock::new(),
                http: known.http.clone(),
                trust: crate::SystemTrust::default(),
            };
            Events::new(Arc::new(context), Arc::clone(&world.services.issuer))
        });
        for node in &nodes {
            tokio::spawn(node.context.cluster.clone().run(stop.clone()));
            tokio::spawn(Arc::clone(node).answer_receivers(stop.clone()));
        }
        for node in &nodes {
            node.context.cluster.members().wait_for(|members| members.len() == 2).await.unwrap();
        }
        nodes
    }

    #[tokio::test]
    async fn five_without_a_level_on_all_nodes_together() {
        let stop = CancellationToken::new();
        let [a, b] = two_nodes(&stop).await;
        let mut held = Vec::new();
        for node in [&a, &b, &a, &b, &a] {
            held.push(node.take_seat(seat(), at(None)).await.unwrap());
        }
        for node in [&a, &b] {
            let sixth = node.take_seat(seat(), at(None)).await.unwrap_err();
            assert_eq!(sixth.code, ErrorCode::QuotaExceeded);
        }
        held.pop();
        held.push(b.take_seat(seat(), at(None)).await.unwrap());
        stop.cancel();
    }

    #[tokio::test]
    async fn a_level_counts_on_the_other_node() {
        let stop = CancellationToken::new();
        let [a, b] = two_nodes(&stop).await;
        let first = a.take_seat(seat(), at(Some(1))).await.unwrap();
        assert_eq!(b.take_seat(seat(), at(Some(0))).await.unwrap_err().code, ErrorCode::ReceiverDisplaced);
        assert!(!first.gone.is_cancelled());
        let second = b.take_seat(seat(), at(Some(2))).await.unwrap();
        assert!(first.gone.is_cancelled() && !second.gone.is_cancelled());
        drop(second);
        a.take_seat(seat(), at(None)).await.unwrap();
        stop.cancel();
    }

    fn at(epoch: Option<i64>) -> Receiver {
        Receiver { name: None, epoch }
    }

    #[test]
    fn a_level_displaces_lower_and_equal_ones_and_those_without() {
        let all = Arc::new(Receivers::default());
        let plain = all.enter(&seat(), &at(None)).unwrap();
        let first = all.enter(&seat(), &at(Some(3))).unwrap();
        assert!(plain.gone.is_cancelled() && plain.why().unwrap().code == ErrorCode::ReceiverDisplaced);
        let second = all.enter(&seat(), &at(Some(3))).unwrap();
        assert!(first.gone.is_cancelled() && !second.gone.is_cancelled());
        let lower = all.enter(&seat(), &at(Some(2))).unwrap_err();
        assert!(lower.message.contains("higher epoch '3' already exists"), "{}", lower.message);
        let plain = all.enter(&seat(), &at(None)).unwrap_err();
        assert!(plain.message.contains("non-epoch receiver is not allowed"), "{}", plain.message);
        drop((first, second));
        let _again = all.enter(&seat(), &at(None)).unwrap();
    }

    #[test]
    fn five_without_a_level_and_no_more() {
        let all = Arc::new(Receivers::default());
        let mut held: Vec<_> = (0..5).map(|_| all.enter(&seat(), &at(None)).unwrap()).collect();
        let sixth = all.enter(&seat(), &at(None)).unwrap_err();
        assert_eq!(sixth.code, ErrorCode::QuotaExceeded);
        assert_eq!(all.without_level(&seat()), 5);
        held.pop();
        assert_eq!(all.without_level(&seat()), 4);
        held.push(all.enter(&seat(), &at(None)).unwrap());
        drop(held);
        assert!(all.0.lock().seats.is_empty(), "nothing is left behind");
    }

    #[test]
    fn a_receiver_on_another_node_counts_the_same() {
        let all = Arc::new(Receivers::default());
        let held = all.enter(&seat(), &at(Some(1))).unwrap();
        let ask = |epoch| Question { node: "b".into(), seat: seat(), receiver: at(epoch) };
        assert!(all.enter_elsewhere(&ask(Some(0)), "a".into()).refused.is_some());
        assert!(all.enter_elsewhere(&ask(None), "a".into()).refused.is_some());
        assert!(!held.gone.is_cancelled());
        assert!(all.enter_elsewhere(&ask(Some(2)), "a".into()).refused.is_none());
        assert!(held.gone.is_cancelled());
    }
}
