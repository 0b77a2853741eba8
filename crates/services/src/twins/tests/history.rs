use std::collections::BTreeMap;
use std::time::Duration;

use pollux_model::Clock as _;
use pollux_model::resource::TwinHistory;

use super::queries::rows;
use super::*;
use crate::twins::{Listing, Paging, Version};

impl World {
    /// From now on it keeps what was, for so many hours.
    pub(super) fn keep(&self, hours: u32) {
        let table = &self.twins.context.table;
        let mut resource =
            Resource::clone(&table.get(resource::ResourceKind::Twins, &self.instance).unwrap());
        let since = self.clock.now();
        resource.properties = Properties::Twins(resource::Twins {
            history: Some(TwinHistory { hours, since }),
            ..Default::default()
        });
        table.replace(vec![resource]);
    }

    pub(super) async fn versions(
        &self,
        twin: &str,
        relationship: Option<&str>,
    ) -> Result<Vec<Version>, Error> {
        let (mut all, mut paging) = (Vec::new(), Paging { continuation: None, limit: Some(2) });
        loop {
            let page = self.twins.versions(&self.admin, &self.instance, (twin, relationship), paging).await;
            let Listing { items, continuation } = page?;
            all.extend(items);
            if continuation.is_none() {
                return Ok(all);
            }
            paging = Paging { continuation, limit: Some(2) };
        }
    }
}

#[tokio::test]
async fn versions_are_listed_the_oldest_first() {
    let world = World::new().await;
    assert_eq!(code(world.versions("r", None).await), ErrorCode::InvalidArgument);
    world.keep(24);
    assert_eq!(code(world.versions("r", None).await), ErrorCode::TwinNotFound);
    assert_eq!(code(world.versions("r", Some("x")).await), ErrorCode::RelationshipNotFound);
    let mut times = Vec::new();
    for temperature in 0..5 {
        times.push(world.tick());
        if temperature == 0 {
            world.put("r", room()).await.unwrap();
        } else {
            let patch = json!([{ "op": "add", "path": "/Temperature", "value": temperature }]);
            world.patch("r", patch).await.unwrap();
        }
    }
    let shown = |versions: &[Version]| {
        let of = |version: &Version| {
            (version.since.to_string(), version.until.map(|until| until.to_string()), version.deleted)
        };
        versions.iter().map(of).collect::<Vec<_>>()
    };
    let found = world.versions("r", None).await.unwrap();
    let mut expected: Vec<_> = (0..5).map(|n| (times[n].clone(), times.get(n + 1).cloned(), false)).collect();
    assert_eq!(shown(&found), expected);
    let temperatures: Vec<_> = found.iter().map(|version| version.document["Temperature"].clone()).collect();
    assert_eq!(temperatures, [json!(null), json!(1), json!(2), json!(3), json!(4)]);
    let gone = world.tick();
    world.twins.delete_twin(&world.admin, &world.instance, "r", None).await.unwrap();
    expected[4] = (times[4].clone(), Some(gone), true);
    assert_eq!(shown(&world.versions("r", None).await.unwrap()), expected);
    // Made anew, replaced.
    let again = world.tick();
    world.put("r", room()).await.unwrap();
    let replaced = world.tick();
    world.put("r", room()).await.unwrap();
    expected.extend([(again, Some(replaced.clone()), false), (replaced, None, false)]);
    assert_eq!(shown(&world.versions("r", None).await.unwrap()), expected);
}

#[tokio::test]
async fn versions_of_a_relationship_go_with_its_twin() {
    let world = World::new().await;
    world.keep(24);
    world.put("f", floor()).await.unwrap();
    world.put("r", room()).await.unwrap();
    let contains = |since: i64| json!({ "$relationshipName": "contains", "$targetId": "r", "since": since });
    for since in 0..2 {
        world.tick();
        world.relate("f", "e", contains(since)).await.unwrap();
    }
    world.tick();
    let (twins, admin, instance) = (&world.twins, &world.admin, &world.instance);
    twins.delete_twin_with_relationships(admin, instance, "r", None).await.unwrap();
    let found = world.versions("f", Some("e")).await.unwrap();
    let sinces: Vec<_> =
        found.iter().map(|version| (version.document["since"].clone(), version.deleted)).collect();
    assert_eq!(sinces, [(json!(0), false), (json!(1), true)]);
    assert!(world.versions("r", None).await.unwrap()[0].deleted);
}

