//! Indexes on the properties of twins: expression indexes on table `digital_twins`, one for each instance and property.
//!
//! What an index is of stands in its comment, so that it lives and dies with the index and needs no table. An index is made
//! without holding up commits (`CONCURRENTLY`), under an advisory lock of its session: should the node die meanwhile, the
//! lock is held for as long as the server goes on, and what an unfinished build leaves behind (an index that is not
//! valid, or has no comment) is removed by whoever makes the next one.
//!
//! The expression must have a value for every document, for otherwise a commit would be refused for the index's sake.
//! `jsonb` cannot hold `\u0000`; a document with that in it has a key that is always looked for, so that it is always found.

use std::time::Duration;

use async_trait::async_trait;
use pollux_model::digital_twin::DigitalTwin;
use pollux_model::{ResourceName, Timestamp};
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::PostgresStore;
use super::pool::{Connection, Pool};
use super::rows::{document, many};
use super::text::text;
use crate::error::StoreError;
use crate::keys::fetch;
use crate::property_indexes::{
    COMPARED, IndexedProperty, Made, MostIndexes, PropertyIndex, PropertyIndexes, ValueKind, Values,
};
use crate::store::Page;

/// What the names of our indexes begin with. The number is that of the form of their keys.
const PREFIX: &str = "twin_value_1_";
/// `TwinKey` in ASCII: the lock under which indexes are made and dropped.
const LOCK: i64 = 0x54_7769_6e4b_6579;
/// How long making one may take.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);
/// Twins found out of order at most; they are put in order for each page.
const SORTED: i64 = 4096;
/// The text key of documents that have none: U+0001.
const UNKNOWN: &str = "\u{1}";

/// Of all our indexes, the unfinished too.
const LIST: &str = "SELECT c.relname::text, obj_description(c.oid, 'pg_class'), i.indisvalid
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE i.indrelid = 'digital_twins'::regclass AND starts_with(c.relname::text, 'twin_value_') ORDER BY 1";

/// What stands in an index's comment.
#[derive(Serialize, Deserialize)]
struct Comment {
    twins: ResourceName,
    property: IndexedProperty,
    used: Timestamp,
}

#[async_trait]
impl PropertyIndexes for PostgresStore {
    async fn property_indexes(&self) -> Result<Vec<PropertyIndex>, StoreError> {
        let found = many(&self.pool, LIST, &[], found).await?;
        Ok(found.into_iter().filter_map(Result::ok).collect())
    }

    async fn make_property_index(
        &self,
        twins: &ResourceName,
        property: &IndexedProperty,
        most: MostIndexes,
        now: Timestamp,
    ) -> Result<Made, StoreError> {
        let Some(builder) = Builder::begin(&self.pool).await? else { return Ok(Made::Busy) };
        let made = builder.make_one(twins, property, most, now).await;
        builder.end().await;
        made
    }

    async fn keep_property_index(&self, index: &PropertyIndex, used: Timestamp) -> Result<(), StoreError> {
        let comment = comment(&index.name, &index.twins, &index.property, used)?;
        let here = "SELECT 1 FROM pg_class WHERE oid = to_regclass($1)";
        if self.pool.query(here, &[&index.name]).await?.is_empty() {
            return Ok(());
        }
        self.pool.query(&comment, &[]).await.map(drop)
    }

    async fn drop_property_index(&self, index: &PropertyIndex) -> Result<(), StoreError> {
        match Builder::begin(&self.pool).await? {
            Some(builder) => {
                let dropped = builder.drop(&index.name).await;
                builder.end().await;
                dropped
            }
            None => Ok(()),
        }
    }

