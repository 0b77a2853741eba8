//! Writes the seeds of every target to `corpus/<target>/`.
//!
//! ```text
//!   cargo +nightly run --manifest-path fuzz/Cargo.toml --bin seeds
//! ```

use std::path::Path;
use std::{fs, io};

#[path = "../../crates/dtdl/tests/suite/seeds.rs"]
mod dtdl;
#[path = "../../crates/amqp/tests/fuzz/seeds.rs"]
mod seeds;
#[path = "../../crates/query/tests/fuzz/seeds.rs"]
mod queries;

const NAMES: [&str; 9] = [
    "amqps://localhost:5671/hub1/ConsumerGroups/$Default/Partitions/0",
    "hub1/Partitions/12",
    "hub1/Publishers/thermostat-7",
    "amqp.annotation.x-opt-offset > '1024'",
    "amqp.annotation.x-opt-offset >= '-1'",
    "amqp.annotation.x-opt-offset > '@latest'",
    "amqp.annotation.x-opt-sequence-number >= '17'",
    "amqp.annotation.x-opt-enqueued-time > '1700000000000'",
    "amqp.annotation.x-opt-enqueued-time >= '9223372036854775807'",
];

const PATCHES: [&str; 4] = [
    "[{\"op\":\"add\",\"path\":\"/a~1b/c\",\"value\":{\"x\":1}},{\"op\":\"remove\",\"path\":\"/a~1b/c/x\"}]\n{\"a/b\":{}}",
    "[{\"op\":\"replace\",\"path\":\"/Temperature\",\"value\":21.5}]\n{\"Temperature\":1,\"m~n\":[]}",
    "[{\"op\":\"add\",\"path\":\"/m~0n/k\",\"value\":null},{\"op\":\"test\",\"path\":\"/\"}]\n{}",
    "[{\"op\":\"remove\",\"path\":\"/$metadata/x/sourceTime\"}]\n{\"$metadata\":{\"x\":{\"sourceTime\":\"\"}}}",
];

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let names = NAMES.map(|name| ("names", name.as_bytes().to_vec()));
    let amqp = seeds::all(std::time::Instant::now()).into_iter().chain(names);
    let amqp = amqp.map(|(target, seed)| (format!("amqp_{target}"), seed));
    let dtdl = [("models", &dtdl::MODELS[..]), ("sets", &dtdl::SETS), ("identifier", &dtdl::IDENTIFIERS)];
    let dtdl = dtdl.into_iter().flat_map(|(target, seeds)| {
        seeds.iter().map(move |seed| (format!("dtdl_{target}"), seed.as_bytes().to_vec()))
    });
    let queries = queries::all().into_iter().map(|(target, seed)| (target.to_owned(), seed));
    let patches = PATCHES.map(|seed| ("twins_patch".to_owned(), seed.as_bytes().to_vec()));
    for (number, (target, seed)) in amqp.chain(dtdl).chain(queries).chain(patches).enumerate() {
        write(&corpus.join(target), number, &seed)?;
    }
    Ok(())
}

fn write(folder: &Path, number: usize, seed: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(format!("seed-{number:03}")), seed)
}
