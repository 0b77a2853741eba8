//! Indexes on properties in PostgreSQL: adopted for what is asked often, bounded, dropped when nobody asks any more.

use std::time::Duration;

use pollux_store::postgres::{PostgresOptions, PostgresStore};
use pollux_store::property_indexes::{IndexedProperty, Made, ValueKind};
use pollux_store::{Batch, Expect, Write};

use super::queries::rows;
use super::*;

const DAY: Duration = Duration::from_secs(86_400);

async fn world(url: &str) -> World {
    let store = PostgresStore::connect(url, PostgresOptions::default()).await.unwrap();
    let limits = Limits { property_indexes: 2, property_indexes_in_all: 3, ..Limits::default() };
    let world = World::on(Arc::new(store), tempfile::tempdir().unwrap(), limits);
    world.twins.create_models(&world.admin, &world.instance, models()).await.unwrap();
    let put = |number: u32| {
        let document = json!({
            "$metadata": { "$model": ROOM }, "number": number, "name": format!("room {number}"),
            "flag": number == 3, "same": 1, "in": { "part": number },
        });
        let twin = DigitalTwin {
            id: format!("t{number:04}"),
            model: ROOM.into(),
            etag: Etag::new("1"),
            document,
            updated: Timestamp::from_secs(1),
        };
        Write::PutTwin { twins: world.instance.clone(), twin: Box::new(twin), expect: Expect::Any }
    };
    world.twins.context.store.commit(Batch { writes: (0..1200).map(put).collect() }).await.unwrap();
    world
}

/// How a query finds its roots, how many twins it reads for that, and how many there are.
async fn explained(world: &World, filter: &str) -> (String, u64, u64) {
    let shown =
        rows(world, &format!("EXPLAIN SELECT * FROM DIGITALTWINS T WHERE {filter}"), 100).await.unwrap();
    let [row] = shown.as_slice() else { panic!("{shown:?}") };
    let access = row["plan"][0]["access"].as_str().unwrap().to_owned();
    (access, row["read"]["twins"].as_u64().unwrap(), row["rows"].as_u64().unwrap())
}