    async fn twins_by_value(
        &self,
        index: &PropertyIndex,
        values: &Values,
        models: Option<&[String]>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Page<DigitalTwin>>, StoreError> {
        let (after, rows) = (text(after.unwrap_or_default()), fetch(limit));
        let models: Option<Vec<String>> =
            models.map(|models| models.iter().map(|model| text(model).into_owned()).collect());
        let sql = statement(index, values, models.is_some());
        let keys = Keys::of(values);
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&after, &rows];
        match &keys {
            Keys::Texts(keys) => params.push(keys),
            Keys::Numbers(keys) => params.push(keys),
            Keys::TextsBetween(least, None) => params.push(least),
            Keys::TextsBetween(least, Some(most)) => params.extend([least as &(dyn ToSql + Sync), most]),
            Keys::NumbersBetween(least, most) => params.extend([least as &(dyn ToSql + Sync), most]),
        }
        if models.is_some() {
            params.push(&models);
        }
        let found = self.pool.query(&sql, &params).await?;
        let usable = |row: &Row| {
            Ok::<_, StoreError>(row.try_get::<_, bool>(0)? && row.try_get::<_, i64>(1)? <= SORTED)
        };
        if !found.first().map(usable).transpose()?.unwrap_or(false) {
            return Ok(None);
        }
        let mut items = Vec::new();
        for row in &found {
            if row.try_get::<_, Option<&str>>(2)?.is_some() {
                items.push(document::<DigitalTwin>(row, 2, "digital_twins")?);
            }
        }
        let more = items.len() > limit.max(1);
        items.truncate(limit.max(1));
        let next = if more { items.last().map(|twin| twin.id.clone()) } else { None };
        Ok(Some(Page { items, next }))
    }
}

/// The keys that are looked for, the one of unknown values left out where it goes without saying.
enum Keys {
    Texts(Vec<String>),
    Numbers(Vec<f64>),
    /// From; to, `None`: all that are greater.
    TextsBetween(String, Option<String>),
    NumbersBetween(f64, f64),
}

impl Keys {
    fn of(values: &Values) -> Self {
        match values {
            Values::Texts(texts) => {
                let mut keys: Vec<String> = texts.iter().map(|text| key(text)).collect();
                keys.push(UNKNOWN.to_owned());
                keys.sort_unstable();
                keys.dedup();
                Self::Texts(keys)
            }
            Values::Numbers(numbers) => {
                // Minus zero is zero.
                let mut keys: Vec<f64> = numbers.iter().map(|number| number + 0.0).collect();
                keys.push(f64::NAN);
                keys.sort_unstable_by(f64::total_cmp);
                keys.dedup();
                Self::Numbers(keys)
            }
            Values::TextsBetween(least, most) => {
                Self::TextsBetween(least.as_deref().map(key).unwrap_or_default(), most.as_deref().map(key))
            }
            Values::TextsWith(beginning) => {
                let least = key(beginning);
                // No text that begins so is greater than this: nothing is greater than the last character.
                let most = format!("{least}{}", "\u{10ffff}".repeat(COMPARED));
                Self::TextsBetween(least, Some(most))
            }
            Values::NumbersBetween(least, most) => Self::NumbersBetween(*least, *most),
        }
    }
}

/// A text as far as it is compared. What has a NUL in it is found as unknown; others that compare with it do so by what is
/// before.
fn key(text: &str) -> String {
    text.chars().take(COMPARED).take_while(|character| *character != '\0').collect()
}

/// The key of a document, in SQL. Nothing but letters, digits and `_` comes from outside.
fn expression(property: &IndexedProperty) -> String {
    let path: String = property.path().iter().map(|name| format!(".\"{name}\"")).collect();
    let unknown = "strpos(document, chr(92) || 'u0000') > 0";
    let value = |types: &str| {
        format!(
            "jsonb_path_query_first(document::jsonb, 'strict $.\"document\"{path} ? ({types})', '{{}}', true)"
        )
    };
    match property.kind() {
        ValueKind::Text => {
            let value = value("@.type() == \"string\" || @.type() == \"boolean\"");
            format!(
                "(CASE WHEN {unknown} THEN chr(1) ELSE left({value} #>> '{{}}', {COMPARED}) END COLLATE \"C\")"
            )
        }
        ValueKind::Number => {
            let value = value("@.type() == \"number\"");
            format!("(CASE WHEN {unknown} THEN 'NaN'::float8 ELSE ({value})::float8 END)")
        }
    }
}

