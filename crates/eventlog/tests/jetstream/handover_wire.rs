//! Hand-overs as they go over NATS: what a node makes of requests and answers that are wrong.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use pollux_eventlog::{EventLog, JetStreamLog, JetStreamOptions, LogError, ReadFrom};
use pollux_model::SystemClock;
use pollux_testkit::Nats;
use tokio::time::Instant;

use crate::common::{config, options, read_all, record, stream};
use crate::handover::{append, dynamic, pair, settle};

const ANSWER: &str = "test.appended.v1.0000000000000000.1";
const NOT_TAKEN: &str = "NotTaken";

/// Somebody else on the server.
struct Stranger {
    client: async_nats::Client,
    answers: async_nats::Subscriber,
}

impl Stranger {
    async fn new(nats: &Nats) -> Self {
        let client = async_nats::connect(nats.url()).await.unwrap();
        let answers = client.subscribe(ANSWER).await.unwrap();
        let stranger = Self { client, answers };
        stranger.heard().await;
        stranger
    }

    /// Returns when the server has taken in what was said before.
    async fn heard(&self) {
        self.client.request("$JS.API.INFO", "".into()).await.unwrap();
    }

    /// Returns when nobody takes requests on the subject any more.
    async fn until_nobody_takes(&mut self, subject: &str) {
        let nobody = Some(async_nats::StatusCode::NO_RESPONDERS);
        loop {
            self.client.publish_with_reply(subject.to_owned(), ANSWER, Bytes::new()).await.unwrap();
            // What comes while a log leaves may stay without an answer.
            let answer = tokio::time::timeout(Duration::from_secs(1), self.answers.next()).await;
            if answer.is_ok_and(|answer| answer.unwrap().status == nobody) {
                return;
            }
        }
    }

    async fn ask(&mut self, subject: &str, body: Bytes) -> async_nats::Message {
        self.client.publish_with_reply(subject.to_owned(), ANSWER, body).await.unwrap();
        self.answers.next().await.unwrap()
    }

    /// What `handing` sends when it hands over, and on which subject.
    async fn listen_in(&self, handing: &JetStreamLog) -> (String, Bytes) {
        let mut requests = self.client.subscribe("test.append.v1.*").await.unwrap();
        self.heard().await;
        append(handing, "overheard").await;
        let request = requests.next().await.unwrap();
        (request.subject.to_string(), request.payload)
    }
}

