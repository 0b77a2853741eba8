//! The writer when transactions fail, and what it makes durable.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pollux_model::ResourceName;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::{Answer, Job, State, Thread, Work, Writer, connection, outbox};
use crate::batch::{Batch, Expect, Write};
use crate::error::{CommitError, Mismatch, StoreError};
use crate::prepared::Prepared;
use crate::sqlite::lock::FileLock;
use crate::sqlite::migrate::migrate;
use crate::suite::fixtures::{device, name, put_device, tell};

fn database() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pollux.db");
    (folder, path)
}

/// The writer's thread without a thread: groups are committed when the test says so.
fn thread(path: &Path) -> Thread {
    connection::create_file(path).unwrap();
    let mut connection = connection::writer(path).unwrap();
    migrate(path, &mut connection).unwrap();
    Thread { connection, durable: true, state: Arc::new(State::default()) }
}

fn run(thread: &mut Thread, work: impl IntoIterator<Item = Work>) -> Vec<Answer> {
    let (mut jobs, answers): (Vec<_>, Vec<_>) = work
        .into_iter()
        .map(|work| {
            let (answer, answered) = oneshot::channel();
            (Job { work, answer }, answered)
        })
        .unzip();
    thread.commit_group(&mut jobs);
    assert!(jobs.is_empty());
    answers.into_iter().map(|mut answer| answer.try_recv().expect("everyone is answered")).collect()
}

fn put(id: &str) -> Work {
    Work::Commit(Prepared::new(Batch::new().with(put_device("hub-one", device(id))).with(tell(1))).unwrap())
}

fn hub() -> ResourceName {
    name("hub-one")
}

fn level(thread: &Thread) -> i64 {
    thread.connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap()
}

