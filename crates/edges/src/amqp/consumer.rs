//! A link on which the peer receives events: read as credit allows, and no further ahead than one batch.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::future::{AbortHandle, Abortable};
use pollux_amqp::endpoint::{Attached, LinkId, Outgoing, SendError};
use pollux_amqp::{Annotations, Symbol, Value};
use pollux_model::{Error, ErrorCode, Result, Timestamp};
use pollux_services::Services;
use pollux_services::events::{PartitionInfo, ReadFrom, ReadLimit, Reader, Record, Seated, to_message};

use super::connection::{Connection, Done, Link};
use super::entity::Entity;

/// Events, and bytes of them, that are read at once.
const BATCH: usize = 512;
const BYTES: usize = 256 * 1024;

/// The state of such a link.
pub(super) struct Consumer {
    /// What the peer asked for, until it is answered.
    asked: Option<Box<Attached>>,
    pub(super) entity: Entity,
    /// Whether each event is to say what the newest one of the partition is.
    runtime_metric: bool,
    seat: Option<Seated>,
    /// Where to go on; `None` until the place is taken.
    reader: Option<Reader>,
    reading: Option<AbortHandle>,
    batch: VecDeque<Record>,
    /// What the newest event was when the batch was read.
    runtime: Annotations,
    drain: bool,
    tag: u64,
}

impl Consumer {
    pub(super) fn new(entity: Entity, runtime_metric: bool, attached: &Attached) -> Self {
        Self {
            asked: Some(Box::new(attached.clone())),
            entity,
            runtime_metric,
            seat: None,
            reader: None,
            reading: None,
            batch: VecDeque::new(),
            runtime: Annotations::default(),
            drain: false,
            tag: 0,
        }
    }

    /// Whether the peer has not been answered yet.
    pub(super) const fn is_pending(&self) -> bool {
        self.asked.is_some()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if let Some(reading) = &self.reading {
            reading.abort();
        }
    }
}

impl Connection {
    /// The peer takes more, or wants its credit back.
    pub(super) fn credited(&mut self, link: LinkId, drain: bool) {
        if let Some(Link::Consumer(consumer)) = self.links.get_mut(&link) {
            consumer.drain = drain;
            if drain && let Some(reading) = consumer.reading.take() {
                // It may be waiting for events that are long in coming.
                reading.abort();
            }
        }
        self.hub_credited(link, drain);
    }

    /// The consumer's place is taken, or refused.
    pub(super) fn seated(&mut self, link: LinkId, seated: Result<(Seated, Reader)>) {
        match (self.links.get_mut(&link), seated) {
            (Some(Link::Consumer(consumer)), Ok((seat, reader))) => {
                let gone = seat.gone.clone();
                consumer.seat = Some(seat);
                consumer.reader = Some(reader);
                if let Some(asked) = consumer.asked.take() {
                    self.accept(&asked);
                }
                self.work.push(Box::pin(async move {
                    gone.cancelled().await;
                    Done::Displaced { link }
                }));
            }
            (Some(_), Err(error)) => self.detach(link, &error),
            // The peer has left meanwhile.
            (_, Ok(_)) | (None, _) => {}
        }
    }

    /// Another receiver has the place.
    pub(super) fn displaced(&mut self, link: LinkId) {
        let why = match self.links.get(&link) {
            Some(Link::Consumer(consumer)) => consumer.seat.as_ref().and_then(Seated::why),
            _ => None,
        };
        if let Some(error) = why {
            self.detach(link, &error);
        }
    }

    /// Events were read.
    pub(super) fn read(
        &mut self,
        link: LinkId,
        reader: Reader,
        read: Result<Vec<Record>>,
        runtime: Annotations,
    ) {
        let Some(Link::Consumer(consumer)) = self.links.get_mut(&link) else { return };
        consumer.reading = None;
        match read {
            Ok(records) => {
                consumer.reader = Some(reader);
                consumer.runtime = runtime;
                let nothing = records.is_empty();
                consumer.batch.extend(records);
                if nothing && consumer.drain {
                    consumer.drain = false;
                    self.endpoint.drained(link);
                }
            }
            Err(error) => self.detach(link, &error),
        }
    }

