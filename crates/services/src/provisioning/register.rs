//! A device registers, and asks what became of it.

use std::net::IpAddr;
use std::sync::Arc;

use pollux_model::enrollment::Der;
use pollux_model::registration::{Operation, Registration, RegistrationStatus};
use pollux_model::resource::Resource;
use pollux_model::{Error, ErrorCode, Etag, RegistrationId, Result};
use pollux_store::{Batch, CommitError, Expect, Write};
use serde_json::Value;

use super::Provisioning;
use super::attest::decision::Entry;
use super::attest::refused;
use super::audit::AuditAction;
use super::operate::{Outcome, enabled};
use super::quotas::Rows;
use crate::caller::{Caller, Identity};
use crate::steps::Step;

/// What a device asks for.
#[derive(Debug, Clone, Default)]
pub struct RegisterRequest {
    /// Handed to the webhook.
    pub payload: Option<Value>,
    /// Whether to be assigned anew whatever the reprovisioning policy says.
    pub force: bool,
    /// Whether it speaks an API from before reprovisioning policies: it stays in its hub where its entry has none (Azure article
    /// "IoT Hub Device reprovisioning concepts", "Managing backwards compatibility").
    pub stays: bool,
    /// The public part of the storage root key of the device's TPM, where it has one.
    pub storage_root_key: Option<Vec<u8>>,
    /// What a certificate is wanted of: a certificate signing request in DER.
    pub signing_request: Option<Vec<u8>>,
}

/// Where an operation stands.
#[derive(Debug, Clone)]
pub struct OperationStatus {
    /// What to poll with.
    pub operation_id: String,
    /// The record as it stands.
    pub registration: Registration,
    /// The key that its hub knows the device by, for its TPM to open: where it is assigned and proves itself with one.
    pub tpm_key: Option<Vec<u8>>,
}

