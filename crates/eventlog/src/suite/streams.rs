//! Creating, changing and deleting streams.

use std::sync::Arc;
use std::time::Duration;

use super::{ALL, Backend, append, config, open, read_all, record, stream, texts};
use crate::log::{LogError, ReadFrom, Retention, StreamConfig, StreamName};

pub(super) async fn creating_twice_adopts_retention_and_growth(backend: Arc<dyn Backend>) {
    let log = open(&backend, 2).await;
    append(&log, 1, vec![record("kept")]).await;
    let grown = StreamConfig {
        partitions: 4,
        retention: Retention { time: Duration::from_secs(7 * 86_400), bytes: Some(1_000_000) },
    };
    log.create(&stream(), &grown).await.expect("create");
    append(&log, 3, vec![record("new")]).await;
    drop(log);
    let log = backend.open().await;
    assert_eq!(log.streams().await.expect("streams"), [(stream(), grown)]);
    assert_eq!(texts(&read_all(&log, 1, ReadFrom::Earliest).await), ["kept"]);
    assert_eq!(texts(&read_all(&log, 3, ReadFrom::Earliest).await), ["new"]);
}

pub(super) async fn bad_configurations_are_refused(backend: Arc<dyn Backend>) {
    let log = open(&backend, 2).await;
    let other = StreamName::new("suite/other").expect("the name is valid");
    for (name, partitions) in [(stream(), 1), (stream(), 0), (stream(), 33), (other.clone(), 0), (other, 33)]
    {
        let answer = log.create(&name, &config(partitions)).await;
        assert!(matches!(answer, Err(LogError::InvalidConfig(_))), "{name} {partitions}: {answer:?}");
    }
    assert_eq!(log.streams().await.expect("streams"), [(stream(), config(2))]);
}

pub(super) async fn unknown_streams_and_partitions(backend: Arc<dyn Backend>) {
    let log = open(&backend, 2).await;
    let nobody = StreamName::new("suite/nobody").expect("the name is valid");
    let unknown = LogError::UnknownStream(nobody.clone());
    assert_eq!(log.append(&nobody, 0, vec![record("x")]).await, Err(unknown.clone()));
    assert_eq!(log.read(&nobody, 0, &ReadFrom::Earliest, ALL).await, Err(unknown.clone()));
    assert_eq!(log.wait(&nobody, 0, -1).await, Err(unknown.clone()));
    assert_eq!(log.partition(&nobody, 0).await, Err(unknown));
    let unknown = LogError::UnknownPartition { stream: stream(), partition: 2, count: 2 };
    assert_eq!(log.append(&stream(), 2, vec![record("x")]).await, Err(unknown.clone()));
    assert_eq!(log.read(&stream(), 2, &ReadFrom::Earliest, ALL).await, Err(unknown.clone()));
    assert_eq!(log.wait(&stream(), 2, -1).await, Err(unknown.clone()));
    assert_eq!(log.partition(&stream(), 2).await, Err(unknown));
}

pub(super) async fn deleting_removes_everything(backend: Arc<dyn Backend>) {
    let log = open(&backend, 1).await;
    append(&log, 0, vec![record("old")]).await;
    log.delete(&stream()).await.expect("delete");
    log.delete(&stream()).await.expect("deleting what is not there is no error");
    assert_eq!(log.streams().await.expect("streams"), []);
    assert_eq!(
        log.append(&stream(), 0, vec![record("x")]).await,
        Err(LogError::UnknownStream(stream())),
        "no append to a deleted stream"
    );
    drop(log);
    let log = open(&backend, 1).await;
    assert!(read_all(&log, 0, ReadFrom::Earliest).await.is_empty());
    assert_eq!(append(&log, 0, vec![record("new")]).await[0].sequence_number, 0);
}

pub(super) async fn streams_do_not_mix(backend: Arc<dyn Backend>) {
    let log = open(&backend, 1).await;
    let names: Vec<_> =
        ["a/x", "a/y", "b/x"].iter().map(|n| StreamName::new(n).expect("a valid name")).collect();
    for name in &names {
        log.create(name, &config(1)).await.expect("create");
        log.append(name, 0, vec![record(name.as_str())]).await.expect("append");
    }
    log.delete(&names[0]).await.expect("delete");
    for name in &names[1..] {
        let records = log.read(name, 0, &ReadFrom::Earliest, ALL).await.expect("read");
        assert_eq!(texts(&records), [name.as_str()]);
    }
    let listed: Vec<_> = log.streams().await.expect("streams").into_iter().map(|(name, _)| name).collect();
    assert_eq!(listed, [names[1].clone(), names[2].clone(), stream()]);
}
