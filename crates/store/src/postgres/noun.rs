//! The statements of a table whose rows are put and deleted by key under an expectation.
//!
//! Under READ COMMITTED each expectation is part of the statement that writes: a row that another transaction is
//! changing is waited for, and the condition is looked at again on what that one left. Nobody reads first.

/// A table's statements. Parameters: the keys, then (of a put) the other columns, then (where an etag is expected) the
/// expected etags, each NULL where none is.
#[derive(Debug)]
pub(super) struct Noun {
    /// Puts a row that is not there; nothing where it is.
    pub(super) insert: String,
    /// Puts a row, whatever is there.
    pub(super) upsert: String,
    /// Replaces a row that is there with these etags; nothing where it is not.
    pub(super) update: String,
    /// Removes a row, whatever its etags.
    pub(super) delete: String,
    /// Removes a row with these etags.
    pub(super) delete_if: String,
    /// The etags of a row, NULL where such rows have none.
    pub(super) found: String,
    /// How many columns hold an etag.
    pub(super) etags: usize,
}

impl Noun {
    /// `columns` are those beside the keys, those of `etags` among them. A deletion compares the first etag alone.
    pub(super) fn new(table: &str, keys: &[&str], columns: &[&str], etags: &[&str]) -> Self {
        let all: Vec<&str> = keys.iter().chain(columns).copied().collect();
        let places = list(1..=all.len(), |at| format!("${at}"));
        let insert = format!("INSERT INTO {table} ({}) VALUES ({places}) ON CONFLICT", all.join(", "));
        let key = conditions(keys, 1);
        let replace = list(columns.iter(), |column| format!("{column} = excluded.{column}"));
        let set = list(columns.iter().zip(keys.len() + 1..), |(column, at)| format!("{column} = ${at}"));
        let shown =
            if etags.is_empty() { "NULL::text".to_owned() } else { list(etags.iter(), ToString::to_string) };
        Self {
            upsert: format!("{insert} ({}) DO UPDATE SET {replace}", keys.join(", ")),
            insert: format!("{insert} DO NOTHING"),
            update: format!("UPDATE {table} SET {set} WHERE {key}{}", expected(etags, all.len() + 1)),
            delete: format!("DELETE FROM {table} WHERE {key}"),
            delete_if: format!(
                "DELETE FROM {table} WHERE {key}{}",
                expected(etags.get(..1).unwrap_or_default(), keys.len() + 1)
            ),
            found: format!("SELECT {shown} FROM {table} WHERE {key}"),
            etags: etags.len(),
        }
    }
}

fn list<T>(items: impl Iterator<Item = T>, show: impl FnMut(T) -> String) -> String {
    items.map(show).collect::<Vec<_>>().join(", ")
}

fn conditions(columns: &[&str], first: usize) -> String {
    let each = columns.iter().zip(first..).map(|(column, at)| format!("{column} = ${at}"));
    each.collect::<Vec<_>>().join(" AND ")
}

fn expected(etags: &[&str], first: usize) -> String {
    let each =
        etags.iter().zip(first..).map(|(etag, at)| format!(" AND (${at}::text IS NULL OR {etag} = ${at})"));
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::Noun;

    #[test]
    fn statements_number_their_parameters() {
        let noun = Noun::new("t", &["a", "b"], &["e", "f", "d"], &["e", "f"]);
        assert_eq!(
            noun.insert,
            "INSERT INTO t (a, b, e, f, d) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING"
        );
        assert_eq!(
            noun.update,
            "UPDATE t SET e = $3, f = $4, d = $5 WHERE a = $1 AND b = $2 \
             AND ($6::text IS NULL OR e = $6) AND ($7::text IS NULL OR f = $7)"
        );
        assert_eq!(noun.delete_if, "DELETE FROM t WHERE a = $1 AND b = $2 AND ($3::text IS NULL OR e = $3)");
        assert_eq!(Noun::new("t", &["a"], &["d"], &[]).found, "SELECT NULL::text FROM t WHERE a = $1");
    }
}