impl Provisioning {
    /// Begins a registration, or joins the one that runs. Durable when it returns: the operation goes on after a crash.
    pub async fn register(
        self: &Arc<Self>,
        caller: &Caller,
        dps: &Resource,
        request: RegisterRequest,
    ) -> Result<OperationStatus> {
        let Identity::Registration { id, displayed, group, certificate, .. } = &caller.identity else {
            return Err(Error::new(
                ErrorCode::Forbidden,
                "only a device that proved its registration may register",
            ));
        };
        caller.require_registration(&dps.name, id)?;
        self.check_payload(request.payload.as_ref())?;
        if let Some(key) = &request.storage_root_key {
            pollux_tpm::Public::parse(key).map_err(|error| Error::invalid(error.to_string()))?;
        }
        if let Some(wanted) = &request.signing_request {
            Self::check_signing_request(dps, id, wanted)?;
        }
        // Kept only where it decides something.
        let regions = Self::dps(dps)?.linked_hubs.iter().any(|link| !link.latencies.is_empty());
        let address = caller.address.filter(|_| regions);
        loop {
            let before = self.context.store.registration(&dps.name, id).await?;
            if let Some(running) =
                before.as_ref().filter(|record| record.status == RegistrationStatus::Assigning)
            {
                self.ensure_running(dps, id);
                return Ok(status_of(running.clone()));
            }
            let expect = before.as_ref().map_or(Expect::Absent, |record| Expect::Etag(record.etag.clone()));
            let as_who = (id, displayed.as_str(), group.as_ref(), certificate.as_ref());
            let record = self.assigning(as_who, before, &request, address);
            self.check_still_admitted(caller, dps, &record).await?;
            if expect == Expect::Absent {
                self.check_quota(&dps.name, Rows::Registrations).await?;
            }
            let write = Write::PutRegistration {
                dps: dps.name.clone(),
                registration: Box::new(record.clone()),
                expect,
            };
            Step::Admitted.reached();
            let by = group.clone().map_or_else(|| Entry::Individual(id.clone()), Entry::Group);
            let admitted = self.audited(caller, AuditAction::Admitted).of_registration(id).decided(Some(&by));
            let batch = Batch::from(write).with(self.audit(dps, &admitted));
            match self.context.store.commit(batch).await {
                Ok(()) => {
                    Step::Recorded.reached();
                    self.begin(dps, record.clone());
                    return Ok(status_of(record));
                }
                // Another connection of the same device was faster: join it.
                Err(CommitError::Expectation { .. }) => {}
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        }
    }

    /// What attestation found may hold no longer: over MQTT and AMQP a device may be connected for long, and its entry
    /// disabled or deleted meanwhile. It gets the answer that it would get if it came anew.
    async fn check_still_admitted(
        &self,
        caller: &Caller,
        dps: &Resource,
        record: &Registration,
    ) -> Result<()> {
        let id = &record.registration_id;
        let (by, failure) = match self.deciding(dps, record).await {
            Ok(deciding) => {
                let by = deciding.reference.entry();
                match enabled(deciding) {
                    Ok(_) => return Ok(()),
                    Err(outcome) => (Some(by), outcome),
                }
            }
            Err(outcome) => (None, outcome),
        };
        let failure = match failure {
            Outcome::Failed(failure) => failure,
            Outcome::Interrupted(error) => return Err(error),
        };
        self.audit_refusal(dps, id, caller.address, (by.as_ref(), &failure.message)).await;
        if by.is_some() {
            return Err(Error::new(ErrorCode::EnrollmentDisabled, failure.message));
        }
        Err(refused(id, &failure.message))
    }

    /// What became of an operation; one that is about to end is waited for. An operation that a crash interrupted is taken
    /// up again.
    pub async fn operation_status(
        self: &Arc<Self>,
        caller: &Caller,
        dps: &Resource,
        registration_id: &RegistrationId,
        operation_id: &str,
    ) -> Result<OperationStatus> {
        caller.require_registration(&dps.name, registration_id)?;
        self.check_polls(&dps.name, registration_id)?;
        let record = match self.ended(dps, registration_id, operation_id).await {
            Some(record) => Some(record),
            None => self.context.store.registration(&dps.name, registration_id).await?,
        };
        let record = record.filter(|record| record.operation.id == operation_id).ok_or_else(|| {
            let shown = pollux_model::ids::shown(operation_id);
            Error::new(
                ErrorCode::OperationNotFound,
                format!("there is no operation '{shown}': register again"),
            )
        })?;
        if record.status == RegistrationStatus::Assigning {
            self.ensure_running(dps, registration_id);
        }
        let tpm_key = self.tpm_key(dps, &record).await?;
        Ok(OperationStatus { tpm_key, ..status_of(record) })
    }

    async fn tpm_key(&self, dps: &Resource, record: &Registration) -> Result<Option<Vec<u8>>> {
        let Some(storage_root) = record
            .operation
            .storage_root_key
            .as_ref()
            .filter(|_| record.status == RegistrationStatus::Assigned)
        else {
            return Ok(None);
        };
        let enrollment = self.context.store.enrollment(&dps.name, &record.registration_id).await?;
        enrollment.map_or(Ok(None), |enrollment| self.tpm_hub_key(&enrollment, &storage_root.0))
    }

    fn check_payload(&self, payload: Option<&Value>) -> Result<()> {
        let limit = self.context.limits.registration_payload;
        let size = payload.map_or(0, |payload| payload.to_string().len());
        if size <= limit {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::TooLarge,
            format!("the payload is {size} bytes; at most {limit} are allowed"),
        ))
    }

