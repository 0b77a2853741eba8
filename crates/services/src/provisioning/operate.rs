//! Runs a registration's operation to its end: allocate, register with the hub, keep the record.
//!
//! The device, its lifecycle event and the record are one commit. What comes before it (the webhook, the twin it makes)
//! can be repeated: a crash at any point leaves a record in "assigning", which is taken up again at the next start or
//! when the device polls.

use std::sync::Arc;
use std::time::Duration;

use pollux_model::device::{Authentication, Status};
use pollux_model::enrollment::{Attestation, EnrollmentRules};
use pollux_model::registration::{Failure, Registration, RegistrationStatus, Substatus};
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{DeviceId, Error, ErrorCode, Etag, RegistrationId, ResourceName, Result};
use pollux_store::{Batch, CommitError, Expect, Write};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Provisioning;
use super::allocate::Allocated;
use super::attest::tpm::hub_keys;
use super::contract::EnrollmentRef;
use super::issue::credential;
use super::placed::{devices_changed, edge_devices, ended, is_placed};
use super::whereabouts::{Stray, Whereabouts};
use crate::cluster::Holding;
use crate::hub::RegisterDevice;
use crate::steps::Step;

/// Records read from the store at once when a start takes them up again.
const PAGE: usize = 500;
/// How long a device that asks what became of its registration is kept waiting for the end.
const HOLD: Duration = Duration::from_millis(500);

/// What is known of a task that works on a registration.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// Whether to look once more when it is done.
    again: bool,
    /// The record as it was committed, told to those who wait for it; closed when the task has ended.
    end: watch::Sender<Option<Box<Registration>>>,
}

/// A task's place among those that run. Given up even if the task panics: nobody could take its place otherwise.
struct Place<'p> {
    provisioning: &'p Provisioning,
    /// `None` once it is given up: another task may have taken it by then.
    key: Option<(ResourceName, RegistrationId)>,
}

impl Place<'_> {
    fn give_up_unless_asked_again(&mut self) {
        let Some(key) = &self.key else { return };
        let mut running = self.provisioning.running.lock();
        match running.get_mut(key) {
            Some(task) if task.again => task.again = false,
            _ => {
                running.remove(key);
                drop(running);
                self.key = None;
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.provisioning.running.lock().remove(key);
        }
    }
}

/// The enrollment that decides, as it is now.
pub(super) struct Deciding {
    pub(super) reference: EnrollmentRef,
    pub(super) rules: EnrollmentRules,
    /// The id the device gets in its hub, if the entry sets one.
    pub(super) device_id: Option<String>,
    /// How the device proves who it is in its hub.
    pub(super) authentication: Authentication,
}

impl Provisioning {
    /// Takes up what a crash interrupted: at the start, and of several nodes, one does so whenever a node is gone.
    pub(crate) async fn take_up_interrupted(self: Arc<Self>, shutdown: CancellationToken) {
        let work = |Holding { stop, .. }: Holding| {
            let this = Arc::clone(&self);
            async move {
                let mut members = this.context.cluster.members();
                loop {
                    members.borrow_and_update();
                    match this.resume().await {
                        Ok(0) => {}
                        Ok(resumed) => tracing::info!(resumed, "took up interrupted registrations"),
                        Err(error) => {
                            tracing::warn!(%error, "interrupted registrations wait for their devices to poll")
                        }
                    }
                    tokio::select! {
                        () = stop.cancelled() => return,
                        changed = members.changed() => if changed.is_err() { return },
                    }
                }
            }
        };
        self.context.cluster.while_held("registrations", &shutdown, work).await;
    }

