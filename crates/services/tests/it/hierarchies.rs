//! Who decides for a device that shows a certificate, over generated hierarchies of authorities and entries, against a
//! written-out oracle: the rules of Azure article "X.509 certificate attestation", "DPS order of operations".

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pollux_model::device::Status;
use pollux_model::{ErrorCode, Random as _};
use pollux_services::caller::Identity;
use pollux_services::provisioning::{
    self, AttestationInput, CertificateKind, Changes, EnrollmentInput, Entry as Decider, Expect,
    ExplainRequest, Explanation, GroupInput, IndividualInput, Verdict,
};
use pollux_testkit::SeededRandom;
use pollux_testkit::pki::{Authority, Leaf};
use pollux_x509::Chain;

use crate::world::{World, keys_of};

const NOW: i64 = 1_700_000_000;
const DEVICE: &str = "device-1";
/// Authorities on the way, the root last, and one beside it.
const LEVELS: usize = 4;

/// What is enrolled of one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    None,
    Enabled,
    Disabled,
}

impl Entry {
    const ALL: [Self; 3] = [Self::None, Self::Enabled, Self::Disabled];
}

/// Who lets the device in, or why nobody does.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Individual,
    Group(String),
    Disabled,
    Unknown,
}

/// The device's own entry, of which certificate that is, and an entry for each authority above it.
#[derive(Debug)]
struct Entries {
    individual: Entry,
    of_another_certificate: bool,
    groups: [Entry; LEVELS],
}

impl Entries {
    fn drawn(random: &SeededRandom) -> Self {
        let mut bytes = [0_u8; LEVELS + 2];
        random.fill(&mut bytes);
        let entry = |byte: u8| Entry::ALL[usize::from(byte) % 3];
        Self {
            // Mostly none, so that groups have their turn.
            individual: if bytes[0] < 150 { Entry::None } else { entry(bytes[0]) },
            of_another_certificate: bytes[1] < 60,
            groups: std::array::from_fn(|at| entry(bytes[at + 2])),
        }
    }

    /// What is left of them when some are deleted and some disabled, and how to ask for that.
    fn changed(&self, random: &SeededRandom) -> (Self, Changes) {
        let mut bytes = [0_u8; LEVELS + 1];
        random.fill(&mut bytes);
        let (mut changes, mut groups) = (Changes::default(), self.groups);
        for (at, entry) in groups.iter_mut().enumerate() {
            let id = format!("LEVEL-{at}");
            match bytes[at + 1] % 3 {
                0 => changes.without_groups.push(id),
                1 => changes.disable_groups.push(id),
                _ => {}
            }
            match (bytes[at + 1] % 3, *entry) {
                (0, _) => *entry = Entry::None,
                (1, Entry::Enabled) => *entry = Entry::Disabled,
                _ => {}
            }
        }
        let (individual, of_another_certificate) = match bytes[0] % 4 {
            0 => (Entry::None, self.of_another_certificate),
            // One that is made to keep the device out is of its own certificate.
            1 => (Entry::Disabled, self.of_another_certificate && self.individual != Entry::None),
            _ => (self.individual, self.of_another_certificate),
        };
        (changes.without_enrollment, changes.disable_enrollment) = (bytes[0] % 4 == 0, bytes[0] % 4 == 1);
        (Self { individual, of_another_certificate, groups }, changes)
    }

    /// The oracle: the device's own entry decides whatever it says, else the nearest authority that has one.
    fn decision(&self) -> Decision {
        match self.individual {
            Entry::None => {}
            _ if self.of_another_certificate => return Decision::Unknown,
            Entry::Enabled => return Decision::Individual,
            Entry::Disabled => return Decision::Disabled,
        }
        match self.groups.iter().enumerate().find(|(_, entry)| **entry != Entry::None) {
            Some((at, Entry::Enabled)) => Decision::Group(format!("level-{at}")),
            Some(_) => Decision::Disabled,
            None => Decision::Unknown,
        }
    }
}

