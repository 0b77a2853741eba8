//! Many new twins or relationships that stand in a row in a batch, in a few statements: what an import writes.
//!
//! A statement that meets fewer rows than it must does not say which write was refused: the batch is then planned
//! write by write ([`Wants::Rows`]).

use std::borrow::Cow;
use std::collections::BTreeSet;

use pollux_model::ResourceName;

use super::plan::{Param, Plan, Statement, Step, Wants, value};
use super::text::text;
use crate::batch::{Expect, Write};
use crate::prepared::Prepared;

/// Fewer than these are no slower by themselves.
const WORTH: usize = 16;

const TWINS: &str = "INSERT INTO digital_twins (twins, id, model, etag, document)
    SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) ON CONFLICT DO NOTHING";
const RELATIONSHIPS: &str = "INSERT INTO relationships (twins, source, id, target, name, etag, document)
    SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
    ON CONFLICT DO NOTHING";
/// In one order, so that two imports do not wait for each other in a circle.
const ENDS_STAY: &str =
    "SELECT 1 FROM digital_twins WHERE twins = $1 AND id = ANY ($2) ORDER BY id FOR KEY SHARE";

/// What can be in a run.
#[derive(PartialEq, Clone, Copy)]
enum Kind<'a> {
    Twins(&'a ResourceName),
    Relationships(&'a ResourceName),
}

fn kind(write: &Write) -> Option<Kind<'_>> {
    match write {
        Write::PutTwin { twins, expect: Expect::Absent, .. } => Some(Kind::Twins(twins)),
        Write::PutRelationship { twins, expect: Expect::Absent, .. } => Some(Kind::Relationships(twins)),
        _ => None,
    }
}

/// Plans the run that begins at `start`, if one does; gives where it ends.
pub(super) fn add<'a>(plan: &mut Plan<'a>, batch: &'a Prepared, start: usize) -> Option<usize> {
    let of = kind(&batch.writes.get(start)?.0)?;
    let run = batch.writes.iter().skip(start).take_while(|(write, _)| kind(write) == Some(of)).count();
    if run < WORTH {
        return None;
    }
    let rows = u64::try_from(run).ok()?;
    let writes = batch.writes.get(start..start + run)?;
    let mut columns: [Vec<Cow<'a, str>>; 6] = Default::default();
    let mut ends = BTreeSet::new();
    for (write, documents) in writes {
        let row: &[&'a str] = match write {
            Write::PutTwin { twin, .. } => &[&twin.id, &twin.model, &twin.etag, &documents.main],
            Write::PutRelationship { relationship, .. } => {
                ends.extend([relationship.source.as_str(), &relationship.target]);
                let edge = &**relationship;
                &[&edge.source, &edge.id, &edge.target, &edge.name, &edge.etag, &documents.main]
            }
            _ => return None,
        };
        for (column, cell) in columns.iter_mut().zip(row) {
            column.push(text(cell));
        }
    }
    let mut step = |sql, params, rows| {
        let statement = Statement { sql, params };
        plan.steps.push(Step { index: start, statement, wants: Wants::Rows(rows) });
    };
    let [a, b, c, d, e, f] = columns;
    match of {
        Kind::Twins(twins) => {
            let params: Vec<Param<'a>> = vec![value(twins.as_str()), value(a), value(b), value(c), value(d)];
            step(TWINS, params, rows);
        }
        Kind::Relationships(twins) => {
            let of = |column| value::<'a>(column);
            let mut params: Vec<Param<'a>> = vec![value(twins.as_str())];
            params.extend([a, b, c, d, e, f].map(of));
            step(RELATIONSHIPS, params, rows);
            let there = u64::try_from(ends.len()).ok()?;
            let ends: Vec<Cow<'a, str>> = ends.into_iter().map(text).collect();
            step(ENDS_STAY, vec![value(twins.as_str()), value(ends)], there);
        }
    }
    Some(start + run)
}
