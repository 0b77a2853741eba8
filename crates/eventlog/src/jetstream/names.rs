//! What a stream's parts are called on the server.

use crate::log::StreamName;

/// Longest part of a stream's name that is shown in a JetStream name (which becomes a folder's name: 255 bytes).
const SHOWN: usize = 64;

/// The names of one partition of one incarnation of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The JetStream stream. Unique by its incarnation; what else it shows is for the operator's eyes.
    pub(crate) js_stream: String,
    /// What frames are published on.
    pub(crate) subject: String,
    /// Where nodes tell each other that there is something new.
    pub(crate) notice: String,
}

impl Place {
    pub(crate) fn new(prefix: &str, stream: &StreamName, incarnation: &str, partition: u32) -> Self {
        let (namespace, hub) = (encode(stream.namespace()), encode(stream.event_hub()));
        Self {
            js_stream: format!("{}{incarnation}-{partition}", beginning(prefix, stream)),
            subject: format!("{prefix}.log.{namespace}.{hub}.{incarnation}.{partition}"),
            notice: format!("{prefix}.notice.{namespace}.{hub}.{incarnation}.{partition}"),
        }
    }
}

/// What the names of a stream's JetStream streams begin with.
pub(crate) fn beginning(prefix: &str, stream: &StreamName) -> String {
    format!("{prefix}-log-{}-{}-", shown(stream.namespace()), shown(stream.event_hub()))
}

/// A JetStream stream of ours: its incarnation, from its name.
pub(crate) fn incarnation_of<'a>(prefix: &str, js_stream: &'a str) -> Option<&'a str> {
    js_stream.strip_prefix(prefix)?.strip_prefix("-log-")?;
    js_stream.rsplit('-').nth(1)
}

/// The catalog's key for a stream.
pub(crate) fn key(stream: &StreamName) -> String {
    format!("{}.{}", encode(stream.namespace()), encode(stream.event_hub()))
}

/// The stream a catalog key stands for.
pub(crate) fn stream_of(key: &str) -> Option<StreamName> {
    StreamName::new(&key.replacen('.', "/", 1).replace("=2E", ".")).ok()
}

/// A part of a stream's name as one token of a subject: of the characters it may have, only the dot means something.
fn encode(part: &str) -> String {
    part.replace('.', "=2E")
}

fn shown(part: &str) -> String {
    part.chars().take(SHOWN).map(|c| if c == '.' { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_fit() {
        let long = format!("{}/{}", "n.".repeat(128), "h.".repeat(128));
        for name in ["ns/hub", "a.b-c_d/e.f", &long] {
            let stream = StreamName::new(name).expect("a valid name");
            assert_eq!(stream_of(&key(&stream)), Some(stream.clone()));
            let place = Place::new("pollux", &stream, "0123456789abcdef", 31);
            assert!(place.js_stream.len() <= 200 && !place.js_stream.contains('.'), "{}", place.js_stream);
            assert_eq!(incarnation_of("pollux", &place.js_stream), Some("0123456789abcdef"));
            assert_eq!(incarnation_of("other", &place.js_stream), None);
            assert_eq!(place.subject.split('.').count(), 6);
        }
    }
}
