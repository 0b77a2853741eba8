//! Which streams there are: a JetStream key-value bucket, changed by compare-and-set, remembered by every node.
//!
//! ```text
//! bucket <prefix>-catalog    key <namespace>.<event hub>    ('.' within a part is written "=2E")
//!   {"version":1,"partitions":4,"retention_micros":86400000000,"retention_bytes":null,"incarnation":"9f…","made":4}
//! ```
//!
//! The entry is written first and then the partitions' JetStream streams are made (`made`: how many are known to be
//! there); on deletion the entry goes first. So a JetStream stream whose incarnation no entry names is left over
//! from a call that was cut off, and [`Catalog::sweep`] removes it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use pollux_model::{Random, SystemRandom};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::names::{self, Place};
use super::wire::{Failure, Stored, Wire};
use crate::log::{LogError, MAX_PARTITIONS, Retention, StreamConfig, StreamName};

/// The version this build writes and reads.
const VERSION: u32 = 1;

/// What the catalog says of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    version: u32,
    partitions: u32,
    retention_micros: u64,
    retention_bytes: Option<u64>,
    incarnation: String,
    made: u32,
}

/// A stream of the catalog.
#[derive(Debug)]
pub(crate) struct Entry {
    written: Written,
    /// The catalog's revision of it.
    revision: u64,
    pub(crate) places: Vec<Arc<Place>>,
}

impl Entry {
    pub(crate) fn config(&self) -> StreamConfig {
        StreamConfig {
            partitions: self.written.partitions,
            retention: Retention {
                time: Duration::from_micros(self.written.retention_micros),
                bytes: self.written.retention_bytes,
            },
        }
    }

    /// The partition's names.
    pub(crate) fn place(&self, stream: &StreamName, partition: u32) -> Result<Arc<Place>, LogError> {
        self.places.get(partition as usize).cloned().ok_or_else(|| LogError::UnknownPartition {
            stream: stream.clone(),
            partition,
            count: self.written.partitions,
        })
    }
}

/// The catalog, and what this node remembers of it.
#[derive(Debug)]
pub(crate) struct Catalog {
    wire: Wire,
    prefix: String,
    replicas: usize,
    known: Mutex<HashMap<StreamName, Arc<Entry>>>,
}

/// The bucket's name, its stream and the subject of its keys.
fn bucket(prefix: &str) -> (String, String) {
    (format!("KV_{prefix}-catalog"), format!("$KV.{prefix}-catalog."))
}

impl Catalog {
    pub(crate) fn new(wire: Wire, prefix: &str, replicas: usize) -> Self {
        Self { wire, prefix: prefix.to_owned(), replicas, known: Mutex::default() }
    }

    /// Makes the bucket if it is not there.
    pub(crate) async fn prepare(&self) -> Result<(), Failure> {
        let (stream, subject) = bucket(&self.prefix);
        let deadline = self.wire.deadline();
        if self.wire.state(&stream, deadline).await.is_ok() {
            return Ok(());
        }
        let config = json!({
            "name": stream, "subjects": [format!("{subject}>")], "retention": "limits", "storage": "file",
            "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_msg_size": -1,
            "max_msgs_per_subject": 1, "discard": "new", "num_replicas": self.replicas,
            "allow_rollup_hdrs": true, "deny_delete": true, "allow_direct": true,
        });
        match self.wire.create_stream(&config, deadline).await {
            // Another node made it with other settings, which are as good.
            Err(Failure::Refused(_)) if self.wire.state(&stream, deadline).await.is_ok() => Ok(()),
            answer => answer,
        }
    }

    /// What every change of the catalog is published on.
    pub(crate) fn changes(&self) -> String {
        format!("{}>", bucket(&self.prefix).1)
    }

    /// Forgets the stream a published change is about.
    pub(crate) fn changed(&self, subject: &str) -> Option<StreamName> {
        let stream = names::stream_of(subject.strip_prefix(&bucket(&self.prefix).1)?)?;
        self.forget(&stream);
        Some(stream)
    }

    /// The next look at the stream asks the server.
    pub(crate) fn forget(&self, stream: &StreamName) {
        self.known.lock().remove(stream);
    }

    /// Forgets everything: changes may have been missed.
    pub(crate) fn forget_all(&self) {
        self.known.lock().clear();
    }

    /// The stream, from memory where that knows the partition.
    pub(crate) async fn find(&self, stream: &StreamName, partition: u32) -> Result<Arc<Entry>, LogError> {
        let known = self.known.lock().get(stream).cloned();
        if let Some(entry) = known.filter(|entry| partition < entry.written.partitions) {
            return Ok(entry);
        }
        let entry = self.ask(stream).await?;
        entry.ok_or_else(|| LogError::UnknownStream(stream.clone()))
    }

