use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use pollux_model::SystemRandom;
use pollux_store::sqlite::{SqliteOptions, SqliteStore};

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn open(data: &DataDir) -> Certificates {
    Certificates::open(data, &Tls::default(), &SystemRandom, NOW).unwrap()
}

#[test]
fn the_ca_stays_and_the_server_certificate_follows_names_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(folder.path()).unwrap();
    let few = names(&["127.0.0.1", "localhost"]);
    let many = names(&["127.0.0.1", "hub1.example.com", "localhost"]);
    let first = open(&data).server(&data, &few, &SystemRandom, NOW).unwrap();
    let ca = data.read("ca.pem").unwrap();
    assert_eq!(first.0.len(), 1, "whoever trusts the authority has it");
    let leaf =
        |names: &[String], now| open(&data).server(&data, names, &SystemRandom, now).unwrap().0.remove(0);
    assert_eq!(leaf(&few, NOW), first.0[0], "the stored one does");
    let year = DAY * 365;
    assert_eq!(leaf(&few, NOW.plus(year - DAY * 31)), first.0[0]);
    let renewed = leaf(&few, NOW.plus(year - DAY * 30));
    assert_ne!(renewed, first.0[0], "it is made anew before it runs out");
    assert_ne!(leaf(&many, NOW), renewed, "and when names change");
    assert_eq!(data.read("ca.pem").unwrap(), ca);
    for file in ["ca.key", "server.key"] {
        assert_eq!(fs::metadata(data.file(file)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    fs::remove_file(data.file("ca.key")).unwrap();
    let error = Certificates::open(&data, &Tls::default(), &SystemRandom, NOW).err().unwrap().to_string();
    assert!(error.contains("ca.pem without ca.key"), "{error}");
}

#[test]
fn a_crash_between_the_files_is_made_good() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(folder.path()).unwrap();
    let wanted = names(&["localhost"]);
    open(&data).server(&data, &wanted, &SystemRandom, NOW).unwrap();
    // As if the note had not been written yet, and the key not either.
    fs::remove_file(data.file("server.json")).unwrap();
    fs::remove_file(data.file("server.key")).unwrap();
    let (chain, key) = open(&data).server(&data, &wanted, &SystemRandom, NOW).unwrap();
    pollux_edges::accept::ServerCertificate::new(chain, key).unwrap();
}

#[test]
fn given_files_are_named_when_they_do_not_hold() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(folder.path()).unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    fs::write(&certificate, "no PEM").unwrap();
    let tls = Tls { certificate: Some(certificate), key: Some(key), ..Tls::default() };
    let given = Certificates::open(&data, &tls, &SystemRandom, NOW).unwrap();
    let error = given.server(&data, &[], &SystemRandom, NOW).err().unwrap().to_string();
    assert!(error.contains("c.pem holds no certificate"), "{error}");
}

fn store(folder: &Path) -> DynStore {
    std::sync::Arc::new(SqliteStore::open(&folder.join("state.db"), SqliteOptions::default()).unwrap())
}

async fn open_shared(data: &DataDir, store: &DynStore) -> Certificates {
    Certificates::open_shared(data, &Tls::default(), store, &SystemRandom, NOW).await.unwrap()
}

#[tokio::test]
async fn nodes_that_start_at_once_have_one_ca_and_keys_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let node = |name: &str| DataDir::open(&folder.path().join(name)).unwrap();
    let (a, b, c) = (node("a"), node("b"), node("c"));
    let (at_a, at_b, at_c) =
        tokio::join!(open_shared(&a, &store), open_shared(&b, &store), open_shared(&c, &store));
    let ca = a.read("ca.pem").unwrap().unwrap();
    let mut keys = std::collections::BTreeSet::new();
    for (certificates, data) in [(at_a, a), (at_b, b), (at_c, c)] {
        let (chain, key) = certificates.server(&data, &names(&["localhost"]), &SystemRandom, NOW).unwrap();
        assert_eq!(chain.len(), 1, "the authority is not sent along");
        keys.insert(key.secret_der().to_vec());
        assert_eq!(data.read("ca.pem").unwrap().unwrap(), ca);
        assert!(!data.file("ca.key").exists(), "the CA's key stays in the store");
    }
    assert_eq!(keys.len(), 3, "each has a key of its own");
}

#[tokio::test]
async fn the_first_folders_own_ca_becomes_the_deployments_and_a_later_ones_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let wanted = names(&["localhost"]);
    let alone = |name: &str| {
        let data = DataDir::open(&folder.path().join(name)).unwrap();
        open(&data).server(&data, &wanted, &SystemRandom, NOW).unwrap();
        let ca = data.read("ca.pem").unwrap().unwrap();
        (data, ca)
    };
    let (moved, ca) = alone("moved");
    let before = moved.read("server.pem").unwrap();
    open_shared(&moved, &store).await.server(&moved, &wanted, &SystemRandom, NOW).unwrap();
    assert_eq!(moved.read("server.pem").unwrap(), before, "nothing changes for those who trusted it");

    let (late, own) = alone("late");
    open_shared(&late, &store).await.server(&late, &wanted, &SystemRandom, NOW).unwrap();
    assert_eq!(late.read("ca.pem").unwrap().unwrap(), ca);
    assert_eq!(late.read("ca.old.pem").unwrap().unwrap(), own);
    assert!(late.read("server.pem").unwrap().unwrap().ends_with(&ca) && !late.file("ca.key").exists());
}