/// The statement that reads a page: whether the index is there, how many were found out of order, documents. A single value
/// is found in order of id; a range is put in order, as is what must still be asked for its model.
fn statement(index: &PropertyIndex, values: &Values, models: bool) -> String {
    let (name, twins) = (literal(&index.name), literal(index.twins.as_str()));
    let key = expression(&index.property);
    let kind = match index.property.kind() {
        ValueKind::Text => "text",
        ValueKind::Number => "float8",
    };
    let here = format!("WITH here AS (SELECT to_regclass({name}) IS NOT NULL AS ok)");
    let of = format!("FROM digital_twins WHERE (SELECT ok FROM here) AND twins = {twins}");
    // Each by its key, whatever the planner thinks of joins.
    let document =
        format!("(SELECT document FROM digital_twins AS t WHERE t.twins = {twins} AND t.id = ids.id)");
    let several = matches!(values, Values::Texts(_) | Values::Numbers(_));
    if several && !models {
        return format!(
            "{here}, ids AS MATERIALIZED (
                SELECT next.id FROM unnest($3::{kind}[]) AS wanted (key), LATERAL (
                    SELECT id {of} AND {key} = wanted.key AND id > $1 ORDER BY id LIMIT $2
                ) AS next ORDER BY next.id LIMIT $2)
            SELECT here.ok, 0::bigint, {document} FROM here LEFT JOIN ids ON true ORDER BY ids.id"
        );
    }
    let most = SORTED + 1;
    let (found, model) = if several {
        let one = format!("SELECT id, model {of} AND {key} = wanted.key LIMIT {most}");
        (format!("SELECT next.* FROM unnest($3::{kind}[]) AS wanted (key), LATERAL ({one}) AS next"), 4)
    } else {
        let unknown = match index.property.kind() {
            ValueKind::Text => "chr(1) COLLATE \"C\"",
            ValueKind::Number => "'NaN'::float8",
        };
        let (above, model) = match Keys::of(values) {
            Keys::TextsBetween(_, None) => (String::new(), 4),
            _ => (format!("AND {key} <= $4::{kind}"), 5),
        };
        let unions = format!(
            "(SELECT id, model {of} AND {key} = {unknown} LIMIT {most})
            UNION (SELECT id, model {of} AND {key} >= $3::{kind} {above} LIMIT {most})"
        );
        (unions, model)
    };
    let of_models = if models { format!("AND found.model = ANY (${model}::text[])") } else { String::new() };
    format!(
        "{here}, found AS MATERIALIZED (SELECT * FROM ({found}) AS all_found LIMIT {most}),
        ids AS MATERIALIZED (SELECT id FROM found WHERE id > $1 {of_models} ORDER BY id LIMIT $2)
        SELECT here.ok, (SELECT count(*) FROM found), {document} FROM here LEFT JOIN ids ON true ORDER BY ids.id"
    )
}

/// A session that makes and drops indexes. It is closed in the end, for its settings are its own.
struct Builder(Connection);

impl Builder {
    /// `None` while there is another.
    async fn begin(pool: &Pool) -> Result<Option<Self>, StoreError> {
        let mut connection = pool.connection().await?;
        connection.clean = false;
        let builder = Self(connection);
        let asked = async {
            builder.0.batch_execute("SET statement_timeout = 0; SET lock_timeout = 0").await?;
            builder.0.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await
        };
        let row = pool.patient(asked).await??;
        Ok(row.try_get::<_, bool>(0)?.then_some(builder))
    }

    /// Gives the lock back before the next one asks for it. Where that fails, the session's end does so a moment later.
    async fn end(self) {
        if let Err(error) = self.0.batch_execute("SELECT pg_advisory_unlock_all()").await {
            tracing::debug!(%error, "a session that made indexes ended early");
        }
    }