fn x509(kind: CertificateKind, der: &[u8], entry: Entry) -> EnrollmentInput {
    EnrollmentInput {
        attestation: Some(AttestationInput::X509 {
            kind,
            primary: Some(STANDARD.encode(der)),
            secondary: None,
        }),
        status: Some(if entry == Entry::Enabled { Status::Enabled } else { Status::Disabled }),
        ..Default::default()
    }
}

async fn put_group(world: &World, id: &str, authority: &Authority, entry: Entry) {
    let input = GroupInput { id: id.into(), common: x509(CertificateKind::Signing, &authority.der(), entry) };
    world.services.provisioning.put_enrollment_group(&world.admin, &world.dps(), input, None).await.unwrap();
}

async fn enroll(world: &World, entries: &Entries, authorities: &[Authority], leaf: &Leaf, other: &Leaf) {
    let (provisioning, admin, dps) = (&world.services.provisioning, &world.admin, world.dps());
    if entries.individual == Entry::None {
        let _ = provisioning.delete_enrollment(admin, &dps, DEVICE, Expect::Any).await;
    } else {
        let own = if entries.of_another_certificate { other } else { leaf };
        let input = IndividualInput {
            registration_id: DEVICE.into(),
            device_id: None,
            optional_device_information: None,
            common: x509(CertificateKind::Client, &own.der, entries.individual),
        };
        provisioning.put_enrollment(admin, &dps, input, None).await.unwrap();
    }
    for (at, entry) in entries.groups.into_iter().enumerate() {
        let id = format!("level-{at}");
        if entry == Entry::None {
            let _ = provisioning.delete_enrollment_group(admin, &dps, &id, Expect::Any).await;
            continue;
        }
        put_group(world, &id, &authorities[at], entry).await;
    }
}

async fn decided(world: &World, shown: &[Vec<u8>]) -> Decision {
    let chain = Chain::read(shown.iter().map(Vec::as_slice)).unwrap();
    match world.services.provisioning.attest_by_certificate(&world.dps(), DEVICE, &chain, None).await {
        Ok(caller) => match caller.identity {
            Identity::Registration { group: Some(group), .. } => Decision::Group(group),
            _ => Decision::Individual,
        },
        Err(error) if error.code == ErrorCode::EnrollmentDisabled => Decision::Disabled,
        Err(error) => {
            assert_eq!(error.code, ErrorCode::Unauthorized, "{error}");
            Decision::Unknown
        }
    }
}

fn told(decision: &provisioning::Decision) -> Decision {
    match (decision.verdict, &decision.by) {
        (Verdict::Admitted, Some(Decider::Group(group))) => Decision::Group(group.clone()),
        (Verdict::Admitted, _) => Decision::Individual,
        (Verdict::Disabled, _) => Decision::Disabled,
        (Verdict::Refused, _) => Decision::Unknown,
    }
}

/// What is said of the device now, and what would be of it after changes.
async fn explained(world: &World, shown: &[Vec<u8>], changes: &Changes) -> (Decision, Option<Decision>) {
    let request = ExplainRequest {
        registration_id: DEVICE.into(),
        chain: Some(Chain::read(shown.iter().map(Vec::as_slice)).unwrap()),
        token: None,
        changes: changes.clone(),
    };
    let said = world.services.provisioning.explain(&world.admin, &world.dps(), request).await.unwrap();
    (told(&said.now), said.after.as_ref().map(told))
}

