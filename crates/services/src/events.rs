//! Event hubs: appending, reading, the outbox relay.
