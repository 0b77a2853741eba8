//! Blobs in a folder, with a clock that stands still.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt as _;
use pollux_eventlog::NewRecord;
use pollux_model::Clock as _;
use pollux_model::resource::ResourceKind;
use serde_json::{Value, json};

use super::super::Forwarding;
use super::super::hub_message::tests::record;
use super::*;
use crate::caller::Caller;
use crate::fixture::World;
use crate::resources::Declared;
use crate::streams::owner_of;
use crate::{Services, Settings};

struct Archive {
    world: World,
    folder: tempfile::TempDir,
}

impl Archive {
    async fn new(more: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { files: Some(folder.path().to_owned()), ..Settings::default() };
        let world = World::with(settings, &[]).await;
        let mut endpoint = json!({"name": "archive", "container": "telemetry", "encoding": "JSON", "batchFrequencyInSeconds": 60});
        for (name, value) in more.as_object().unwrap() {
            endpoint[name] = value.clone();
        }
        let declared =
            Declared::read(ResourceKind::Hub, Some("hub1"), json!({"endpoints": [endpoint]})).unwrap();
        world.services.resources.change(&Caller::admin(), &declared, None).await.unwrap();
        Self { world, folder }
    }

    fn services(&self) -> &Arc<Services> {
        &self.world.services
    }

    fn place(&self) -> Place {
        Place::new(&owner_of(&self.world.resource(ResourceKind::Hub, "hub1")), "archive", 0)
    }

    fn forwarding(&self) -> &Forwarding {
        &self.services().forwarding
    }

    fn consumer(&self) -> Consumer {
        self.forwarding().consumer(self.place()).unwrap()
    }

    async fn append(&self, bodies: &[&[u8]]) {
        let json = Some(("application/json", "utf-8"));
        let records = bodies.iter().map(|body| {
            let payload = record(body, json, &[]).payload;
            NewRecord { partition_key: Some("d1".into()), payload, idempotency_key: None }
        });
        let consumer = self.consumer();
        self.services().context.log.append(&consumer.stream, 0, records.collect()).await.unwrap();
    }

    async fn step(&self, last: Option<i64>) -> Option<i64> {
        let consumer = self.consumer();
        consumer.work.step(&consumer, None, last).await.unwrap()
    }

    /// Names and bodies of all blobs.
    fn blobs(&self) -> Vec<(String, Vec<Value>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path: PathBuf = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let bodies =
                    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["Body"].clone());
                let name = path.strip_prefix(self.folder.path()).unwrap().display().to_string();
                found.push((name, bodies.collect()));
            }
        }
        found.sort_by(|one, other| one.0.cmp(&other.0));
        found
    }
}

#[tokio::test]
async fn a_batch_is_written_when_it_is_due_and_once_more_under_the_same_name() {
    let it = Archive::new(json!({})).await;
    it.append(&[b"1", b"2"]).await;
    let mut early = Box::pin(it.step(None));
    for _ in 0..64 {
        assert!(early.as_mut().now_or_never().is_none(), "it is not due");
        tokio::task::yield_now().await;
    }
    drop(early);
    assert!(it.blobs().is_empty());
    it.append(&[b"3"]).await;
    it.world.clock.advance(Duration::from_secs(60));
    assert_eq!(it.step(None).await, Some(2));
    let begun = it.world.clock.now().minus(Duration::from_secs(60)).to_string();
    let name = format!(
        "hub1/telemetry/hub1/0/{}/{}_archive_0.json",
        begun[..13].replace(['-', 'T'], "/"),
        &begun[14..16]
    );
    let expected = vec![(name, vec![json!(1), json!(2), json!(3)])];
    assert_eq!(it.blobs(), expected);
    let context = &it.services().context;
    let kept = context.store.checkpoints(&it.consumer().key).await.unwrap();
    assert_eq!(kept[0].1.sequence_number, 2);
    // A crash before the checkpoint.
    assert_eq!(it.step(None).await, Some(2));
    assert_eq!(it.blobs(), expected);
    it.append(&[b"4"]).await;
    it.world.clock.advance(Duration::from_secs(60));
    assert_eq!(it.step(Some(2)).await, Some(3));
    assert_eq!(it.blobs().len(), 2);
}

#[tokio::test]
async fn a_full_blob_does_not_wait() {
    let it = Archive::new(json!({"maxChunkSizeInBytes": 10 << 20})).await;
    let body = format!("\"{}\"", "x".repeat(200 * 1024));
    for _ in 0..15 {
        it.append(&[body.as_bytes(); 4]).await;
    }
    let mut last = None;
    while last.is_none_or(|last| last < 40) {
        last = it.step(last).await;
    }
    let blobs = it.blobs();
    assert!(
        blobs.len() == 1 && (40..60).contains(&blobs[0].1.len()),
        "{} in {}",
        blobs[0].1.len(),
        blobs.len()
    );
    let size = it.folder.path().join(&blobs[0].0).metadata().unwrap().len();
    assert!((9 << 20..=10 << 20).contains(&size), "{size}");
    // Moments of messages differ though the clock stands.
    it.world.clock.advance(Duration::from_secs(61));
    last = it.step(last).await;
    assert_eq!(last, Some(59));
    assert_eq!(it.blobs().iter().map(|(_, bodies)| bodies.len()).sum::<usize>(), 60);
}