#[tokio::test]
async fn who_lets_the_device_in_again_is_foretold() {
    let world = World::new().await;
    let random = SeededRandom::new(31);
    let root = Authority::root("root", NOW, |_| {});
    let high = root.intermediate("high", |_| {});
    let middle = high.intermediate("middle", |_| {});
    let low = middle.intermediate("low", |_| {});
    let (leaf, other) = (low.leaf(DEVICE, |_| {}), low.leaf(DEVICE, |_| {}));
    let shown = [leaf.der.clone(), low.der(), middle.der(), high.der()];
    let authorities = [low, middle, high, root];
    let mut again = 0;
    for round in 0..150 {
        let entries = Entries::drawn(&random);
        enroll(&world, &entries, &authorities, &leaf, &other).await;
        let (left, changes) = entries.changed(&random);
        let (now, after) = explained(&world, &shown, &changes).await;
        assert_eq!(now, entries.decision(), "round {round}: {entries:?}");
        if let Some(after) = after {
            assert_eq!(after, left.decision(), "round {round}: {entries:?} {changes:?}");
            again += usize::from(now != after && matches!(after, Decision::Group(_)));
        }
        enroll(&world, &left, &authorities, &leaf, &other).await;
        assert_eq!(decided(&world, &shown).await, left.decision(), "round {round}: {left:?}");
    }
    assert!(again > 5, "another group lets the device in again {again} times only");
}

#[tokio::test]
async fn without_its_certificate_its_record_speaks_and_groups_above_are_named() {
    let world = World::new().await;
    let root = Authority::root("root", NOW, |_| {});
    let (line, beside) = (root.intermediate("line", |_| {}), Authority::root("beside", NOW, |_| {}));
    let leaf = line.leaf(DEVICE, |_| {});
    for (id, authority) in [("line", &line), ("root", &root), ("root-again", &root), ("beside", &beside)] {
        put_group(&world, id, authority, Entry::Enabled).await;
    }
    let chain = Chain::read([leaf.der.as_slice(), &line.der()]).unwrap();
    let caller =
        world.services.provisioning.attest_by_certificate(&world.dps(), DEVICE, &chain, None).await.unwrap();
    world.register(&caller, DEVICE, None).await;
    let changes = Changes { without_groups: vec!["line".into()], ..Changes::default() };
    let request = ExplainRequest { registration_id: DEVICE.into(), changes, ..ExplainRequest::default() };
    let said = world.services.provisioning.explain(&world.admin, &world.dps(), request).await.unwrap();
    assert_eq!((said.by, told(&said.now)), ("record", Decision::Group("line".into())));
    assert_eq!(said.after.as_ref().map(told), Some(Decision::Group("root".into())));
    let groups: Vec<_> = said.groups.iter().map(|one| (one.entry.clone(), one.distance)).collect();
    let group = |id: &str| Decider::Group(id.into());
    assert_eq!(groups, [(group("line"), 0), (group("root"), 1), (group("root-again"), 1)]);
    assert!(!said.uncertain, "'beside' is another root, and the way leads to 'root'");
    // A device may have come by this one's key: nothing says that it did not, but its record does.
    world.group("keys", |_| {}).await;
    assert!(!unshown(&world, DEVICE).await.uncertain);
    assert!(unshown(&world, "another").await.uncertain, "of one that has no record nothing is known");
    // Below 'line', and so nearer to the device, if it is on the way at all.
    put_group(&world, "below", &line.intermediate("below", |_| {}), Entry::Enabled).await;
    assert!(unshown(&world, DEVICE).await.uncertain);
}

/// What is said of a device of which nothing is at hand.
async fn unshown(world: &World, id: &str) -> Explanation {
    let request = ExplainRequest { registration_id: id.into(), ..ExplainRequest::default() };
    world.services.provisioning.explain(&world.admin, &world.dps(), request).await.unwrap()
}