const QUERIES: [&str; 7] = [
    "SELECT * FROM DIGITALTWINS{}",
    "SELECT COUNT() FROM DIGITALTWINS{}",
    "SELECT COUNT() FROM DIGITALTWINS{} WHERE IS_OF_MODEL('dtmi:example:Room;1')",
    "SELECT * FROM RELATIONSHIPS{}",
    "SELECT R FROM DIGITALTWINS F{} JOIN R RELATED F.contains WHERE F.$dtId = 'f0' AND R.Temperature > 2",
    "SELECT F, e, R FROM DIGITALTWINS{} MATCH (F)-[e:contains]->(R) WHERE R.Temperature >= 0",
    "SELECT * FROM DIGITALTWINS{} WHERE $dtId IN ['r1', 'r2', 'f0']",
];

/// What each query answers, in any order.
async fn answers(world: &World, moment: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for query in QUERIES {
        let text = query.replace("{}", moment);
        let found = rows(world, &text, 3).await.unwrap_or_else(|error| panic!("{text}: {error}"));
        let mut found: Vec<String> = found.iter().map(ToString::to_string).collect();
        found.sort();
        all.push(found);
    }
    all
}

#[tokio::test]
async fn a_query_as_of_a_moment_answers_what_it_answered_then() {
    let world = World::new().await;
    for number in 0..3 {
        world.put(&format!("f{number}"), floor()).await.unwrap();
    }
    world.put("r0", room()).await.unwrap();
    world.tick();
    world.keep(24);
    let random = SeededRandom::new(7);
    let below = |n| pollux_model::Random::below(&random, n);
    let mut seen = BTreeMap::new();
    for _ in 0..120 {
        let moment = world.tick();
        let (room_id, floor_id) = (format!("r{}", below(8)), format!("f{}", below(3)));
        let edge = format!("e{}", below(4));
        let (twins, admin, instance) = (&world.twins, &world.admin, &world.instance);
        // Some of these are refused: then nothing changes.
        match below(8) {
            0 | 1 => drop(world.put(&room_id, room()).await),
            2..=4 => {
                let patch = json!([{ "op": "add", "path": "/Temperature", "value": below(9) }]);
                drop(world.patch(&room_id, patch).await);
            }
            5 => {
                let document =
                    json!({ "$relationshipName": "contains", "$targetId": room_id, "since": below(9) });
                drop(world.relate(&floor_id, &edge, document).await);
            }
            6 => drop(twins.delete_relationship(admin, instance, &floor_id, &edge, None).await),
            _ => drop(twins.delete_twin_with_relationships(admin, instance, &room_id, None).await),
        }
        seen.insert(moment, answers(&world, "").await);
    }
    assert!(seen.values().any(|answers| answers[5].len() > 2), "some change is to be seen");
    for (moment, then) in &seen {
        assert_eq!(answers(&world, &format!(" AS OF '{moment}'")).await, *then, "as of {moment}");
    }
}

#[tokio::test]
async fn a_moment_of_which_nothing_is_known_is_refused() {
    let world = World::new().await;
    let ask = async |moment: &str| {
        let text = format!("SELECT * FROM DIGITALTWINS\nAS OF '{moment}'");
        rows(&world, &text, 9).await.map_err(|error| (error.code, error.message))
    };
    let now = world.tick();
    assert_eq!(ask(&now).await.unwrap_err().0, ErrorCode::InvalidArgument);
    world.keep(2);
    assert_eq!(ask(&now).await.unwrap(), Vec::<Value>::new());
    for wrong in ["yesterday", "2026-11-29", "1970-01-01T00:00:00Z", "2999-01-01T00:00:00Z"] {
        let (code, message) = ask(wrong).await.unwrap_err();
        assert_eq!(code, ErrorCode::QueryInvalid, "{wrong}");
        assert!(message.contains("Line=2, Position=6, "), "{message}");
    }
    world.clock.advance(Duration::from_secs(2 * 3600 + 1));
    assert_eq!(ask(&now).await.unwrap_err().0, ErrorCode::QueryInvalid, "so long it is not kept");
}

