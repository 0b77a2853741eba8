use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use parking_lot::Mutex as Shared;

use super::*;

/// A need that answers as the test says, and counts how often it was asked.
fn need(name: &'static str, answer: &Arc<Shared<Result<(), String>>>, asked: &Arc<AtomicUsize>) -> Need {
    let (answer, asked) = (Arc::clone(answer), Arc::clone(asked));
    Need::new(name, move || {
        asked.fetch_add(1, Ordering::SeqCst);
        std::future::ready(answer.lock().clone()).boxed()
    })
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_named_and_found_again() {
    let (state, asked) = (Arc::new(Shared::new(Ok(()))), Arc::default());
    let events = Arc::new(Shared::new(Ok(())));
    let needs = vec![need("state (A)", &state, &asked), need("events (B)", &events, &asked)];
    let draining = CancellationToken::new();
    let readiness = Readiness::new(needs, draining.clone());
    assert!(readiness.missing().await.is_empty());

    *events.lock() = Err(format!("gone{}\nsecond line", "e".repeat(500)));
    assert!(readiness.missing().await.is_empty(), "what was found is told again for a moment");
    tokio::time::advance(FRESH).await;
    let missing = readiness.missing().await;
    assert!(missing.len() == 1 && missing[0].starts_with("not ready: events (B): gonee"), "{missing:?}");
    assert!(missing[0].len() < 200, "one short line");

    *state.lock() = Err("refused".to_owned());
    tokio::time::advance(FRESH).await;
    assert_eq!(readiness.missing().await[0], "not ready: state (A): refused");
    assert_eq!(readiness.missing().await.len(), 2);
    (*state.lock(), *events.lock()) = (Ok(()), Ok(()));
    tokio::time::advance(FRESH).await;
    assert!(readiness.missing().await.is_empty());
    draining.cancel();
    assert_eq!(readiness.missing().await, ["not ready: draining"]);
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_at_once_cost_one_look_and_silence_is_not_waited_for() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let silent = Need::new("state", move || {
        count.fetch_add(1, Ordering::SeqCst);
        std::future::pending().boxed()
    });
    let readiness = Readiness::new(vec![silent], CancellationToken::new());
    let begun = Instant::now();
    for missing in join_all((0..100).map(|_| readiness.missing())).await {
        assert_eq!(missing, ["not ready: state: it does not answer in time"]);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(begun.elapsed(), PATIENCE);
}
