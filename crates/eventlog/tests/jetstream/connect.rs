//! What connecting says when it fails, and the stored format.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pollux_eventlog::jetstream::OpenError;
use pollux_eventlog::{EventLog, JetStreamLog, JetStreamOptions, NewRecord, ReadFrom};
use pollux_model::{ManualClock, SystemClock, Timestamp};
use pollux_testkit::{Nats, NatsOptions};
use serde_json::json;

use crate::common::{config, keyed, options, read_all, record, stream};

async fn open(url: &str, options: JetStreamOptions) -> Result<JetStreamLog, OpenError> {
    JetStreamLog::connect(url, options, Arc::new(SystemClock)).await
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_shown() {
    let login = Some(("pollux".to_owned(), "right%&one".to_owned()));
    let Some(nats) = Nats::start_with(NatsOptions { login, ..NatsOptions::default() }).await else { return };
    let right = format!("nats://pollux:right%25%26one@127.0.0.1:{}", nats.port());
    open(&right, options()).await.unwrap().healthy().await.unwrap();
    for login in ["pollux:wrong@", "pollux@", ""] {
        let error = open(&format!("nats://{login}127.0.0.1:{}", nats.port()), options()).await.unwrap_err();
        assert!(matches!(error, OpenError::Authorization { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("wrong"), "{error:?}");
    }
}

#[tokio::test]
async fn a_token_and_several_servers() {
    let config = "authorization { token: \"s3cret\" }".to_owned();
    let Some(nats) = Nats::start_with(NatsOptions { config, ..NatsOptions::default() }).await else { return };
    let url = format!("nats://s3cret@127.0.0.1:1, nats://127.0.0.1:{}", nats.port());
    open(&url, options()).await.unwrap().healthy().await.unwrap();
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let nobody = open("nats://u:secret@127.0.0.1:1", options()).await.unwrap_err();
    assert!(matches!(nobody, OpenError::Connect { .. }), "{nobody:?}");
    assert!(!format!("{nobody} {nobody:?}").contains("secret"));
    for url in ["", "http://x", "nats://"] {
        assert!(matches!(open(url, options()).await, Err(OpenError::Settings(_))), "{url}");
    }
    let prefix = JetStreamOptions { prefix: "a.b".to_owned(), ..options() };
    assert!(matches!(open("nats://127.0.0.1:1", prefix).await, Err(OpenError::Settings(_))));

    let without = NatsOptions { without_jetstream: true, ..NatsOptions::default() };
    let Some(nats) = Nats::start_with(without).await else { return };
    let error = open(&nats.url(), options()).await.unwrap_err();
    assert!(matches!(error, OpenError::NoJetStream(_)), "{error:?}");

    let small = NatsOptions { config: "max_payload: 65536".to_owned(), ..NatsOptions::default() };
    let Some(nats) = Nats::start_with(small).await else { return };
    let error = open(&nats.url(), options()).await.unwrap_err();
    assert!(matches!(error, OpenError::MaxPayload { bytes: 65536 }), "{error:?}");

    let rights = r#"authorization { users: [ { user: u, password: p, permissions: {
        publish: { allow: ["$JS.API.INFO", "$JS.API.STREAM.INFO.*"] }, subscribe: "_INBOX.>" } } ] }"#;
    let few = NatsOptions { config: rights.to_owned(), ..NatsOptions::default() };
    let Some(nats) = Nats::start_with(few).await else { return };
    let impatient = JetStreamOptions { timeout: Duration::from_millis(500), ..options() };
    let error = open(&format!("nats://u:p@127.0.0.1:{}", nats.port()), impatient).await.unwrap_err();
    assert!(matches!(error, OpenError::Catalog(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_the_right_and_the_wrong_authority() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("server.pem"), folder.path().join("server.key"));
    let (ca, other) = (folder.path().join("ca.pem"), folder.path().join("other.pem"));
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, signed.cert.pem()).unwrap();
    std::fs::write(&ca, signed.cert.pem()).unwrap();
    std::fs::write(&key, signed.signing_key.serialize_pem()).unwrap();
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&other, stranger.cert.pem()).unwrap();
    let tls = NatsOptions { tls: Some((certificate, key)), ..NatsOptions::default() };
    let Some(nats) = Nats::start_with(tls).await else { return };
    let trusting = |ca: PathBuf| JetStreamOptions { ca: Some(ca), ..options() };
    open(&nats.url(), trusting(ca)).await.unwrap().healthy().await.unwrap();
    let error = open(&nats.url(), trusting(other)).await.unwrap_err();
    assert!(matches!(error, OpenError::Tls { .. }), "{error:?}");
    let error = open(&nats.url(), trusting(folder.path().join("nothing.pem"))).await.unwrap_err();
    assert!(matches!(error, OpenError::Tls { .. }), "{error:?}");
}