/// The oracle of what is said without a proof: whatever lets the device in, once the entry that decides is gone, was named or
/// said to be possible.
#[tokio::test]
async fn nobody_lets_a_device_in_of_whom_it_was_not_told() {
    let world = World::new().await;
    let (provisioning, dps, admin) = (&world.services.provisioning, world.dps(), &world.admin);
    let random = SeededRandom::new(37);
    let root = Authority::root("root", NOW, |_| {});
    let high = root.intermediate("high", |_| {});
    let middle = high.intermediate("middle", |_| {});
    let low = middle.intermediate("low", |_| {});
    let leaf = low.leaf(DEVICE, |_| {});
    let shown = [leaf.der.clone(), low.der(), middle.der(), high.der()];
    let chain = Chain::read(shown.iter().map(Vec::as_slice)).unwrap();
    let authorities = [low, middle, high, root];
    let (mut again, mut certain) = (0, 0);
    for round in 0..120 {
        let entries = Entries::drawn(&random);
        let entries = Entries { individual: Entry::None, ..entries };
        enroll(&world, &entries, &authorities, &leaf, &leaf).await;
        let Decision::Group(first) = entries.decision() else { continue };
        let mut dice = [0];
        random.fill(&mut dice);
        if dice[0] % 2 == 0 {
            let caller = provisioning.attest_by_certificate(&dps, DEVICE, &chain, None).await.unwrap();
            world.register(&caller, DEVICE, None).await;
        } else {
            let _ = provisioning.delete_registration(admin, &dps, DEVICE, Expect::Any).await;
        }
        let said = unshown(&world, DEVICE).await;
        let (above, uncertain) = provisioning.explain_group(admin, &dps, &first).await.unwrap();
        provisioning.delete_enrollment_group(admin, &dps, &first, Expect::Any).await.unwrap();
        let Decision::Group(second) = decided(&world, &shown).await else {
            certain += usize::from(!uncertain);
            continue;
        };
        again += 1;
        let named = |groups: &[provisioning::Vouching]| {
            groups.iter().any(|one| one.entry == Decider::Group(second.clone()))
        };
        assert!(said.uncertain || named(&said.groups), "round {round}: {entries:?} {said:?}");
        assert!(uncertain || named(&above), "round {round}: {entries:?}: '{first}', then '{second}'");
    }
    assert!(again > 5 && certain > 3, "let in again {again} times, told for certain {certain} times");
}

#[tokio::test]
async fn a_key_is_known_to_be_derived_from_a_groups() {
    let world = World::new().await;
    let group = world.group("keys", |_| {}).await;
    let derived = keys_of(&group).derive("Dev-1");
    let own = |primary: &str| IndividualInput {
        registration_id: "Dev-1".into(),
        device_id: None,
        optional_device_information: None,
        common: EnrollmentInput {
            attestation: Some(AttestationInput::SymmetricKey {
                primary: Some(primary.to_owned()),
                secondary: None,
            }),
            ..EnrollmentInput::default()
        },
    };
    let provisioning = &world.services.provisioning;
    provisioning
        .put_enrollment(&world.admin, &world.dps(), own(derived.primary.reveal()), None)
        .await
        .unwrap();
    let said = unshown(&world, "Dev-1").await;
    assert_eq!(said.if_deleted.as_ref().map(told), Some(Decision::Group("keys".into())));
    let other = STANDARD.encode([7; 32]);
    provisioning.put_enrollment(&world.admin, &world.dps(), own(&other), None).await.unwrap();
    assert!(unshown(&world, "Dev-1").await.uncertain, "it has no record: it may have the group's key");
    // A group with the same keys lets its devices in again; its own keys are no other group's.
    let same = keys_of(&group).primary.reveal().to_owned();
    let again = world
        .group("again", |input| {
            input.attestation = Some(AttestationInput::SymmetricKey { primary: Some(same), secondary: None });
        })
        .await;
    let above = provisioning.explain_group(&world.admin, &world.dps(), &group.id).await.unwrap();
    let named: Vec<_> = above.0.iter().map(|one| one.entry.clone()).collect();
    assert_eq!((named, above.1), (vec![Decider::Group(again.id)], false));
}

