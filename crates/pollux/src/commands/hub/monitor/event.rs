//! An event as `az iot hub monitor-events` shows it, and which are shown.

use clap::ValueEnum;
use pollux_amqp::{AnnotationKey, Message, MessageId, Properties, Value as Amqp};
use pollux_model::Timestamp;
use serde_json::{Map, Value, json};

use crate::commands::events::shown;

/// What is shown beside the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    /// System properties: content type, message id, …
    Sys,
    /// Application properties
    App,
    /// What the hub adds: which device, when, how it signed in
    Anno,
    /// All of them
    All,
}

/// Which events are shown, and what of them.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) device: Option<String>,
    pub(super) module: Option<String>,
    pub(super) parts: Vec<Part>,
    pub(super) content_type: Option<String>,
}

impl Wanted {
    /// The event; none where it is of another device or module.
    pub(super) fn shown(&self, message: &Message) -> Option<Value> {
        let said =
            |name: &str| message.message_annotations.get(name).and_then(Amqp::as_str).unwrap_or_default();
        let (device, module) = (said("iothub-connection-device-id"), said("iothub-connection-module-id"));
        let fits =
            |wanted: &Option<String>, id: &str| wanted.as_deref().is_none_or(|wanted| like(wanted, id));
        if !fits(&self.device, device) || !fits(&self.module, module) {
            return None;
        }
        let mut event = json!({
            "origin": device,
            "module": module,
            "interface": said("dt-dataschema"),
            "component": said("dt-subject"),
        });
        let mut properties = Map::new();
        let system = system(message.properties.as_ref());
        let content_type = self.content_type.as_deref().or_else(|| system.get("content_type")?.as_str());
        let payload = payload(message, content_type);
        if self.shows(Part::Sys) {
            properties.insert("system".to_owned(), Value::Object(system));
        }
        if self.shows(Part::App) {
            let all = message.application_properties.0.iter();
            let all = all.map(|(name, one)| (name.clone(), shown::value(one))).collect();
            properties.insert("application".to_owned(), Value::Object(all));
        }
        if !properties.is_empty() {
            event["properties"] = Value::Object(properties);
        }
        if self.shows(Part::Anno) {
            event["annotations"] = Value::Object(annotations(message));
        }
        event["payload"] = payload;
        Some(json!({ "event": event }))
    }

    fn shows(&self, part: Part) -> bool {
        self.parts.iter().any(|one| [part, Part::All].contains(one))
    }
}

/// Whether an id is as a pattern says, in which * stands for any letters and ? for one.
fn like(pattern: &str, id: &str) -> bool {
    let (pattern, id): (Vec<char>, Vec<char>) = (pattern.chars().collect(), id.chars().collect());
    let (mut at, mut next) = (0, 0);
    // Where the last * was, and what it has taken so far.
    let mut star = None;
    while next < id.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, next));
                at += 1;
            }
            Some(one) if *one == '?' || *one == id[next] => (at, next) = (at + 1, next + 1),
            _ => {
                let Some((back, taken)) = star else { return false };
                star = Some((back, taken + 1));
                (at, next) = (back + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|one| *one == '*')
}

/// As JSON where the content type says so and it is true, else as text, else in base64.
fn payload(message: &Message, content_type: Option<&str>) -> Value {
    let bytes = message.body.as_bytes().unwrap_or_default();
    let Ok(text) = std::str::from_utf8(&bytes) else { return shown::bytes(&bytes) };
    let is_json = content_type.is_some_and(|kind| kind.to_ascii_lowercase().contains("application/json"));
    let parsed = is_json.then(|| serde_json::from_str(text).ok()).flatten();
    parsed.unwrap_or_else(|| json!(text))
}

fn annotations(message: &Message) -> Map<String, Value> {
    let named = |(key, one): &(AnnotationKey, Amqp)| match key {
        AnnotationKey::Symbol(name) => Some((name.as_str().to_owned(), shown::value(one))),
        AnnotationKey::Ulong(_) => None,
    };
    message.message_annotations.0.iter().filter_map(named).collect()
}

