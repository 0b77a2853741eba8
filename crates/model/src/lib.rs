//! The nouns of Pollux: resources, devices, enrollments, registrations, twins, events, ids, error codes, clock.
//!
//! No I/O, no async, no SQL, no wire types. Every other crate may know this one; it knows none of them.
//! What a type here serializes to is its *stored* form (golden files in `store` keep it readable); what a protocol
//! shows of it is decided in `edges`.

pub mod address;
pub mod configuration;
pub mod device;
pub mod digital_twin;
pub mod enrollment;
pub mod error;
pub mod event;
pub mod function;
pub mod ids;
pub mod job;
pub mod message;
pub mod partition_key;
pub mod random;
pub mod registration;
pub mod resource;
pub mod sas;
pub mod scheduled_job;
pub mod secret;
pub mod time;

pub use address::DeviceAddress;
pub use error::{Error, ErrorCode, Result};
pub use ids::{DeviceId, Etag, ModuleId, OwnerName, RegistrationId, ResourceName};
pub use random::{Random, SystemRandom};
pub use secret::{Key, KeyPair};
pub use time::{Clock, ManualClock, SystemClock, Timestamp};
