//! The hub: identities, device twins, telemetry, routing, live connections.
