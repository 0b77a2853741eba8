use super::*;
use crate::twins::{ListModels, Paging};

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
        assert_eq!(code(follow(&world, &bent).await), ErrorCode::InvalidArgument, "{at}");
    }
    for made in ["", ".", "x", "e30.", &"é".repeat(100_000)] {
        assert_eq!(code(follow(&world, made).await), ErrorCode::InvalidArgument);
    }
    // For another list it is no token either.
    world.put("f1", floor()).await.unwrap();
    let paging = Paging { continuation: Some(token), limit: None };
    let other = world.twins.relationships(&world.admin, &world.instance, "f1", None, paging).await;
    assert_eq!(code(other), ErrorCode::InvalidArgument);
}
