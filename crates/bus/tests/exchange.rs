//! The suite within one process, and being cut off.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pollux_bus::suite::{Backend, cases};
use pollux_bus::{Bus, BusError, Exchange};

#[derive(Debug)]
struct InProcess(Arc<Exchange>);

#[async_trait]
impl Backend for InProcess {
    async fn join(&self) -> Arc<dyn Bus> {
        self.0.join()
    }
}

#[tokio::test]
async fn suite() {
    for (_, case) in cases() {
        case(Arc::new(InProcess(Exchange::new()))).await;
    }
}

#[tokio::test]
async fn a_node_that_is_cut_off_is_told_and_sees_that_it_is_back() {
    let exchange = Exchange::new();
    let node = exchange.join();
    let before = *node.connections().borrow();
    node.cut(true);
    assert!(matches!(node.publish("s", Bytes::new()).await, Err(BusError::Unavailable(_))));
    assert!(node.healthy().is_err());
    node.cut(false);
    node.publish("s", Bytes::new()).await.unwrap();
    assert!(*node.connections().borrow() > before);
}
