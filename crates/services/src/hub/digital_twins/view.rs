//! The digital twin of a device twin.

use pollux_model::device::{Device, TwinCollection};
use serde_json::{Map, Value, json};

/// What marks a component among properties.
pub(super) const MARKER: &str = "__t";

/// The two sides of a device twin, or of a component of it.
#[derive(Clone, Copy, Default)]
struct Sides<'t> {
    desired: Option<Side<'t>>,
    reported: Option<Side<'t>>,
}

/// Properties and what is kept beside them.
#[derive(Clone, Copy)]
struct Side<'t> {
    properties: &'t Map<String, Value>,
    metadata: Option<&'t Map<String, Value>>,
}

impl<'t> Side<'t> {
    const fn of(side: &'t TwinCollection) -> Self {
        Self { properties: &side.properties, metadata: Some(&side.metadata) }
    }

    /// A component in it.
    fn component(self, name: &str) -> Option<Self> {
        let properties = self.properties.get(name)?.as_object().filter(|inner| is_component(inner))?;
        Some(Self { properties, metadata: self.beside(name) })
    }

    fn beside(self, name: &str) -> Option<&'t Map<String, Value>> {
        self.metadata.and_then(|metadata| metadata.get(name)).and_then(Value::as_object)
    }

    /// A member of what is kept beside a property.
    fn stamp(self, name: &str, member: &str) -> Option<&'t Value> {
        self.beside(name).and_then(|beside| beside.get(member))
    }
}

/// Whether an object of a device twin is a component.
pub(super) fn is_component(object: &Map<String, Value>) -> bool {
    object.get(MARKER).is_some_and(|marker| marker == "c")
}

/// The digital twin of a device or module.
pub(super) fn digital_twin(device: &Device) -> Value {
    let twin = &device.twin;
    let sides = Sides { desired: Some(Side::of(&twin.desired)), reported: Some(Side::of(&twin.reported)) };
    let id = match &device.module {
        Some(module) => format!("{}~{module}", device.id),
        None => device.id.to_string(),
    };
    let mut shown = Map::from_iter([("$dtId".to_owned(), json!(id))]);
    let mut metadata = Map::from_iter([("$model".to_owned(), json!(twin.model_id))]);
    properties(sides, &mut shown, &mut metadata);
    for name in names(sides, true) {
        let sides = Sides {
            desired: sides.desired.and_then(|side| side.component(name)),
            reported: sides.reported.and_then(|side| side.component(name)),
        };
        let (mut inner, mut beside) = (Map::new(), Map::new());
        properties(sides, &mut inner, &mut beside);
        inner.insert("$metadata".to_owned(), Value::Object(beside));
        shown.insert(name.to_owned(), Value::Object(inner));
    }
    shown.insert("$metadata".to_owned(), Value::Object(metadata));
    Value::Object(shown)
}

/// The names of components, or of properties. What is a component on one side is none of the properties of the other.
fn names(sides: Sides<'_>, components: bool) -> Vec<&str> {
    let both = || [sides.reported, sides.desired].into_iter().flatten();
    let component = |name: &str| both().any(|side| side.component(name).is_some());
    let mut names: Vec<&str> = Vec::new();
    for name in both().flat_map(|side| side.properties.keys()) {
        if name != MARKER && component(name) == components && !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

fn properties(sides: Sides<'_>, shown: &mut Map<String, Value>, metadata: &mut Map<String, Value>) {
    for name in names(sides, false) {
        let mut beside = Map::new();
        let mut note = |member: &str, value: Option<&Value>| {
            if let Some(value) = value {
                beside.insert(member.to_owned(), value.clone());
            }
        };
        if let Some(desired) = sides.desired {
            note("desiredValue", desired.properties.get(name));
            note("desiredVersion", desired.stamp(name, "$lastUpdatedVersion"));
        }
        if let Some(reported) = sides.reported
            && let Some(value) = reported.properties.get(name)
        {
            let acknowledged = value.as_object().filter(|value| is_acknowledgement(value));
            for (member, short) in [("ackVersion", "av"), ("ackCode", "ac"), ("ackDescription", "ad")] {
                note(member, acknowledged.and_then(|value| value.get(short)));
            }
            note("lastUpdateTime", reported.stamp(name, "$lastUpdated"));
            let value = acknowledged.and_then(|value| value.get("value")).unwrap_or(value);
            shown.insert(name.to_owned(), value.clone());
        }
        metadata.insert(name.to_owned(), Value::Object(beside));
    }
}

/// Whether a device reports what became of a desired value ("Writable properties": `value`, `ac`, `av`, and `ad`).
fn is_acknowledgement(value: &Map<String, Value>) -> bool {
    value.contains_key("value") && (value.contains_key("ac") || value.contains_key("av"))
}
