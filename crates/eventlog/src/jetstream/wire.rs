//! JetStream's API as a 2.9 server speaks it: requests with a deadline, answers as values.
//!
//! Spoken here rather than through the client's JetStream module, so that it is plain to see what goes over the
//! wire, what an unanswered publish means, and that a cut connection is noticed at once.

use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, RequestErrorKind};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

/// Why a request has no answer to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody answers for this stream: it is gone, or has no leader at the moment.
    Gone,
    /// The stream has no such message.
    NoMessage,
    /// Another message came first; the number is the newest message's, where the server tells.
    WrongLast,
    /// It cannot be known whether the server did what was asked.
    Uncertain(String),
    /// The server did not do it.
    Refused(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone => f.write_str("no JetStream server answers for the stream"),
            Self::NoMessage => f.write_str("there is no such message"),
            Self::WrongLast => f.write_str("another message came first"),
            Self::Uncertain(why) | Self::Refused(why) => f.write_str(why),
        }
    }
}

/// Whether there is a connection; `epoch` counts how often there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) up: bool,
    pub(crate) epoch: u64,
}

/// What there is in a JetStream stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct State {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
}

/// A message as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) js: u64,
    pub(crate) data: Bytes,
    /// The headers' text; empty where the message has none or they were not asked for.
    pub(crate) headers: String,
}

#[derive(serde::Deserialize)]
struct ApiError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// Before a question is put again.
const AGAIN: Duration = Duration::from_millis(20);
const STREAM_NOT_FOUND: u64 = 10059;
const NO_MESSAGE: u64 = 10037;
const WRONG_LAST_SEQUENCE: u64 = 10071;
/// Also when a mirror's or a stream's name is in use with another configuration.
const NAME_IN_USE: u64 = 10058;

/// The connection.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub(crate) client: Client,
    pub(crate) link: watch::Receiver<Link>,
    pub(crate) timeout: Duration,
}

