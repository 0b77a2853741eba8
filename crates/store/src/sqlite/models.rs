//! Table `models`. Models have no etag: an expectation of one never holds.

use pollux_model::ResourceName;
use pollux_model::digital_twin::StoredModel;
use rusqlite::{Connection, params};

use super::failure::Refusal;
use super::rows::{document, execute, many, require};
use crate::batch::Expect;
use crate::error::StoreError;

const FOUND: &str = "SELECT NULL FROM models WHERE twins = ?1 AND id = ?2";

pub(super) fn all(connection: &Connection, twins: &ResourceName) -> Result<Vec<StoredModel>, StoreError> {
    let sql = "SELECT document FROM models WHERE twins = ?1 ORDER BY id";
    many(connection, sql, [twins.as_str()], |row| document(row, 0, "models"))
}

pub(super) fn put(
    connection: &Connection,
    twins: &ResourceName,
    model: &StoredModel,
    text: &str,
    expect: &Expect,
) -> Result<(), Refusal> {
    require(connection, FOUND, [twins.as_str(), &model.id], expect)?;
    let sql = "INSERT INTO models (twins, id, document) VALUES (?1, ?2, ?3)
        ON CONFLICT (twins, id) DO UPDATE SET document = excluded.document";
    Ok(execute(connection, sql, params![twins.as_str(), model.id, text])?)
}

pub(super) fn delete(
    connection: &Connection,
    twins: &ResourceName,
    id: &str,
    expect: &Expect,
) -> Result<(), Refusal> {
    require(connection, FOUND, [twins.as_str(), id], expect)?;
    Ok(execute(connection, "DELETE FROM models WHERE twins = ?1 AND id = ?2", [twins.as_str(), id])?)
}

pub(super) fn delete_instance(connection: &Connection, twins: &ResourceName) -> Result<(), StoreError> {
    execute(connection, "DELETE FROM models WHERE twins = ?1", [twins.as_str()])
}
