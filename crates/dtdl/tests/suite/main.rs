//! Behaviour of the crate through its public interface.

#[cfg(test)]
mod common;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod extensions;
#[cfg(test)]
mod fuzzed;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod instances;
#[cfg(test)]
mod models;
#[cfg(test)]
mod offline;
#[cfg(test)]
mod ontologies;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod targets;
#[cfg(test)]
mod versions;
