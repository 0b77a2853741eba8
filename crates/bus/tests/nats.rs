//! The suite on nats-server, and what a lost connection looks like.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use pollux_bus::suite::{Backend, cases};
use pollux_bus::{Bus, NatsBus, NatsOptions, OpenError};
use pollux_testkit::Nats;

#[derive(Debug)]
struct OnServer {
    url: String,
    prefix: String,
}

fn options(prefix: &str) -> NatsOptions {
    NatsOptions { prefix: prefix.to_owned(), credentials: None, ca: None, name: "test".to_owned() }
}

#[async_trait]
impl Backend for OnServer {
    async fn join(&self) -> Arc<dyn Bus> {
        let bus = NatsBus::connect(&self.url, &options(&self.prefix)).await.unwrap();
        // The event that tells of the connection comes beside it.
        bus.connections().wait_for(|number| *number > 0).await.unwrap();
        Arc::new(bus)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suite() {
    let Some(server) = Nats::start().await else { return };
    let number = AtomicU32::new(0);
    for (_, case) in cases() {
        let prefix = format!("case{}", number.fetch_add(1, Ordering::Relaxed));
        case(Arc::new(OnServer { url: server.url(), prefix })).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_went_away_is_told_and_its_return_is_seen() {
    let Some(mut server) = Nats::start().await else { return };
    let backend = OnServer { url: server.url(), prefix: "p".to_owned() };
    let bus = backend.join().await;
    let mut connections = bus.connections();
    let before = *connections.borrow();
    server.kill9();
    while bus.healthy().is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(bus.publish("s", Bytes::new()).await.is_err(), "nothing is kept to be said later");
    server.restart().await;
    connections.wait_for(|number| *number > before).await.unwrap();
    while bus.healthy().is_err() {
        tokio::task::yield_now().await;
    }
    bus.publish("s", Bytes::new()).await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_is_told_without_the_password() {
    let refused = |url: &'static str| async move { NatsBus::connect(url, &options("p")).await.unwrap_err() };
    let error = refused("nats://user:geheim@127.0.0.1:1").await;
    assert!(matches!(error, OpenError::Connect { .. }), "{error}");
    assert!(error.to_string().contains("127.0.0.1:1") && !error.to_string().contains("geheim"), "{error}");
    let error = refused("nats://user:geheim@host:port:").await;
    assert!(matches!(error, OpenError::Url(_)) && !error.to_string().contains("geheim"), "{error}");
}