fn rows(thread: &Thread, table: &str) -> i64 {
    thread.connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn commits_are_synchronous_and_only_forgetting_is_not() {
    let (_folder, path) = database();
    let mut thread = thread(&path);
    let mode: String = thread.connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!((mode.as_str(), level(&thread)), ("wal", 2), "WAL and FULL are in force after opening");
    assert!(run(&mut thread, [put("a")])[0].is_ok());
    assert_eq!(level(&thread), 2);
    assert!(run(&mut thread, [Work::OutboxDone(vec![1])])[0].is_ok());
    assert_eq!(level(&thread), 1, "forgetting alone need not last");
    assert!(run(&mut thread, [Work::OutboxDone(vec![2]), put("b")]).iter().all(Result::is_ok));
    assert_eq!(level(&thread), 2, "together with a commit it does");
    run(&mut thread, [Work::OutboxDone(vec![3])]);
    run(&mut thread, [Work::Probe]);
    assert_eq!(level(&thread), 2);
}

#[test]
fn a_full_disk_leaves_nothing_of_the_group_and_passes() {
    let (_folder, path) = database();
    let mut thread = thread(&path);
    assert!(run(&mut thread, [put("before")])[0].is_ok());
    // The file may not grow: SQLite says what it says when the disk is full.
    let pages: i64 = thread.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let limit = |thread: &Thread, pages: i64| {
        thread.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    };
    limit(&thread, pages);
    let answers = run(&mut thread, (0..50).map(|n| put(&format!("during-{n}"))));
    assert!(
        answers.iter().all(|answer| matches!(answer, Err(CommitError::Store(StoreError::Unavailable(_))))),
        "{answers:?}"
    );
    assert_eq!((rows(&thread, "devices"), rows(&thread, "outbox")), (1, 1));
    assert!(thread.state.failure.lock().is_some());
    limit(&thread, 1 << 30);
    assert!(run(&mut thread, [put("after")])[0].is_ok());
    assert!(thread.state.failure.lock().is_none());
    assert_eq!(rows(&thread, "devices"), 2);
}

#[test]
fn a_commit_that_fails_is_told_to_all_and_the_next_succeeds() {
    let (_folder, path) = database();
    let mut thread = thread(&path);
    // COMMIT itself fails: a deferred constraint is looked at only then.
    thread.connection.execute_batch("CREATE TABLE parent (id INTEGER PRIMARY KEY) STRICT;
        CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED) STRICT;
        CREATE TRIGGER breaks AFTER INSERT ON devices WHEN NEW.id = 'bad' BEGIN INSERT INTO child VALUES (1); END;
        PRAGMA foreign_keys = ON").unwrap();
    let answers = run(&mut thread, [put("good"), put("bad")]);
    assert!(answers.iter().all(|answer| matches!(answer, Err(CommitError::Store(_)))), "{answers:?}");
    assert_eq!((rows(&thread, "devices"), rows(&thread, "outbox")), (0, 0));
    assert!(thread.state.failure.lock().is_some());
    assert!(run(&mut thread, [put("good")])[0].is_ok());
    assert_eq!((rows(&thread, "devices"), rows(&thread, "outbox")), (1, 1));
    assert!(thread.state.failure.lock().is_none());
}

#[test]
fn a_statement_that_fails_takes_its_own_batch_alone() {
    let (_folder, path) = database();
    let mut thread = thread(&path);
    thread
        .connection
        .execute_batch(
            "CREATE TRIGGER breaks BEFORE INSERT ON devices WHEN NEW.id = 'bad'
            BEGIN SELECT RAISE(ABORT, 'no'); END",
        )
        .unwrap();
    let early = Work::Commit(
        Prepared::new(Batch::new().with(tell(7)).with(put_device("hub-one", device("bad")))).unwrap(),
    );
    let answers = run(&mut thread, [put("a"), early, put("b")]);
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert!(matches!(&answers[1], Err(CommitError::Store(_))), "{answers:?}");
    assert_eq!((rows(&thread, "devices"), rows(&thread, "outbox")), (2, 2));
}

#[test]
fn a_refused_batch_is_rolled_back_alone() {
    let (_folder, path) = database();
    let mut thread = thread(&path);
    let refused = Batch::new()
        .with(tell(9))
        .with(put_device("hub-one", device("x")))
        .with(Write::DeleteDevice { hub: hub(), id: device("y").id, identity: Expect::Present });
    let answers = run(&mut thread, [put("a"), Work::Commit(Prepared::new(refused).unwrap()), put("b")]);
    assert!(answers[0].is_ok() && answers[2].is_ok());
    let expected = CommitError::Expectation { index: 2, mismatch: Mismatch::Absent };
    assert_eq!(format!("{:?}", answers[1]), format!("{:?}", Err::<(), _>(expected)));
    assert_eq!((rows(&thread, "devices"), rows(&thread, "outbox")), (2, 2));
}

#[tokio::test]
async fn a_sick_writer_says_so_and_recovers_when_asked() {
    let (_folder, path) = database();
    let Thread { connection, .. } = thread(&path);
    connection.busy_timeout(Duration::ZERO).unwrap();
    let lock = Arc::new(FileLock::take(&path).unwrap());
    let writer = Writer::start(connection, 4, 4, lock).unwrap();
    writer.healthy().await.unwrap();
    // Someone with a tool of his own holds the write lock.
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let batch = || Prepared::new(Batch::from(tell(1))).unwrap();
    let error = writer.commit(batch()).await.unwrap_err();
    assert!(matches!(error, CommitError::Store(StoreError::Unavailable(_))), "{error:?}");
    assert!(matches!(writer.healthy().await, Err(StoreError::Unavailable(_))));
    other.execute_batch("ROLLBACK").unwrap();
    writer.healthy().await.unwrap();
    assert!(outbox::oldest(&other, 9).unwrap().is_empty());
    writer.commit(batch()).await.unwrap();
    assert_eq!(outbox::oldest(&other, 9).unwrap().len(), 1);
}
