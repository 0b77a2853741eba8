//! A twin's relationships are found without looking at those of others.

use rusqlite::Connection;

use super::{INCOMING, OUTGOING};

#[test]
fn both_ways_go_straight_to_the_twin() {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(include_str!("../migrations/0001_first.sql")).unwrap();
    for (sql, expected) in [
        (OUTGOING, "SEARCH relationships USING PRIMARY KEY (twins=? AND source=? AND id>?)"),
        (
            INCOMING,
            "SEARCH relationships USING INDEX relationships_by_target (twins=? AND target=? AND (source,id)>(?,?))",
        ),
    ] {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let mut rows = statement.raw_query();
        let mut plan = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            plan.push(row.get::<_, String>("detail").unwrap());
        }
        assert_eq!(plan, [expected]);
    }
}