    /// The stream as the catalog's leader knows it.
    pub(crate) async fn ask(&self, stream: &StreamName) -> Result<Option<Arc<Entry>>, LogError> {
        Ok(self.look(stream).await?.1)
    }

    /// The key's newest revision (0: none) and what it says.
    async fn look(&self, stream: &StreamName) -> Result<(u64, Option<Arc<Entry>>), LogError> {
        let (js_stream, subject) = bucket(&self.prefix);
        let subject = format!("{subject}{}", names::key(stream));
        let stored = match self.wire.last(&js_stream, &subject, self.wire.deadline()).await {
            Ok(stored) => stored,
            Err(Failure::NoMessage) => {
                self.forget(stream);
                return Ok((0, None));
            }
            Err(failure) => return Err(unavailable(&failure)),
        };
        let entry = self.read(stream, &stored)?;
        match &entry {
            Some(entry) => drop(self.known.lock().insert(stream.clone(), Arc::clone(entry))),
            None => self.forget(stream),
        }
        Ok((stored.js, entry))
    }

    fn read(&self, stream: &StreamName, stored: &Stored) -> Result<Option<Arc<Entry>>, LogError> {
        if stored.headers.contains("KV-Operation:") {
            return Ok(None);
        }
        let corrupt = |what: String| LogError::Corrupt {
            file: format!("the catalog's entry for {stream} (revision {})", stored.js),
            at: 0,
            what,
        };
        let written: Written =
            serde_json::from_slice(&stored.data).map_err(|error| corrupt(error.to_string()))?;
        if written.version != VERSION {
            return Err(corrupt(format!("version {} is unknown: a newer Pollux wrote it", written.version)));
        }
        Ok(Some(Arc::new(self.entry(stream, written, stored.js))))
    }

    fn entry(&self, stream: &StreamName, written: Written, revision: u64) -> Entry {
        let places = (0..written.partitions.min(MAX_PARTITIONS))
            .map(|partition| Arc::new(Place::new(&self.prefix, stream, &written.incarnation, partition)))
            .collect();
        Entry { written, revision, places }
    }

    /// All streams, as the catalog's leader knows them.
    pub(crate) async fn list(&self) -> Result<BTreeMap<StreamName, Arc<Entry>>, LogError> {
        let all = self.list_all().await?;
        Ok(all.into_iter().filter_map(|(stream, entry)| Some((stream, entry?))).collect())
    }

    /// All names the catalog has ever had; `None`: deleted.
    async fn list_all(&self) -> Result<BTreeMap<StreamName, Option<Arc<Entry>>>, LogError> {
        let (js_stream, subject) = bucket(&self.prefix);
        let all = format!("{subject}>");
        let mut found = BTreeMap::new();
        let mut js = 1;
        loop {
            match self.wire.next(&js_stream, js, &all, self.wire.deadline()).await {
                Ok((stored, key)) => {
                    js = stored.js + 1;
                    let stream = key.strip_prefix(&subject).and_then(names::stream_of);
                    if let Some(stream) = stream {
                        let entry = self.read(&stream, &stored)?;
                        found.insert(stream, entry);
                    }
                }
                Err(Failure::NoMessage) => break,
                Err(failure) => return Err(unavailable(&failure)),
            }
        }
        let mut known = self.known.lock();
        known.clear();
        known.extend(found.iter().filter_map(|(stream, entry)| Some((stream.clone(), entry.clone()?))));
        drop(known);
        Ok(found)
    }

    /// See [`crate::EventLog::create`].
    pub(crate) async fn create(&self, stream: &StreamName, config: &StreamConfig) -> Result<(), LogError> {
        if !(1..=MAX_PARTITIONS).contains(&config.partitions) {
            return Err(LogError::InvalidConfig(format!(
                "a stream has 1 to {MAX_PARTITIONS} partitions, not {}",
                config.partitions
            )));
        }
        let deadline = self.wire.deadline();
        loop {
            let (revision, entry) = self.look(stream).await?;
            let wanted = wanted(stream, config, entry.as_deref())?;
            let entry = match entry {
                Some(entry) if entry.written == wanted => Some(entry),
                _ => self.write(stream, wanted, revision, deadline).await?,
            };
            if let Some(entry) = entry {
                return self.complete(stream, &entry, deadline).await;
            }
        }
    }

    /// Makes the JetStream streams that are not known to be there.
    async fn complete(&self, stream: &StreamName, entry: &Entry, deadline: Instant) -> Result<(), LogError> {
        let made = entry.written.made;
        if made >= entry.written.partitions {
            return Ok(());
        }
        for place in &entry.places[made as usize..] {
            let config = self.stream_config(place);
            self.wire.create_stream(&config, deadline).await.map_err(|failure| unavailable(&failure))?;
        }
        let written = Written { made: entry.written.partitions, ..entry.written.clone() };
        // If another call changed the entry meanwhile, that one has made the streams as well.
        self.write(stream, written, entry.revision, deadline).await.map(drop)
    }

