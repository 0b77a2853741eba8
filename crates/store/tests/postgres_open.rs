//! Opening a PostgreSQL store: what is refused says what to do, and never a password.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use pollux_store::postgres::{OpenError, PostgresOptions, PostgresStore};
use pollux_store::suite::fixtures;
use pollux_store::{Batch, Store};
use pollux_testkit::{Postgres, PostgresSettings};

async fn connect(url: &str) -> Result<PostgresStore, OpenError> {
    PostgresStore::connect(url, PostgresOptions::default()).await
}

async fn trusting(url: &str, ca: &str) -> Result<PostgresStore, OpenError> {
    let options = PostgresOptions { ca: Some(PathBuf::from(ca)), ..PostgresOptions::default() };
    PostgresStore::connect(url, options).await
}

/// The error, after a look at whether it keeps the password to itself.
async fn refused(url: &str) -> OpenError {
    let error = connect(url).await.unwrap_err();
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(!text.contains("hunter2") && !text.contains("state-of-a-test"), "{text}");
    }
    error
}

#[tokio::test]
async fn who_may_not_is_told_what_to_do() {
    let Some(server) = Postgres::start() else { return };
    let url = server.create_database("pollux");
    let error = refused(&server.url_of("postgres", "hunter2", "pollux")).await;
    assert!(matches!(&error, OpenError::Authentication { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{}/pollux", server.port())), "{error}");
    let error = refused(&server.url_of("postgres", "state-of-a-test", "none")).await;
    assert!(matches!(&error, OpenError::NoDatabase { .. }), "{error:?}");

    // A user without rights; once the administrator does as he is told, it works.
    let sql = "CREATE ROLE guest LOGIN PASSWORD 'hunter2'; REVOKE CREATE ON SCHEMA public FROM PUBLIC";
    server.sql("pollux", sql);
    let guest = server.url_of("guest", "hunter2", "pollux");
    let OpenError::Rights { grant, user, .. } = refused(&guest).await else { panic!("rights are missing") };
    assert_eq!(
        (user.as_str(), grant.as_str()),
        ("guest", "GRANT USAGE, CREATE ON SCHEMA \"public\" TO \"guest\"")
    );
    server.sql("pollux", &grant);
    connect(&guest).await.unwrap().healthy().await.unwrap();
    // Tables that another user made.
    server.sql("pollux", "CREATE ROLE other LOGIN PASSWORD 'hunter2'");
    let other = server.url_of("other", "hunter2", "pollux");
    let OpenError::Rights { grant, .. } = refused(&other).await else { panic!("rights are missing") };
    server.sql("pollux", &grant);
    let store = connect(&other).await.unwrap();
    store.commit(Batch { writes: fixtures::everything() }).await.unwrap();

    drop(connect(&url).await.unwrap());
    server.sql("pollux", "UPDATE pollux_schema SET version = 99");
    let error = refused(&url).await;
    assert!(matches!(&error, OpenError::Newer { found: 99, known: 8, .. }), "{error:?}");

    let url = server.create_database("foreign");
    server.sql("foreign", "CREATE TABLE devices (mine text)");
    let error = refused(&url).await;
    assert!(matches!(&error, OpenError::NotOurs { table, .. } if table == "devices"), "{error:?}");
    assert_eq!(server.sql("foreign", "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "1");

    let url = server.create_database("standby");
    server.sql("standby", "ALTER DATABASE standby SET default_transaction_read_only = on");
    let error = refused(&url).await;
    assert!(matches!(&error, OpenError::ReadOnly { .. }), "{error:?}");

    server.sql(
        "postgres",
        "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
    );
    let error = refused(&server.url_of("postgres", "state-of-a-test", "latin")).await;
    assert!(matches!(&error, OpenError::Encoding { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_by_its_place() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("postgres://pollux:hunter2@127.0.0.1:{port}/pollux");
    // It accepts and says nothing.
    let options =
        PostgresOptions { connect_timeout: Duration::from_millis(200), ..PostgresOptions::default() };
    let error = PostgresStore::connect(&url, options).await.unwrap_err();
    assert!(matches!(&error, OpenError::Connect { .. }), "{error:?}");
    drop(listener);
    let error = refused(&url).await;
    assert!(matches!(&error, OpenError::Connect { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}/pollux")), "{error}");
}

#[tokio::test]
async fn certificates_are_verified() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = Some((made.cert.pem(), made.signing_key.serialize_pem()));
    let Some(server) = Postgres::start_with(&PostgresSettings { tls, ..PostgresSettings::default() }) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (right, wrong) = (file("right.pem", made.cert.pem()), file("wrong.pem", stranger.cert.pem()));
    let address = server.create_database("pollux");
    let named = address.replace("127.0.0.1", "localhost");
    for (url, ca) in [
        (format!("{named}?sslmode=verify-full"), &right),
        (format!("{named}?sslmode=prefer"), &right),
        (named.clone(), &right),
        (format!("{address}?sslmode=verify-ca"), &right),
        (format!("{address}?sslmode=require"), &right),
        (format!("{address}?sslmode=disable"), &wrong),
    ] {
        let store = trusting(&url, ca).await.unwrap();
        store.commit(Batch::from(fixtures::tell(1))).await.unwrap();
    }
    // Encrypted and not verified is what `require` says, as long as nobody names what to trust.
    drop(connect(&format!("{address}?sslmode=require")).await.unwrap());
    drop(connect(&format!("{named}?sslmode=verify-full&sslrootcert={right}")).await.unwrap());
    for (url, ca) in [
        (format!("{named}?sslmode=verify-full"), &wrong),
        (named.clone(), &wrong),
        (format!("{address}?sslmode=require"), &wrong),
        (format!("{address}?sslmode=verify-ca"), &wrong),
        // Another name than the certificate's.
        (format!("{address}?sslmode=verify-full"), &right),
        (address.clone(), &right),
    ] {
        let error = trusting(&url, ca).await.unwrap_err();
        assert!(matches!(&error, OpenError::Tls { .. }), "{url}: {error:?}");
    }
    let error = trusting(&named, "/none.pem").await.unwrap_err();
    assert!(matches!(&error, OpenError::Certificates { .. }), "{error:?}");
    let ssl = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl";
    let store = trusting(&named, &right).await.unwrap();
    store.healthy().await.unwrap();
    assert_ne!(server.sql("postgres", ssl), "0", "the connection is encrypted");
}
