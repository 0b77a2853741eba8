//! MQTT 3.1.1 server session as a state machine: bytes and now go in, bytes and events come out.
//!
//! No sockets, no clock, no tokio. One [`Connection`] serves the provisioning service and the hub alike; which topics
//! mean what is decided in `edges/mqtt`. "MQTT-x.y.z-n" names a normative statement of the OASIS standard
//! "MQTT Version 3.1.1"; "the hub article" is Azure's "Communicate with an IoT hub using the MQTT protocol".
//!
//! ```text
//!            bytes, now                      events
//!  socket ──────────────► receive ─► Connection ─► poll_event ──► edge (topics, services)
//!         ◄────────────── take_output ◄──┘   ◄── accept, ack_publish, suback, publish
//! ```
//!
//! How a driver turns the crank: read while [`Connection::wants_read`]; give what was read to [`Connection::receive`];
//! drain [`Connection::poll_event`]; write [`Connection::take_output`]; sleep until [`Connection::next_deadline`] at
//! most and then call [`Connection::on_timeout`]; stop when [`Connection::is_closed`] and the output is written.
//! An answer ([`Connection::accept`], [`Connection::ack_publish`], …) can make room: call `receive` again with the
//! bytes that were left over.

mod connection;
mod encode;
mod event;
mod frame;
mod limits;
mod outbox;
pub mod topic;

pub use bytestring::ByteString;
pub use connection::Connection;
pub use event::{Connect, ConnectRefusal, Event, PacketId, Publish, QoS, Violation, Will};
pub use limits::Limits;
pub use outbox::{Outbound, PublishError};