/// A count of now is one look into an index; a count of then reads each twin of then, and that is bounded as all reading.
#[tokio::test]
async fn a_count_as_of_a_moment_may_read_so_much() {
    for (work, fits) in [(11, false), (12, true), (1_000, true)] {
        let world = World::bounded(Limits { query_work: work, ..Limits::default() }).await;
        world.keep(24);
        for number in 0..12 {
            world.put(&format!("r{number}"), room()).await.unwrap();
        }
        let then = world.tick();
        world.tick();
        for number in 0..12 {
            world
                .twins
                .delete_twin(&world.admin, &world.instance, &format!("r{number}"), None)
                .await
                .unwrap();
        }
        for of in
            ["", " WHERE IS_OF_MODEL('dtmi:example:Room;1')", " WHERE IS_OF_MODEL('dtmi:example:Floor;1')"]
        {
            let count = |moment: &str| format!("SELECT COUNT() FROM DIGITALTWINS{moment}{of}");
            assert_eq!(rows(&world, &count(""), 1).await.unwrap(), [json!({ "COUNT": 0 })], "{of}");
            let counted = rows(&world, &count(&format!(" AS OF '{then}'")), 1).await;
            if fits {
                let expected = if of.contains("Floor") { 0 } else { 12 };
                assert_eq!(counted.unwrap(), [json!({ "COUNT": expected })], "{of}");
            } else {
                let error = counted.unwrap_err();
                assert!(
                    error.code == ErrorCode::QuotaExceeded && error.message.contains("11"),
                    "{of}: {error}"
                );
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_kept_is_forgotten() {
    let world = World::new().await;
    world.keep(1);
    world.put("r", room()).await.unwrap();
    for n in 0..4 {
        world.clock.advance(Duration::from_secs(1000));
        world.patch("r", json!([{ "op": "add", "path": "/Temperature", "value": n }])).await.unwrap();
    }
    assert_eq!(world.versions("r", None).await.unwrap().len(), 5);
    let resource = || {
        let kind = resource::ResourceKind::Twins;
        world.twins.context.table.get(kind, &world.instance).unwrap()
    };
    world.clock.advance(Duration::from_secs(700));
    world.twins.forget_versions(&resource()).await.unwrap();
    assert_eq!(world.versions("r", None).await.unwrap().len(), 4);
    let off = Resource {
        properties: Properties::Twins(resource::Twins::default()),
        ..Resource::clone(&resource())
    };
    world.twins.forget_versions(&off).await.unwrap();
    assert_eq!(world.versions("r", None).await.unwrap().len(), 1, "what stands is not history");
}

#[tokio::test]
async fn eventual_consistency_shows_what_stood_a_while_ago() {
    let world = World::new().await;
    world.put("r", room()).await.unwrap();
    world.tick();
    world.keep(1);
    let table = &world.twins.context.table;
    let mut resource = Resource::clone(&table.get(resource::ResourceKind::Twins, &world.instance).unwrap());
    if let Properties::Twins(twins) = &mut resource.properties {
        twins.consistency = "eventual:10s".parse().unwrap();
    }
    table.replace(vec![resource]);
    let temperature = async |text: &str| {
        let found = rows(&world, text, 9).await.unwrap();
        found.first().map(|row| row["T"]["Temperature"].clone())
    };
    let (ask, count) =
        ("SELECT T FROM DIGITALTWINS T WHERE T.$dtId = 'r'", "SELECT COUNT() FROM DIGITALTWINS");
    assert_eq!(temperature(ask).await, Some(Value::Null));
    let set = |value| json!([{ "op": "add", "path": "/Temperature", "value": value }]);
    let written = world.tick();
    world.patch("r", set(1)).await.unwrap();
    world.put("s", room()).await.unwrap();
    for _ in 0..9 {
        assert_eq!(temperature(ask).await, Some(Value::Null), "not yet");
        world.tick();
    }
    assert_eq!(rows(&world, count, 9).await.unwrap(), [json!({ "COUNT": 1 })]);
    assert_eq!(world.get("r").await["Temperature"], json!(1), "a GET is never behind");
    // Who names a moment is answered as of that.
    assert_eq!(
        temperature(&ask.replace(" WHERE", &format!(" AS OF '{written}' WHERE"))).await,
        Some(json!(1))
    );
    world.tick();
    assert_eq!(temperature(ask).await, Some(json!(1)));
    assert_eq!(rows(&world, count, 9).await.unwrap(), [json!({ "COUNT": 2 })]);
}

/// What waits for somebody else is as late as it is done, not as it was asked for: `AS OF` would show it before its time.
#[tokio::test]
async fn a_replacement_that_waits_is_stamped_when_it_is_its_turn() {
    let world = World::new().await;
    world.keep(24);
    world.put("f", floor()).await.unwrap();
    world.put("g", floor()).await.unwrap();
    let above = json!({ "$relationshipName": "above", "$targetId": "g" });
    // One that waits for itself alone.
    let lane = |name: &str| world.twins.lanes.lane(&world.instance, name);
    let id = ["a", "b", "c", "d"].into_iter().find(|id| lane(&format!("f/{id}")) != lane("f")).unwrap();
    let turn = world.twins.lanes.enter(&world.instance, "f").await;
    let edge = world.twins.lanes.enter_relationship(&world.instance, "f", id).await;
    let replaced = async { tokio::join!(world.put("f", floor()), world.relate("f", id, above.clone())) };
    let wait = async {
        // As far as both come.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let now = world.tick();
        drop((turn, edge));
        now
    };
    let ((twin, related), now) = tokio::join!(replaced, wait);
    related.unwrap();
    assert_eq!(twin.unwrap().updated.to_string(), now);
    let related = world.twins.relationship(&world.admin, &world.instance, "f", id).await.unwrap();
    assert_eq!(related.updated.to_string(), now);
}
