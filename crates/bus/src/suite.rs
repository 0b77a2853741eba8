//! What every bus must do: generic test bodies over [`Bus`]. A backend's tests iterate [`cases`].

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;

use crate::bus::{Bus, BusError, Listener};

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// For what is not to be heard.
const SOON: Duration = Duration::from_millis(100);

/// Gives nodes their way into one bus that nobody else uses.
#[async_trait]
pub trait Backend: Send + Sync + Debug {
    /// Another node.
    async fn join(&self) -> Arc<dyn Bus>;
}

/// One test. Panics where the backend breaks the contract.
pub type Case = fn(Arc<dyn Backend>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! list {
    ($($case:ident),* $(,)?) => {
        vec![$((stringify!($case), (|backend| Box::pin($case(backend))) as Case)),*]
    };
}

/// All tests, by name. Each wants a backend of its own.
#[must_use]
pub fn cases() -> Vec<(&'static str, Case)> {
    list![
        everybody_who_listens_hears_in_order,
        nobody_is_known_at_once,
        the_first_answer_is_given,
        a_listener_that_says_nothing_is_waited_for_no_longer_than_said,
        gathering_hears_all_until_it_is_enough,
        who_stopped_listening_is_gone,
    ]
}

fn text(payload: &'static str) -> Bytes {
    Bytes::from_static(payload.as_bytes())
}

/// Listens, and makes sure that others are heard from now on.
async fn listening(bus: &Arc<dyn Bus>, subject: &str) -> Listener {
    let mut listener = bus.subscribe(subject).await.expect("subscribe");
    bus.publish(subject, text("echo")).await.expect("publish");
    while next(&mut listener).await != "echo" {}
    listener
}

async fn next(listener: &mut Listener) -> Bytes {
    let heard = tokio::time::timeout(PATIENCE, listener.next()).await;
    heard.expect("something is heard").expect("the listener goes on").payload
}

/// Answers every question until it is dropped.
fn answering(
    bus: &Arc<dyn Bus>,
    mut listener: Listener,
    answer: &'static str,
) -> tokio::task::JoinHandle<()> {
    let bus = Arc::clone(bus);
    tokio::spawn(async move {
        while let Some(heard) = listener.next().await {
            if let Some(reply) = heard.reply {
                bus.publish(&reply, text(answer)).await.expect("answer");
            }
        }
    })
}

async fn everybody_who_listens_hears_in_order(backend: Arc<dyn Backend>) {
    let (a, b) = (backend.join().await, backend.join().await);
    let mut at_a = listening(&a, "one.subject").await;
    let mut at_b = listening(&b, "one.subject").await;
    assert_eq!(next(&mut at_a).await, "echo", "that of the other node");
    for number in 0..50 {
        a.publish("one.subject", Bytes::from(format!("{number}"))).await.expect("publish");
        a.publish("other.subject", text("not for them")).await.expect("publish");
    }
    for listener in [&mut at_a, &mut at_b] {
        for number in 0..50 {
            assert_eq!(next(listener).await, format!("{number}"));
        }
    }
}

async fn nobody_is_known_at_once(backend: Arc<dyn Backend>) {
    let bus = backend.join().await;
    let asked = bus.request("nobody.there", text("?"), Duration::from_secs(600));
    let answer = tokio::time::timeout(PATIENCE, asked).await.expect("it is not waited for");
    assert_eq!(answer, Ok(None));
    let mut never = |_: &Bytes| false;
    let gathered = bus.gather("nobody.there", text("?"), &mut never, Duration::from_secs(600));
    tokio::time::timeout(PATIENCE, gathered).await.expect("it is not waited for").expect("gather");
}

async fn the_first_answer_is_given(backend: Arc<dyn Backend>) {
    let (a, b) = (backend.join().await, backend.join().await);
    let answers = answering(&b, listening(&b, "question").await, "yes");
    assert_eq!(a.request("question", text("?"), PATIENCE).await, Ok(Some(text("yes"))));
    assert_eq!(b.request("question", text("?"), PATIENCE).await, Ok(Some(text("yes"))), "also to itself");
    answers.abort();
}

async fn a_listener_that_says_nothing_is_waited_for_no_longer_than_said(backend: Arc<dyn Backend>) {
    let (a, b) = (backend.join().await, backend.join().await);
    let mut silent = listening(&b, "question").await;
    assert_eq!(a.request("question", text("?"), SOON).await, Err(BusError::NoAnswer));
    assert_eq!(next(&mut silent).await, "?");
}

async fn gathering_hears_all_until_it_is_enough(backend: Arc<dyn Backend>) {
    let nodes = [backend.join().await, backend.join().await, backend.join().await];
    let mut tasks = Vec::new();
    for (node, answer) in nodes.iter().zip(["1", "2", "3"]) {
        tasks.push(answering(node, listening(node, "roll.call").await, answer));
    }
    let mut heard = Vec::new();
    let mut enough = |answer: &Bytes| {
        heard.push(answer.clone());
        heard.len() == 3
    };
    nodes[0].gather("roll.call", text("?"), &mut enough, PATIENCE).await.expect("gather");
    heard.sort();
    assert_eq!(heard, ["1", "2", "3"]);
    for task in tasks {
        task.abort();
    }
}

async fn who_stopped_listening_is_gone(backend: Arc<dyn Backend>) {
    let (a, b) = (backend.join().await, backend.join().await);
    drop(listening(&b, "question").await);
    let gone =
        async { while a.request("question", text("?"), Duration::from_millis(20)).await != Ok(None) {} };
    tokio::time::timeout(PATIENCE, gone).await.expect("nobody is there any more");
    assert_eq!(a.healthy(), Ok(()));
    assert!(*a.connections().borrow() > 0, "the first connection counts");
}
