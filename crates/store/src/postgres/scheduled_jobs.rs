//! Tables `scheduled_jobs` and `device_jobs`: reading them, and the statements about them.

use std::sync::LazyLock;

use async_trait::async_trait;
use pollux_model::scheduled_job::{DeviceJob, ScheduledJob};
use pollux_model::{ResourceName, Timestamp};
use tokio_postgres::types::ToSql;

use super::PostgresStore;
use super::noun::Noun;
use super::plan::{Steps, Wants, key, value, word};
use super::rows::{document, many, number, one, page};
use super::text::text;
use crate::batch::{Expect, Write};
use crate::error::StoreError;
use crate::keys::fetch;
use crate::scheduled_jobs::{
    DeviceJobFilter, ScheduledJobCounts, ScheduledJobs, device_job_mark, device_job_place,
};
use crate::store::Page;

const TABLE: &str = "scheduled_jobs";
static JOBS: LazyLock<Noun> =
    LazyLock::new(|| Noun::new(TABLE, &["hub", "id"], &["etag", "over", "due", "document"], &["etag"]));
static DEVICE_JOBS: LazyLock<Noun> =
    LazyLock::new(|| Noun::new("device_jobs", &["hub", "job", "device"], &["status", "document"], &[]));

#[async_trait]
impl ScheduledJobs for PostgresStore {
    async fn scheduled_job(&self, hub: &ResourceName, id: &str) -> Result<Option<ScheduledJob>, StoreError> {
        let sql = "SELECT document FROM scheduled_jobs WHERE hub = $1 AND id = $2";
        let id = text(id);
        one(&self.pool, sql, &[&hub.as_str(), &id], |row| document(row, 0, TABLE)).await
    }

    async fn scheduled_jobs(
        &self,
        hub: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<ScheduledJob>, StoreError> {
        let sql = "SELECT document FROM scheduled_jobs WHERE hub = $1 AND id > $2 ORDER BY id LIMIT $3";
        let after = text(after.unwrap_or_default());
        let key: super::pool::Params<'_> = &[&hub.as_str(), &after, &fetch(limit)];
        let mark = |job: &ScheduledJob| job.id.clone();
        page(&self.pool, sql, key, limit, |row| document(row, 0, TABLE), mark).await
    }

    async fn due_scheduled_jobs(
        &self,
        hub: &ResourceName,
        over: bool,
        limit: usize,
    ) -> Result<Vec<ScheduledJob>, StoreError> {
        let sql =
            "SELECT document FROM scheduled_jobs WHERE hub = $1 AND over = $2 ORDER BY due, id LIMIT $3";
        let limit = fetch(limit) - 1;
        many(&self.pool, sql, &[&hub.as_str(), &over, &limit], |row| document(row, 0, TABLE)).await
    }

    async fn count_scheduled_jobs(
        &self,
        hub: &ResourceName,
        now: Timestamp,
    ) -> Result<ScheduledJobCounts, StoreError> {
        let sql = "SELECT count(*) FILTER (WHERE NOT over AND due <= $2), \
            count(*) FILTER (WHERE NOT over AND due > $2), count(*) FILTER (WHERE over) \
            FROM scheduled_jobs WHERE hub = $1";
        let now = now.as_micros();
        let key: super::pool::Params<'_> = &[&hub.as_str(), &now];
        let counts = one(&self.pool, sql, key, |row| {
            let (active, waiting) = (number(row, 0)?, number(row, 1)?);
            Ok(ScheduledJobCounts { active, waiting, over: number(row, 2)? })
        })
        .await?;
        Ok(counts.unwrap_or_default())
    }

    async fn device_jobs(
        &self,
        hub: &ResourceName,
        filter: DeviceJobFilter<'_>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<DeviceJob>, StoreError> {
        let (sql, more) = filter.select();
        let (job, device) = device_job_place(after)?;
        // A query may ask for ids that no job has.
        let (job, device) = (text(&job), text(&device));
        let more: Vec<_> = more.into_iter().map(text).collect();
        let (hub, limit_) = (hub.as_str(), fetch(limit));
        let mut key: Vec<&(dyn ToSql + Sync)> = vec![&hub, &job, &device, &limit_];
        key.extend(more.iter().map(|text| -> &(dyn ToSql + Sync) { text }));
        let read = |row: &tokio_postgres::Row| document(row, 0, "device_jobs");
        page(&self.pool, &sql, &key, limit, read, device_job_mark).await
    }
}

/// Adds the steps of a write about one of these.
pub(super) fn write<'a>(steps: &mut Steps<'a, '_>, write: &'a Write, text: &'a str) {
    match write {
        Write::PutScheduledJob { hub, job, expect } => {
            let (over, due) = (job.status.is_over(), job.due().as_micros());
            let columns = vec![word(&job.etag), value(over), value(due), value(text)];
            steps.put(&JOBS, || key(hub, &job.id), columns, expect);
        }
        Write::DeleteScheduledJob { hub, id, expect } => {
            steps.delete(&JOBS, || key(hub, id), expect);
            let sql = "DELETE FROM device_jobs WHERE hub = $1 AND job = $2";
            steps.add(sql, key(hub, id), Wants::Anything);
        }
        Write::PutDeviceJob { hub, job } => {
            let keys = || vec![value(hub.as_str()), word(&job.job), value(job.device.to_string())];
            steps.put(&DEVICE_JOBS, keys, vec![value(job.status.as_str()), value(text)], &Expect::Any);
        }
        Write::ForgetDeviceJobs { hub, job, most } => {
            let sql = "DELETE FROM device_jobs WHERE hub = $1 AND job = $2 AND device IN
                (SELECT device FROM device_jobs WHERE hub = $1 AND job = $2 ORDER BY device LIMIT $3)";
            let mut params = key(hub, job);
            params.push(value(i64::from(*most)));
            steps.add(sql, params, Wants::Anything);
        }
        _ => {}
    }
}
