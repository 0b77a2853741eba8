//! The writer when transactions fail, and what it makes durable.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pollux_model::ResourceName;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::{Answer, Checkpointer, Job, State, Thread, Work, Writer, connection, outbox};
use crate::batch::{Batch, Expect, Write};
use crate::error::{CommitError, Mismatch, StoreError};
use crate::observer::Observer;
use crate::prepared::Prepared;
use crate::sqlite::checkpoint::Lengths;
use crate::sqlite::lock::FileLock;
use crate::sqlite::migrate::migrate;
use crate::suite::fixtures::{self, device, etag, name, put_device, put_twin, tell};

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
    let checkpointer = Checkpointer::start(path, &mut connection, Lengths::default()).unwrap();
    Thread { checkpointer, connection, durable: true, state: Arc::new(State::default()) }
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
        .with(Write::DeleteDevice { hub: hub(), id: device("y").address(), identity: Expect::Present });
    let answers = run(&mut thread, [put("a"), Work::Commit(Prepared::new(refused).unwrap()), put("b")]);
    assert!(answers[0].is_ok() && answers[2].is_ok());
    let expected = CommitError::Expectation { index: 2, mismatch: Mismatch::Absent };
    assert_eq!(format!("{:?}", answers[1]), format!("{:?}", Err::<(), _>(expected)));
    assert_eq!((rows(&thread, "devices"), rows(&thread, "outbox")), (2, 2));
}

#[tokio::test]
async fn a_sick_writer_says_so_and_recovers_when_asked() {
    let (_folder, path) = database();
    let Thread { connection, checkpointer, .. } = thread(&path);
    connection.busy_timeout(Duration::ZERO).unwrap();
    let lock = Arc::new(FileLock::take(&path).unwrap());
    let writer = Writer::start(connection, checkpointer, 4, 4, lock).unwrap();
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

fn change(twin: &str, was: &str, is: &str) -> Work {
    let mut twin = fixtures::twin(twin, "dtmi:a;1");
    twin.etag = etag(is);
    let write =
        Write::PutTwin { twins: name("twins-one"), twin: Box::new(twin), expect: Expect::Etag(etag(was)) };
    Work::Commit(Prepared::new(Batch::new().with(write).with(tell(5))).unwrap())
}

#[test]
fn a_change_that_is_refused_at_once_leaves_the_others_of_its_group() {
    let (_folder, path) = database();
    let mut thread = thread(&path);
    let made = Batch::from(put_twin("twins-one", fixtures::twin("t", "dtmi:b;1")));
    let first = fixtures::twin("t", "dtmi:b;1").etag.to_string();
    // The first of these changes the model too, which is another statement.
    let works = [
        Work::Commit(Prepared::new(made).unwrap()),
        change("t", &first, "two"),
        change("t", &first, "three"),
        change("u", &first, "three"),
        change("t", "two", "four"),
    ];
    let answers = run(&mut thread, works);
    let found: Vec<_> = answers
        .iter()
        .map(|answer| match answer {
            Ok(()) => None,
            Err(CommitError::Expectation { index: 0, mismatch }) => Some(*mismatch),
            Err(other) => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(found, [None, None, Some(Mismatch::OtherEtag), Some(Mismatch::Absent), None]);
    let (etag, model): (String, String) = thread
        .connection
        .query_row("SELECT etag, model FROM digital_twins", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!((etag.as_str(), model.as_str(), rows(&thread, "outbox")), ("four", "dtmi:a;1", 2));
}

#[test]
fn what_fails_behind_a_change_is_not_left_half_done() {
    let (_folder, path) = database();
    let mut thread = thread(&path);
    let breaks = "CREATE TRIGGER breaks BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'no'); END";
    thread.connection.execute_batch(breaks).unwrap();
    let answers = run(&mut thread, [put("a"), put("b")]);
    assert!(answers.iter().all(|answer| matches!(answer, Err(CommitError::Store(_)))), "{answers:?}");
    assert_eq!((rows(&thread, "devices"), rows(&thread, "outbox")), (0, 0));
    thread.connection.execute_batch("DROP TRIGGER breaks").unwrap();
    assert!(run(&mut thread, [put("a")])[0].is_ok());
}

/// Notes which twins it is told of, and whether they could be read by then.
#[derive(Debug)]
struct Notes {
    path: PathBuf,
    told: Mutex<Vec<(String, bool)>>,
}

impl Observer for Notes {
    fn committed(&self, writes: &mut dyn Iterator<Item = &Write>) {
        let reader = rusqlite::Connection::open(&self.path).unwrap();
        for write in writes {
            let Write::PutTwin { twin, .. } = write else { continue };
            let sql = "SELECT count(*) FROM digital_twins WHERE etag = ?1";
            let there: i64 = reader.query_row(sql, [twin.etag.as_str()], |row| row.get(0)).unwrap();
            self.told.lock().push((twin.etag.to_string(), there == 1));
        }
    }
}

#[test]
fn observers_are_told_of_what_is_committed_in_order_and_of_nothing_else() {
    let (_folder, path) = database();
    let mut thread = thread(&path);
    let notes = Arc::new(Notes { path, told: Mutex::default() });
    let observer: Arc<dyn Observer> = Arc::clone(&notes) as _;
    thread.state.observers.add(Arc::downgrade(&observer));
    let make = |id: &str| {
        let mut twin = fixtures::twin(id, "dtmi:a;1");
        twin.etag = etag(id);
        Work::Commit(Prepared::new(Batch::from(put_twin("twins-one", twin))).unwrap())
    };
    let answers = run(&mut thread, [make("a"), change("a", "other", "no"), make("b"), Work::Probe]);
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3);
    run(&mut thread, [change("a", "a", "c")]);
    let told = std::mem::take(&mut *notes.told.lock());
    let etags: Vec<&str> = told.iter().map(|(etag, _)| etag.as_str()).collect();
    assert_eq!(etags, ["a", "b", "c"], "not of what was refused");
    assert!(told.iter().all(|(_, there)| *there), "each is committed by then: {told:?}");
    // A transaction that fails tells nothing; nor is told who is gone.
    thread.connection.execute_batch("PRAGMA query_only = ON").unwrap();
    assert!(run(&mut thread, [make("d")])[0].is_err());
    assert!(notes.told.lock().is_empty());
    thread.connection.execute_batch("PRAGMA query_only = OFF").unwrap();
    drop((observer, notes));
    assert!(run(&mut thread, [make("e")])[0].is_ok());
    assert!(thread.state.observers.all().is_empty());
}

/// `.cargo/config.toml` tells SQLite's build that there is `fdatasync`, which it does not list; what it lists came with that.
#[test]
fn sqlite_is_built_as_the_workspace_says() {
    let (_folder, path) = database();
    let thread = thread(&path);
    let mut statement = thread.connection.prepare("PRAGMA compile_options").unwrap();
    let options: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    assert!(options.iter().any(|option| option == "DEFAULT_MEMSTATUS=0"), "{options:?}");
}
