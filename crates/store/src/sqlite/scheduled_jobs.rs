//! Tables `scheduled_jobs` and `device_jobs`.

use async_trait::async_trait;
use pollux_model::scheduled_job::{DeviceJob, ScheduledJob};
use pollux_model::{ResourceName, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::SqliteStore;
use super::failure::Refusal;
use super::rows::{count, document, execute, many, one, page, require};
use crate::batch::{Expect, Write};
use crate::error::StoreError;
use crate::keys::fetch;
use crate::scheduled_jobs::{
    DeviceJobFilter, ScheduledJobCounts, ScheduledJobs, device_job_mark, device_job_place,
};
use crate::store::Page;

const TABLE: &str = "scheduled_jobs";
const ETAG: &str = "SELECT etag FROM scheduled_jobs WHERE hub = ?1 AND id = ?2";
const FORGET: &str = "DELETE FROM device_jobs WHERE hub = ?1 AND job = ?2 AND device IN
    (SELECT device FROM device_jobs WHERE hub = ?1 AND job = ?2 ORDER BY device LIMIT ?3)";

#[async_trait]
impl ScheduledJobs for SqliteStore {
    async fn scheduled_job(&self, hub: &ResourceName, id: &str) -> Result<Option<ScheduledJob>, StoreError> {
        let sql = "SELECT document FROM scheduled_jobs WHERE hub = ?1 AND id = ?2";
        let key = [hub.as_str(), id];
        self.readers.point(|connection| one(connection, sql, key, |row| document(row, 0, TABLE))).await
    }

    async fn scheduled_jobs(
        &self,
        hub: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<ScheduledJob>, StoreError> {
        let sql = "SELECT document FROM scheduled_jobs WHERE hub = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
        let (hub, after) = (hub.clone(), after.unwrap_or_default().to_owned());
        self.readers
            .list(move |connection| {
                let key = params![hub.as_str(), after, fetch(limit)];
                let mark = |job: &ScheduledJob| job.id.clone();
                page(connection, sql, key, limit, |row| document(row, 0, TABLE), mark)
            })
            .await
    }

    async fn due_scheduled_jobs(
        &self,
        hub: &ResourceName,
        over: bool,
        limit: usize,
    ) -> Result<Vec<ScheduledJob>, StoreError> {
        let sql =
            "SELECT document FROM scheduled_jobs WHERE hub = ?1 AND over = ?2 ORDER BY due, id LIMIT ?3";
        self.readers
            .point(|connection| {
                let key = params![hub.as_str(), over, fetch(limit) - 1];
                many(connection, sql, key, |row| document(row, 0, TABLE))
            })
            .await
    }

    async fn count_scheduled_jobs(
        &self,
        hub: &ResourceName,
        now: Timestamp,
    ) -> Result<ScheduledJobCounts, StoreError> {
        let of = |connection: &Connection, condition: &str| {
            let sql = format!("SELECT count(*) FROM scheduled_jobs WHERE hub = ?1 AND {condition}");
            count(connection, &sql, params![hub.as_str(), now.as_micros()])
        };
        self.readers
            .point(|connection| {
                Ok(ScheduledJobCounts {
                    active: of(connection, "over = 0 AND due <= ?2")?,
                    waiting: of(connection, "over = 0 AND due > ?2")?,
                    over: of(connection, "over = 1 AND ?2 IS NOT NULL")?,
                })
            })
            .await
    }

    async fn device_jobs(
        &self,
        hub: &ResourceName,
        filter: DeviceJobFilter<'_>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<DeviceJob>, StoreError> {
        let (sql, more) = filter.select();
        let sql = sql.replace('$', "?");
        let (job, device) = device_job_place(after)?;
        let text = |text: &str| Value::Text(text.to_owned());
        let mut key = vec![text(hub), text(&job), text(&device), Value::Integer(fetch(limit))];
        key.extend(more.into_iter().map(text));
        self.readers
            .list(move |connection| {
                let key = params_from_iter(key);
                page(connection, &sql, key, limit, |row| document(row, 0, "device_jobs"), device_job_mark)
            })
            .await
    }
}

/// A write about one of these.
pub(super) fn write(connection: &Connection, write: &Write, text: &str) -> Result<(), Refusal> {
    match write {
        Write::PutScheduledJob { hub, job, expect } => put(connection, hub, job, text, expect),
        Write::DeleteScheduledJob { hub, id, expect } => delete(connection, hub, id, expect),
        Write::PutDeviceJob { hub, job } => put_device_job(connection, hub, job, text),
        Write::ForgetDeviceJobs { hub, job, most } => {
            Ok(execute(connection, FORGET, params![hub.as_str(), job, most])?)
        }
        _ => Ok(()),
    }
}

fn put(
    connection: &Connection,
    hub: &ResourceName,
    job: &ScheduledJob,
    text: &str,
    expect: &Expect,
) -> Result<(), Refusal> {
    require(connection, ETAG, [hub.as_str(), &job.id], expect)?;
    let sql =
        "INSERT INTO scheduled_jobs (hub, id, etag, over, due, document) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (hub, id) DO UPDATE SET etag = excluded.etag, over = excluded.over, due = excluded.due,
            document = excluded.document";
    let (over, due) = (job.status.is_over(), job.due().as_micros());
    Ok(execute(connection, sql, params![hub.as_str(), job.id, job.etag.as_str(), over, due, text])?)
}

fn delete(connection: &Connection, hub: &ResourceName, id: &str, expect: &Expect) -> Result<(), Refusal> {
    let key = [hub.as_str(), id];
    require(connection, ETAG, key, expect)?;
    execute(connection, "DELETE FROM scheduled_jobs WHERE hub = ?1 AND id = ?2", key)?;
    Ok(execute(connection, "DELETE FROM device_jobs WHERE hub = ?1 AND job = ?2", key)?)
}

fn put_device_job(
    connection: &Connection,
    hub: &ResourceName,
    job: &DeviceJob,
    text: &str,
) -> Result<(), Refusal> {
    let sql = "INSERT INTO device_jobs (hub, job, device, status, document) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (hub, job, device) DO UPDATE SET status = excluded.status, document = excluded.document";
    let key = params![hub.as_str(), job.job, job.device.to_string(), job.status.as_str(), text];
    Ok(execute(connection, sql, key)?)
}

pub(super) fn delete_instance(connection: &Connection, hub: &ResourceName) -> Result<(), StoreError> {
    for sql in ["DELETE FROM scheduled_jobs WHERE hub = ?1", "DELETE FROM device_jobs WHERE hub = ?1"] {
        execute(connection, sql, [hub.as_str()])?;
    }
    Ok(())
}
