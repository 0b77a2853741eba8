//! Each verb against a SQLite store in a folder of its own.

use std::sync::Arc;
use std::time::Duration;

use pollux_eventlog::{SegmentLog, SegmentOptions};
use pollux_model::digital_twin::DigitalTwin;
use pollux_model::resource::{self, Properties, Resource};
use pollux_model::{Error, ErrorCode, Etag, ManualClock, ResourceName, Timestamp};
use pollux_store::sqlite::{SqliteOptions, SqliteStore};
use pollux_testkit::SeededRandom;
use serde_json::{Value, json};

use super::{PatchTwin, PutRelationship, PutTwin, Twins, json_patch};
use crate::resources::ResourceTable;
use crate::{Caller, Context, Limits};

mod continuation;
mod event_routes;
mod graph_file;
mod history;
mod indexes;
mod jobs;
mod models;
mod patch_fuzz;
mod patch_targets;
mod patches;
mod queries;
mod query_bounds;
mod query_oracle;
mod rates;
mod read_model;
mod relationships;
mod room;
mod twins;

const ROOM: &str = "dtmi:example:Room;1";
const HOTEL_ROOM: &str = "dtmi:example:HotelRoom;1";
const FLOOR: &str = "dtmi:example:Floor;1";
const SENSOR: &str = "dtmi:example:Sensor;1";

/// A service over a store of its own.
struct World {
    twins: Arc<Twins>,
    clock: Arc<ManualClock>,
    instance: ResourceName,
    admin: Caller,
    folder: tempfile::TempDir,
}

impl World {
    fn empty() -> Self {
        Self::over(tempfile::tempdir().unwrap())
    }

    /// With the models below.
    async fn new() -> Self {
        let world = Self::empty();
        world.twins.create_models(&world.admin, &world.instance, models()).await.unwrap();
        world
    }

    /// With the models below and other bounds.
    async fn bounded(limits: Limits) -> Self {
        let world = Self::within(tempfile::tempdir().unwrap(), limits);
        world.twins.create_models(&world.admin, &world.instance, models()).await.unwrap();
        world
    }

    fn over(folder: tempfile::TempDir) -> Self {
        Self::within(folder, Limits::default())
    }

    fn within(folder: tempfile::TempDir, limits: Limits) -> Self {
        let store = SqliteStore::open(&folder.path().join("state.db"), SqliteOptions::default()).unwrap();
        Self::on(Arc::new(store), folder, limits)
    }

    /// On any store; it has nothing yet.
    fn on(store: pollux_store::store::DynStore, folder: tempfile::TempDir, limits: Limits) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)));
        let log =
            SegmentLog::open(&folder.path().join("log"), SegmentOptions::default(), clock.clone()).unwrap();
        let instance = ResourceName::parse("twins1").unwrap();
        let context = Context {
            store,
            log: Arc::new(log),
            clock: clock.clone(),
            random: Arc::new(SeededRandom::new(1)),
            table: ResourceTable::new(vec!["localhost".into()]),
            limits,
            cluster: crate::Cluster::solo(),
            https_ports: std::sync::OnceLock::new(),
            http: reqwest::Client::new(),
            trust: crate::SystemTrust::default(),
        };
        context.table.replace(vec![Resource {
            name: instance.clone(),
            group: "default".into(),
            host_name: "twins1.example.com".into(),
            created: Timestamp::from_secs(1),
            etag: Etag::new("1"),
            properties: Properties::Twins(resource::Twins::default()),
        }]);
        let twins = Arc::new(Twins::new(Arc::new(context)));
        Self { twins, clock, instance, admin: Caller::admin(), folder }
    }

    /// The instance declares these indexes.
    fn declare(&self, indexes: &[&str]) {
        let context = &self.twins.context;
        let mut resource =
            Resource::clone(&context.table.get(resource::ResourceKind::Twins, &self.instance).unwrap());
        if let Properties::Twins(twins) = &mut resource.properties {
            twins.indexes = indexes.iter().map(ToString::to_string).collect();
        }
        context.table.replace(vec![resource]);
    }

    /// The same after a restart.
    async fn again(self) -> Self {
        let Self { folder, twins, instance, .. } = self;
        twins.graphs.quiet(&instance).await;
        drop(twins);
        Self::over(folder)
    }

    /// Waits until the graph is in memory.
    async fn remember(&self) {
        let settled = self.twins.graphs.settled(&self.twins.context.store, &self.instance).await;
        assert_eq!(settled, super::graph::Presence::Whole);
    }

    async fn put(&self, id: &str, document: Value) -> Result<DigitalTwin, Error> {
        let put = PutTwin { id: id.into(), document, if_none_match: false };
        self.twins.put_twin(&self.admin, &self.instance, put).await
    }

    async fn get(&self, id: &str) -> Value {
        self.twins.get_twin(&self.admin, &self.instance, id).await.unwrap().document
    }

    async fn patch(&self, id: &str, patch: Value) -> Result<Etag, Error> {
        let patch = PatchTwin { id: id.into(), patch, if_match: None };
        self.twins.patch_twin(&self.admin, &self.instance, patch).await
    }

    async fn relate(&self, source: &str, id: &str, document: Value) -> Result<(), Error> {
        let put = PutRelationship { source: source.into(), id: id.into(), document, if_none_match: false };
        self.twins.put_relationship(&self.admin, &self.instance, put).await.map(drop)
    }

    fn tick(&self) -> String {
        use pollux_model::Clock as _;
        self.clock.advance(Duration::from_secs(1));
        self.clock.now().to_string()
    }
}

/// A room without values; every component must be given.
fn room() -> Value {
    json!({ "$metadata": { "$model": ROOM }, "sensor": { "$metadata": {} } })
}

fn floor() -> Value {
    json!({ "$metadata": { "$model": FLOOR } })
}

fn models() -> Vec<Value> {
    let context = "dtmi:dtdl:context;2";
    let property = |name: &str, schema: Value| json!({ "@type": "Property", "name": name, "schema": schema });
    vec![
        json!({ "@id": SENSOR, "@type": "Interface", "@context": context, "contents": [
            property("Unit", json!("string")),
            property("Value", json!("double")),
        ]}),
        json!({ "@id": ROOM, "@type": "Interface", "@context": context, "displayName": "Room", "contents": [
            property("Temperature", json!("double")),
            property("Name", json!("string")),
            property("Size", json!({ "@type": "Object", "fields": [
                { "name": "Width", "schema": "double" }, { "name": "Depth", "schema": "double" },
            ]})),
            property("Labels", json!({ "@type": "Map",
                "mapKey": { "name": "key", "schema": "string" },
                "mapValue": { "name": "value", "schema": "string" },
            })),
            { "@type": "Component", "name": "sensor", "schema": SENSOR },
        ]}),
        json!({ "@id": HOTEL_ROOM, "@type": "Interface", "@context": context, "extends": ROOM, "contents": [
            property("Stars", json!("integer")),
        ]}),
        json!({ "@id": FLOOR, "@type": "Interface", "@context": context, "contents": [
            property("Level", json!("integer")),
            { "@type": "Relationship", "name": "contains", "target": ROOM, "properties": [
                property("since", json!("integer")), property("by", json!("string")),
            ]},
            { "@type": "Relationship", "name": "above" },
        ]}),
    ]
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorCode {
    result.unwrap_err().code
}
