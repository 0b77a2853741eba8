//! Reading table `registrations`.

use async_trait::async_trait;
use pollux_model::registration::{Registration, RegistrationStatus};
use pollux_model::{RegistrationId, ResourceName};
use tokio_postgres::Row;

use super::PostgresStore;
use super::rows::{count, document, one, page};
use super::text::text;
use crate::error::StoreError;
use crate::keys::{fetch, folded};
use crate::registrations::Registrations;
use crate::store::Page;

const ASSIGNED: &str = "SELECT document FROM registrations
    WHERE dps = $1 AND status = $2 AND id > $3 ORDER BY id LIMIT $4";
/// The index by status leaves the assigned ones out, because nearly all are: those are found along the key.
const OTHERS: &str = "SELECT document FROM registrations
    WHERE dps = $1 AND status = $2 AND status <> 'assigned' AND id > $3 ORDER BY id LIMIT $4";

#[async_trait]
impl Registrations for PostgresStore {
    async fn registration(
        &self,
        dps: &ResourceName,
        id: &RegistrationId,
    ) -> Result<Option<Registration>, StoreError> {
        let sql = "SELECT document FROM registrations WHERE dps = $1 AND id = $2";
        one(&self.pool, sql, &[&dps.as_str(), &id.as_str()], read).await
    }

    async fn registrations_of_group(
        &self,
        dps: &ResourceName,
        group: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Registration>, StoreError> {
        let sql = "SELECT document FROM registrations
            WHERE dps = $1 AND enrollment_group = $2 AND id > $3 ORDER BY id LIMIT $4";
        let (group, after) = (folded(group), folded(after.unwrap_or_default()));
        let (group, after) = (text(&group), text(&after));
        page(&self.pool, sql, &[&dps.as_str(), &group, &after, &fetch(limit)], limit, read, mark).await
    }

    async fn registrations_in(
        &self,
        dps: &ResourceName,
        status: RegistrationStatus,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Registration>, StoreError> {
        let sql = match status {
            RegistrationStatus::Assigned => ASSIGNED,
            RegistrationStatus::Unassigned
            | RegistrationStatus::Assigning
            | RegistrationStatus::Failed
            | RegistrationStatus::Disabled => OTHERS,
        };
        let after = folded(after.unwrap_or_default());
        let (status, after) = (status.as_str(), text(&after));
        page(&self.pool, sql, &[&dps.as_str(), &status, &after, &fetch(limit)], limit, read, mark).await
    }

    async fn count_registrations(&self, dps: &ResourceName) -> Result<u64, StoreError> {
        count(&self.pool, "SELECT count(*) FROM registrations WHERE dps = $1", &[&dps.as_str()]).await
    }
}

fn read(row: &Row) -> Result<Registration, StoreError> {
    document(row, 0, "registrations")
}

fn mark(registration: &Registration) -> String {
    registration.registration_id.to_string()
}
