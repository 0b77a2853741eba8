//! Which devices a job is for: those that fulfil its condition when its time has come.

use pollux_model::resource::Resource;
use pollux_model::scheduled_job::Selection;
use pollux_model::{DeviceAddress, DeviceId, Error, ErrorCode, Result};
use pollux_query::devices::{Collection, Query, SelectList};

use super::run::{Ended, Moves, Run, stored};
use crate::hub::Hub;

/// Why a job failed that found no time to choose its devices: it waited for its turn, or the service was away.
const TOO_LATE: &str = "maxExecutionTimeInSeconds was over before the devices were chosen: the job waited for others, or the service was away";
/// Devices read at once where the condition names them.
const NAMED: usize = 50;

/// The query that a condition stands for: `*`, a condition of device twins, or a query without its `SELECT *` or with it,
/// which may be `FROM devices.modules` (an issue of Azure/iotedge, 2958, shows that form).
///
/// # Errors
/// [`ErrorCode::QueryInvalid`].
pub(super) fn condition(text: &str) -> Result<Query> {
    let trimmed = text.trim();
    let first = trimmed.split_whitespace().next().unwrap_or_default();
    let query = match first {
        "" => return Err(invalid("the queryCondition is empty: use '*' for all devices".to_owned())),
        "*" if trimmed == "*" => "SELECT * FROM devices".to_owned(),
        word if word.eq_ignore_ascii_case("SELECT") => trimmed.to_owned(),
        word if word.eq_ignore_ascii_case("FROM") => format!("SELECT * {trimmed}"),
        _ => format!("SELECT * FROM devices WHERE {trimmed}"),
    };
    let query = pollux_query::devices::parse(&query)
        .map_err(|error| invalid(format!("the queryCondition does not parse as '{query}': {error}")))?;
    let plain = matches!(query.select(), SelectList::All) && query.top().is_none() && !query.is_aggregate();
    if !plain || query.collection() == Collection::Jobs {
        let message =
            "the queryCondition must be a condition, or SELECT * FROM devices or devices.modules with one";
        return Err(invalid(message.to_owned()));
    }
    Ok(query)
}

fn invalid(message: String) -> Error {
    Error::new(ErrorCode::QueryInvalid, message)
}

impl Run {
    /// Chooses the devices, a part in each commit.
    pub(super) async fn select(&mut self) -> std::result::Result<(), Ended> {
        let query = condition(&self.job.query_condition).map_err(|error| Ended::Failed(error.message))?;
        let mut named = query.hints().ids.map(|ids| {
            let mut ids: Vec<_> = ids.iter().filter_map(|id| DeviceId::parse(id).ok()).collect();
            ids.sort();
            ids.dedup();
            ids
        });
        loop {
            // Whoever goes on with chosen devices looks at the time by itself.
            let after = match &self.job.selection {
                Selection::Done => return Ok(()),
                Selection::Beginning => None,
                Selection::After(place) => Some(place.clone()),
            };
            match self.check() {
                Err(Ended::Late) => return Err(Ended::Failed(TOO_LATE.to_owned())),
                checked => checked?,
            }
            let chosen = match &mut named {
                Some(ids) => self.hub.named_devices(&self.resource, &query, ids, after.as_deref()).await,
                None => self.hub.next_devices(&self.resource, &query, after.as_deref()).await,
            };
            let (next, chosen) = chosen.map_err(stored)?;
            let count = u64::try_from(chosen.len()).unwrap_or(u64::MAX);
            let most = self.hub.context.limits.job_devices;
            if self.job.statistics.devices + count > most {
                return Err(Ended::Failed(format!("the condition holds for more than {most} devices")));
            }
            let mut writes = Vec::new();
            for device in chosen {
                let row = self.row(device);
                writes.extend(self.put(row, None).await?);
            }
            let selection = next.map_or(Selection::Done, Selection::After);
            let change =
                Moves { selection: Some(selection), chosen: count, begins: true, ..Moves::default() };
            // Where the choice went on meanwhile, it goes on from there.
            self.save(&change, &writes).await?;
        }
    }
}

/// Devices or modules that fulfil a condition, and where those behind them begin.
type Chosen = (Option<String>, Vec<DeviceAddress>);

impl Hub {
    async fn next_devices(&self, hub: &Resource, query: &Query, after: Option<&str>) -> Result<Chosen> {
        let (next, documents) = self.chunk(hub, query, after).await?;
        let matching = documents.into_iter().filter(|(_, document)| query.matches(document));
        Ok((next, matching.map(|(place, _)| place.device).collect()))
    }

    /// Of these devices, in order, those behind `after`.
    async fn named_devices(
        &self,
        hub: &Resource,
        query: &Query,
        ids: &mut Vec<DeviceId>,
        after: Option<&str>,
    ) -> Result<Chosen> {
        ids.retain(|id| after.is_none_or(|after| id.as_str() > after));
        let mut found = Vec::new();
        for id in ids.iter().take(NAMED) {
            found.extend(self.of_device(hub, query.collection(), id).await?);
        }
        let documents = self.documents(hub, &found).await?;
        let matching = documents.into_iter().filter(|(_, document)| query.matches(document));
        let next = ids.get(NAMED - 1).filter(|_| ids.len() > NAMED).map(ToString::to_string);
        Ok((next, matching.map(|(place, _)| place.device).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_become_queries() {
        for (text, collection) in [
            ("*", Collection::Devices),
            (" * ", Collection::Devices),
            ("deviceId = 'a'", Collection::Devices),
            ("DeviceId IN ['a', 'b'] AND tags.x.y > 3", Collection::Devices),
            ("from devices", Collection::Devices),
            ("SELECT * FROM devices WHERE is_defined(tags.x)", Collection::Devices),
            ("FROM devices.modules WHERE ModuleId = 'm'", Collection::Modules),
            ("select * from devices.modules", Collection::Modules),
        ] {
            assert_eq!(condition(text).unwrap().collection(), collection, "{text}");
        }
        assert_eq!(condition("DeviceId IN ['a']").unwrap().hints().ids, Some(vec!["a".to_owned()]));
        for text in [
            "",
            "  ",
            "**",
            "* WHERE a = 1",
            "deviceId =",
            "1 = 1 GROUP BY tags.x",
            "SELECT deviceId FROM devices",
            "SELECT COUNT() FROM devices",
            "SELECT TOP 3 * FROM devices",
            "FROM devices.jobs",
            "FROM elsewhere",
        ] {
            assert_eq!(condition(text).unwrap_err().code, ErrorCode::QueryInvalid, "{text}");
        }
    }
}
