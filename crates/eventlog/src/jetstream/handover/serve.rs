//! The other side of a hand-over: what other nodes hand to this one goes into the partition's inbox like its own calls.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use super::super::lane::{Call, Work, ended};
use super::super::partition::{Partition, Shared};
use super::super::partitions::Partitions;
use super::message::{self, Asked, Refusal, Reply};
use crate::log::{LogError, Position};

/// What may be in hand at a time for other nodes, all partitions together: KiB.
const ROOM: usize = 64 * 1024;
/// What a group counts besides its bytes, KiB: so there are at most 4,096.
const GROUP: usize = 16;

/// How long a node that leaves says so: those it tells come back (see `SHUN`) when it has gone.
const LEAVING: Duration = Duration::from_secs(1);

/// What a taken group's answer comes through.
type Answer = oneshot::Receiver<Result<Vec<Position>, LogError>>;

/// Serves requests until `end` is dropped, and then refuses them for a moment.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    partitions: Arc<Partitions>,
    mut requests: Subscriber,
    mut end: oneshot::Receiver<()>,
) {
    let room = Arc::new(Semaphore::new(ROOM));
    loop {
        let request = tokio::select! {
            biased;
            _ = &mut end => break,
            request = requests.next() => request,
        };
        let Some(request) = request else { return };
        take(&shared, &partitions, &room, request).await;
    }
    // A request that comes just when the subscription ends has no answer: all who have something to hand over are told
    // before that.
    let told = async {
        while let Some(request) = requests.next().await {
            answer(&shared, request, &not_taken(&shared, "this node is leaving")).await;
        }
    };
    drop(tokio::time::timeout(LEAVING, told).await);
}

async fn take(
    shared: &Arc<Shared>,
    partitions: &Arc<Partitions>,
    room: &Arc<Semaphore>,
    mut request: Message,
) {
    let raw = std::mem::take(&mut request.payload);
    if raw.is_empty() {
        let here = Reply { by: shared.exchange.own(), outcome: Ok(Vec::new()) };
        return answer(shared, request, &here).await;
    }
    let size = u32::try_from(raw.len() / 1024 + GROUP).unwrap_or(u32::MAX);
    let Ok(held) = Arc::clone(room).try_acquire_many_owned(size) else {
        return answer(shared, request, &not_taken(shared, "too much is handed to this node")).await;
    };
    let (shared, partitions) = (Arc::clone(shared), Arc::clone(partitions));
    tokio::spawn(async move {
        let reply = store(&shared, &partitions, raw).await;
        answer(&shared, request, &reply).await;
        drop(held);
    });
}

async fn answer(shared: &Shared, request: Message, reply: &Reply) {
    // Lost where there is no connection: whoever asked has noticed that as well, or gives up in time.
    if let Some(subject) = request.reply.filter(|subject| shared.exchange.is_answer(subject)) {
        drop(shared.wire.client.publish(subject, reply.encode()).await);
    }
}

fn not_taken(shared: &Shared, why: impl ToString) -> Reply {
    Reply { by: shared.exchange.own(), outcome: Err(Refusal::NotTaken(why.to_string())) }
}

/// Takes the request and waits for its end.
async fn store(shared: &Shared, partitions: &Partitions, raw: Bytes) -> Reply {
    let asked = match Asked::decode(raw) {
        Ok(asked) => asked,
        Err(what) => return not_taken(shared, what),
    };
    let stream = asked.stream.clone();
    let (partition, answer) = match enqueue(shared, partitions, asked).await {
        Ok(taken) => taken,
        Err(LogError::Busy) => {
            return Reply { by: shared.exchange.own(), outcome: Err(Refusal::Busy) };
        }
        // Whatever it is, whoever asked may see it otherwise.
        Err(error) => return not_taken(shared, error),
    };
    let stored = answer.await.unwrap_or_else(|_| Err(ended()));
    let by = partition.writer_tag();
    drop(partition);
    Reply { by, outcome: partitions.answer(&stream, stored).map_err(Refusal::from) }
}

/// Puts the records into their partition's inbox, as one call. An error: they are not there.
async fn enqueue(
    shared: &Shared,
    partitions: &Partitions,
    asked: Asked,
) -> Result<(Arc<Partition>, Answer), LogError> {
    let refused = |why: &str| LogError::Unavailable(why.to_owned());
    if !shared.exchange.own().precedes(asked.from, &asked.place) {
        return Err(refused("this node does not come before the one that asks"));
    }
    let bytes = shared.check(&asked.records)?;
    if message::answer_len(asked.records.len()) > shared.max_call_bytes() {
        return Err(refused("the answer would be too long"));
    }
    // Before there is a partition: a request leaves nothing behind.
    let entry = shared.catalog.find(&asked.stream, asked.partition).await?;
    if entry.place(&asked.stream, asked.partition)?.js_stream != asked.place {
        return Err(refused("the stream is another one here"));
    }
    let partition = partitions.of(&asked.stream, asked.partition).await?;
    let left = Duration::from_millis(asked.milliseconds.into()).min(shared.wire.timeout);
    if left.is_zero() {
        return Err(refused("too late"));
    }
    let (reply, answer) = oneshot::channel();
    let deadline = Instant::now() + left;
    partition.enqueue(Call { work: Work::Append(asked.records), bytes, deadline, reply })?;
    Ok((partition, answer))
}
