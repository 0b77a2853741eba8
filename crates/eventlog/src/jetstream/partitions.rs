//! The partitions this node has to do with.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::partition::{Partition, Shared};
use crate::log::{LogError, MAX_PARTITIONS, StreamName};

/// All of them, by stream and number.
#[derive(Debug)]
pub(crate) struct Partitions {
    shared: Arc<Shared>,
    known: Mutex<HashMap<(StreamName, u32), Arc<Partition>>>,
}

impl Partitions {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, known: Mutex::default() }
    }

    /// The partition, whether there is one or not: its stream is looked up when something is asked of it.
    pub(crate) async fn of(&self, stream: &StreamName, number: u32) -> Result<Arc<Partition>, LogError> {
        if number >= MAX_PARTITIONS {
            let entry = self.shared.catalog.find(stream, number).await?;
            entry.place(stream, number)?;
        }
        let mut known = self.known.lock();
        let partition = known
            .entry((stream.clone(), number))
            .or_insert_with(|| Arc::new(Partition::new(stream.clone(), number, Arc::clone(&self.shared))));
        Ok(Arc::clone(partition))
    }

    /// The catalog says something new of a stream: its partitions look whether it is still the same.
    pub(crate) async fn check(&self, stream: &StreamName) {
        let touched: Vec<_> = {
            let known = self.known.lock();
            known.iter().filter(|((name, _), _)| name == stream).map(|(_, p)| Arc::clone(p)).collect()
        };
        for partition in touched {
            partition.check().await;
        }
    }

    /// Forgets the partitions of a stream that is not there, unless somebody is using them.
    pub(crate) fn forget(&self, stream: &StreamName) {
        self.known.lock().retain(|(name, _), partition| name != stream || Arc::strong_count(partition) > 1);
    }

    /// Passes an answer on; a stream that is unknown leaves nothing behind.
    pub(crate) fn answer<T>(&self, stream: &StreamName, answer: Result<T, LogError>) -> Result<T, LogError> {
        if matches!(answer, Err(LogError::UnknownStream(_))) {
            self.forget(stream);
        }
        answer
    }
}
