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

/// Where a query goes on.
#[derive(Debug, Default)]
struct Position {
    /// Rows given so far: `TOP` counts all pages.
    given: u64,
    /// The device that the page before ended with.
    after: Option<String>,
}

impl Position {
    /// `given:device id`, as [`Position::next`] writes it.
    fn read(text: Option<&str>) -> Result<Self> {
        let Some(text) = text else { return Ok(Self::default()) };
        let parts =
            text.split_once(':').and_then(|(given, after)| Some((given.parse().ok()?, after.to_owned())));
        let (given, after) =
            parts.ok_or_else(|| Error::invalid("this is not where a page of this query ended"))?;
        Ok(Self { given, after: Some(after) })
    }

    /// How many rows the next page may have; 0 when `TOP` is reached.
    fn room(&self, query: &Query, limit: usize) -> usize {
        let left = query.top().map_or(u64::MAX, |top| top.saturating_sub(self.given));
        usize::try_from(left).unwrap_or(usize::MAX).min(limit)
    }

    /// The page that ended with this device: it leads on unless `TOP` is reached.
    fn page(self, query: &Query, items: Vec<DeviceRow>, last: &DeviceId) -> Page<DeviceRow> {
        let given = self.given.saturating_add(u64::try_from(items.len()).unwrap_or(u64::MAX));
        let more = query.top().is_none_or(|top| given < top);
        Page { items, next: more.then(|| format!("{given}:{last}")) }
    }
}

impl Hub {
    /// Runs a query. `after` is what the page before gave as `next`; rows come in order of device id.
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
        let position = Position::read(after)?;
        let room = position.room(&query, limit);
        if room == 0 {
            return Ok(Page { items: Vec::new(), next: None });
        }
        if let Some(ids) = query.hints().ids {
            return self.among(hub, &query, &ids, position, room).await;
        }
        let (mut items, mut after) = (Vec::new(), position.after.clone());
        loop {
            let page = self.context.store.devices(&hub.name, after.as_deref(), CHUNK).await?;
            let present = self.presences(hub, &page.items).await?;
            for device in page.items {
                let document = twin_document(&device, present.of(&device.id));
                if query.matches(&document) {
                    items.push(row(&query, document));
                    if items.len() == room {
                        return Ok(position.page(&query, items, &device.id));
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
        position: Position,
        room: usize,
    ) -> Result<Page<DeviceRow>> {
        let mut wanted: Vec<_> = ids.iter().filter_map(|id| DeviceId::parse(id).ok()).collect();
        wanted.sort();
        wanted.dedup();
        let mut items = Vec::new();
        let left = |id: &DeviceId| position.after.as_deref().is_none_or(|after| id.as_str() > after);
        for id in wanted.into_iter().filter(left) {
            let Some(device) = self.context.store.device(&hub.name, &id).await? else { continue };
            let document = twin_document(&device, self.presence(hub, &device).await?);
            if query.matches(&document) {
                items.push(row(query, document));
                if items.len() == room {
                    return Ok(position.page(query, items, &id));
                }
            }
        }
        Ok(Page { items, next: None })
    }

    async fn aggregate(&self, hub: &Resource, query: &Query) -> Result<Page<DeviceRow>> {
        let (mut aggregator, mut after) = (query.aggregator(), None);
        loop {
            let page = self.context.store.devices(&hub.name, after.as_deref(), CHUNK).await?;
            let present = self.presences(hub, &page.items).await?;
            for device in &page.items {
                let document = twin_document(device, present.of(&device.id));
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