impl Wire {
    /// When a call that begins now gives up.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    async fn request(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<Message, Failure> {
        let mut link = self.link.clone();
        let connected = tokio::time::timeout_at(deadline, link.wait_for(|link| link.up)).await;
        let Ok(Ok(Link { epoch, .. })) = connected.map(|answer| answer.map(|link| *link)) else {
            return Err(Failure::Uncertain("there is no connection to NATS".to_owned()));
        };
        let mut request = async_nats::Request::new().payload(payload).timeout(None);
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        tokio::select! {
            answer = tokio::time::timeout_at(deadline, self.client.send_request(subject.to_owned(), request)) => {
                match answer {
                    Ok(Ok(message)) => Ok(message),
                    Ok(Err(error)) => Err(match error.kind() {
                        RequestErrorKind::NoResponders => Failure::Gone,
                        RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
                            Failure::Refused(error.to_string())
                        }
                        _ => Failure::Uncertain(error.to_string()),
                    }),
                    Err(_) => Err(Failure::Uncertain("NATS did not answer in time".to_owned())),
                }
            }
            _ = link.wait_for(|link| link.epoch != epoch) => {
                Err(Failure::Uncertain("the connection to NATS was lost".to_owned()))
            }
        }
    }

    async fn api<T: DeserializeOwned>(
        &self,
        subject: &str,
        body: &Value,
        deadline: Instant,
    ) -> Result<T, Failure> {
        // Requests without arguments must have no body at all.
        let payload = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let answer = self.ask(&format!("$JS.API.{subject}"), payload, deadline).await?;
        parse(&answer.payload)
    }

    /// A request that does no harm when it is repeated: a short outage is waited out.
    async fn ask(&self, subject: &str, payload: Bytes, deadline: Instant) -> Result<Message, Failure> {
        loop {
            match self.request(subject, None, payload.clone(), deadline).await {
                Err(Failure::Uncertain(_)) if Instant::now() + AGAIN < deadline => {
                    tokio::time::sleep(AGAIN).await;
                }
                answer => return answer,
            }
        }
    }

    /// Publishes into a stream whose newest message is `expected`; the new message's sequence.
    pub(crate) async fn publish(
        &self,
        subject: &str,
        body: Bytes,
        expected: u64,
        deadline: Instant,
    ) -> Result<u64, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Expected-Last-Sequence", expected.to_string());
        published(&self.request(subject, Some(headers), body, deadline).await?)
    }

    /// Puts or, with no value, deletes a key whose newest revision is `expected` (0: there is none).
    pub(crate) async fn put(
        &self,
        subject: &str,
        value: Option<Bytes>,
        expected: u64,
        deadline: Instant,
    ) -> Result<u64, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Expected-Last-Subject-Sequence", expected.to_string());
        if value.is_none() {
            headers.insert("KV-Operation", "DEL");
        }
        let answer = self.request(subject, Some(headers), value.unwrap_or_default(), deadline).await?;
        published(&answer)
    }

    /// What there is in a stream, as its leader knows it.
    pub(crate) async fn state(&self, stream: &str, deadline: Instant) -> Result<State, Failure> {
        #[derive(serde::Deserialize)]
        struct Info {
            state: State,
        }
        let info: Info = self.api(&format!("STREAM.INFO.{stream}"), &Value::Null, deadline).await?;
        Ok(info.state)
    }

    /// A message from any replica; a replica that lags answers [`Failure::NoMessage`].
    pub(crate) async fn get(&self, stream: &str, js: u64, deadline: Instant) -> Result<Bytes, Failure> {
        let body = Bytes::from(json!({ "seq": js }).to_string());
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        let message = self.ask(&subject, body, deadline).await?;
        match message.status.map(|status| status.as_u16()) {
            None | Some(200) => Ok(message.payload),
            Some(404) => Err(Failure::NoMessage),
            Some(other) => Err(Failure::Refused(format!(
                "NATS answered {other} {}",
                message.description.as_deref().unwrap_or_default()
            ))),
        }
    }

    /// A message from the stream's leader.
    pub(crate) async fn get_from_leader(
        &self,
        stream: &str,
        js: u64,
        deadline: Instant,
    ) -> Result<Stored, Failure> {
        self.stored(stream, &json!({ "seq": js }), deadline).await
    }

    /// The newest message on a subject, from the stream's leader.
    pub(crate) async fn last(
        &self,
        stream: &str,
        subject: &str,
        deadline: Instant,
    ) -> Result<Stored, Failure> {
        self.stored(stream, &json!({ "last_by_subj": subject }), deadline).await
    }

    /// The first message at or after `js` on a subject (which may have wildcards), from the stream's leader.
    pub(crate) async fn next(
        &self,
        stream: &str,
        js: u64,
        subject: &str,
        deadline: Instant,
    ) -> Result<(Stored, String), Failure> {
        let body = json!({ "seq": js, "next_by_subj": subject });
        let answer = self.message(stream, &body, deadline).await?;
        let subject = answer.subject.clone();
        Ok((answer.into_stored()?, subject))
    }

    async fn stored(&self, stream: &str, body: &Value, deadline: Instant) -> Result<Stored, Failure> {
        self.message(stream, body, deadline).await?.into_stored()
    }

    async fn message(&self, stream: &str, body: &Value, deadline: Instant) -> Result<RawMessage, Failure> {
        #[derive(serde::Deserialize)]
        struct Got {
            message: RawMessage,
        }
        let got: Got = self.api(&format!("STREAM.MSG.GET.{stream}"), body, deadline).await?;
        Ok(got.message)
    }

    /// Makes a stream; one that is there with the same configuration is no error.
    pub(crate) async fn create_stream(&self, config: &Value, deadline: Instant) -> Result<(), Failure> {
        let name = config["name"].as_str().unwrap_or_default();
        self.api::<Value>(&format!("STREAM.CREATE.{name}"), config, deadline).await.map(drop)
    }

    /// Removes a stream; that there is none is no error.
    pub(crate) async fn delete_stream(&self, stream: &str, deadline: Instant) -> Result<(), Failure> {
        match self.api::<Value>(&format!("STREAM.DELETE.{stream}"), &Value::Null, deadline).await {
            Ok(_) | Err(Failure::Gone) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Removes all messages before `js`.
    pub(crate) async fn purge_before(&self, stream: &str, js: u64, deadline: Instant) -> Result<(), Failure> {
        self.api::<Value>(&format!("STREAM.PURGE.{stream}"), &json!({ "seq": js }), deadline).await.map(drop)
    }

    /// The names of all streams with a subject that matches.
    pub(crate) async fn streams_on(&self, subject: &str, deadline: Instant) -> Result<Vec<String>, Failure> {
        #[derive(serde::Deserialize)]
        struct Page {
            total: usize,
            #[serde(default)]
            streams: Option<Vec<String>>,
        }
        let mut names = Vec::new();
        loop {
            let body = json!({ "offset": names.len(), "subject": subject });
            let page: Page = self.api("STREAM.NAMES", &body, deadline).await?;
            let more = page.streams.unwrap_or_default();
            let done = more.is_empty();
            names.extend(more);
            if done || names.len() >= page.total {
                return Ok(names);
            }
        }
    }

    /// Whether JetStream answers this account.
    pub(crate) async fn account(&self, deadline: Instant) -> Result<(), Failure> {
        self.api::<Value>("INFO", &Value::Null, deadline).await.map(drop)
    }
}

#[derive(serde::Deserialize)]
struct RawMessage {
    subject: String,
    seq: u64,
    #[serde(default)]
    data: String,
    #[serde(default)]
    hdrs: String,
}

impl RawMessage {
    fn into_stored(self) -> Result<Stored, Failure> {
        let headers = unbase64(&self.hdrs)?;
        Ok(Stored {
            js: self.seq,
            data: unbase64(&self.data)?.into(),
            headers: String::from_utf8_lossy(&headers).into_owned(),
        })
    }
}

fn unbase64(text: &str) -> Result<Vec<u8>, Failure> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|_| Failure::Refused("NATS sent a message that is not base64".to_owned()))
}

fn published(answer: &Message) -> Result<u64, Failure> {
    #[derive(serde::Deserialize)]
    struct Ack {
        seq: u64,
    }
    parse::<Ack>(&answer.payload).map(|ack| ack.seq)
}

fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Failure> {
    #[derive(serde::Deserialize)]
    struct Refusal {
        error: Option<ApiError>,
    }
    let unreadable = |error| Failure::Uncertain(format!("NATS sent an answer nobody can read: {error}"));
    // Errors are looked for by their name: a large message is not parsed twice.
    if memmem(payload, b"\"error\":") {
        let refusal: Refusal = serde_json::from_slice(payload).map_err(unreadable)?;
        if let Some(error) = refusal.error {
            return Err(match error.err_code {
                STREAM_NOT_FOUND => Failure::Gone,
                NO_MESSAGE => Failure::NoMessage,
                WRONG_LAST_SEQUENCE => Failure::WrongLast,
                NAME_IN_USE => Failure::Refused("a stream of this name has another configuration".to_owned()),
                code => Failure::Refused(format!("{} ({code})", error.description)),
            });
        }
    }
    serde_json::from_slice(payload).map_err(unreadable)
}

/// Whether the needle is in the first bytes, where JetStream writes an error.
fn memmem(payload: &[u8], needle: &[u8]) -> bool {
    payload[..payload.len().min(200)].windows(needle.len()).any(|window| window == needle)
}
