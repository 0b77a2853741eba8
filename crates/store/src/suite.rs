//! What every store must do: generic test bodies over [`Store`]. A backend's tests iterate [`cases`].
//!
//! A case gets a backend of its own that is empty.

mod activity;
mod batches;
mod bulk;
mod concurrency;
mod configurations;
mod expectations;
pub mod fixtures;
mod graph;
mod history;
mod instances;
mod leases;
mod messages;
mod modules;
mod outbox;
mod paging;
mod portable;
mod property_indexes;
mod round_trips;
mod scheduled_jobs;

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use crate::batch::{Batch, Write};
use crate::error::{CommitError, Mismatch};
use crate::store::{DynStore, Page, Store};

/// Opens the store under test.
#[async_trait]
pub trait Backend: Send + Sync + Debug {
    /// Opens the store; the second and later times with everything that was acknowledged before. The suite drops the
    /// store it had before it opens another one.
    async fn open(&self) -> DynStore;
}

/// One test. Panics where the backend breaks the contract.
pub type Case = fn(Arc<dyn Backend>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! list {
    ($($module:ident :: $case:ident),* $(,)?) => {
        vec![$((stringify!($case), (|backend| Box::pin($module::$case(backend))) as Case)),*]
    };
}

/// All tests, by name. Each wants a backend of its own.
#[must_use]
pub fn cases() -> Vec<(&'static str, Case)> {
    let mut cases = of_every_noun();
    cases.extend(of_single_nouns());
    cases
}

fn of_every_noun() -> Vec<(&'static str, Case)> {
    list![
        round_trips::resources_come_back_whole,
        round_trips::devices_come_back_whole,
        round_trips::enrollments_come_back_whole,
        round_trips::registrations_come_back_whole,
        round_trips::models_twins_and_relationships_come_back_whole,
        round_trips::checkpoints_come_back_whole,
        round_trips::dead_letters_come_back_whole_and_once_per_event,
        round_trips::secrets_come_back_whole,
        round_trips::jobs_come_back_whole,
        round_trips::a_put_replaces_the_whole_row,
        round_trips::ids_compare_as_their_noun_says,
        round_trips::reopening_keeps_everything,
        expectations::every_expectation_of_every_noun,
        expectations::a_device_has_two_etags,
        expectations::require_no_device,
        expectations::rows_without_etag_have_none_to_match,
        batches::an_empty_batch_is_nothing,
        batches::a_refused_batch_leaves_nothing,
        batches::the_first_refusal_is_named,
        batches::later_writes_see_earlier_ones,
        batches::a_refused_batch_does_not_take_others_with_it,
        bulk::many_rows_go_in_one_batch,
        bulk::one_of_many_that_is_refused_is_named,
        bulk::what_is_there_is_told_in_order,
        outbox::what_shares_a_key_shares_a_shard,
        outbox::entries_keep_the_order_of_commits,
        outbox::a_batch_of_very_many_entries_keeps_their_order,
        outbox::done_entries_are_gone_and_numbers_grow,
        outbox::a_commit_with_entries_wakes_the_relay,
        outbox::what_an_earlier_run_left_wakes_the_relay,
        leases::a_lease_has_one_owner,
        leases::a_lease_that_ran_out_is_taken,
        leases::a_released_lease_is_free_and_keeps_its_epoch,
        leases::leases_are_listed_by_prefix,
        leases::a_fenced_batch_needs_its_lease,
        leases::one_of_many_takes_a_lease,
        paging::pages_are_in_order_whole_and_disjoint,
        paging::a_page_survives_changes_between,
        paging::filters_page_too,
        paging::relationships_page_both_ways,
        portable::rows_come_in_pages_of_every_size,
        portable::an_export_can_be_imported,
        instances::deleting_a_resource_removes_its_rows_alone,
        instances::deleting_an_app_forgets_its_checkpoints,
        instances::deleting_an_owner_of_streams_forgets_what_it_kept,
        instances::counts_are_per_instance,
        concurrency::one_of_many_conflicting_commits_wins,
        concurrency::no_update_is_lost,
        concurrency::everyone_reads_his_own_writes,
        concurrency::a_reader_never_sees_half_a_batch,
    ]
}

fn of_single_nouns() -> Vec<(&'static str, Case)> {
    list![
        graph::a_twin_with_relationships_stays,
        graph::a_relationship_needs_both_ends,
        graph::a_relationship_can_change_its_target,
        graph::filters_give_at_least_what_matches,
        graph::relationships_of_several_twins_come_at_once,
        property_indexes::an_index_gives_at_least_what_is_looked_for,
        property_indexes::there_are_as_many_as_there_may_be,
        history::versions_come_in_the_order_they_ended,
        history::what_stood_at_a_moment,
        history::what_ended_long_ago_is_forgotten,
        messages::a_queue_keeps_its_order_and_its_bound,
        messages::senders_side_by_side_keep_the_bound,
        messages::what_is_locked_is_not_seen,
        messages::a_change_of_state_keeps_the_payload,
        messages::notices_of_connections_come_in_pages,
        messages::what_goes_with_a_device,
        activity::each_time_only_grows,
        activity::nothing_is_kept_of_what_is_gone,
        configurations::configurations_come_back_whole,
        configurations::configurations_page_in_order,
        modules::modules_come_back_whole,
        modules::a_module_needs_its_device,
        modules::a_device_with_modules_stays,
        modules::modules_page_in_order_of_their_devices,
        modules::a_module_and_its_device_come_and_go_at_once,
        scheduled_jobs::scheduled_jobs_come_back_whole,
        scheduled_jobs::jobs_are_due_in_order,
        scheduled_jobs::jobs_at_devices_are_found_by_job_device_and_status,
        scheduled_jobs::ids_that_no_job_has_are_not_there,
        scheduled_jobs::a_job_is_forgotten_with_what_became_of_it,
        scheduled_jobs::what_became_of_a_job_is_forgotten_in_pieces,
    ]
}

async fn commit(store: &dyn Store, writes: impl IntoIterator<Item = Write>) {
    let batch = Batch { writes: writes.into_iter().collect() };
    store.commit(batch).await.expect("the batch is applied");
}

/// Commits what must be refused; gives the write's place and what it met.
async fn refused(store: &dyn Store, writes: impl IntoIterator<Item = Write>) -> (usize, Mismatch) {
    let batch = Batch { writes: writes.into_iter().collect() };
    match store.commit(batch).await {
        Err(CommitError::Expectation { index, mismatch }) => (index, mismatch),
        other => panic!("the batch should have been refused for an expectation, got {other:?}"),
    }
}

/// Reads all pages with `limit`, checks that none is longer and that all but the last are full.
async fn all_pages<T, F>(limit: usize, mut read: impl FnMut(Option<String>) -> F) -> Vec<T>
where
    F: Future<Output = Result<Page<T>, crate::error::StoreError>>,
{
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let page = read(after).await.expect("the page is read");
        assert!(page.items.len() <= limit, "a page of {} where {limit} were asked for", page.items.len());
        let full = page.items.len() == limit;
        items.extend(page.items);
        match page.next {
            Some(next) => {
                assert!(full, "a page that is not the last is full");
                after = Some(next);
            }
            None => return items,
        }
    }
}