    /// Removes what is left of earlier tries, then makes an index if there is room.
    async fn make_one(
        &self,
        twins: &ResourceName,
        property: &IndexedProperty,
        most: MostIndexes,
        now: Timestamp,
    ) -> Result<Made, StoreError> {
        let mut there = Vec::new();
        for found in self.list().await? {
            match found {
                Ok(index) => there.push(index),
                Err(name) => self.drop(&name).await?,
            }
        }
        if there.iter().any(|index| index.twins == *twins && index.property == *property) {
            return Ok(Made::Ready);
        }
        let of_instance = there.iter().filter(|index| index.twins == *twins).count();
        if of_instance >= most.of_instance || there.len() >= most.in_all {
            return Ok(Made::Full);
        }
        self.make(twins, property, now).await
    }

    async fn list(&self) -> Result<Vec<Result<PropertyIndex, String>>, StoreError> {
        self.0.query(LIST, &[]).await?.iter().map(found).collect()
    }

    async fn make(
        &self,
        twins: &ResourceName,
        property: &IndexedProperty,
        now: Timestamp,
    ) -> Result<Made, StoreError> {
        let (key, of) = (expression(property), literal(twins.as_str()));
        let hash = self.0.query_one("SELECT md5($1)", &[&format!("{twins} {key}")]).await?;
        let name = format!("{PREFIX}{}", hash.try_get::<_, &str>(0)?);
        let make = format!(
            "CREATE INDEX CONCURRENTLY {name} ON digital_twins ({key}, id) WHERE twins = {of} AND {key} IS NOT NULL"
        );
        let made = Pool::patient_for(PATIENCE, self.0.batch_execute(&make)).await?;
        match made {
            Ok(()) => {}
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => return Ok(Made::Never),
            Err(error) => {
                // The first error says why; what is left is removed by the next try if not now.
                if let Err(left) = self.drop(&name).await {
                    tracing::debug!(%left, "an index that was not finished is still there");
                }
                return Err(error.into());
            }
        }
        // Without statistics of the expression the planner would guess.
        self.0.batch_execute("ANALYZE digital_twins").await?;
        self.0.batch_execute(&comment(&name, twins, property, now)?).await?;
        Ok(Made::Ready)
    }

    async fn drop(&self, name: &str) -> Result<(), StoreError> {
        let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {}", quoted(name));
        Ok(Pool::patient_for(PATIENCE, self.0.batch_execute(&drop)).await??)
    }
}

/// A row of [`LIST`]: an index that can be used, or the name of one that cannot.
fn found(row: &Row) -> Result<Result<PropertyIndex, String>, StoreError> {
    let name: String = row.try_get(0)?;
    let comment: Option<&str> = row.try_get(1)?;
    let comment = comment.and_then(|comment| serde_json::from_str::<Comment>(comment).ok());
    let usable = row.try_get::<_, bool>(2)? && name.starts_with(PREFIX);
    Ok(match comment.filter(|_| usable) {
        Some(Comment { twins, property, used }) => Ok(PropertyIndex { twins, property, used, name }),
        None => Err(name),
    })
}

fn comment(
    name: &str,
    twins: &ResourceName,
    property: &IndexedProperty,
    used: Timestamp,
) -> Result<String, StoreError> {
    let comment = Comment { twins: twins.clone(), property: property.clone(), used };
    let comment = crate::document::encode(&comment)?;
    Ok(format!("COMMENT ON INDEX {} IS {}", quoted(name), literal(&comment)))
}