    /// Sends what was read and reads what there is credit for.
    pub(super) fn feed(&mut self) {
        let mut broken = Vec::new();
        for (id, link) in &mut self.links {
            let Link::Consumer(consumer) = link else { continue };
            // Not a message is made that cannot go.
            while self.endpoint.credit(*id) > 0
                && let Some(record) = consumer.batch.front()
            {
                let payload = match to_message(record, &consumer.runtime) {
                    Ok(payload) => payload,
                    Err(error) => {
                        broken.push((*id, error));
                        break;
                    }
                };
                let tag = consumer.tag.to_be_bytes();
                // A reader keeps its own place: nothing is to be heard of what was sent, and PyPI's client says nothing.
                let outgoing = Outgoing { tag: &tag, message_format: 0, payload, settled: true };
                match self.endpoint.send(*id, outgoing) {
                    Ok(_) => {
                        consumer.tag += 1;
                        consumer.batch.pop_front();
                    }
                    // To leave it out would be to lose it, and all that come after it wait.
                    Err(SendError::TooLarge(most)) => {
                        let text = format!(
                            "event {} is longer than the {most} bytes this receiver takes",
                            record.sequence_number
                        );
                        broken.push((*id, Error::new(ErrorCode::TooLarge, text)));
                        break;
                    }
                    Err(_) => break,
                }
            }
            let credit = usize::try_from(self.endpoint.credit(*id)).unwrap_or(usize::MAX);
            if consumer.batch.is_empty() && consumer.reading.is_none() && credit > 0 {
                let Some(reader) = consumer.reader.clone() else { continue };
                let limit = ReadLimit { records: credit.min(BATCH), bytes: BYTES };
                let (abort, registration) = AbortHandle::new_pair();
                consumer.reading = Some(abort);
                let services = Arc::clone(&self.edge.services);
                let reading = read_on(services, *id, reader, limit, consumer.drain, consumer.runtime_metric);
                let reading = Abortable::new(reading, registration);
                self.work.push(Box::pin(async move { reading.await.unwrap_or(Done::Nothing) }));
            }
        }
        for (link, error) in broken {
            self.detach(link, &error);
        }
    }
}

async fn read_on(
    services: Arc<Services>,
    link: LinkId,
    mut reader: Reader,
    limit: ReadLimit,
    at_once: bool,
    runtime_metric: bool,
) -> Done {
    let events = &services.events;
    let read = if at_once {
        events.next_now(&mut reader, limit).await
    } else {
        events.next(&mut reader, limit).await
    };
    let runtime = match (&read, runtime_metric) {
        (Ok(records), true) if !records.is_empty() => {
            let now = services.context.clock.now();
            events.newest(&reader).await.map(|newest| runtime_metrics(&newest, now)).unwrap_or_default()
        }
        _ => Annotations::default(),
    };
    Done::Read { link, reader, read, runtime }
}

/// Delivery annotations with the newest event of the partition (`_PROP_LAST_ENQUEUED_*` in PyPI's azure-eventhub).
fn runtime_metrics(newest: &PartitionInfo, now: Timestamp) -> Annotations {
    let mut annotations = Annotations::default();
    let mut say = |name, value: Value| annotations.push(Symbol::from_static(name), value);
    say("last_enqueued_sequence_number", Value::Long(newest.last_sequence_number));
    say("last_enqueued_offset", Value::from(newest.last_offset.to_string()));
    say("last_enqueued_time_utc", Value::Timestamp(newest.last_enqueued_time.as_millis()));
    say("runtime_info_retrieval_time_utc", Value::Timestamp(now.as_millis()));
    annotations
}

/// The selector's name among filters, and its number (`apache.org:selector-filter:string`).
const SELECTOR: &str = "apache.org:selector-filter:string";
const SELECTOR_CODE: u64 = 0x0000_468c_0000_0004;

/// Whether a filter is the selector: by what describes it (part 3, section 3.5.1; npm's rhea calls it `jms-selector`), or,
/// where nothing does, by its name.
pub(super) fn is_selector(name: &Symbol, value: &Value) -> bool {
    match value {
        Value::Described(described) => match &described.descriptor {
            Value::Ulong(code) => *code == SELECTOR_CODE,
            descriptor => descriptor.as_str() == Some(SELECTOR),
        },
        _ => name.as_str() == SELECTOR,
    }
}

/// Where a receiver begins, by the filter of its source.
pub(super) fn position(attached: &Attached) -> Result<ReadFrom> {
    let mut filters = attached.source.iter().flat_map(|source| &source.filter.0);
    let text = match filters.find(|(name, value)| is_selector(name, value)) {
        Some((_, Value::Described(described))) => described.value.as_str(),
        Some((_, value)) => value.as_str(),
        None => None,
    };
    super::position::parse(text)
}

#[cfg(test)]
mod tests {
    use pollux_amqp::Described;

    use super::*;

    #[test]
    fn a_selector_is_known_by_what_describes_it() {
        let described =
            |descriptor| Value::Described(Box::new(Described { descriptor, value: Value::from("x") }));
        let (jms, own) = (Symbol::from_static("jms-selector"), Symbol::from_static(SELECTOR));
        assert!(is_selector(&jms, &described(Value::Symbol(own.clone()))));
        assert!(is_selector(&jms, &described(Value::Ulong(SELECTOR_CODE))));
        assert!(is_selector(&own, &Value::from("x")));
        assert!(!is_selector(&jms, &Value::from("x")));
        assert!(!is_selector(&own, &described(Value::Symbol(jms))));
    }
}