/// Restricted to the rights the documentation names, everything works.
#[tokio::test]
async fn the_rights_that_are_documented_are_enough() {
    let rights = r#"authorization { users: [ { user: u, password: p, permissions: {
        publish: ["test.>", "$KV.test-catalog.>", "$JS.API.>"],
        subscribe: ["test.>", "$KV.test-catalog.>", "_INBOX.>"] } } ] }"#;
    let some = NatsOptions { config: rights.to_owned(), ..NatsOptions::default() };
    let Some(nats) = Nats::start_with(some).await else { return };
    let log: Arc<dyn EventLog> =
        Arc::new(open(&format!("nats://u:p@127.0.0.1:{}", nats.port()), options()).await.unwrap());
    log.create(&stream(), &config()).await.unwrap();
    let last = log.append(&stream(), 0, vec![keyed("a", [1, 1, 1])]).await.unwrap()[0];
    assert_eq!(read_all(&log, ReadFrom::Earliest).await.len(), 1);
    log.trim(last.enqueued_time.plus(Duration::from_secs(100_000))).await.unwrap();
    assert!(log.partition(&stream(), 0).await.unwrap().is_empty);
    log.delete(&stream()).await.unwrap();
}

// The stored format. `golden_write` (run by hand, once per version) makes the files; the other reads them for ever.

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/jetstream_v1")
}

fn golden_records(key: u8) -> Vec<NewRecord> {
    vec![
        NewRecord { partition_key: Some("Gerät-1".into()), ..keyed("first", [key, 0, 0]) },
        record("second"),
        NewRecord { partition_key: Some("".into()), ..record("") },
    ]
}

async fn api(client: &async_nats::Client, subject: &str, body: serde_json::Value) -> serde_json::Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = client.request(format!("$JS.API.{subject}"), body.into()).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
    assert!(answer.get("error").is_none(), "{answer}");
    answer
}

