//! Building a graph from the store while others write to it.
//!
//! From before the first page is read until the graph is whole, every commit is noted. A row that nobody touches in this
//! time is the same whenever it is read; one that is touched gets its last state from the notes, which are applied in
//! their order behind what was read. So the pages need not be of one moment.

use std::sync::{Arc, Weak};

use pollux_model::ResourceName;
use pollux_store::store::DynStore;
use pollux_store::twins::TwinFilter;
use pollux_store::{Store, StoreError};

use super::{Graph, Inner, add_twin};

/// Rows read at once.
const PAGE: usize = 1000;

/// Why there is no graph.
pub(super) enum GivenUp {
    /// It does not fit.
    TooLarge,
    /// The store could not be read: the next query tries again.
    Failed,
}

/// Loads a graph. Does not keep the store open.
pub(super) async fn load(inner: Arc<Inner>, store: Weak<dyn Store>, instance: ResourceName, load: u64) {
    let loaded = read(&inner, &store, &instance).await;
    inner.finish(&instance, load, loaded);
}

async fn read(inner: &Inner, store: &Weak<dyn Store>, instance: &ResourceName) -> Result<Graph, GivenUp> {
    let open = || -> Result<DynStore, GivenUp> { store.upgrade().ok_or(GivenUp::Failed) };
    let failed = |error: StoreError| {
        tracing::warn!(%instance, %error, "the twin graph could not be read into memory");
        GivenUp::Failed
    };
    let (mut graph, all) = (Graph::default(), TwinFilter::default());
    let mut after: Option<String> = None;
    loop {
        let page = open()?.twins(instance, &all, after.as_deref(), PAGE).await.map_err(failed)?;
        page.items.iter().for_each(|twin| add_twin(&mut graph, twin));
        if graph.bytes() > inner.room() {
            return Err(GivenUp::TooLarge);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    loop {
        let page = open()?.relationships(instance, after.as_deref(), PAGE).await.map_err(failed)?;
        page.items.iter().for_each(|relationship| graph.put_edge(relationship));
        if graph.bytes() > inner.room() {
            return Err(GivenUp::TooLarge);
        }
        after = page.next;
        if after.is_none() {
            // Here, where no commit waits for it; when the graph is put in its place, they are there.
            graph.declare(&inner.declared(instance), inner.room());
            return Ok(graph);
        }
    }
}
