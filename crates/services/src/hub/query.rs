//! Queries: `SELECT … FROM devices …` and `… FROM devices.modules …` over twin documents, `… FROM devices.jobs …` over what
//! became of scheduled jobs. Sees every acknowledged write.

use std::fmt;

use pollux_model::device::Device;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{DeviceAddress, DeviceId, Error, ErrorCode, Result};
use pollux_query::devices::{Collection, Query};
use pollux_store::Page;
use pollux_store::modules::after_module;
use pollux_store::scheduled_jobs::after_device_job;
use serde_json::Value;

use super::{Hub, Operation, twin_document};
use crate::caller::{Caller, HubAction, Right};

/// Devices read from the store at once.
const CHUNK: usize = 500;

/// A row of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum DeviceRow {
    /// A whole twin (`SELECT *`).
    Twin(Value),
    /// A whole job at a device (`SELECT *`).
    Job(Value),
    /// Columns or aggregates.
    Raw(Value),
}

/// Where a query goes on.
#[derive(Debug, Default)]
struct Position {
    /// Rows given so far: `TOP` counts all pages.
    given: u64,
    /// What the page before ended with.
    after: Option<Place>,
}

/// A row's place among the others: its device or module; of a job at one, behind the job. As text `device`, `device/module`,
/// or either behind `job/`: no id has a slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) job: Option<String>,
    pub(super) device: DeviceAddress,
}

impl Place {
    fn read(text: &str, collection: Collection) -> Option<Self> {
        let (job, device) = match collection {
            Collection::Devices | Collection::Modules => (None, text),
            Collection::Jobs => text.split_once('/').map(|(job, device)| (Some(job.to_owned()), device))?,
        };
        Some(Self { job, device: DeviceAddress::parse(device).ok()? })
    }

    /// The store's mark of it.
    fn mark(&self, collection: Collection) -> String {
        match collection {
            Collection::Devices => self.device.device.to_string(),
            Collection::Modules => after_module(&self.device),
            Collection::Jobs => after_device_job(self.job.as_deref().unwrap_or_default(), &self.device),
        }
    }
}

impl From<DeviceAddress> for Place {
    fn from(device: DeviceAddress) -> Self {
        Self { job: None, device }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(job) = &self.job {
            write!(f, "{job}/")?;
        }
        self.device.fmt(f)
    }
}

impl Position {
    /// `given:place`, as [`Position::page`] writes it.
    fn read(text: Option<&str>, collection: Collection) -> Result<Self> {
        let Some(text) = text else { return Ok(Self::default()) };
        let parts = text.split_once(':').and_then(|(given, after)| {
            let after = if after.is_empty() { None } else { Some(Place::read(after, collection)?) };
            Some(Self { given: given.parse().ok()?, after })
        });
        parts.ok_or_else(|| Error::invalid("this is not where a page of this query ended"))
    }

    /// How many rows the next page may have; 0 when `TOP` is reached.
    fn room(&self, query: &Query, limit: usize) -> usize {
        let left = query.top().map_or(u64::MAX, |top| top.saturating_sub(self.given));
        usize::try_from(left).unwrap_or(usize::MAX).min(limit)
    }

    /// The page that ended with this one: it leads on unless `TOP` is reached.
    fn page(self, query: &Query, items: Vec<DeviceRow>, last: Option<&Place>) -> Page<DeviceRow> {
        let given = self.given.saturating_add(u64::try_from(items.len()).unwrap_or(u64::MAX));
        let more = query.top().is_none_or(|top| given < top);
        let last = last.map(ToString::to_string).unwrap_or_default();
        Page { items, next: more.then(|| format!("{given}:{last}")) }
    }
}