/// The reason why a request was refused.
fn refusal(answer: &async_nats::Message) -> serde_json::Value {
    assert_eq!(answer.payload[8], 1, "refused");
    serde_json::from_slice(&answer.payload[9..]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_answered_and_stores_nothing() {
    let Some(nats) = Nats::start().await else { return };
    let (writer, handing) = pair(&nats.url()).await;
    let mut stranger = Stranger::new(&nats).await;
    let (subject, good) = stranger.listen_in(&handing).await;
    let last = writer.partition(&stream(), 0).await.unwrap().last_sequence_number;
    let hello = stranger.ask(&subject, Bytes::new()).await;
    assert_eq!((hello.payload.len(), hello.payload[8]), (9, 0));
    for length in 1..good.len() {
        let answer = stranger.ask(&subject, good.slice(..length)).await;
        assert!(refusal(&answer).get(NOT_TAKEN).is_some(), "{length}");
    }
    for at in (0..good.len()).filter(|at| !(8..12).contains(at)) {
        let mut damaged = good.to_vec();
        damaged[at] ^= 0x81;
        let answer = stranger.ask(&subject, damaged.into()).await;
        assert!(refusal(&answer).get(NOT_TAKEN).is_some(), "{at}");
    }
    let longer = [good.as_ref(), b"x"].concat();
    assert!(refusal(&stranger.ask(&subject, longer.into()).await).get(NOT_TAKEN).is_some());
    // Nothing is said where no answers belong, and nobody is expected to listen.
    let mut elsewhere = stranger.client.subscribe("test.elsewhere").await.unwrap();
    stranger.client.publish(subject.clone(), Bytes::from_static(b"no reply")).await.unwrap();
    stranger.client.publish_with_reply(subject.clone(), "test.elsewhere", "x".into()).await.unwrap();
    stranger.ask(&subject, Bytes::from_static(b"and then")).await;
    stranger.heard().await;
    stranger.client.publish("test.elsewhere", "first".into()).await.unwrap();
    assert_eq!(elsewhere.next().await.unwrap().payload, "first");
    // Answers nobody waits for.
    let own = subject.rsplit('.').next().unwrap();
    for number in ["0", "1", "99", "x", "-1", "18446744073709551616"] {
        let answer = format!("test.appended.v1.{own}.{number}");
        stranger.client.publish(answer, "what?".into()).await.unwrap();
    }
    stranger.heard().await;
    assert_eq!(writer.partition(&stream(), 0).await.unwrap().last_sequence_number, last);
    assert_eq!(append(&handing, "goes on").await, last + 1);
    assert_eq!(append(&writer, "goes on").await, last + 2);
    // The same, unharmed.
    assert_eq!(stranger.ask(&subject, good).await.payload[8], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_for_a_stream_that_was_made_again_is_not_taken() {
    let Some(nats) = Nats::start().await else { return };
    let (writer, handing) = pair(&nats.url()).await;
    let mut stranger = Stranger::new(&nats).await;
    let (subject, good) = stranger.listen_in(&handing).await;
    writer.delete(&stream()).await.unwrap();
    assert!(refusal(&stranger.ask(&subject, good.clone()).await).get(NOT_TAKEN).is_some());
    writer.create(&stream(), &config()).await.unwrap();
    assert!(refusal(&stranger.ask(&subject, good).await).get(NOT_TAKEN).is_some());
    assert_eq!(append(&handing, "new").await, 0);
    assert_eq!(read_all(&dynamic(&writer), ReadFrom::Earliest).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_inbox_is_busy_for_others_as_well() {
    let Some(nats) = Nats::start().await else { return };
    let narrow = JetStreamOptions { queue_bytes: 100, ..options() };
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let log = JetStreamLog::connect(&nats.url(), narrow.clone(), Arc::new(SystemClock)).await;
        nodes.push(Arc::new(log.unwrap()));
    }
    nodes[0].create(&stream(), &config()).await.unwrap();
    let (writer, mut others) = settle(nodes).await;
    let mut stranger = Stranger::new(&nats).await;
    let (subject, good) = stranger.listen_in(&others.remove(0)).await;
    let before = writer.partition(&stream(), 0).await.unwrap().last_sequence_number;
    for _ in 0..500 {
        stranger.client.publish_with_reply(subject.clone(), ANSWER, good.clone()).await.unwrap();
    }
    let (mut stored, mut busy) = (0, 0);
    for _ in 0..500 {
        let answer = stranger.answers.next().await.unwrap();
        if answer.payload[8] == 0 {
            stored += 1;
        } else {
            assert_eq!(refusal(&answer), "Busy");
            busy += 1;
        }
    }
    assert!(stored > 0 && busy > 0, "{stored} stored, {busy} busy");
    assert_eq!(writer.partition(&stream(), 0).await.unwrap().last_sequence_number, before + stored);
}

/// A node that hands over to a writer whose place a stranger has taken, which answers as it likes.
struct Impostor {
    handing: Arc<JetStreamLog>,
    requests: async_nats::Subscriber,
    stranger: Stranger,
    tag: [u8; 8],
}

impl Impostor {
    async fn new(nats: &Nats) -> Self {
        let impatient = JetStreamOptions { timeout: Duration::from_millis(1500), ..options() };
        let mut nodes = Vec::new();
        for _ in 0..2 {
            let log = JetStreamLog::connect(&nats.url(), impatient.clone(), Arc::new(SystemClock)).await;
            nodes.push(Arc::new(log.unwrap()));
        }
        nodes[0].create(&stream(), &config()).await.unwrap();
        let (writer, mut others) = settle(nodes).await;
        let handing = others.remove(0);
        let mut stranger = Stranger::new(nats).await;
        let (subject, _) = stranger.listen_in(&handing).await;
        drop(writer);
        stranger.until_nobody_takes(&subject).await;
        let tag = u64::from_str_radix(subject.rsplit('.').next().unwrap(), 16).unwrap().to_be_bytes();
        let requests = stranger.client.subscribe(subject).await.unwrap();
        stranger.heard().await;
        Self { handing, requests, stranger, tag }
    }

    /// Appends a record, while the stranger answers so; what the caller is told.
    async fn append(&mut self, outcome: u8, body: &str) -> Result<i64, LogError> {
        let log = Arc::clone(&self.handing);
        let call = tokio::spawn(async move { log.append(&stream(), 0, vec![record("handed")]).await });
        let request = self.requests.next().await.unwrap();
        let answer = [&self.tag[..], &[outcome], body.as_bytes()].concat();
        self.stranger.client.publish(request.reply.unwrap(), answer.into()).await.unwrap();
        call.await.unwrap().map(|positions| positions[0].sequence_number)
    }

    async fn count(&self) -> i64 {
        self.handing.partition(&stream(), 0).await.unwrap().last_sequence_number
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_writer_refuses_the_caller_is_told() {
    let (file, what) = ("f".to_owned(), "w".to_owned());
    let refusals = [
        (r#""UnknownStream""#, LogError::UnknownStream(stream())),
        (r#"{"Corrupt":{"file":"f","at":3,"what":"w"}}"#, LogError::Corrupt { file, at: 3, what }),
        (r#"{"Unavailable":"why"}"#, LogError::Unavailable("why".to_owned())),
    ];
    for (refusal, error) in refusals {
        let Some(nats) = Nats::start().await else { return };
        let mut impostor = Impostor::new(&nats).await;
        let before = impostor.count().await;
        assert_eq!(impostor.append(1, "\"Busy\"").await, Err(LogError::Busy));
        assert_eq!(impostor.append(1, refusal).await, Err(error));
        assert_eq!(impostor.count().await, before, "nothing was appended here");
        assert_eq!(append(&impostor.handing, "here").await, before + 1, "the next is");
    }
}

/// What certainly was not taken is appended here, once, and so is what comes after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_writer_has_not_taken_is_appended_here() {
    let Some(nats) = Nats::start().await else { return };
    let mut impostor = Impostor::new(&nats).await;
    let before = impostor.count().await;
    assert_eq!(impostor.append(1, r#"{"NotTaken":"why"}"#).await, Ok(before + 1));
    assert_eq!(append(&impostor.handing, "here").await, before + 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_can_tell_is_told_so() {
    // No reply there could be; positions for none of the records; an end in the middle.
    for (outcome, body) in [(7, ""), (1, "no JSON"), (0, ""), (0, "half a position")] {
        let Some(nats) = Nats::start().await else { return };
        let mut impostor = Impostor::new(&nats).await;
        let before = impostor.count().await;
        let told = impostor.append(outcome, body).await;
        assert!(matches!(told, Err(LogError::Unavailable(_))), "{told:?}");
        assert_eq!(impostor.count().await, before, "not appended here: it may be there");
        if (outcome, body) != (0, "") {
            assert_eq!(append(&impostor.handing, "here").await, before + 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_is_silent_is_left_after_the_time_for_a_call() {
    let Some(nats) = Nats::start().await else { return };
    let impostor = Impostor::new(&nats).await;
    let (before, begun) = (impostor.count().await, Instant::now());
    let told = impostor.handing.append(&stream(), 0, vec![record("lost")]).await;
    assert!(matches!(told, Err(LogError::Unavailable(_))), "{told:?}");
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(impostor.count().await, before);
    for number in 1..=5 {
        assert_eq!(append(&impostor.handing, "here").await, before + number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_goes_with_what_it_was_handed_is_noticed_before_the_time_is_up() {
    let Some(nats) = Nats::start().await else { return };
    let (writer, handing) = pair(&nats.url()).await;
    let mut stranger = Stranger::new(&nats).await;
    let (subject, _) = stranger.listen_in(&handing).await;
    drop(writer);
    stranger.until_nobody_takes(&subject).await;
    let mut requests = stranger.client.subscribe(subject).await.unwrap();
    stranger.heard().await;
    let begun = Instant::now();
    let call = tokio::spawn({
        let log = Arc::clone(&handing);
        async move { log.append(&stream(), 0, vec![record("lost")]).await }
    });
    requests.next().await.unwrap();
    drop(requests);
    stranger.heard().await;
    let told = call.await.unwrap();
    assert!(matches!(told, Err(LogError::Unavailable(_))), "{told:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "before the five seconds of a call: {:?}",
        begun.elapsed()
    );
    append(&handing, "here").await;
}
