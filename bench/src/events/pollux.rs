//! Pollux as a log: its AMQP endpoint without TLS. Writers send to partitions; a batch is one message.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use pollux_amqp::endpoint::LinkId;
use pollux_amqp::performative::{Source, Target};
use pollux_amqp::{Described, Symbol, Value};

use super::GROUPS;
use super::amqp::{Client, Login, Receiver, Sent};
use super::log::{Follower, Group, Lane, Log};
use crate::subject::Subject;

const SELECTOR: &str = "apache.org:selector-filter:string";
/// Bytes of events an event hub keeps: a few groups' worth.
const RETENTION: u64 = 2 << 30;

/// A server with an event hub for each number of partitions.
pub(super) struct Pollux {
    subject: Subject,
    login: Login,
    /// Events that each partition has had so far: its next sequence number.
    had: Vec<(usize, Vec<Rc<Cell<i64>>>)>,
}

impl Pollux {
    pub(super) fn start() -> Result<Self> {
        let mut partitions: Vec<_> = GROUPS.iter().map(|group| group.partitions).collect();
        partitions.sort_unstable();
        partitions.dedup();
        let hubs = partitions.iter().map(|count| {
            format!(
                "[[resources.events.event_hubs]]\nname = \"{}\"\npartitions = {count}\nretention_bytes = {RETENTION}\n",
                hub(*count)
            )
        });
        let settings = format!("[[resources.events]]\nname = \"bench\"\n{}", hubs.collect::<String>());
        let subject = Subject::start(&settings)?;
        let policy = subject.events_policy()?;
        let login = Login {
            address: subject.amqp()?,
            host: policy.host().to_owned(),
            user: policy.key_name.context("a policy has a name")?,
            password: policy.key.context("a policy has a key")?,
        };
        let had = |count: usize| (count, (0..count).map(|_| Rc::default()).collect());
        Ok(Self { subject, login, had: partitions.into_iter().map(had).collect() })
    }

    /// The lane of the event hub that has one partition.
    pub(super) async fn lane(&self, size: usize) -> Result<Place> {
        self.lanes(Group { size, partitions: 1 }).await?.pop().context("it has one partition")
    }
}

/// The event hub of so many partitions.
fn hub(partitions: usize) -> String {
    format!("of-{partitions}")
}

impl Log for Pollux {
    type Lane = Place;
    type Follower = Tail;

    fn pid(&self) -> u32 {
        self.subject.pid()
    }

    async fn lanes(&self, group: Group) -> Result<Vec<Place>> {
        let had = self.had.iter().find(|(partitions, _)| *partitions == group.partitions);
        let (_, had) = had.context("there is an event hub for each group")?;
        let mut lanes = Vec::new();
        for (partition, had) in had.iter().enumerate() {
            let (mut writer, reader) =
                (Client::connect(&self.login).await?, Client::connect(&self.login).await?);
            let target = Target::at(format!("{}/Partitions/{partition}", hub(group.partitions)));
            let link = writer.sender(target).await?;
            lanes.push(Place {
                writer,
                link,
                reader,
                receiver: None,
                source: source(group.partitions, partition),
                size: group.size,
                sent: HashMap::new(),
                first: had.get(),
                had: Rc::clone(had),
            });
        }
        Ok(lanes)
    }

    async fn follow(&self, group: Group) -> Result<Tail> {
        let mut client = Client::connect(&self.login).await?;
        let at = selected(source(group.partitions, 0), "amqp.annotation.x-opt-offset > '@latest'");
        let receiver = client.receiver(at, 100).await?;
        Ok(Tail { client, receiver })
    }

    /// What the next lanes read begins where these end; what is too much, retention takes away.
    async fn clear(&self, _: Group) -> Result<()> {
        Ok(())
    }
}

fn source(partitions: usize, partition: usize) -> Source {
    Source::at(format!("{}/ConsumerGroups/$Default/Partitions/{partition}", hub(partitions)))
}

fn selected(mut source: Source, selector: &str) -> Source {
    let descriptor = Value::Symbol(Symbol::from_static(SELECTOR));
    let described = Described { descriptor, value: Value::from(selector) };
    source.filter.push(Symbol::from_static(SELECTOR), Value::Described(Box::new(described)));
    source
}

/// A partition.
pub(super) struct Place {
    writer: Client,
    link: LinkId,
    reader: Client,
    receiver: Option<Receiver>,
    source: Source,
    size: usize,
    /// Messages by the number of events in them.
    sent: HashMap<usize, Sent>,
    /// The first event's sequence number.
    first: i64,
    had: Rc<Cell<i64>>,
}

impl Lane for Place {
    async fn append(&mut self, batch: usize) -> Result<()> {
        let sent = self.sent.entry(batch).or_insert_with(|| Sent::events(self.size, batch));
        self.writer.send(self.link, sent, 1).await?;
        self.writer.accepted().await?;
        self.had.set(self.had.get() + i64::try_from(batch)?);
        Ok(())
    }

    async fn rewind(&mut self, batch: usize) -> Result<()> {
        if let Some(receiver) = self.receiver.take() {
            self.reader.detach(receiver);
        }
        let selector = format!("amqp.annotation.x-opt-sequence-number >= '{}'", self.first);
        let source = selected(self.source.clone(), &selector);
        self.receiver = Some(self.reader.receiver(source, u32::try_from(batch)?).await?);
        Ok(())
    }

    async fn read(&mut self, _: usize) -> Result<usize> {
        let receiver = self.receiver.context("rewind comes first")?;
        self.reader.receive(receiver).await.map(|_| 1)
    }
}

/// A consumer at the end.
pub(super) struct Tail {
    client: Client,
    receiver: Receiver,
}

impl Follower for Tail {
    async fn next(&mut self) -> Result<()> {
        self.client.receive(self.receiver).await.map(drop)
    }
}