    /// Takes up every operation that a crash interrupted. Call once at start, when the HTTP listeners answer.
    pub async fn resume(self: &Arc<Self>) -> Result<usize> {
        let mut resumed = 0;
        for dps in self.context.table.all().iter().filter(|resource| resource.kind() == ResourceKind::Dps) {
            let mut after = None;
            loop {
                let status = RegistrationStatus::Assigning;
                let page =
                    self.context.store.registrations_in(&dps.name, status, after.as_deref(), PAGE).await?;
                for record in &page.items {
                    self.ensure_running(dps, &record.registration_id);
                    resumed += 1;
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(resumed)
    }

    /// Makes sure that a task of this node works on the operation.
    pub(super) fn ensure_running(self: &Arc<Self>, dps: &Resource, id: &RegistrationId) {
        self.run(dps, id, None);
    }

    /// The same, of a record as it was just committed.
    pub(super) fn begin(self: &Arc<Self>, dps: &Resource, record: Registration) {
        let id = record.registration_id.clone();
        self.run(dps, &id, Some(record));
    }

    fn run(self: &Arc<Self>, dps: &Resource, id: &RegistrationId, mut known: Option<Registration>) {
        let key = (dps.name.clone(), id.clone());
        let mut running = self.running.lock();
        if let Some(task) = running.get_mut(&key) {
            // The task may be past its last look: a new operation must not wait for the device to poll.
            task.again = true;
            return;
        }
        running.insert(key.clone(), Running::default());
        drop(running);
        let (this, dps) = (Arc::clone(self), dps.clone());
        tokio::spawn(async move {
            let _permit = this.permits.acquire().await;
            let mut place = Place { provisioning: &this, key: Some(key) };
            while let Some((_, id)) = &place.key {
                if let Err(error) = this.operate(&dps, id, known.take()).await {
                    // The record stays in "assigning": the next poll, registration or start takes it up.
                    tracing::warn!(dps = %dps.name, registration = %id, %error, "the registration is interrupted");
                }
                place.give_up_unless_asked_again();
            }
        });
    }

    /// `known`: the record, if it is at hand. That it is still so, the commit expects.
    async fn operate(
        &self,
        dps: &Resource,
        id: &RegistrationId,
        mut known: Option<Registration>,
    ) -> Result<()> {
        loop {
            let record = match known.take() {
                Some(record) => Some(record),
                None => self.context.store.registration(&dps.name, id).await?,
            };
            let Some(record) = record else { return Ok(()) };
            if record.status != RegistrationStatus::Assigning {
                return Ok(());
            }
            let Some(record) = self.claimed(dps, record).await? else { return Ok(()) };
            Step::Begun.reached();
            let expect = Expect::Etag(record.etag.clone());
            let batch = match self.assign(dps, &record).await {
                Ok(batch) => batch,
                Err(Outcome::Failed(failure)) => {
                    let told = self.failure_record(&record, &failure);
                    let write = self.put(dps, self.failed(record.clone(), failure), expect);
                    Batch::from(write).with(self.audit(dps, &told))
                }
                Err(Outcome::Interrupted(error)) => return Err(error),
            };
            let (changed, mut ended) = (devices_changed(&batch), ended(&batch, id));
            let edge_devices = edge_devices(&batch);
            Step::Planned.reached();
            match self.context.store.commit(batch).await {
                Ok(()) => {
                    Step::Assigned.reached();
                    if let Some(done) = ended.take_if(|done| is_placed(&record, done)) {
                        ended = self.settle(dps, *done).await.ok().map(Box::new);
                    }
                    self.tell(dps, id, ended);
                    // Such a device may be connected: what it knows of itself may hold no longer.
                    for (hub, device) in changed {
                        self.hub.connections.look_after(&hub, &device).await;
                    }
                    for (hub, device) in &edge_devices {
                        self.hub.deploy_to_registered(hub, device).await;
                    }
                    return Ok(());
                }
                // The device, the record or the hub changed meanwhile: decide again on what is there now.
                Err(CommitError::Expectation { .. }) => {}
                Err(CommitError::Store(error)) => {
                    for (hub, device) in changed {
                        self.hub.connections.look_later(&hub, &device);
                    }
                    return Err(error.into());
                }
            }
        }
    }

    /// Tells those who wait for the end of an operation.
    fn tell(&self, dps: &Resource, id: &RegistrationId, ended: Option<Box<Registration>>) {
        if let Some(task) = self.running.lock().get(&(dps.name.clone(), id.clone())) {
            task.end.send_replace(ended);
        }
    }

    /// Waits for the end of an operation that this node works on, not long: whoever asks at once need not ask again. Gives
    /// the record as it was committed; `None`: the store knows.
    pub(super) async fn ended(
        &self,
        dps: &Resource,
        id: &RegistrationId,
        operation: &str,
    ) -> Option<Registration> {
        let key = (dps.name.clone(), id.clone());
        let mut end = self.running.lock().get(&key)?.end.subscribe();
        let ended = async {
            let ended =
                end.wait_for(|ended| ended.as_ref().is_some_and(|record| record.operation.id == operation));
            Some(Registration::clone(ended.await.ok()?.as_ref()?))
        };
        tokio::time::timeout(HOLD, ended).await.unwrap_or(None)
    }

    /// The record, if this node is the one to work on it: nobody does, or whoever did is gone.
    async fn claimed(&self, dps: &Resource, record: Registration) -> Result<Option<Registration>> {
        let cluster = &self.context.cluster;
        let Some(own) = cluster.node() else { return Ok(Some(record)) };
        match record.operation.node.as_deref() {
            Some(node) if node == own => return Ok(Some(record)),
            Some(node) if cluster.is_live(node) => return Ok(None),
            _ => {}
        }
        let expect = Expect::Etag(record.etag.clone());
        let mut taken = record;
        taken.operation.node = Some(own.to_owned());
        taken.etag = Etag::fresh(&*self.context.random);
        match self.context.store.commit(Batch::from(self.put(dps, taken.clone(), expect))).await {
            Ok(()) => Ok(Some(taken)),
            // Another node was faster, or it has ended meanwhile.
            Err(CommitError::Expectation { .. }) => Ok(None),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }

    /// Decides everything and returns the one batch that makes it so.
    async fn assign(&self, dps: &Resource, record: &Registration) -> Result<Batch, Outcome> {
        let deciding = enabled(self.deciding(dps, record).await?)?;
        let device_id = self.device_id(&deciding, record)?;
        let current = self.current(dps, record, &device_id).await?;
        let expect = Expect::Etag(record.etag.clone());
        let issued = self.issued(dps, record).await?;
        let plan = RegisterDevice {
            id: device_id.clone(),
            authentication: credential(&deciding.authentication, &issued),
            iot_edge: deciding.rules.iot_edge,
            dps: dps.name.to_string(),
            registration_id: record.registration_id.to_string(),
            initial_twin: None,
            reset: false,
            initial_overrides: false,
            moved_from: None,
        };
        if let Some(Whereabouts { hub, id }) = &current
            && stays(record, &deciding)
            && !record.operation.force
        {
            let mut batch = Batch::new();
            if record.operation.signing_request.is_some() {
                let plan = RegisterDevice { id: id.clone(), ..plan };
                batch = self.hub.plan_registration(hub, plan).await.map_err(Outcome::of)?;
            }
            let done = self.assigned(record, hub, id, record.substatus, record.payload.clone());
            self.conclude(dps, &mut batch, expect, Registration { issued, ..done });
            return Ok(batch);
        }
        let hub = current.as_ref().map(|current| &*current.hub);
        let allocated = self.allocate(dps, record, &deciding, hub).await?;
        let next = Whereabouts { hub: Arc::clone(&allocated.hub), id: device_id.clone() };
        // Of an id that entries give, several registrations may have a device.
        let (mut strays, given) = (Vec::new(), deciding.device_id.is_some());
        if current.is_none() || given {
            strays = self.strays(dps, record, &next, given).await?;
        }
        let elsewhere = |stray: &&Stray| stray.departs;
        let current = current.or_else(|| strays.iter().find(elsewhere).map(|stray| stray.place.clone()));
        let substatus = substatus(record, &deciding, current.as_ref(), &next);
        let from = current.filter(|current| !current.is(&next));
        for stray in &mut strays {
            stray.departs &= from.as_ref().is_none_or(|from| !from.is(&stray.place));
        }
        let initial = allocated.initial_twin.clone().or_else(|| deciding.rules.initial_twin.clone());
        let plan = RegisterDevice {
            initial_twin: initial,
            reset: substatus == Substatus::DeviceDataReset,
            initial_overrides: allocated.initial_twin.is_some(),
            moved_from: from.as_ref().map(|from| (Arc::clone(&from.hub), from.id.clone())),
            ..plan
        };
        let mut batch = self.hub.plan_registration(&allocated.hub, plan).await.map_err(Outcome::of)?;
        let done = self.assigned(record, &allocated.hub, &device_id, Some(substatus), allocated.payload);
        self.plan_leaving(dps, &done, &strays, &mut batch).await?;
        self.conclude(dps, &mut batch, expect, Registration { issued, ..done });
        Ok(batch)
    }

    /// The record as it is to be, in place of the one that `done` was made of.
    fn conclude(&self, dps: &Resource, batch: &mut Batch, expect: Expect, done: Registration) {
        if done.operation.signing_request.is_some()
            && let Some(newest) = done.issued.first()
        {
            let note = self.issue_record(&done, newest);
            batch.writes.push(self.audit(dps, &note));
        }
        batch.writes.push(self.put(dps, done, expect));
    }

    /// The enrollment that decides for this device now, enabled or not; it may have changed since the device was admitted.
    pub(super) async fn deciding(&self, dps: &Resource, record: &Registration) -> Result<Deciding, Outcome> {
        let store = &self.context.store;
        let individual = store.enrollment(&dps.name, &record.registration_id).await.map_err(Outcome::of)?;
        if let Some(enrollment) = individual {
            let authentication = match &enrollment.attestation {
                Attestation::SymmetricKey { keys } => Authentication::Sas { keys: keys.clone() },
                Attestation::X509 { .. } => by_certificate(record)?,
                Attestation::Tpm { secret, .. } => {
                    Authentication::Sas { keys: hub_keys(secret, &enrollment.registration_id) }
                }
            };
            let (rules, device_id) = (enrollment.rules.clone(), enrollment.device_id.clone());
            let reference = EnrollmentRef::Individual(Box::new(enrollment));
            return Ok(Deciding { reference, rules, device_id, authentication });
        }
        let Some(group) = &record.group else {
            return Err(Outcome::failed(404_201, "the individual enrollment of this device was deleted"));
        };
        let Some(group) = self.groups.one(&dps.name, group).await.map_err(Outcome::of)? else {
            return Err(Outcome::failed(
                404_201,
                format!("the enrollment group '{group}' of this device was deleted"),
            ));
        };
        let authentication = match &group.attestation {
            Attestation::SymmetricKey { keys } => {
                Authentication::Sas { keys: keys.derive(&record.displayed_id) }
            }
            Attestation::X509 { .. } => by_certificate(record)?,
            Attestation::Tpm { .. } => return Err(Outcome::failed(400_004, "a group knows no TPM")),
        };
        let rules = group.rules.clone();
        Ok(Deciding { reference: EnrollmentRef::Group(group), rules, device_id: None, authentication })
    }

    fn device_id(&self, deciding: &Deciding, record: &Registration) -> Result<DeviceId, Outcome> {
        // A device keeps its id in the hub even when it spells its registration id otherwise the next time.
        let kept = record.device_id.as_ref().filter(|_| deciding.device_id.is_none());
        let id = deciding.device_id.as_ref().or(kept).unwrap_or(&record.displayed_id);
        DeviceId::parse(id).map_err(|error| Outcome::failed(400_001, error.message))
    }

    pub(super) fn put(&self, dps: &Resource, record: Registration, expect: Expect) -> Write {
        Write::PutRegistration { dps: dps.name.clone(), registration: Box::new(record), expect }
    }

    fn assigned(
        &self,
        record: &Registration,
        hub: &Resource,
        device_id: &DeviceId,
        substatus: Option<Substatus>,
        payload: Option<serde_json::Value>,
    ) -> Registration {
        Registration {
            status: RegistrationStatus::Assigned,
            substatus,
            assigned_hub: Some(hub.host_name.clone()),
            device_id: Some(device_id.to_string()),
            failure: None,
            payload,
            updated: self.context.clock.now(),
            etag: Etag::fresh(&*self.context.random),
            ..record.clone()
        }
    }

    fn failed(&self, record: Registration, failure: Failure) -> Registration {
        tracing::info!(registration = %record.registration_id, code = failure.code, "failed: {}", failure.message);
        Registration {
            status: RegistrationStatus::Failed,
            failure: Some(failure),
            updated: self.context.clock.now(),
            etag: Etag::fresh(&*self.context.random),
            ..record
        }
    }
}

/// Its hub knows the device by the certificate that it showed here (Azure article "Tutorial: Provision multiple X.509
/// devices using enrollment groups": the device uses the same one in its hub).
fn by_certificate(record: &Registration) -> Result<Authentication, Outcome> {
    let shown = record.operation.certificate.clone();
    let shown = shown.ok_or_else(|| {
        // It came in by a key, and the enrollment changed meanwhile.
        Outcome::failed(
            401_002,
            "the enrollment of this device wants a certificate now: register again with it",
        )
    })?;
    Ok(Authentication::SelfSigned { primary: Some(shown), secondary: None })
}

/// Whether that entry is enabled.
pub(super) fn enabled(deciding: Deciding) -> Result<Deciding, Outcome> {
    match deciding.rules.status {
        Status::Enabled => Ok(deciding),
        Status::Disabled => Err(Outcome::failed(401_003, "the enrollment of this device is disabled")),
    }
}

/// Whether a device that has a hub keeps it (Azure article "IoT Hub Device reprovisioning concepts"): its entry's policy says
/// so, or there is none, and the device is from before there were any.
fn stays(record: &Registration, deciding: &Deciding) -> bool {
    deciding.rules.reprovision.map_or(record.operation.stays, |policy| !policy.update_hub_assignment)
}

fn substatus(
    record: &Registration,
    deciding: &Deciding,
    current: Option<&Whereabouts>,
    next: &Whereabouts,
) -> Substatus {
    let migrate = deciding.rules.reprovision.unwrap_or_default().migrate_device_data;
    match current {
        None => Substatus::InitialAssignment,
        Some(_) if !migrate => Substatus::DeviceDataReset,
        Some(current) if current.is(next) => record.substatus.unwrap_or(Substatus::InitialAssignment),
        Some(_) => Substatus::DeviceDataMigrated,
    }
}

/// How an assignment can end without a batch.
pub(super) enum Outcome {
    /// The registration has failed and the record must say why.
    Failed(Failure),
    /// It cannot be decided now; it stays in "assigning".
    Interrupted(Error),
}

impl Outcome {
    /// A failure with a code and a reason.
    pub(super) fn failed(code: u32, message: impl Into<String>) -> Self {
        Self::Failed(Failure { code, message: message.into() })
    }

    /// What an error of another service means for the registration.
    pub(super) fn of(error: impl Into<Error>) -> Self {
        let error = error.into();
        match error.code {
            ErrorCode::Unavailable | ErrorCode::Internal => Self::Interrupted(error),
            _ => Self::failed(400_000, error.message),
        }
    }
}

/// What an allocation chose; see [`super::allocate`].
pub(super) type Choice = Result<Allocated, Outcome>;

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use pollux_model::{Clock, Timestamp};

    use super::*;
    use crate::Context;
    use crate::caller::{Caller, Identity};
    use crate::fixture::World;
    use crate::provisioning::RegisterRequest;
    use crate::resources::ResourceTable;

    /// Tells the time, or panics.
    #[derive(Debug, Default)]
    struct Broken(AtomicBool);

    impl Clock for Broken {
        fn now(&self) -> Timestamp {
            assert!(!self.0.load(Ordering::Relaxed), "the clock is broken");
            Timestamp::from_secs(1_700_000_000)
        }
    }

    #[tokio::test]
    async fn an_operation_that_panicked_is_taken_up_again() {
        let world = World::new().await;
        world.enroll("dev1").await;
        let (known, clock) = (&world.services.context, Arc::new(Broken::default()));
        let table = ResourceTable::new(vec!["localhost".into()]);
        table.replace(known.table.all().iter().map(|one| Resource::clone(one)).collect());
        let context = Arc::new(Context {
            store: Arc::clone(&known.store),
            log: Arc::clone(&known.log),
            clock: clock.clone(),
            random: Arc::clone(&known.random),
            table,
            limits: known.limits.clone(),
            cluster: crate::Cluster::solo(),
            https_ports: OnceLock::new(),
            http: known.http.clone(),
            trust: crate::SystemTrust::default(),
        });
        let hub = crate::hub::Hub::new(Arc::clone(&context));
        let (resources, functions) =
            (Arc::clone(&world.services.resources), Arc::clone(&world.services.functions));
        let provisioning = Provisioning::new(context, resources, hub, functions);
        let dps = world.resource(ResourceKind::Dps, "dps1");
        let id = RegistrationId::parse("dev1").unwrap();
        let identity = Identity::Registration {
            dps: dps.name.clone(),
            id: id.clone(),
            displayed: "dev1".into(),
            group: None,
            certificate: None,
        };
        let caller = Caller::own(identity);
        let begun = provisioning.register(&caller, &dps, RegisterRequest::default()).await.unwrap();
        clock.0.store(true, Ordering::Relaxed);
        let ended = async {
            while !provisioning.running.lock().is_empty() {
                tokio::task::yield_now().await;
            }
            clock.0.store(false, Ordering::Relaxed);
            let ask = || provisioning.operation_status(&caller, &dps, &id, &begun.operation_id);
            while ask().await.unwrap().registration.status == RegistrationStatus::Assigning {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), ended).await.expect("it is stuck until the next start");
    }
}