/// Writes the golden files of a new version, with `POLLUX_WRITE_GOLDEN=1`; otherwise it does nothing.
#[tokio::test]
async fn golden_write() {
    if std::env::var_os("POLLUX_WRITE_GOLDEN").is_none() {
        return;
    }
    let Some(nats) = Nats::start().await else { return };
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)));
    let log = JetStreamLog::connect(&nats.url(), options(), clock).await.unwrap();
    log.create(&stream(), &config()).await.unwrap();
    log.append(&stream(), 0, golden_records(1)).await.unwrap();
    log.append(&stream(), 0, vec![record("fourth")]).await.unwrap();
    log.trim(Timestamp::from_secs(1_700_100_000)).await.unwrap();
    log.append(&stream(), 0, golden_records(3)).await.unwrap();
    let last = log.append(&stream(), 0, vec![keyed("eighth", [2, 0, 0])]).await.unwrap()[0];
    let imported = pollux_eventlog::Record {
        sequence_number: last.sequence_number + 1,
        offset: last.offset + 5000,
        enqueued_time: last.enqueued_time.plus(Duration::from_secs(5)),
        partition_key: Some("k".into()),
        payload: "imported".into(),
    };
    log.import(&stream(), 0, vec![imported]).await.unwrap();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let catalog = client.clone();
    let entry = api(
        &catalog,
        "STREAM.MSG.GET.KV_test-catalog",
        json!({"last_by_subj": "$KV.test-catalog.ns.hub=2Eone"}),
    )
    .await;
    let names = api(&client, "STREAM.NAMES", json!({"subject": "test.log.>"})).await;
    let name = names["streams"][0].as_str().unwrap().to_owned();
    let info = api(&client, &format!("STREAM.INFO.{name}"), json!(null)).await;
    let (first, last) =
        (info["state"]["first_seq"].as_u64().unwrap(), info["state"]["last_seq"].as_u64().unwrap());
    let mut frames = Vec::new();
    for seq in first..=last {
        let got = api(&client, &format!("STREAM.MSG.GET.{name}"), json!({"seq": seq})).await;
        frames.push(got["message"]["data"].clone());
    }
    std::fs::create_dir_all(golden()).unwrap();
    let all = json!({
        "stream": name, "subject": info["config"]["subjects"][0], "first": first,
        "entry": entry["message"]["data"], "frames": frames,
    });
    std::fs::write(golden().join("log.json"), serde_json::to_vec_pretty(&all).unwrap()).unwrap();
}

#[tokio::test]
async fn golden_files_of_version_1_are_read() {
    let Some(nats) = Nats::start().await else { return };
    let text = std::fs::read(golden().join("log.json")).unwrap();
    let all: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let bytes = |value: &serde_json::Value| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap()
    };
    let log: Arc<dyn EventLog> = Arc::new(open(&nats.url(), options()).await.unwrap());
    let client = async_nats::connect(nats.url()).await.unwrap();
    let name = all["stream"].as_str().unwrap();
    let subject = all["subject"].as_str().unwrap().to_owned();
    let made = json!({"name": name, "subjects": [subject], "storage": "file", "retention": "limits", "allow_direct": true});
    api(&client, &format!("STREAM.CREATE.{name}"), made).await;
    // The frames before the first were trimmed: fillers stand in for them.
    let first = all["first"].as_u64().unwrap();
    for _ in 1..first {
        client.request(subject.clone(), "filler".into()).await.unwrap();
    }
    for frame in all["frames"].as_array().unwrap() {
        client.request(subject.clone(), bytes(frame).into()).await.unwrap();
    }
    api(&client, &format!("STREAM.PURGE.{name}"), json!({"seq": first})).await;
    client.request("$KV.test-catalog.ns.hub=2Eone", bytes(&all["entry"]).into()).await.unwrap();

    assert_eq!(log.streams().await.unwrap(), [(stream(), config())]);
    let info = log.partition(&stream(), 0).await.unwrap();
    assert_eq!((info.begin_sequence_number, info.last_sequence_number), (4, 8));
    let records = read_all(&log, ReadFrom::Earliest).await;
    let texts: Vec<_> = records.iter().map(|record| String::from_utf8_lossy(&record.payload)).collect();
    assert_eq!(texts, ["first", "second", "", "eighth", "imported"]);
    let keys: Vec<_> = records.iter().map(|record| record.partition_key.as_deref()).collect();
    assert_eq!(keys, [Some("Gerät-1"), None, Some(""), None, Some("k")]);
    assert_eq!(records[4].offset, records[3].offset + 5000);
    assert_eq!(records[4].enqueued_time, records[3].enqueued_time.plus(Duration::from_secs(5)));
    let again = log.append(&stream(), 0, vec![keyed("x", [2, 0, 0])]).await.unwrap();
    assert_eq!(again, [records[3].position()]);
    assert_eq!(log.append(&stream(), 0, vec![record("next")]).await.unwrap()[0].sequence_number, 9);
}