impl Hub {
    /// Runs a query. `after` is what the page before gave as `next`; rows come in order of device and module, groups in
    /// an order of their own.
    pub async fn query(
        &self,
        caller: &Caller,
        hub: &Resource,
        text: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<DeviceRow>> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::TwinsRead))?;
        let query = pollux_query::devices::parse(text)
            .map_err(|error| Error::new(ErrorCode::QueryInvalid, error.to_string()))?;
        self.throttle(hub, Operation::Query, 1)?;
        let position = Position::read(after, query.collection())?;
        let room = position.room(&query, limit);
        if room == 0 {
            return Ok(Page { items: Vec::new(), next: None });
        }
        if query.is_aggregate() {
            return self.aggregate(hub, &query, position, room).await;
        }
        if let Some(ids) = query.hints().ids.filter(|_| query.collection() != Collection::Jobs) {
            return self.among(hub, &query, &ids, position, room).await;
        }
        let collection = query.collection();
        let mut after = position.after.as_ref().map(|after| after.mark(collection));
        let mut items = Vec::new();
        loop {
            let (page, documents) = self.chunk(hub, &query, after.as_deref()).await?;
            for (place, document) in documents {
                if query.matches(&document) {
                    items.push(row(&query, document));
                    if items.len() == room {
                        return Ok(position.page(&query, items, Some(&place)));
                    }
                }
            }
            after = page;
            if after.is_none() {
                return Ok(Page { items, next: None });
            }
        }
    }

    /// The next devices, modules or jobs as documents, and where those behind them begin.
    pub(super) async fn chunk(
        &self,
        hub: &Resource,
        query: &Query,
        after: Option<&str>,
    ) -> Result<(Option<String>, Vec<(Place, Value)>)> {
        let store = &self.context.store;
        let page = match query.collection() {
            Collection::Devices => store.devices(&hub.name, after, CHUNK).await?,
            Collection::Modules => store.modules(&hub.name, after, CHUNK).await?,
            Collection::Jobs => return self.device_job_documents(hub, query, after).await,
        };
        Ok((page.next, self.documents(hub, &page.items).await?))
    }

    pub(super) async fn documents(&self, hub: &Resource, devices: &[Device]) -> Result<Vec<(Place, Value)>> {
        let present = self.presences(hub, devices).await?;
        let shown = |device: &Device| {
            let id = device.address();
            let document = twin_document(device, present.of(&id));
            (id.into(), document)
        };
        Ok(devices.iter().map(shown).collect())
    }

    /// Only these devices and their modules can match: they are read one by one.
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
        let begun = |id: &DeviceId| position.after.as_ref().is_none_or(|after| *id >= after.device.device);
        for id in wanted.into_iter().filter(begun) {
            let found = self.of_device(hub, query.collection(), &id).await?;
            for (place, document) in self.documents(hub, &found).await? {
                let left = position.after.as_ref().is_none_or(|after| place > *after);
                if left && query.matches(&document) {
                    items.push(row(query, document));
                    if items.len() == room {
                        return Ok(position.page(query, items, Some(&place)));
                    }
                }
            }
        }
        Ok(Page { items, next: None })
    }

    /// The device, or its modules.
    pub(super) async fn of_device(
        &self,
        hub: &Resource,
        collection: Collection,
        id: &DeviceId,
    ) -> Result<Vec<Device>> {
        let store = &self.context.store;
        Ok(match collection {
            Collection::Modules => store.modules_of(&hub.name, id).await?,
            Collection::Devices | Collection::Jobs => {
                store.device(&hub.name, id).await?.into_iter().collect()
            }
        })
    }

    /// All matches are looked at for each page; groups come in the same order each time.
    async fn aggregate(
        &self,
        hub: &Resource,
        query: &Query,
        position: Position,
        room: usize,
    ) -> Result<Page<DeviceRow>> {
        let (mut aggregator, mut after) = (query.aggregator(), None);
        loop {
            let (next, documents) = self.chunk(hub, query, after.as_deref()).await?;
            for (_, document) in documents {
                if query.matches(&document) {
                    aggregator.add(&document);
                }
                if aggregator.bytes() > self.context.limits.query_memory {
                    let message = "the query has more groups than there is room for: narrow it down by WHERE";
                    return Err(Error::new(ErrorCode::QueryInvalid, message));
                }
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        let given = usize::try_from(position.given).unwrap_or(usize::MAX);
        let mut rows = aggregator.finish().into_iter().skip(given).map(DeviceRow::Raw);
        let items: Vec<_> = rows.by_ref().take(room).collect();
        if rows.next().is_none() {
            return Ok(Page { items, next: None });
        }
        Ok(position.page(query, items, None))
    }
}

fn row(query: &Query, document: Value) -> DeviceRow {
    match query.select() {
        pollux_query::devices::SelectList::All if query.collection() == Collection::Jobs => {
            DeviceRow::Job(document)
        }
        pollux_query::devices::SelectList::All => DeviceRow::Twin(document),
        pollux_query::devices::SelectList::Columns(_) => DeviceRow::Raw(query.project(&document)),
    }
}
