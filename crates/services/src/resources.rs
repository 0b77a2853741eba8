//! Resources: created, linked, changed and deleted here; looked up by name, host name or ID scope in [`ResourceTable`].

mod table;

pub use table::ResourceTable;
