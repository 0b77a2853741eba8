//! Table `leases`. Time is the server's: nodes need not agree about it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;

use super::PostgresStore;
use super::rows::many;
use super::text::{plain, text};
use crate::error::StoreError;
use crate::leases::{LeaseHolder, Leases};

/// A hundred years: what is longer is of no use, and a date must be left.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);

/// Rows in the order of their names, so that two owners do not wait for each other. The clock is read when a row is
/// there to be taken, for it may have been waited for.
const TAKE: &str = "INSERT INTO leases (name, owner, epoch, expires)
    SELECT name, $2, 1, clock_timestamp() + $3 * interval '1 millisecond' FROM unnest($1::text[]) AS name
        ORDER BY name COLLATE \"C\"
    ON CONFLICT (name) DO UPDATE SET
        epoch = leases.epoch
            + CASE WHEN leases.owner = excluded.owner AND leases.expires > clock_timestamp() THEN 0 ELSE 1 END,
        owner = excluded.owner, expires = clock_timestamp() + $3 * interval '1 millisecond'
    WHERE leases.owner IS NULL OR leases.owner = excluded.owner OR leases.expires <= clock_timestamp()
    RETURNING name, epoch";

#[async_trait]
impl Leases for PostgresStore {
    async fn lease(
        &self,
        owner: &str,
        names: &[String],
        ttl: Duration,
    ) -> Result<Vec<Option<i64>>, StoreError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        // Each once, for a statement must not meet a row twice.
        let wanted: BTreeSet<_> = names.iter().map(|name| text(name)).collect();
        let wanted: Vec<_> = wanted.into_iter().collect();
        let ttl = u32::try_from(ttl.min(LONGEST).as_secs()).map_or(0.0, f64::from) * 1000.0
            + f64::from(ttl.subsec_millis());
        let taken: Vec<(String, i64)> = many(&self.pool, TAKE, &[&wanted, &text(owner), &ttl], |row| {
            Ok((plain(row.try_get(0)?), row.try_get(1)?))
        })
        .await?;
        let taken: BTreeMap<_, _> = taken.into_iter().collect();
        Ok(names.iter().map(|name| taken.get(name).copied()).collect())
    }

    async fn release(&self, owner: &str, names: &[String]) -> Result<(), StoreError> {
        if names.is_empty() {
            return Ok(());
        }
        let sql =
            "UPDATE leases SET owner = NULL, expires = '-infinity' WHERE name = ANY ($1) AND owner = $2";
        let names: Vec<_> = names.iter().map(|name| text(name)).collect();
        self.pool.query(sql, &[&names, &text(owner)]).await.map(drop)
    }

    async fn leases(&self, prefix: &str) -> Result<Vec<LeaseHolder>, StoreError> {
        let sql = "SELECT name, owner, epoch FROM leases
            WHERE name >= $1 AND starts_with(name, $1) AND owner IS NOT NULL AND expires > clock_timestamp()
            ORDER BY name";
        many(&self.pool, sql, &[&text(prefix)], |row| {
            let (name, owner) = (plain(row.try_get(0)?), plain(row.try_get(1)?));
            Ok(LeaseHolder { name, owner, epoch: row.try_get(2)? })
        })
        .await
    }
}