/// A text as it stands in a statement. What has a backslash would mean something else on a server with old settings, so
/// that it is none here: names of instances and properties have none.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "").replace('\'', "''"))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::super::PostgresOptions;
    use super::*;
    use crate::batch::Batch;
    use crate::suite::fixtures::{moment, name, put_twin, twin};

    /// With every form of statement the server takes the index: by values, by ranges, of some models.
    #[test]
    fn the_server_uses_the_index() {
        let Some(server) = pollux_testkit::Postgres::start() else { return };
        let url = server.create_database("planned");
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
            let store = PostgresStore::connect(&url, PostgresOptions::default()).await.unwrap();
            let twins = name("twins-one");
            let writes = (0..3000).map(|number| {
                let mut twin = twin(&format!("t{number}"), "dtmi:m;1");
                twin.document = serde_json::json!({ "x": number, "name": format!("room {number}") });
                put_twin("twins-one", twin)
            });
            crate::Store::commit(&store, Batch { writes: writes.collect() }).await.unwrap();
            let most = MostIndexes { of_instance: 2, in_all: 2 };
            for (path, kind) in [("x", ValueKind::Number), ("name", ValueKind::Text)] {
                let property = IndexedProperty::new(vec![path.to_owned()], kind).unwrap();
                let made = store.make_property_index(&twins, &property, most, moment(1)).await;
                assert_eq!(made.unwrap(), Made::Ready);
            }
            let text = |text: &str| text.to_owned();
            for index in store.property_indexes().await.unwrap() {
                let asked = match index.property.kind() {
                    ValueKind::Number => [Values::Numbers(vec![7.0, 8.0]), Values::NumbersBetween(5.0, 9.0)],
                    ValueKind::Text => {
                        [Values::Texts(vec![text("room 7")]), Values::TextsWith(text("room 100"))]
                    }
                };
                for values in asked {
                    for models in [None, Some(vec![text("dtmi:m;1")])] {
                        let found = store
                            .twins_by_value(&index, &values, models.as_deref(), None, 100)
                            .await
                            .unwrap();
                        assert!((1..=12).contains(&found.unwrap().items.len()), "{values:?}");
                        let shown = explained(&store, &index, &values, models.is_some()).await;
                        assert!(shown.contains(&index.name), "{values:?}: {shown}");
                        assert!(!shown.contains("Seq Scan"), "{values:?}: {shown}");
                    }
                }
            }
        });
    }

    async fn explained(
        store: &PostgresStore,
        index: &PropertyIndex,
        values: &Values,
        models: bool,
    ) -> String {
        let sql = statement(index, values, models);
        let arguments = match (Keys::of(values), models) {
            (Keys::Texts(_), false) => "'', 100, '{room 7}'",
            (Keys::Texts(_), true) => "'', 100, '{room 7}', '{dtmi:m;1}'",
            (Keys::Numbers(_), false) => "'', 100, '{7,8}'",
            (Keys::Numbers(_), true) => "'', 100, '{7,8}', '{dtmi:m;1}'",
            (Keys::TextsBetween(..), false) => "'', 100, 'room 100', 'room 101'",
            (Keys::TextsBetween(..), true) => "'', 100, 'room 100', 'room 101', '{dtmi:m;1}'",
            (Keys::NumbersBetween(..), false) => "'', 100, 5, 9",
            (Keys::NumbersBetween(..), true) => "'', 100, 5, 9, '{dtmi:m;1}'",
        };
        let connection = store.pool.connection().await.unwrap();
        connection.batch_execute(&format!("DEALLOCATE ALL; PREPARE asked AS {sql}")).await.unwrap();
        let plan = connection.simple_query(&format!("EXPLAIN EXECUTE asked ({arguments})")).await.unwrap();
        let mut shown = String::new();
        for line in plan {
            if let tokio_postgres::SimpleQueryMessage::Row(row) = line {
                writeln!(shown, "{}", row.get(0).unwrap()).unwrap();
            }
        }
        // Its prepared statements are gone.
        let mut connection = connection;
        connection.clean = false;
        shown
    }

    #[test]
    fn keys_are_at_least_what_is_looked_for() {
        let Keys::Texts(keys) = Keys::of(&Values::Texts(vec!["a\0b".into(), "é".repeat(100)])) else {
            panic!()
        };
        assert_eq!(keys, ["\u{1}".to_owned(), "a".to_owned(), "é".repeat(64)]);
        let Keys::TextsBetween(least, Some(most)) = Keys::of(&Values::TextsWith("ab".into())) else {
            panic!()
        };
        assert!(least == "ab" && *"ab\u{10ffff}\u{10ffff}" < *most && *most < *"ac");
        let Keys::Numbers(keys) = Keys::of(&Values::Numbers(vec![-0.0, 0.0, 3.0])) else { panic!() };
        assert!(keys[..2] == [0.0, 3.0] && keys[0].is_sign_positive() && keys[2].is_nan());
    }
}
