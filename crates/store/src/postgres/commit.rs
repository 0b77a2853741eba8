//! Committing a batch.
//!
//! ```text
//!   one statement:  ─▶ statement ─▶ answer                     a transaction of its own, one round trip
//!   several:        ─▶ BEGIN, all statements ─▶ answers ─▶ COMMIT or ROLLBACK            two round trips
//! ```
//!
//! All statements are sent at once, so those behind a refused one run in vain and are rolled back. Where only the row
//! itself can say why it was refused, and a later statement may have changed it, the batch is run again one by one.

use std::future::{Future, poll_fn};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

use super::failure::{is_lost, may_try_again, words};
use super::plan::{Ask, Plan, Statement, Step, Wants};
use super::pool::{Connection, Pool};
use super::text::plain;
use crate::error::{CommitError, Mismatch, StoreError};
use crate::prepared::Prepared;

/// How often a batch is tried that the server gives up in favour of another.
const ATTEMPTS: usize = 10;
/// How long it may take to remove an instance with all its rows.
const LONG: Duration = Duration::from_secs(15 * 60);
const BEGIN: &str = "BEGIN";
const BEGIN_LONG: &str = "BEGIN; SET LOCAL statement_timeout = '15min'";

/// Why an attempt failed.
enum Failure {
    /// An expectation does not hold.
    Refused(usize, Mismatch),
    /// Nothing was applied; one of many writes that went together is refused.
    Run,
    /// Nothing was applied and nothing is wrong with the batch: try again.
    Again,
    /// The connection broke before the server was told to commit.
    Lost(StoreError),
    /// Not known whether it was applied, or no use in trying.
    Store(StoreError),
}

/// How the statements go.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Together,
    OneByOne,
}

/// Commits a batch that has writes.
pub(super) async fn commit(pool: &Pool, batch: &Prepared) -> Result<(), CommitError> {
    let mut plan = Plan::new(batch, true);
    let mut mode = Mode::Together;
    let mut reconnected = false;
    for number in 0..ATTEMPTS {
        match attempt(pool, &plan, &mut mode).await {
            Ok(()) => return Ok(()),
            Err(Failure::Refused(index, mismatch)) => {
                return Err(CommitError::Expectation { index, mismatch });
            }
            Err(Failure::Again) => step_aside(number).await,
            Err(Failure::Run) => plan = Plan::new(batch, false),
            Err(Failure::Lost(_)) if !reconnected => reconnected = true,
            Err(Failure::Lost(error) | Failure::Store(error)) => return Err(error.into()),
        }
    }
    let why = "the batch was given up in favour of others again and again";
    Err(StoreError::Unavailable(why.to_owned()).into())
}

/// Those who were in each other's way would be so again if they came back together: each waits a while of its own, from
/// nothing the first time to a quarter of a second.
async fn step_aside(number: usize) {
    let most = 1 << number.min(8);
    let random = RandomState::new().build_hasher().finish();
    tokio::time::sleep(Duration::from_millis(random % most)).await;
}

async fn attempt(pool: &Pool, plan: &Plan<'_>, mode: &mut Mode) -> Result<(), Failure> {
    let mut connection = pool.connection().await.map_err(Failure::Store)?;
    // Until it is known that no transaction is open.
    connection.clean = false;
    let done = if let [step] = plan.steps.as_slice()
        // A run may have been applied in part when it is refused.
        && !matches!(step.wants, Wants::Rows(_))
    {
        pool.patient(alone(&connection, step)).await
    } else if plan.long {
        Pool::patient_for(LONG, transaction(&connection, plan, mode)).await
    } else {
        pool.patient(transaction(&connection, plan, mode)).await
    };
    // Out of patience: if the server was told to commit, it may have.
    let (done, clean) = done.map_err(Failure::Store)?;
    connection.clean = clean;
    done
}

/// What came of an attempt, and whether the connection can be used again.
type Outcome = (Result<(), Failure>, bool);

/// The batch is one statement: it is its own transaction.
async fn alone(connection: &Connection, step: &Step<'_>) -> Outcome {
    let met = match connection.prepare_cached(step.statement.sql).await {
        Ok(statement) => execute(connection, &statement, &step.statement).await,
        Err(error) => return (Err(not_sent(&error)), false),
    };
    match met {
        Ok(rows) => match refusal(connection, step, rows, true).await {
            Ok(Some(refused)) => (Err(refused), true),
            Ok(None) => (Ok(()), true),
            Err(error) => (Err(Failure::Store(error.into())), false),
        },
        Err(error) if may_try_again(&error) => (Err(Failure::Again), true),
        Err(error) => {
            let clean = !is_lost(&error);
            (Err(Failure::Store(error.into())), clean)
        }
    }
}

async fn transaction(connection: &Connection, plan: &Plan<'_>, mode: &mut Mode) -> Outcome {
    let mut statements = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        match connection.prepare_cached(step.statement.sql).await {
            Ok(statement) => statements.push(statement),
            Err(error) => return (Err(not_sent(&error)), false),
        }
    }
    let begin = if plan.long { BEGIN_LONG } else { BEGIN };
    let checked = match *mode {
        Mode::Together => together(connection, plan, &statements, begin).await,
        Mode::OneByOne => one_by_one(connection, plan, &statements, begin).await,
    };
    let failure = match checked {
        Ok(None) => return finish(connection).await,
        Ok(Some(failure)) => {
            if matches!(failure, Failure::Again) {
                *mode = Mode::OneByOne;
            }
            failure
        }
        Err(error) if may_try_again(&error) => Failure::Again,
        // Before COMMIT was sent: surely not applied.
        Err(error) if is_lost(&error) => Failure::Lost(error.into()),
        Err(error) => Failure::Store(error.into()),
    };
    let clean = !matches!(failure, Failure::Lost(_)) && connection.batch_execute("ROLLBACK").await.is_ok();
    (Err(failure), clean)
}