#[tokio::test]
async fn what_cannot_be_written_waits_and_is_told() {
    let it = Archive::new(json!({})).await;
    it.append(&[b"1"]).await;
    it.world.clock.advance(Duration::from_secs(60));
    // Something is in the way.
    std::fs::write(it.folder.path().join("hub1"), "no folder").unwrap();
    assert_eq!(it.step(None).await, None);
    let hub = it.world.resource(ResourceKind::Hub, "hub1");
    let health = it.forwarding().endpoint_health(&Caller::admin(), &hub).await.unwrap();
    let found = health.iter().find(|one| one.endpoint == "archive").unwrap();
    assert_eq!(found.status, super::super::HealthStatus::Unhealthy);
    std::fs::remove_file(it.folder.path().join("hub1")).unwrap();
    assert_eq!(it.step(None).await, Some(0));
    let health = it.forwarding().endpoint_health(&Caller::admin(), &hub).await.unwrap();
    assert_eq!(
        health.iter().find(|one| one.endpoint == "archive").unwrap().status,
        super::super::HealthStatus::Healthy
    );
}

/// A node that lost the lease and is slow ends its blob after the next one ended its own, which has more messages and is where the
/// checkpoint is.
#[tokio::test]
async fn a_slow_writer_replaces_nothing() {
    let it = Archive::new(json!({})).await;
    it.append(&[b"1", b"2"]).await;
    let (forwarder, consumer) = (it.forwarding().forwarder(it.place()), it.consumer());
    let keeper = it.world.resource(ResourceKind::Hub, "hub1");
    let Some(EndpointTarget::Storage(storage)) = forwarder.target(&keeper) else { panic!() };
    let first = consumer.read(None, ONE).await.unwrap().pop().unwrap();
    let batch = |until, epoch| Batch { keeper: &keeper, storage, first: &first, after: None, until, epoch };
    let fence = Fence::of_epoch(2);
    assert_eq!(fence.epoch(), 2);
    let newer = forwarder.written(&consumer, Some(&fence), &batch(1, Some(2))).await.unwrap().unwrap();
    assert_eq!((newer.0.sequence_number, newer.1), (1, 2));
    let slow = forwarder.written(&consumer, None, &batch(0, Some(1))).await.unwrap().unwrap();
    assert_eq!((slow.0.sequence_number, slow.1), (0, 1));
    let blobs: Vec<_> = it.blobs().into_iter().map(|(_, bodies)| bodies).collect();
    assert_eq!(blobs, [vec![json!(1)], vec![json!(1), json!(2)]]);
}

/// The messages are let go between the moment that the first was seen and the moment that the blob is written.
#[tokio::test]
async fn what_the_stream_kept_no_longer_makes_no_blob() {
    let it = Archive::new(json!({})).await;
    it.append(&[b"1", b"2"]).await;
    let (forwarder, consumer) = (it.forwarding().forwarder(it.place()), it.consumer());
    let keeper = it.world.resource(ResourceKind::Hub, "hub1");
    let Some(EndpointTarget::Storage(storage)) = forwarder.target(&keeper) else { panic!() };
    let first = consumer.read(None, ONE).await.unwrap().pop().unwrap();
    let days = Duration::from_secs(100 * 24 * 3600);
    it.services().context.log.trim(it.world.clock.now().plus(days)).await.unwrap();
    let batch = Batch { keeper: &keeper, storage, first: &first, after: None, until: 1, epoch: None };
    let (end, count) = forwarder.written(&consumer, None, &batch).await.unwrap().unwrap();
    assert_eq!((end.sequence_number, count), (0, 0));
    assert!(it.blobs().is_empty());
}

#[tokio::test]
async fn a_blob_ends_when_its_time_is_over_though_messages_come_all_the_time() {
    let it = Archive::new(json!({})).await;
    it.append(&[b"1"]).await;
    it.world.clock.advance(Duration::from_secs(61));
    // More than are read at once: who looks at the clock only where there is nothing more to read goes on reading.
    for _ in 0..3 {
        it.append(&[b"2".as_slice(); 256]).await;
    }
    assert_eq!(it.step(None).await, Some(255));
}

#[tokio::test]
async fn the_folder_of_uploads_is_no_container() {
    let it = Archive::new(json!({})).await;
    let endpoint = json!({"name": "other", "container": "hub-files", "encoding": "JSON"});
    let declared = Declared::read(ResourceKind::Hub, Some("hub1"), json!({"endpoints": [endpoint]})).unwrap();
    let refused = it.services().resources.change(&Caller::admin(), &declared, None).await.unwrap_err();
    assert!(refused.message.contains("hub-files"), "{}", refused.message);
}