    fn stream_config(&self, place: &Place) -> Value {
        json!({
            "name": place.js_stream, "subjects": [place.subject], "retention": "limits", "storage": "file",
            "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_msg_size": -1,
            "max_msgs_per_subject": -1, "discard": "new", "num_replicas": self.replicas,
            "allow_direct": true,
        })
    }

    /// Replaces the entry if it is still the one of `revision`; `None`: it is not.
    async fn write(
        &self,
        stream: &StreamName,
        written: Written,
        revision: u64,
        deadline: Instant,
    ) -> Result<Option<Arc<Entry>>, LogError> {
        let value =
            serde_json::to_vec(&written).map_err(|error| LogError::InvalidConfig(error.to_string()))?;
        let subject = format!("{}{}", bucket(&self.prefix).1, names::key(stream));
        match self.wire.put(&subject, Some(Bytes::from(value)), revision, deadline).await {
            Ok(revision) => {
                let entry = Arc::new(self.entry(stream, written, revision));
                self.known.lock().insert(stream.clone(), Arc::clone(&entry));
                Ok(Some(entry))
            }
            Err(Failure::WrongLast) => Ok(None),
            Err(failure) => Err(unavailable(&failure)),
        }
    }

    /// See [`crate::EventLog::delete`].
    pub(crate) async fn delete(&self, stream: &StreamName) -> Result<(), LogError> {
        let deadline = self.wire.deadline();
        let subject = format!("{}{}", bucket(&self.prefix).1, names::key(stream));
        let entry = loop {
            let (revision, entry) = self.look(stream).await?;
            let Some(entry) = entry else { return Ok(()) };
            match self.wire.put(&subject, None, revision, deadline).await {
                Ok(_) => break entry,
                Err(Failure::WrongLast) => {}
                Err(failure) => return Err(unavailable(&failure)),
            }
        };
        self.forget(stream);
        for place in &entry.places {
            self.wire
                .delete_stream(&place.js_stream, deadline)
                .await
                .map_err(|failure| unavailable(&failure))?;
        }
        Ok(())
    }

    /// Removes JetStream streams of which the catalog says that they were deleted; what it holds. A name the catalog
    /// has never had is left alone: if the catalog is lost, the events are not.
    pub(crate) async fn sweep(&self) -> Result<BTreeMap<StreamName, Arc<Entry>>, LogError> {
        let subject = format!("{}.log.>", self.prefix);
        // Listed before the catalog is read: whatever is listed had its entry before.
        let there = self.wire.streams_on(&subject, self.wire.deadline()).await;
        let there = there.map_err(|failure| unavailable(&failure))?;
        let all = self.list_all().await?;
        let live: HashSet<&str> =
            all.values().flatten().map(|entry| entry.written.incarnation.as_str()).collect();
        for name in there {
            let Some(incarnation) = names::incarnation_of(&self.prefix, &name) else { continue };
            let known = all.keys().any(|stream| name.starts_with(&names::beginning(&self.prefix, stream)));
            if known && !live.contains(incarnation) {
                tracing::info!(stream = %name, "removing what is left of a deleted stream");
                let deleted = self.wire.delete_stream(&name, self.wire.deadline()).await;
                deleted.map_err(|failure| unavailable(&failure))?;
            }
        }
        Ok(all.into_iter().filter_map(|(stream, entry)| Some((stream, entry?))).collect())
    }
}

/// What the entry is to say.
fn wanted(stream: &StreamName, config: &StreamConfig, old: Option<&Entry>) -> Result<Written, LogError> {
    let old = old.map(|entry| &entry.written);
    if let Some(old) = old
        && config.partitions < old.partitions
    {
        return Err(LogError::InvalidConfig(format!(
            "stream `{stream}` has {} partitions, it cannot shrink to {}",
            old.partitions, config.partitions
        )));
    }
    Ok(Written {
        version: VERSION,
        partitions: config.partitions,
        retention_micros: u64::try_from(config.retention.time.as_micros()).unwrap_or(u64::MAX),
        retention_bytes: config.retention.bytes,
        incarnation: old.map_or_else(fresh_incarnation, |old| old.incarnation.clone()),
        made: old.map_or(0, |old| old.made),
    })
}

fn fresh_incarnation() -> String {
    let mut bytes = [0; 8];
    SystemRandom.fill(&mut bytes);
    format!("{:016x}", u64::from_le_bytes(bytes))
}

/// The error for a caller whose request the server did not answer as it should.
pub(crate) fn unavailable(failure: &Failure) -> LogError {
    LogError::Unavailable(failure.to_string())
}
