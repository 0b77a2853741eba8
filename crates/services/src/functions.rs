//! The function app: allocate, ingest, retire.
