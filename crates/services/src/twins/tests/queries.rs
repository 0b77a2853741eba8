use serde_json::json;

use super::*;
use crate::twins::{Paging, QueryTwins, Row};

async fn building() -> World {
    let world = World::new().await;
    for level in 1..=2 {
        let body = json!({ "$metadata": { "$model": FLOOR }, "Level": level });
        world.put(&format!("f{level}"), body).await.unwrap();
    }
    for number in 0..12 {
        let model = if number % 4 == 0 { HOTEL_ROOM } else { ROOM };
        let id = format!("r{number:02}");
        let body =
            json!({ "$metadata": { "$model": model }, "sensor": { "$metadata": {} }, "Temperature": number });
        world.put(&id, body).await.unwrap();
        let source = if number < 6 { "f1" } else { "f2" };
        let document = json!({ "$relationshipName": "contains", "$targetId": id, "since": number });
        world.relate(source, &format!("c{number:02}"), document).await.unwrap();
    }
    world
}

/// All rows, in pages of `limit`.
pub(super) async fn rows(world: &World, query: &str, limit: usize) -> Result<Vec<Value>, Error> {
    let mut ask =
        QueryTwins { query: Some(query.into()), paging: Paging { continuation: None, limit: Some(limit) } };
    let mut all = Vec::new();
    loop {
        let page = world.twins.query(&world.admin, &world.instance, ask).await?;
        assert!(page.rows.len() <= limit.max(1) && page.charge >= 1.0);
        all.extend(page.rows.into_iter().map(Row::into_value));
        match page.continuation {
            Some(token) => {
                ask = QueryTwins {
                    query: None,
                    paging: Paging { continuation: Some(token), limit: Some(limit) },
                }
            }
            None => return Ok(all),
        }
    }
}

async fn ids(world: &World, query: &str, limit: usize) -> Vec<String> {
    let rows = rows(world, query, limit).await.unwrap();
    rows.iter().map(|row| row["$dtId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_queries_of_the_story() {
    let world = building().await;
    let by_id = format!("SELECT * FROM DIGITALTWINS T WHERE $dtId = 'r04' AND IS_OF_MODEL('{ROOM}')");
    let found = rows(&world, &by_id, 10).await.unwrap();
    assert_eq!(found.len(), 1);
    let twin = world.twins.get_twin(&world.admin, &world.instance, "r04").await.unwrap();
    assert_eq!(found[0], crate::twins::twin_document(&twin));
    assert_eq!(ids(&world, "SELECT * FROM DIGITALTWINS T WHERE T.Temperature > 9", 10).await, ["r10", "r11"]);
    let exact = format!("SELECT * FROM digitaltwins WHERE IS_OF_MODEL('{ROOM}', exact)");
    assert_eq!(ids(&world, &exact, 10).await.len(), 9);
    let derived = format!("SELECT * FROM digitaltwins WHERE IS_OF_MODEL('{HOTEL_ROOM}')");
    assert_eq!(ids(&world, &derived, 10).await, ["r00", "r04", "r08"]);
    assert!(ids(&world, "SELECT * FROM digitaltwins WHERE $dtId = 'nobody'", 10).await.is_empty());
}

#[tokio::test]
async fn pages_of_any_size_give_the_same_rows() {
    let world = building().await;
    let related = "SELECT F, R FROM DIGITALTWINS F JOIN R RELATED F.contains C WHERE C.since >= 3";
    for query in ["SELECT * FROM DIGITALTWINS", related, "SELECT * FROM RELATIONSHIPS R WHERE R.since < 7"] {
        let whole = rows(&world, query, 1000).await.unwrap();
        assert!(whole.len() >= 7, "{query}");
        for limit in [1, 2, 5, 7] {
            assert_eq!(rows(&world, query, limit).await.unwrap(), whole, "{query} by {limit}");
        }
    }
}

#[tokio::test]
async fn top_and_count() {
    let world = building().await;
    for limit in [1, 2, 100] {
        assert_eq!(
            ids(&world, "SELECT TOP(3) FROM DIGITALTWINS T WHERE T.Temperature > 1", limit).await,
            ["r02", "r03", "r04"]
        );
    }
    for (query, expected) in [
        ("SELECT COUNT() FROM DIGITALTWINS".to_owned(), 14),
        (format!("SELECT COUNT() FROM DIGITALTWINS WHERE IS_OF_MODEL('{ROOM}')"), 12),
        ("SELECT COUNT() FROM DIGITALTWINS T WHERE T.Temperature >= 6".to_owned(), 6),
        ("SELECT COUNT() FROM DIGITALTWINS F JOIN R RELATED F.contains WHERE F.Level = 2".to_owned(), 6),
        ("SELECT COUNT() FROM RELATIONSHIPS".to_owned(), 12),
    ] {
        assert_eq!(rows(&world, &query, 10).await.unwrap(), [json!({ "COUNT": expected })], "{query}");
    }
}

#[tokio::test]
async fn joins_are_followed_from_either_end() {
    let world = building().await;
    let down = "SELECT R.$dtId FROM DIGITALTWINS F JOIN R RELATED F.contains WHERE F.$dtId = 'f1' AND R.Temperature > 3";
    assert_eq!(rows(&world, down, 10).await.unwrap(), [json!({ "$dtId": "r04" }), json!({ "$dtId": "r05" })]);
    let up = "SELECT F.$dtId, C.since FROM DIGITALTWINS F JOIN R RELATED F.contains C WHERE R.$dtId = 'r07'";
    assert_eq!(rows(&world, up, 10).await.unwrap(), [json!({ "$dtId": "f2", "since": 7 })]);
    world.relate("f1", "up", json!({ "$relationshipName": "above", "$targetId": "f2" })).await.unwrap();
    let both = "SELECT R.$dtId FROM DIGITALTWINS A JOIN B RELATED A.above JOIN R RELATED B.contains \
                WHERE A.$dtId = 'f1' AND R.Temperature = 11";
    assert_eq!(rows(&world, both, 10).await.unwrap(), [json!({ "$dtId": "r11" })]);
}

#[tokio::test]
async fn a_query_sees_the_write_before_it() {
    let world = building().await;
    for value in [100, 101, 102] {
        world
            .patch("r00", json!([{ "op": "replace", "path": "/Temperature", "value": value }]))
            .await
            .unwrap();
        let query = format!("SELECT * FROM DIGITALTWINS T WHERE T.Temperature = {value}");
        assert_eq!(ids(&world, &query, 10).await, ["r00"]);
    }
}

#[tokio::test]
async fn bad_queries_are_told_with_their_place() {
    let world = building().await;
    let error = rows(&world, "foo", 10).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::QueryInvalid);
    assert!(error.message.contains("Line=1, Position=0, Message=missing SELECT at 'foo'"), "{error}");
    let error = rows(&world, "SELECT *\nFROM NOWHERE", 10).await.unwrap_err();
    assert!(error.message.contains("Line=2, Position=5"), "{error}");
    let none = world.twins.query(&world.admin, &world.instance, QueryTwins::default()).await;
    assert_eq!(code(none), ErrorCode::InvalidArgument);
}