#[tokio::test]
async fn what_an_entry_names_may_be_gone_when_it_is_disabled() {
    let world = World::new().await;
    let (provisioning, dps, admin) = (&world.services.provisioning, world.dps(), &world.admin);
    let hub = world.hub().host_name.clone();
    let with = |hubs: &[&str], status: Status| EnrollmentInput {
        hubs: hubs.iter().map(|host| (*host).to_owned()).collect(),
        status: Some(status),
        ..EnrollmentInput::default()
    };
    let put = async |common: EnrollmentInput| {
        let dps = world.dps();
        provisioning.put_enrollment_group(admin, &dps, GroupInput { id: "line".into(), common }, None).await
    };
    put(with(&[&hub], Status::Enabled)).await.unwrap();
    world.services.resources.unlink_hub(admin, &dps.name, &world.hub().name).await.unwrap();
    let disabled = put(with(&[&hub], Status::Disabled)).await.unwrap();
    assert_eq!((disabled.rules.status, disabled.rules.hubs.len()), (Status::Disabled, 1));
    let refused = put(with(&[&hub, "hub9.localhost"], Status::Disabled)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidArgument, "{refused}");
}

#[tokio::test]
async fn a_device_is_named_only_if_its_registration_made_it() {
    let world = World::new().await;
    let group = world.group("line", |_| {}).await;
    world.provision("dev", &group).await;
    let said = unshown(&world, "DEV").await;
    let made: Vec<_> = said.devices.iter().map(|one| (one.hub.clone(), one.id.to_string())).collect();
    assert_eq!(made, [(world.hub().host_name.clone(), "dev".to_owned())]);
    assert_eq!(said.unknown_groups, [""; 0]);
    let changes = Changes { without_groups: vec!["LINE".into(), "lin".into()], ..Changes::default() };
    let request = ExplainRequest { registration_id: "other".into(), changes, ..ExplainRequest::default() };
    let said = world.services.provisioning.explain(&world.admin, &world.dps(), request).await.unwrap();
    assert_eq!((said.devices.len(), said.unknown_groups), (0, vec!["lin".to_owned()]));
}

#[tokio::test]
async fn the_nearest_entry_decides_whatever_it_says() {
    let world = World::new().await;
    let random = SeededRandom::new(29);
    let root = Authority::root("root", NOW, |_| {});
    let high = root.intermediate("high", |_| {});
    let middle = high.intermediate("middle", |_| {});
    let low = middle.intermediate("low", |_| {});
    let (leaf, other) = (low.leaf(DEVICE, |_| {}), low.leaf(DEVICE, |_| {}));
    let shown = [leaf.der.clone(), low.der(), middle.der(), high.der()];
    let authorities = [low, middle, high, root];
    let mut seen = BTreeMap::new();
    for round in 0..300 {
        let entries = Entries::drawn(&random);
        enroll(&world, &entries, &authorities, &leaf, &other).await;
        let expected = entries.decision();
        assert_eq!(decided(&world, &shown).await, expected, "round {round}: {entries:?}");
        *seen.entry(format!("{expected:?}")).or_insert(0) += 1;
    }
    // Each outcome has come about, or the test tests nothing.
    assert_eq!(seen.len(), LEVELS + 3, "{seen:?}");
}

#[tokio::test]
async fn an_authority_beside_the_way_decides_nothing() {
    let world = World::new().await;
    let (root, twin) = (Authority::root("root", NOW, |_| {}), Authority::root("root", NOW, |_| {}));
    let (line, beside) = (root.intermediate("line", |_| {}), root.intermediate("line", |_| {}));
    let leaf = line.leaf(DEVICE, |_| {});
    let shown = [leaf.der.clone(), line.der()];
    let groups = [("twin", &twin, Entry::Enabled), ("beside", &beside, Entry::Disabled)];
    for (id, authority, entry) in groups {
        put_group(&world, id, authority, entry).await;
    }
    assert_eq!(decided(&world, &shown).await, Decision::Unknown, "names alone prove nothing");
    put_group(&world, "root", &root, Entry::Enabled).await;
    assert_eq!(decided(&world, &shown).await, Decision::Group("root".into()));
    // Of two for the same certificate the disabled one decides.
    put_group(&world, "root-again", &root, Entry::Disabled).await;
    assert_eq!(decided(&world, &shown).await, Decision::Disabled);
}
