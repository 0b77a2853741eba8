//! Which keys and tokens make which caller.
