//! Table `relationships`, read along the source (the key) or along the target (an index).

use std::collections::{HashMap, HashSet};

use pollux_model::ResourceName;
use pollux_model::digital_twin::Relationship;
use rusqlite::{Connection, Row, params};

use super::failure::Refusal;
use super::rows::{document, execute, insert, one, page, require};
use super::twins;
use crate::batch::Expect;
use crate::error::{Mismatch, StoreError};
use crate::keys::{fetch, relationship_mark};
use crate::store::Page;
use crate::twins::{Direction, Related};

const ETAG: &str = "SELECT etag FROM relationships WHERE twins = ?1 AND source = ?2 AND id = ?3";
/// All have one source, so the id alone orders them.
const OUTGOING: &str = "SELECT document FROM relationships
    WHERE twins = ?1 AND source = ?2 AND (?3 IS NULL OR name = ?3) AND id > ?4 ORDER BY id LIMIT ?5";
/// Left to itself SQLite would go along the key, which is in the same order, through everybody's relationships.
const INCOMING: &str = "SELECT document FROM relationships INDEXED BY relationships_by_target
    WHERE twins = ?1 AND target = ?2 AND (?3 IS NULL OR name = ?3) AND (source, id) > (?4, ?5)
    ORDER BY source, id LIMIT ?6";

/// As the two above, for any of several names.
const OUTGOING_NAMED: &str = "SELECT document FROM relationships
    WHERE twins = ?1 AND source = ?2 AND (?3 IS NULL OR name IN (SELECT value FROM json_each(?3))) AND id > ?4
    ORDER BY id LIMIT ?5";
const INCOMING_NAMED: &str = "SELECT document FROM relationships INDEXED BY relationships_by_target
    WHERE twins = ?1 AND target = ?2 AND (?3 IS NULL OR name IN (SELECT value FROM json_each(?3)))
    AND (source, id) > (?4, ?5) ORDER BY source, id LIMIT ?6";

pub(super) fn get(
    connection: &Connection,
    twins: &ResourceName,
    source: &str,
    id: &str,
) -> Result<Option<Relationship>, StoreError> {
    let sql = "SELECT document FROM relationships WHERE twins = ?1 AND source = ?2 AND id = ?3";
    one(connection, sql, [twins.as_str(), source, id], read)
}

/// Those of one twin, optionally of one name.
pub(super) fn of(
    connection: &Connection,
    twins: &ResourceName,
    (twin, direction): (&str, Direction),
    name: Option<&str>,
    after: &(String, String),
    limit: usize,
) -> Result<Page<Relationship>, StoreError> {
    match direction {
        Direction::Outgoing => {
            let key = params![twins.as_str(), twin, name, after.1, fetch(limit)];
            page(connection, OUTGOING, key, limit, read, relationship_mark)
        }
        Direction::Incoming => {
            let key = params![twins.as_str(), twin, name, after.0, after.1, fetch(limit)];
            page(connection, INCOMING, key, limit, read, relationship_mark)
        }
    }
}

/// Those of several twins, as far as `limit` reaches; `names` is a JSON array.
pub(super) fn related(
    connection: &Connection,
    twins: &ResourceName,
    (ends, direction): (&[String], Direction),
    names: Option<&str>,
    after: &(String, String),
    limit: usize,
) -> Result<Related, StoreError> {
    // One snapshot for all of them.
    let transaction = connection.unchecked_transaction()?;
    let start = Default::default();
    let (mut found, mut left) = (Related::default(), limit.max(1));
    for (at, end) in ends.iter().enumerate() {
        let after = if at == 0 { after } else { &start };
        let page = match direction {
            Direction::Outgoing => {
                let key = params![twins.as_str(), end, names, after.1, fetch(left)];
                page(&transaction, OUTGOING_NAMED, key, left, read, relationship_mark)?
            }
            Direction::Incoming => {
                let key = params![twins.as_str(), end, names, after.0, after.1, fetch(left)];
                page(&transaction, INCOMING_NAMED, key, left, read, relationship_mark)?
            }
        };
        left -= page.items.len();
        found.of.push(page.items);
        found.next = page.next;
        if left == 0 {
            break;
        }
    }
    Ok(found)
}

