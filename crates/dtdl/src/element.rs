//! The typed model: an Interface with its contents. Built from nodes that are well formed by themselves; what is
//! checked here is how the parts of one model fit together.

mod build;
mod command;
mod component;
mod interface;
mod meta;
mod property;
mod relationship;
mod telemetry;

pub use command::{Command, CommandPayload, CommandType};
pub use component::Component;
pub use interface::{Content, Model};
pub use meta::{Localized, Meta};
pub use property::Property;
pub use relationship::Relationship;
pub use telemetry::Telemetry;

pub(crate) use build::{Builder, build};