/// The names are those of the properties in AMQP, with underscores.
fn system(properties: Option<&Properties>) -> Map<String, Value> {
    let Some(properties) = properties else { return Map::new() };
    let id = |id: &Option<MessageId>| {
        id.as_ref().map(|id| match id {
            MessageId::Ulong(id) => json!(id),
            MessageId::Uuid(id) => json!(id),
            MessageId::Binary(id) => shown::bytes(id),
            MessageId::String(id) => json!(id),
        })
    };
    let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
    let time = |millis: Option<i64>| millis.map(|millis| json!(Timestamp::from_millis(millis).to_string()));
    let all = [
        ("message_id", id(&properties.message_id)),
        ("user_id", properties.user_id.as_ref().map(|id| shown::bytes(id))),
        ("to", text(&properties.to)),
        ("subject", text(&properties.subject)),
        ("reply_to", text(&properties.reply_to)),
        ("correlation_id", id(&properties.correlation_id)),
        ("content_type", properties.content_type.as_ref().map(|one| json!(one.as_str()))),
        ("content_encoding", properties.content_encoding.as_ref().map(|one| json!(one.as_str()))),
        ("absolute_expiry_time", time(properties.absolute_expiry_time)),
        ("creation_time", time(properties.creation_time)),
        ("group_id", text(&properties.group_id)),
        ("group_sequence", properties.group_sequence.map(|number| json!(number))),
        ("reply_to_group_id", text(&properties.reply_to_group_id)),
    ];
    all.into_iter().filter_map(|(name, one)| Some((name.to_owned(), one?))).collect()
}

#[cfg(test)]
mod tests {
    use pollux_amqp::{Annotations, Body, Symbol};

    use super::*;

    fn message(content_type: Option<&'static str>) -> Message {
        let mut annotations = Annotations::default();
        annotations.push(Symbol::from_static("iothub-connection-device-id"), "sim-1");
        annotations.push(Symbol::from_static("x-opt-offset"), "17");
        let properties = Properties {
            content_type: content_type.map(Symbol::from_static),
            message_id: Some(MessageId::String("m".to_owned())),
            ..Properties::default()
        };
        let mut message = Message {
            message_annotations: annotations,
            properties: Some(properties),
            body: Body::Data(vec![b"{\"a\": 1}".to_vec().into()]),
            ..Message::default()
        };
        message.application_properties.push("level", "high");
        message
    }

    fn wanted(device: Option<&str>, parts: &[Part]) -> Wanted {
        Wanted { device: device.map(str::to_owned), module: None, parts: parts.to_vec(), content_type: None }
    }

    #[test]
    fn an_event_has_what_is_asked_for() {
        let bare = wanted(None, &[]).shown(&message(Some("application/json"))).unwrap();
        let event = json!({ "origin": "sim-1", "module": "", "interface": "", "component": "", "payload": { "a": 1 } });
        assert_eq!(bare, json!({ "event": event }));
        let all = wanted(None, &[Part::All]).shown(&message(None)).unwrap();
        assert_eq!(all["event"]["properties"]["application"], json!({ "level": "high" }));
        assert_eq!(all["event"]["properties"]["system"], json!({ "message_id": "m" }));
        assert_eq!(all["event"]["annotations"]["x-opt-offset"], "17");
        // Nobody said that it is JSON.
        assert_eq!(all["event"]["payload"], "{\"a\": 1}");
        let forced =
            Wanted { content_type: Some("application/json".to_owned()), ..wanted(None, &[Part::App]) };
        let forced = forced.shown(&message(None)).unwrap();
        assert_eq!(forced["event"]["payload"]["a"], 1);
        assert!(
            forced["event"].get("annotations").is_none()
                && forced["event"]["properties"].get("system").is_none()
        );
    }

    #[test]
    fn devices_are_named_or_like_a_pattern() {
        for (pattern, fits) in
            [("sim-1", true), ("sim-*", true), ("s?m-?", true), ("*", true), ("sim", false), ("*2", false)]
        {
            assert_eq!(wanted(Some(pattern), &[]).shown(&message(None)).is_some(), fits, "{pattern}");
        }
        assert!(like("a*b*c", "axxbyyc") && !like("a*b*c", "axxbyy") && like("", "") && !like("?", ""));
        let module = Wanted { module: Some("*".to_owned()), ..wanted(None, &[]) };
        assert!(module.shown(&message(None)).is_some());
    }
}
