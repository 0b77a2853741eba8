use super::*;
use crate::twins::{ListModels, Paging, QueryTwins};

async fn token(world: &World) -> String {
    let list = ListModels { paging: Paging { continuation: None, limit: Some(1) }, ..ListModels::default() };
    world.twins.models(&world.admin, &world.instance, list).await.unwrap().continuation.unwrap()
}

async fn follow(world: &World, token: &str) -> Result<usize, Error> {
    let paging = Paging { continuation: Some(token.into()), limit: None };
    let list = ListModels { paging, ..ListModels::default() };
    world.twins.models(&world.admin, &world.instance, list).await.map(|page| page.items.len())
}

#[tokio::test]
async fn tokens_hold_over_a_restart() {
    let world = World::new().await;
    let token = token(&world).await;
    assert_eq!(follow(&world, &token).await.unwrap(), 3);
    assert_eq!(follow(&world.again().await, &token).await.unwrap(), 3);
}

#[tokio::test]
async fn nobody_can_make_or_bend_a_token() {
    let world = World::new().await;
    let token = token(&world).await;
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let bent = String::from_utf8(bytes).unwrap();
        assert_eq!(code(follow(&world, &bent).await), ErrorCode::ContinuationInvalid, "{at}");
    }
    for made in ["", ".", "x", "e30.", &"é".repeat(100_000)] {
        assert_eq!(code(follow(&world, made).await), ErrorCode::ContinuationInvalid);
    }
    // For another list it is no token either.
    world.put("f1", floor()).await.unwrap();
    let paging = Paging { continuation: Some(token), limit: None };
    let other = world.twins.relationships(&world.admin, &world.instance, "f1", None, paging).await;
    assert_eq!(code(other), ErrorCode::ContinuationInvalid);
}

/// As many hops as a pattern may have, over twins with ids as long as they may be.
#[tokio::test]
async fn a_token_leads_on_however_far_the_way_to_it_is() {
    let world = World::new().await;
    let id = |number: usize| format!("{number:0>128}");
    let mut text = "{\"Section\":\"Twins\"}\n".to_owned();
    for number in 0..=1000 {
        text.push_str(&format!("{}\n", json!({ "$dtId": id(number), "$metadata": { "$model": FLOOR } })));
    }
    text.push_str("{\"Section\":\"Relationships\"}\n");
    for number in 0..1000 {
        let row = json!({ "$dtId": id(number), "$relationshipId": id(number), "$relationshipName": "above", "$targetId": id(number + 1) });
        text.push_str(&format!("{row}\n"));
    }
    let fragment = crate::twins::Fragment { bytes: text.into(), before: 1 };
    let imported = world.twins.import_graph(&world.admin, &world.instance, fragment).await.unwrap();
    assert_eq!((imported.twins, imported.relationships), (1001, 1000));
    let text =
        format!("SELECT B.$dtId FROM DIGITALTWINS MATCH (A)-[*..1000]->(B) WHERE A.$dtId = '{}'", id(0));
    let ask = async |in_memory: bool| {
        if in_memory {
            world.remember().await;
        }
        let (mut seen, mut longest) = (0, 0);
        let mut query =
            QueryTwins { query: Some(text.clone()), paging: Paging { continuation: None, limit: Some(333) } };
        loop {
            let page = world.twins.query(&world.admin, &world.instance, query).await.unwrap();
            seen += page.rows.len();
            let Some(token) = page.continuation else { return (seen, longest) };
            longest = longest.max(token.len());
            let paging = Paging { continuation: Some(token), limit: Some(333) };
            query = QueryTwins { query: None, paging };
        }
    };
    for in_memory in [false, true] {
        let (seen, longest) = ask(in_memory).await;
        assert!(seen == 1000 && longest > 300_000, "{seen} rows, {longest}");
    }
}
