//! Exports: every row of every table, through JSON, into an empty store.

use std::sync::Arc;

use super::fixtures::{
    check_everything, check_messages, dead_letter, device, everything, message, name, put_device,
    put_message, put_relationship, put_twin, relationship, tell, twin,
};
use super::{Backend, all_pages, commit};
use crate::batch::Write;
use crate::portable::{Row, Table};
use crate::store::Store;

async fn rows(store: &dyn Store, table: Table, limit: usize) -> Vec<Row> {
    all_pages(limit, async |after| store.rows(table, after.as_deref(), limit).await).await
}

/// Less what the store gives: the ids of dead letters.
async fn all(store: &dyn Store) -> Vec<Row> {
    let mut all = Vec::new();
    for table in Table::ALL {
        all.extend(rows(store, table, 100).await);
    }
    for row in &mut all {
        if let Row::DeadLetters { letter, .. } = row {
            letter.id = 0;
        }
    }
    all
}

/// Everything, and more than one row in tables of every shape of key.
fn full() -> Vec<Write> {
    let mut writes = everything();
    for number in 0..9_u64 {
        let id = format!("x\u{1}{number}\0");
        writes.push(put_device(&format!("hub-{number}"), device(&format!("d-{number}"))));
        writes.push(put_twin("twins-two", twin(&id, "dtmi:m;1")));
        writes.push(put_message("hub-two", message("d", i64::try_from(number).expect("a small number"))));
        writes.push(put_relationship("twins-two", relationship(&id, "e", &id)));
        writes.push(tell(number));
        writes.push(tell(number));
        let letter = dead_letter(i64::try_from(9 - number).expect("a small number"));
        writes.push(Write::PutDeadLetter { letter: Box::new(letter) });
    }
    writes
}

pub(super) async fn rows_come_in_pages_of_every_size(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    for table in Table::ALL {
        assert_eq!(store.count_rows(table).await.expect("count"), 0);
        assert_eq!(rows(&*store, table, 3).await, []);
    }
    commit(&*store, full()).await;
    for table in Table::ALL {
        let whole = rows(&*store, table, 1000).await;
        assert!(!whole.is_empty() && whole.iter().all(|row| row.table() == table), "{table:?}");
        let count = store.count_rows(table).await.expect("count");
        assert_eq!(count, whole.len() as u64, "{table:?}");
        for limit in [1, 2, 5] {
            assert_eq!(rows(&*store, table, limit).await, whole, "{table:?}, pages of {limit}");
        }
        for mark in ["x", "[]", "[1,2,3,4,5,6,7]", "{}"] {
            assert!(store.rows(table, Some(mark), 1).await.is_err(), "{table:?}: a foreign mark");
        }
    }
}

pub(super) async fn an_export_can_be_imported(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    commit(&*store, everything()).await;
    let exported = all(&*store).await;
    // An empty store: all that is there goes.
    for row in &exported {
        if let Row::Resources { resource } = row {
            let (kind, name) = (resource.kind(), resource.name.clone());
            commit(&*store, [Write::DeleteResource { kind, name, expect: crate::Expect::Present }]).await;
        }
    }
    let (scope, id) = ("issuer-key".to_owned(), "k1".to_owned());
    commit(&*store, [Write::DeleteSecret { scope, id, expect: crate::Expect::Present }]).await;
    let told: Vec<i64> = super::fixtures::outbox(&*store).await.iter().map(|(row, _)| *row).collect();
    store.outbox_done(&told).await.expect("done");
    assert_eq!(all(&*store).await, []);
    // Line by line, in the order it was written.
    for row in &exported {
        let line = serde_json::to_string(row).expect("a row is JSON");
        let row: Row = serde_json::from_str(&line).expect("JSON is a row");
        commit(&*store, [row.into_write().expect("a row can be written")]).await;
    }
    assert_eq!(all(&*store).await, exported);
    check_everything(&*store).await;
    check_messages(&*store).await;
    assert_eq!(store.count_devices(&name("hub-one")).await.expect("count"), (1, 1));
}