    fn assigning(
        &self,
        (id, displayed, group, certificate): (&RegistrationId, &str, Option<&String>, Option<&String>),
        before: Option<Registration>,
        request: &RegisterRequest,
        address: Option<IpAddr>,
    ) -> Registration {
        let now = self.context.clock.now();
        let operation = Operation {
            id: format!("5.{:08x}.{}", now.as_secs(), self.context.random.uuid()),
            started: now,
            payload: request.payload.clone(),
            force: request.force,
            stays: request.stays,
            certificate: certificate.cloned(),
            storage_root_key: request.storage_root_key.clone().map(Der),
            signing_request: request.signing_request.clone().map(Der),
            node: self.context.cluster.node().map(str::to_owned),
            address,
        };
        let etag = Etag::fresh(&*self.context.random);
        let Some(before) = before else {
            return Registration {
                registration_id: id.clone(),
                displayed_id: displayed.to_owned(),
                group: group.cloned(),
                status: RegistrationStatus::Assigning,
                substatus: None,
                assigned_hub: None,
                device_id: None,
                failure: None,
                payload: None,
                issued: Vec::new(),
                operation,
                created: now,
                updated: now,
                etag,
            };
        };
        // A key derived from a group's is made from the id as the device writes it now, so that spelling counts from here
        // on. A key of its own opens every spelling: were each believed, one device could have a twin made for each.
        let displayed_id = match group {
            Some(_) => displayed.to_owned(),
            None => before.displayed_id.clone(),
        };
        Registration {
            displayed_id,
            group: group.cloned(),
            status: RegistrationStatus::Assigning,
            failure: None,
            operation,
            updated: now,
            etag,
            ..before
        }
    }
}

fn status_of(registration: Registration) -> OperationStatus {
    OperationStatus { operation_id: registration.operation.id.clone(), registration, tpm_key: None }
}

#[cfg(test)]
mod tests {
    use pollux_model::resource::ResourceKind;

    use super::*;
    use crate::fixture::World;

    /// Registers under a spelling and gives the record when the operation has ended.
    async fn registered(world: &World, displayed: &str, group: Option<&str>) -> Registration {
        let (dps, id) =
            (world.resource(ResourceKind::Dps, "dps1"), RegistrationId::parse(displayed).unwrap());
        let identity = Identity::Registration {
            dps: dps.name.clone(),
            id: id.clone(),
            displayed: displayed.to_owned(),
            group: group.map(str::to_owned),
            certificate: None,
        };
        let provisioning = &world.services.provisioning;
        let request = RegisterRequest::default();
        provisioning.register(&Caller::own(identity), &dps, request).await.unwrap();
        loop {
            let record = world.services.context.store.registration(&dps.name, &id).await.unwrap().unwrap();
            if record.status != RegistrationStatus::Assigning {
                return record;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_device_with_a_key_of_its_own_keeps_the_spelling_it_began_with() {
        let world = World::new().await;
        world.enroll("dev1").await;
        for spelling in ["Dev1", "DEV1", "dev1"] {
            assert_eq!(registered(&world, spelling, None).await.displayed_id, "Dev1");
        }
    }

    #[tokio::test]
    async fn a_key_derived_from_another_spelling_brings_that_spelling() {
        let world = World::new().await;
        world.group("g").await;
        for spelling in ["Dev1", "DEV1"] {
            assert_eq!(registered(&world, spelling, Some("g")).await.displayed_id, spelling);
        }
    }

    #[tokio::test]
    async fn an_operation_id_is_known_after_a_restart() {
        let world = World::new().await;
        world.group("g").await;
        let operation = registered(&world, "Dev1", Some("g")).await.operation.id;
        while !world.services.provisioning.running.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        let world = world.restarted();
        world.services.load(&[]).await.unwrap();
        let dps = world.resource(ResourceKind::Dps, "dps1");
        let id = RegistrationId::parse("dev1").unwrap();
        let identity = Identity::Registration {
            dps: dps.name.clone(),
            id: id.clone(),
            displayed: "Dev1".to_owned(),
            group: Some("g".to_owned()),
            certificate: None,
        };
        let provisioning = &world.services.provisioning;
        let status =
            provisioning.operation_status(&Caller::own(identity), &dps, &id, &operation).await.unwrap();
        assert_eq!(status.operation_id, operation);
    }
}
