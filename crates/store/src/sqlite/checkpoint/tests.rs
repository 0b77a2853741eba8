//! That the log begins anew while commits go on, and that nothing is lost when it does.

use rusqlite::params;

use super::*;

const LENGTHS: Lengths = Lengths { begin: 16, most: 64 };

fn open(path: &Path) -> Connection {
    connection::create_file(path).unwrap();
    let writer = connection::writer(path).unwrap();
    writer
        .execute_batch("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT")
        .unwrap();
    writer
}

fn put(writer: &Connection, id: i64) {
    let text = format!("{id}").repeat(500);
    writer.execute("INSERT OR REPLACE INTO t VALUES (?1, ?2)", params![id, text]).unwrap();
}

fn count(connection: &Connection) -> i64 {
    connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

fn log_bytes(path: &Path) -> u64 {
    std::fs::metadata(path.with_extension("db-wal")).unwrap().len()
}

#[test]
fn the_log_begins_anew_while_commits_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let mut writer = open(&path);
    let mut checkpointer = Checkpointer::start(&path, &mut writer, LENGTHS).unwrap();
    for id in 0..1000 {
        put(&writer, id);
        checkpointer.after_commit(&writer);
        assert!(checkpointer.pages.load(Ordering::Relaxed) <= LENGTHS.most + 8);
    }
    // A thousand commits of two pages or more would be eight megabytes.
    assert!(log_bytes(&path) < 100 * 4096, "{} bytes", log_bytes(&path));
    drop(checkpointer);
    assert_eq!((count(&writer), count(&connection::reader(&path).unwrap())), (1000, 1000));
    // As after a crash: what is in both files, without closing.
    for end in ["db", "db-wal"] {
        std::fs::copy(path.with_extension(end), folder.path().join(format!("copy.{end}"))).unwrap();
    }
    assert_eq!(count(&Connection::open(folder.path().join("copy.db")).unwrap()), 1000);
}

#[test]
fn a_reader_that_looks_back_delays_the_log_and_sees_what_it_saw() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let mut writer = open(&path);
    let mut checkpointer = Checkpointer::start(&path, &mut writer, LENGTHS).unwrap();
    put(&writer, 0);
    let reader = connection::reader(&path).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(count(&reader), 1);
    for id in 1..200 {
        put(&writer, id);
        checkpointer.after_commit(&writer);
    }
    assert!(checkpointer.pages.load(Ordering::Relaxed) > LENGTHS.most, "it could not begin anew");
    assert_eq!(count(&reader), 1);
    reader.execute_batch("COMMIT").unwrap();
    let mut id = 200;
    while checkpointer.pages.load(Ordering::Relaxed) > LENGTHS.most {
        put(&writer, id);
        checkpointer.after_commit(&writer);
        id += 1;
    }
    assert_eq!(count(&reader), id);
}
