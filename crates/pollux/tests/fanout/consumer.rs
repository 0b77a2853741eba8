//! A consumer of all partitions, and what it has seen: every device's messages in their order, each once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use pollux_amqp::Message;
use pollux_client::EventHubs;
use pollux_client::event_hubs::Events;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::server::{HUB, Server};

/// A message: whose it is, which one, and padding.
pub(crate) fn body(device: usize, number: u32, length: usize) -> Vec<u8> {
    let mut body = format!("{device} {number} ").into_bytes();
    body.resize(length, b'.');
    body
}

/// What was read.
pub(crate) struct Seen {
    /// Of each device: the number of the message that is next.
    next: Mutex<Vec<u32>>,
    count: AtomicU64,
    came: Notify,
    /// What a reader met that should not be.
    wrong: Mutex<Option<String>>,
}

impl Seen {
    pub(crate) fn new(devices: usize) -> Arc<Self> {
        Arc::new(Self {
            next: Mutex::new(vec![0; devices]),
            count: AtomicU64::new(0),
            came: Notify::new(),
            wrong: Mutex::default(),
        })
    }

    /// Notes an event: none is left out, none comes twice, and a device's come in order.
    fn take(&self, event: &Message) {
        let body = event.body.as_bytes().unwrap_or_default();
        let text = String::from_utf8_lossy(&body);
        let mut words = text.split(' ').map(str::parse::<u32>);
        let (Some(Ok(device)), Some(Ok(number))) = (words.next(), words.next()) else {
            return self.fail(format!("'{}' is none of ours", &text[..text.len().min(100)]));
        };
        let next = &mut self.next.lock()[device as usize];
        if number != *next {
            return self.fail(format!("device {device}: {number} in place of {next}"));
        }
        *next += 1;
        self.count.fetch_add(1, Ordering::Relaxed);
        self.came.notify_one();
    }

    fn fail(&self, what: String) {
        self.wrong.lock().get_or_insert(what);
        self.came.notify_one();
    }

    /// Waits for so many events.
    pub(crate) async fn until(&self, count: u64) {
        while self.count() < count {
            self.came.notified().await;
            assert_eq!(*self.wrong.lock(), None, "after {} events", self.count());
        }
    }

    /// How many events came.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// How many devices have said less than others.
    pub(crate) fn lacking(&self) -> usize {
        let next = self.next.lock();
        let most = next.iter().max().copied().unwrap_or_default();
        next.iter().filter(|next| **next < most).count()
    }
}

/// A connection with a receiver at each partition, that are read.
pub(crate) struct Consumer {
    hubs: EventHubs,
    reading: JoinSet<()>,
}

/// The same before anything reads on.
pub(crate) struct Attached {
    hubs: EventHubs,
    partitions: Vec<Events>,
}

impl Consumer {
    /// Reads all there is, from the beginning.
    pub(crate) async fn start(server: &Server, group: &str, seen: Arc<Seen>) -> Self {
        Self::attach(server, group).await.go_on(seen)
    }

    pub(crate) async fn attach(server: &Server, group: &str) -> Attached {
        let hubs = server.events().await;
        let mut partitions = Vec::new();
        for partition in hubs.partitions(HUB).await.unwrap() {
            partitions.push(hubs.receive(HUB, group, &partition, None).await.unwrap());
        }
        Attached { hubs, partitions }
    }

    /// It must not have failed.
    pub(crate) async fn end(mut self) {
        self.hubs.close().await;
        while let Some(read) = self.reading.join_next().await {
            read.unwrap();
        }
    }
}

impl Attached {
    /// Takes one event of each partition, and no more.
    pub(crate) async fn take_one(&mut self, seen: &Seen) {
        for events in &mut self.partitions {
            seen.take(&events.recv().await.unwrap().unwrap());
        }
    }

    /// Events that came and are not taken.
    pub(crate) fn waiting(&self) -> u64 {
        self.partitions.iter().map(|events| events.len() as u64).sum()
    }

    /// Reads on.
    pub(crate) fn go_on(self, seen: Arc<Seen>) -> Consumer {
        let mut reading = JoinSet::new();
        for mut events in self.partitions {
            let seen = Arc::clone(&seen);
            reading.spawn(async move {
                // Until the connection ends, when nobody looks any more.
                while let Some(event) = events.recv().await {
                    match event {
                        Ok(event) => seen.take(&event),
                        Err(error) => seen.fail(error.to_string()),
                    }
                }
                seen.fail("the link has ended".to_owned());
            });
        }
        Consumer { hubs: self.hubs, reading }
    }
}