async fn finish(connection: &Connection) -> Outcome {
    match connection.batch_execute("COMMIT").await {
        Ok(()) => (Ok(()), true),
        Err(error) if may_try_again(&error) => (Err(Failure::Again), true),
        Err(error) => {
            let why = format!("{}; the batch may or may not be applied", words(&error));
            (Err(Failure::Store(StoreError::Unavailable(why))), false)
        }
    }
}

/// All statements in one round trip.
async fn together(
    connection: &Connection,
    plan: &Plan<'_>,
    statements: &[tokio_postgres::Statement],
    begin: &str,
) -> Result<Option<Failure>, Error> {
    let begun: Pending<'_> = Box::pin(async { connection.batch_execute(begin).await.map(|()| 0) });
    let run = plan.steps.iter().zip(statements).map(|(step, statement)| -> Pending<'_> {
        Box::pin(execute(connection, statement, &step.statement))
    });
    let mut answers = in_order(std::iter::once(begun).chain(run).collect()).await.into_iter();
    answers.next().transpose()?;
    for (at, (answer, step)) in answers.zip(&plan.steps).enumerate() {
        // Only what comes behind could have changed the row that was refused.
        let untouched = at + 1 >= plan.outbox_from;
        if let Some(refused) = refusal(connection, step, answer?, untouched).await? {
            return Ok(Some(refused));
        }
    }
    Ok(None)
}

/// Each statement after the answer to the one before.
async fn one_by_one(
    connection: &Connection,
    plan: &Plan<'_>,
    statements: &[tokio_postgres::Statement],
    begin: &str,
) -> Result<Option<Failure>, Error> {
    connection.batch_execute(begin).await?;
    for (step, statement) in plan.steps.iter().zip(statements) {
        let rows = execute(connection, statement, &step.statement).await?;
        if let Some(refused) = refusal(connection, step, rows, true).await? {
            return Ok(Some(refused));
        }
    }
    Ok(None)
}

/// Whether the step is refused, given how many rows it met. `untouched`: its row is as the step found it.
async fn refusal(
    connection: &Connection,
    step: &Step<'_>,
    rows: u64,
    untouched: bool,
) -> Result<Option<Failure>, Error> {
    let refused = |mismatch| Ok(Some(Failure::Refused(step.index, mismatch)));
    match &step.wants {
        Wants::NoRow(mismatch) if rows > 0 => refused(*mismatch),
        Wants::Row(mismatch) if rows == 0 => refused(*mismatch),
        Wants::Etags(ask) if rows == 0 => {
            if !untouched {
                return Ok(Some(Failure::Again));
            }
            match met(connection, ask).await? {
                Some(mismatch) => refused(mismatch),
                // It changed meanwhile, to what was expected.
                None => Ok(Some(Failure::Again)),
            }
        }
        Wants::Rows(wanted) if rows != *wanted => Ok(Some(Failure::Run)),
        Wants::Anything | Wants::NoRow(_) | Wants::Row(_) | Wants::Rows(_) | Wants::Etags(_) => Ok(None),
    }
}

async fn met(connection: &Connection, ask: &Ask<'_>) -> Result<Option<Mismatch>, Error> {
    let statement = connection.prepare_cached(ask.found.sql).await?;
    let params: Vec<&(dyn ToSql + Sync)> =
        ask.found.params.iter().map(|param| -> _ { &**param as _ }).collect();
    let row = connection.query_opt(&statement, &params).await?;
    for (at, expect) in ask.expects.iter().enumerate() {
        let found = match &row {
            Some(row) => Some(row.try_get::<_, Option<&str>>(at)?.map(plain)),
            None => None,
        };
        if let Err(mismatch) = expect.compare(found.as_ref().map(Option::as_deref)) {
            return Ok(Some(mismatch));
        }
    }
    Ok(None)
}

async fn execute(
    connection: &Connection,
    prepared: &tokio_postgres::Statement,
    statement: &Statement<'_>,
) -> Result<u64, Error> {
    let params = statement.params.iter().map(|param| -> &(dyn ToSql + Sync) { &**param });
    connection.execute_raw(prepared, params).await
}

fn not_sent(error: &Error) -> Failure {
    Failure::Lost(StoreError::Unavailable(words(error)))
}

type Pending<'a> = Pin<Box<dyn Future<Output = Result<u64, Error>> + Send + 'a>>;

/// Polls each once, in order, before any is waited for: a request is sent when its future is first polled.
async fn in_order(mut pending: Vec<Pending<'_>>) -> Vec<Result<u64, Error>> {
    let mut answers: Vec<Option<Result<u64, Error>>> = Vec::with_capacity(pending.len());
    poll_fn(|context| {
        for future in pending.iter_mut().skip(answers.len()) {
            answers.push(match future.as_mut().poll(context) {
                Poll::Ready(answer) => Some(answer),
                Poll::Pending => None,
            });
        }
        Poll::Ready(())
    })
    .await;
    let mut all = Vec::with_capacity(answers.len());
    for (future, answer) in pending.into_iter().zip(answers) {
        all.push(match answer {
            Some(answer) => answer,
            None => future.await,
        });
    }
    all
}
