//! Device queries: `SELECT … FROM devices …` over twin documents. Sees every acknowledged write.

use pollux_model::resource::{PolicyRight, Resource, ResourceKind};
use pollux_model::{DeviceId, Error, ErrorCode, Result};
use pollux_query::devices::Query;
use pollux_store::Page;
use serde_json::Value;

use super::{Hub, twin_document};
use crate::caller::{Caller, Right};

/// Devices read from the store at once.
const CHUNK: usize = 500;

/// A row of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum DeviceRow {
    /// A whole twin (`SELECT *`).
    Twin(Value),
    /// Columns or aggregates.
    Raw(Value),
}

impl Hub {
    /// Runs a query. `after` is the device id the page before ended at; rows come in order of device id.
    pub async fn query(
        &self,
        caller: &Caller,
        hub: &Resource,
        text: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<DeviceRow>> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Policy(PolicyRight::ServiceConnect))?;
        let query = pollux_query::devices::parse(text)
            .map_err(|error| Error::new(ErrorCode::QueryInvalid, error.to_string()))?;
        if query.is_aggregate() {
            return self.aggregate(hub, &query).await;
        }
        if let Some(ids) = query.hints().ids {
            return self.among(hub, &query, &ids, after, limit).await;
        }
        let (mut items, mut after) = (Vec::new(), after.map(str::to_owned));
        loop {
            let page = self.context.store.devices(&hub.name, after.as_deref(), CHUNK).await?;
            for device in page.items {
                let document = twin_document(&device, self.connections.since(&hub.name, &device.id));
                if query.matches(&document) {
                    items.push(row(&query, document));
                    if items.len() == limit {
                        return Ok(Page { items, next: Some(device.id.to_string()) });
                    }
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(Page { items, next: None });
            }
        }
    }

    /// Only these devices can match: they are read one by one.
    async fn among(
        &self,
        hub: &Resource,
        query: &Query,
        ids: &[String],
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<DeviceRow>> {
        let mut wanted: Vec<_> = ids.iter().filter_map(|id| DeviceId::parse(id).ok()).collect();
        wanted.sort();
        wanted.dedup();
        let mut items = Vec::new();
        for id in wanted.into_iter().filter(|id| after.is_none_or(|after| id.as_str() > after)) {
            let Some(device) = self.context.store.device(&hub.name, &id).await? else { continue };
            let document = twin_document(&device, self.connections.since(&hub.name, &id));
            if query.matches(&document) {
                items.push(row(query, document));
                if items.len() == limit {
                    return Ok(Page { items, next: Some(id.to_string()) });
                }
            }
        }
        Ok(Page { items, next: None })
    }

    async fn aggregate(&self, hub: &Resource, query: &Query) -> Result<Page<DeviceRow>> {
        let (mut aggregator, mut after) = (query.aggregator(), None);
        loop {
            let page = self.context.store.devices(&hub.name, after.as_deref(), CHUNK).await?;
            for device in &page.items {
                let document = twin_document(device, self.connections.since(&hub.name, &device.id));
                if query.matches(&document) {
                    aggregator.add(&document);
                }
            }
            after = page.next;
            if after.is_none() {
                let items = aggregator.finish().into_iter().map(DeviceRow::Raw).collect();
                return Ok(Page { items, next: None });
            }
        }
    }
}

fn row(query: &Query, document: Value) -> DeviceRow {
    match query.select() {
        pollux_query::devices::SelectList::All => DeviceRow::Twin(document),
        pollux_query::devices::SelectList::Columns(_) => DeviceRow::Raw(query.project(&document)),
    }
}
