//! The graph: one site of buildings with 10 levels of 20 rooms, each room with 8 devices, two of them thermostats.

use serde_json::{Value, json};

pub(super) const THERMOSTAT: &str = "dtmi:bench:Thermostat;1";
const UNIT: &str = "dtmi:org:brickschema:schema:Brick:Terminal_Unit;1";
const LEVELS: usize = 10;
const ROOMS: usize = 20;
const DEVICES: usize = 8;
const THERMOSTATS: usize = 2;
/// A level and what is below it.
const LEVEL: usize = 1 + ROOMS * (1 + DEVICES);
/// How many thermostats are warmer than the filter asks for.
pub(super) const WARM: usize = 100;

/// A twin: id, model, contents.
pub(super) struct Twin {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) contents: Value,
}

impl Twin {
    /// The document as the subject shows it, so that peers keep and give as much.
    pub(super) fn document(&self) -> Value {
        let time = "2026-01-01T00:00:00.0000000Z";
        let mut metadata = json!({ "$model": self.model, "$lastUpdateTime": time });
        let mut document = json!({ "$dtId": self.id, "$etag": format!("W/\"{}\"", "0".repeat(36)) });
        for (name, value) in self.contents.as_object().into_iter().flatten() {
            document[name] = value.clone();
            if value.is_object() {
                document[name]["$metadata"] = json!({ "$lastUpdateTime": time });
            } else {
                metadata[name] = json!({ "lastUpdateTime": time });
            }
        }
        document["$metadata"] = metadata;
        document
    }
}

/// A relationship: source, id, name, target.
pub(super) struct Edge {
    pub(super) source: String,
    pub(super) id: String,
    pub(super) name: &'static str,
    pub(super) target: String,
}

/// All of it.
pub(super) struct Campus {
    twins: Vec<Twin>,
    edges: Vec<Edge>,
    buildings: usize,
    thermostats: Vec<String>,
}

impl Campus {
    /// About so many twins.
    pub(super) fn new(twins: usize) -> Self {
        let buildings = twins.div_ceil(LEVELS * LEVEL + 1).max(1);
        let mut campus = Self { twins: Vec::new(), edges: Vec::new(), buildings, thermostats: Vec::new() };
        let left = |campus: &Self| twins > campus.twins.len();
        campus.space("site".to_owned(), "Site", None);
        for building in 0..buildings {
            let id = format!("b{building:03}");
            campus.space(id.clone(), "Building", Some("site"));
            for level in (0..LEVELS).take_while(|_| left(&campus) || building == 0).collect::<Vec<_>>() {
                campus.level(&id, level);
            }
        }
        campus.temper();
        campus
    }

    fn level(&mut self, building: &str, level: usize) {
        let level = format!("{building}-l{level:02}");
        self.space(level.clone(), "Level", Some(building));
        for room in 0..ROOMS {
            let room = format!("{level}-r{room:02}");
            self.space(room.clone(), "Room", Some(&level));
            for device in 0..DEVICES {
                self.device(&room, device);
            }
        }
    }

    fn space(&mut self, id: String, kind: &str, part_of: Option<&str>) {
        if let Some(whole) = part_of {
            self.relate(whole, "hasPart", &id);
            self.relate(&id, "isPartOf", whole);
        }
        let empty = json!({ "$metadata": {} });
        let contents = json!({ "name": format!("{kind} {id}"), "area": empty, "capacity": empty });
        self.twins.push(Twin { model: format!("dtmi:org:w3id:rec:{kind};1"), contents, id });
    }

    fn device(&mut self, room: &str, device: usize) {
        let id = format!("{room}-d{device}");
        self.relate(room, "isLocationOf", &id);
        self.relate(&id, "locatedIn", room);
        if device + 1 < DEVICES {
            self.relate(&id, "feeds", &format!("{room}-d{}", device + 1));
        }
        let contents = json!({
            "name": format!("Device {id}"), "serialNumber": format!("SN-{:08}", self.twins.len()),
            "modelNumber": format!("M{}", device % 4), "assetTag": format!("tag-{}", self.twins.len() % 1000),
        });
        if device < THERMOSTATS {
            self.thermostats.push(id.clone());
            return self.twins.push(Twin { id, model: THERMOSTAT.to_owned(), contents });
        }
        self.twins.push(Twin { id, model: UNIT.to_owned(), contents });
    }

    /// Gives each thermostat another temperature, from 0 to 100, spread over the buildings.
    fn temper(&mut self) {
        let count = self.thermostats.len();
        let all = self.twins.iter_mut().filter(|twin| twin.model == THERMOSTAT);
        for (number, twin) in all.enumerate() {
            // 7919 is a prime: no two are the same.
            let rank = number * 7919 % count;
            twin.contents["temperature"] = json!(rank as f64 * 100.0 / count as f64);
            twin.contents["setpoint"] = json!(21.5);
        }
    }

    fn relate(&mut self, source: &str, name: &'static str, target: &str) {
        let (source, target) = (source.to_owned(), target.to_owned());
        self.edges.push(Edge { id: format!("{name}-{target}"), source, name, target });
    }

    pub(super) fn twins(&self) -> &[Twin] {
        &self.twins
    }

    pub(super) fn relationships(&self) -> &[Edge] {
        &self.edges
    }

    /// Any twin, spread over all.
    pub(super) fn any(&self, turn: usize) -> &str {
        &self.twins[turn * 7919 % self.twins.len()].id
    }

    /// Any thermostat.
    pub(super) fn thermostat(&self, turn: usize) -> &str {
        &self.thermostats[turn * 7919 % self.thermostats.len()]
    }

    /// A building that is whole.
    pub(super) fn building(&self, turn: usize) -> String {
        format!("b{:03}", turn % self.buildings.saturating_sub(1).max(1))
    }

    /// A level of such a building.
    pub(super) fn level_of(&self, turn: usize) -> String {
        format!("{}-l{:02}", self.building(turn), turn % LEVELS)
    }

    /// Above this temperature there are [`WARM`] thermostats.
    pub(super) fn warm(&self) -> f64 {
        let count = self.thermostats.len() as f64;
        (count - WARM as f64 - 0.5) * 100.0 / count
    }
}

/// Temperatures of a building's thermostats that the join asks for: one in twenty.
pub(super) const HOT: f64 = 95.0;
