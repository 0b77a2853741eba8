//! The PostgreSQL backend: the suite every backend passes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use async_trait::async_trait;
use pollux_store::postgres::{PostgresOptions, PostgresStore};
use pollux_store::store::DynStore;
use pollux_store::suite::{Backend, cases};
use pollux_testkit::Postgres;

#[derive(Debug)]
struct Database(String);

#[async_trait]
impl Backend for Database {
    async fn open(&self) -> DynStore {
        // Few connections, so that they are waited for.
        let options = PostgresOptions { connections: 6, ..PostgresOptions::default() };
        Arc::new(PostgresStore::connect(&self.0, options).await.unwrap())
    }
}

#[test]
fn suite() {
    let Some(server) = Postgres::start() else { return };
    for (name, case) in cases() {
        println!("{name}");
        let database = Database(server.create_database(name));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        runtime.block_on(case(Arc::new(database)));
    }
}
