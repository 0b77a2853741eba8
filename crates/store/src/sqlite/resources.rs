//! Table `resources`.

use async_trait::async_trait;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{OwnerName, ResourceName};
use rusqlite::{Connection, params};

use super::failure::Refusal;
use super::rows::{document, execute, many, one, require};
use super::{
    SqliteStore, activity, configurations, devices, enrollments, functions, history, jobs, messages, models,
    modules, registrations, relationships, scheduled_jobs, twins,
};
use crate::batch::Expect;
use crate::error::StoreError;
use crate::resources::Resources;

const TABLE: &str = "resources";
const ETAG: &str = "SELECT etag FROM resources WHERE kind = ?1 AND name = ?2";

#[async_trait]
impl Resources for SqliteStore {
    async fn resources(&self) -> Result<Vec<Resource>, StoreError> {
        self.readers
            .list(|connection| {
                let read = |row: &rusqlite::Row<'_>| document::<Resource>(row, 0, TABLE);
                let mut all = many(connection, "SELECT document FROM resources", [], read)?;
                all.sort_by(|a, b| (a.kind(), &a.name).cmp(&(b.kind(), &b.name)));
                Ok(all)
            })
            .await
    }

    async fn resource(
        &self,
        kind: ResourceKind,
        name: &ResourceName,
    ) -> Result<Option<Resource>, StoreError> {
        let sql = "SELECT document FROM resources WHERE kind = ?1 AND name = ?2";
        let key = [kind.as_str(), name.as_str()];
        self.readers.point(|connection| one(connection, sql, key, |row| document(row, 0, TABLE))).await
    }
}

pub(super) fn put(
    connection: &Connection,
    resource: &Resource,
    text: &str,
    expect: &Expect,
) -> Result<(), Refusal> {
    let (kind, name) = (resource.kind().as_str(), resource.name.as_str());
    require(connection, ETAG, [kind, name], expect)?;
    let sql = "INSERT INTO resources (kind, name, etag, document) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (kind, name) DO UPDATE SET etag = excluded.etag, document = excluded.document";
    Ok(execute(connection, sql, params![kind, name, resource.etag.as_str(), text])?)
}

/// Removes the resource and all rows of its instance; outbox entries stay, they tell of what happened.
pub(super) fn delete(
    connection: &Connection,
    kind: ResourceKind,
    name: &ResourceName,
    expect: &Expect,
) -> Result<(), Refusal> {
    require(connection, ETAG, [kind.as_str(), name], expect)?;
    match kind {
        ResourceKind::Dps => {
            enrollments::delete_instance(connection, name)?;
            registrations::delete_instance(connection, name)?;
        }
        ResourceKind::Hub => {
            devices::delete_instance(connection, name)?;
            messages::delete_instance(connection, name)?;
            activity::delete_instance(connection, name)?;
            modules::delete_instance(connection, name)?;
            configurations::delete_instance(connection, name)?;
            scheduled_jobs::delete_instance(connection, name)?;
            jobs::delete_instance(connection, name, true)?;
            functions::delete_owner(connection, &OwnerName::of_hub(name))?;
        }
        ResourceKind::Events => functions::delete_namespace(connection, name)?,
        ResourceKind::Twins => {
            relationships::delete_instance(connection, name)?;
            twins::delete_instance(connection, name)?;
            models::delete_instance(connection, name)?;
            history::delete_instance(connection, name)?;
            jobs::delete_instance(connection, name, false)?;
            functions::delete_owner(connection, &OwnerName::of_twins(name))?;
        }
        ResourceKind::Functions => functions::delete_app(connection, name)?,
    }
    let sql = "DELETE FROM resources WHERE kind = ?1 AND name = ?2";
    Ok(execute(connection, sql, [kind.as_str(), name])?)
}
