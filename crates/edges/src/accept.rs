//! Listeners: TCP and TLS, bounded, drained on shutdown.
