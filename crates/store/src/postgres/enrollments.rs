//! Reading tables `enrollments` and `enrollment_groups`. Ids are kept in lower case in the key columns, as they came in
//! the documents.

use async_trait::async_trait;
use pollux_model::enrollment::{EnrollmentGroup, IndividualEnrollment};
use pollux_model::{RegistrationId, ResourceName};
use tokio_postgres::Row;

use super::PostgresStore;
use super::rows::{count, document, one, page};
use super::text::text;
use crate::enrollments::Enrollments;
use crate::error::StoreError;
use crate::keys::{fetch, folded};
use crate::store::Page;

const TABLE: &str = "enrollments";
const GROUPS: &str = "enrollment_groups";

#[async_trait]
impl Enrollments for PostgresStore {
    async fn enrollment(
        &self,
        dps: &ResourceName,
        id: &RegistrationId,
    ) -> Result<Option<IndividualEnrollment>, StoreError> {
        let sql = "SELECT document FROM enrollments WHERE dps = $1 AND id = $2";
        one(&self.pool, sql, &[&dps.as_str(), &id.as_str()], |row| document(row, 0, TABLE)).await
    }

    async fn enrollments(
        &self,
        dps: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<IndividualEnrollment>, StoreError> {
        let sql = "SELECT document FROM enrollments WHERE dps = $1 AND id > $2 ORDER BY id LIMIT $3";
        let after = folded(after.unwrap_or_default());
        let mark = |enrollment: &IndividualEnrollment| enrollment.registration_id.to_string();
        let read = |row: &Row| document(row, 0, TABLE);
        page(&self.pool, sql, &[&dps.as_str(), &text(&after), &fetch(limit)], limit, read, mark).await
    }

    async fn count_enrollments(&self, dps: &ResourceName) -> Result<u64, StoreError> {
        count(&self.pool, "SELECT count(*) FROM enrollments WHERE dps = $1", &[&dps.as_str()]).await
    }

    async fn enrollment_group(
        &self,
        dps: &ResourceName,
        id: &str,
    ) -> Result<Option<EnrollmentGroup>, StoreError> {
        let sql = "SELECT document FROM enrollment_groups WHERE dps = $1 AND id = $2";
        one(&self.pool, sql, &[&dps.as_str(), &text(&folded(id))], |row| document(row, 0, GROUPS)).await
    }

    async fn enrollment_groups(
        &self,
        dps: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<EnrollmentGroup>, StoreError> {
        let sql = "SELECT document FROM enrollment_groups WHERE dps = $1 AND id > $2 ORDER BY id LIMIT $3";
        let after = folded(after.unwrap_or_default());
        let mark = |group: &EnrollmentGroup| folded(&group.id);
        let read = |row: &Row| document(row, 0, GROUPS);
        page(&self.pool, sql, &[&dps.as_str(), &text(&after), &fetch(limit)], limit, read, mark).await
    }
}
