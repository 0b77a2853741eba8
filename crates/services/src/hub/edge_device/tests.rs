//! What a client writes of scopes, and what becomes of it.

use pollux_model::device::{Authentication, Status};
use pollux_model::{ErrorCode, Etag, KeyPair, SystemRandom, Timestamp};

use super::*;

const OWN: &str = "ms-azure-iot-edge://d-7";
const PARENT: &str = "ms-azure-iot-edge://gateway-1";
const OTHER: &str = "ms-azure-iot-edge://gateway-2";

fn identity(iot_edge: bool, scope: Option<&str>, parents: &[&str]) -> Identity {
    Identity {
        generation_id: "7".to_owned(),
        etag: Etag::new("e"),
        status: Status::Enabled,
        status_reason: None,
        status_updated: Timestamp::NEVER,
        created: Timestamp::NEVER,
        authentication: Authentication::Sas { keys: KeyPair::generate(&SystemRandom) },
        iot_edge,
        provisioned_by: None,
        managed_by: None,
        device_scope: scope.map(str::to_owned),
        parent_scopes: parents.iter().map(|&one| one.to_owned()).collect(),
    }
}

/// What a client writes: scope, parents. What the device has then: scope, parents.
type Case<'a> = (Option<&'a str>, Option<&'a [&'a str]>, Option<&'a str>, &'a [&'a str]);

fn check(mut before: Identity, (scope, parents, wanted, wanted_parents): Case<'_>) {
    let texts = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
    let said = Scopes { device: scope.map(str::to_owned), parents: parents.map(texts) };
    said.give(&DeviceId::parse("d").unwrap(), &mut before).unwrap();
    let got = (before.device_scope.as_deref(), before.parent_scopes);
    assert_eq!(got, (wanted, texts(wanted_parents)), "{said:?}");
}

#[test]
fn a_leaf_has_the_scope_of_its_parent() {
    let none: &[&str] = &[];
    for case in [
        (None, None, None, none),
        (Some(PARENT), None, Some(PARENT), &[PARENT]),
        (None, Some(&[PARENT][..]), Some(PARENT), &[PARENT]),
        (Some(PARENT), Some(&[PARENT]), Some(PARENT), &[PARENT]),
        (Some(""), Some(none), None, none),
    ] {
        check(identity(false, None, &[]), case);
    }
}

#[test]
fn a_leaf_moves_by_either_member_and_keeps_what_is_not_said() {
    let none: &[&str] = &[];
    for case in [
        (None, None, Some(PARENT), &[PARENT][..]),
        // Clients send back what they were shown beside what they change.
        (Some(OTHER), Some(&[PARENT][..]), Some(OTHER), &[OTHER]),
        (Some(PARENT), Some(&[OTHER]), Some(OTHER), &[OTHER]),
        (Some(""), None, None, none),
        (Some(PARENT), Some(none), None, none),
        (None, Some(none), None, none),
    ] {
        check(identity(false, Some(PARENT), &[PARENT]), case);
    }
}

#[test]
fn an_edge_device_has_its_own_for_life_and_parents_beside() {
    for case in [
        (None, None, Some(OWN), &[PARENT][..]),
        (Some(OWN), None, Some(OWN), &[PARENT]),
        (Some(OWN), Some(&[OTHER][..]), Some(OWN), &[OTHER]),
    ] {
        check(identity(true, Some(OWN), &[PARENT]), case);
    }
    let said = Scopes { device: Some(PARENT.to_owned()), parents: None };
    let refused = said.give(&DeviceId::parse("d").unwrap(), &mut identity(true, Some(OWN), &[]));
    assert_eq!(refused.unwrap_err().code, ErrorCode::InvalidArgument);
}

#[test]
fn a_device_becomes_an_edge_device_and_is_none_any_more() {
    check(identity(true, Some(PARENT), &[PARENT]), (Some(PARENT), Some(&[PARENT]), Some(OWN), &[PARENT]));
    check(identity(false, Some(OWN), &[]), (Some(OWN), Some(&[]), None, &[]));
    check(identity(false, Some(OWN), &[PARENT]), (Some(OWN), Some(&[PARENT]), Some(PARENT), &[PARENT]));
}