/// Those of the whole instance.
pub(super) fn all(
    connection: &Connection,
    twins: &ResourceName,
    after: &(String, String),
    limit: usize,
) -> Result<Page<Relationship>, StoreError> {
    let sql = "SELECT document FROM relationships WHERE twins = ?1 AND (source, id) > (?2, ?3)
        ORDER BY source, id LIMIT ?4";
    let key = params![twins.as_str(), after.0, after.1, fetch(limit)];
    page(connection, sql, key, limit, read, relationship_mark)
}

fn read(row: &Row<'_>) -> Result<Relationship, StoreError> {
    document(row, 0, "relationships")
}

/// Twins that a batch has found already: many relationships share an end.
#[derive(Debug, Default)]
pub(super) struct Ends(HashMap<ResourceName, HashSet<Box<str>>>);

impl Ends {
    fn exist(&mut self, connection: &Connection, twins: &ResourceName, id: &str) -> Result<bool, StoreError> {
        if self.0.get(twins).is_some_and(|known| known.contains(id)) {
            return Ok(true);
        }
        let exists = twins::exists(connection, twins, id)?;
        if exists {
            self.0.entry(twins.clone()).or_default().insert(id.into());
        }
        Ok(exists)
    }

    /// A twin was deleted, or an instance.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

pub(super) fn put(
    connection: &Connection,
    twins: &ResourceName,
    relationship: &Relationship,
    (text, ends): (&str, &mut Ends),
    expect: &Expect,
) -> Result<(), Refusal> {
    let Relationship { id, source, target, name, etag, .. } = relationship;
    let fresh = *expect == Expect::Absent;
    if fresh {
        let sql = "INSERT INTO relationships (twins, source, id, target, name, etag, document)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";
        insert(connection, sql, params![twins.as_str(), source, id, target, name, etag.as_str(), text])?;
    } else {
        require(connection, ETAG, [twins.as_str(), source, id], expect)?;
    }
    if !ends.exist(connection, twins, source)? {
        return Err(Mismatch::NoSource.into());
    }
    if !ends.exist(connection, twins, target)? {
        return Err(Mismatch::NoTarget.into());
    }
    if fresh {
        return Ok(());
    }
    let sql = "INSERT INTO relationships (twins, source, id, target, name, etag, document)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT (twins, source, id) DO UPDATE SET target = excluded.target, name = excluded.name,
            etag = excluded.etag, document = excluded.document";
    Ok(execute(connection, sql, params![twins.as_str(), source, id, target, name, etag.as_str(), text])?)
}

pub(super) fn delete(
    connection: &Connection,
    twins: &ResourceName,
    source: &str,
    id: &str,
    expect: &Expect,
) -> Result<(), Refusal> {
    require(connection, ETAG, [twins.as_str(), source, id], expect)?;
    let sql = "DELETE FROM relationships WHERE twins = ?1 AND source = ?2 AND id = ?3";
    Ok(execute(connection, sql, [twins.as_str(), source, id])?)
}

/// Whether the twin has any, outgoing or incoming.
pub(super) fn any_of(connection: &Connection, twins: &ResourceName, twin: &str) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM relationships WHERE twins = ?1 AND source = ?2)
        OR EXISTS (SELECT 1 FROM relationships WHERE twins = ?1 AND target = ?2)";
    Ok(one(connection, sql, [twins.as_str(), twin], |row| Ok(row.get::<_, bool>(0)?))?.unwrap_or(false))
}

pub(super) fn delete_instance(connection: &Connection, twins: &ResourceName) -> Result<(), StoreError> {
    execute(connection, "DELETE FROM relationships WHERE twins = ?1", [twins.as_str()])
}

#[cfg(test)]
mod tests;
