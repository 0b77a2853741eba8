//! State: one small trait per noun for reading, one atomic [`Batch`] for writing, the outbox in the same transaction.
//!
//! No policy lives here: a rule is decided in `services`, which reads, decides, and commits a batch whose
//! expectations make the store refuse it if the world moved in between. Backends: [`sqlite`] and [`postgres`]. The
//! suite every backend passes is in [`suite`].

pub mod activity;
pub mod batch;
pub mod bulk;
pub mod configurations;
pub mod devices;
mod document;
pub mod enrollments;
pub mod error;
pub mod functions;
pub mod history;
pub mod jobs;
mod keys;
pub mod leases;
pub mod messages;
pub mod modules;
pub mod observer;
pub mod outbox;
pub mod portable;
pub mod postgres;
mod prepared;
pub mod property_indexes;
pub mod registrations;
pub mod resources;
pub mod scheduled_jobs;
pub mod secrets;
pub mod sqlite;
pub mod store;
pub mod suite;
pub mod twins;

pub use batch::{Batch, Expect, Write};
pub use error::{CommitError, Mismatch, StoreError};
pub use leases::{Lease, LeaseHolder, Leases};
pub use observer::Observer;
pub use store::{Page, Store};