async fn adopt(world: &World) -> Option<Made> {
    let (instance, property) = world.twins.indexes.wanted()?;
    Some(world.twins.adopt_index(&instance, &property).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_often_gets_an_index() {
    let Some(server) = pollux_testkit::Postgres::start() else { return };
    let world = world(&server.create_database("adopted")).await;
    for filter in ["T.number = 7", "T.name = 'room 7' AND T.same = 1", "T.in.part >= 7 AND T.in.part < 9"] {
        for _ in 0..2 {
            let (access, read, _) = explained(&world, filter).await;
            assert_eq!((access.as_str(), read), ("all twins", 1200), "{filter}");
            assert_eq!(adopt(&world).await, None, "not yet: {filter}");
        }
        explained(&world, filter).await;
        let made = adopt(&world).await.unwrap();
        if filter.contains("part") {
            assert_eq!(made, Made::Full);
            continue;
        }
        assert_eq!(made, Made::Ready);
        let (access, read, found) = explained(&world, filter).await;
        assert!(access.starts_with("index on n") && read == 1 && found == 1, "{filter}: {access}, {read}");
    }
    // An acknowledged write is seen, however it is found; types are told apart all the same.
    world.twins.context.store.commit(Batch { writes: vec![renamed(&world, "room 7")] }).await.unwrap();
    // The new twin has a NUL in it, so that every index gives it.
    assert_eq!(explained(&world, "T.name = 'room 7'").await, ("index on name".to_owned(), 2, 2));
    assert_eq!(
        explained(&world, "STARTSWITH(T.name, 'room 110')").await,
        ("index on name".to_owned(), 12, 11)
    );
    assert_eq!(explained(&world, "T.number = '7'").await.2, 0);
    let of_model = format!("T.number > 1190 AND IS_OF_MODEL('{FLOOR}')");
    assert_eq!(explained(&world, &of_model).await, ("index on number".to_owned(), 0, 0));
    // A node that comes later finds them.
    let later =
        World::on(Arc::clone(&world.twins.context.store), tempfile::tempdir().unwrap(), Limits::default());
    assert_eq!(explained(&later, "T.number IN [3, 4]").await, ("index on number".to_owned(), 3, 2));
    unused_ones_are_dropped(&world).await;
}

fn renamed(world: &World, name: &str) -> Write {
    let twin = DigitalTwin {
        id: "new".into(),
        model: ROOM.into(),
        etag: Etag::new("1"),
        document: json!({ "$metadata": { "$model": ROOM }, "name": name, "odd\0": "\0" }),
        updated: Timestamp::from_secs(1),
    };
    Write::PutTwin { twins: world.instance.clone(), twin: Box::new(twin), expect: Expect::Any }
}

async fn names(world: &World) -> String {
    let all = world.twins.context.store.property_indexes().await.unwrap();
    let mut names: Vec<_> = all.iter().map(|index| index.property.path().join(".")).collect();
    names.sort();
    names.join(" ")
}

async fn unused_ones_are_dropped(world: &World) {
    let names = async || names(world).await;
    world.twins.tend_indexes().await.unwrap();
    assert_eq!(names().await, "name number");
    // One that was not used for a day goes for one that is wanted; one that is in use stays.
    world.clock.advance(DAY + DAY);
    assert_eq!(explained(world, "T.number = 7").await.1, 2);
    let part = IndexedProperty::new(vec!["in".into(), "part".into()], ValueKind::Number).unwrap();
    assert_eq!(world.twins.adopt_index(&world.instance, &part).await.unwrap(), Made::Ready);
    assert_eq!(names().await, "in.part number");
    let name = IndexedProperty::new(vec!["name".into()], ValueKind::Text).unwrap();
    assert_eq!(world.twins.adopt_index(&world.instance, &name).await.unwrap(), Made::Full);
    // A week later nobody has used either.
    world.twins.tend_indexes().await.unwrap();
    world.clock.advance(7 * DAY);
    world.twins.tend_indexes().await.unwrap();
    assert_eq!(names().await, "");
    assert_eq!(explained(world, "T.number = 7").await.0, "all twins");
}

/// Made before anybody asks, in place of what was adopted; it stays, used or not, until it is declared no longer.
#[tokio::test(flavor = "multi_thread")]
async fn declared_ones_are_made_at_once_and_stay() {
    let Some(server) = pollux_testkit::Postgres::start() else { return };
    let world = world(&server.create_database("declared")).await;
    for name in ["same", "number"] {
        let property = IndexedProperty::new(vec![name.into()], ValueKind::Number).unwrap();
        assert_eq!(world.twins.adopt_index(&world.instance, &property).await.unwrap(), Made::Ready);
        world.clock.advance(Duration::from_secs(60));
    }
    world.declare(&["in.part:number"]);
    assert!(world.twins.declare_indexes().await.unwrap());
    assert_eq!(names(&world).await, "in.part number", "the one that was used longest ago gave way");
    assert_eq!(explained(&world, "T.in.part = 7").await, ("index on in.part".to_owned(), 1, 1));
    // It gives way to none, however long nobody has used it.
    world.clock.advance(30 * DAY);
    world.twins.tend_indexes().await.unwrap();
    assert_eq!(names(&world).await, "in.part");
    world.declare(&["in.part:number", "name:text"]);
    assert!(world.twins.declare_indexes().await.unwrap());
    let number = IndexedProperty::new(vec!["number".into()], ValueKind::Number).unwrap();
    world.clock.advance(2 * DAY);
    assert_eq!(world.twins.adopt_index(&world.instance, &number).await.unwrap(), Made::Full);
    assert_eq!(names(&world).await, "in.part name");
    // Without a kind it has both.
    world.declare(&["name"]);
    assert!(world.twins.declare_indexes().await.unwrap());
    assert_eq!(names(&world).await, "name name");
    world.declare(&[]);
    world.twins.tend_indexes().await.unwrap();
    world.clock.advance(7 * DAY);
    world.twins.tend_indexes().await.unwrap();
    assert_eq!(names(&world).await, "");
}

/// What strangers ask for brings about no index that would not help, nor one more than there may be.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_brings_about_no_more_than_he_may() {
    let Some(server) = pollux_testkit::Postgres::start() else { return };
    let world = world(&server.create_database("hostile")).await;
    let nothing = [
        "T.same = 1",
        "T.nobodyhas = 1",
        "T.number > 5",
        "T.[[x' OR 1=1; DROP TABLE digital_twins; --]] = 1",
        "T.name = 'x''; DROP TABLE digital_twins; --' OR T.number = 1",
        "T.$metadata.$model = 'dtmi:none;1'",
    ];
    for filter in nothing {
        for _ in 0..5 {
            // What the language refuses is as good.
            let text = format!("SELECT COUNT() FROM DIGITALTWINS T WHERE {filter}");
            drop(rows(&world, &text, 100).await);
        }
        assert_eq!(adopt(&world).await, None, "{filter}");
    }
    assert_eq!(
        rows(&world, "SELECT COUNT() FROM DIGITALTWINS", 1).await.unwrap(),
        [json!({ "COUNT": 1200 })]
    );
    assert_eq!(world.twins.context.store.property_indexes().await.unwrap(), []);
}
