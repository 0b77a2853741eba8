//! Resources: created, linked, changed and deleted here; looked up by name, host name or ID scope in [`ResourceTable`].
//!
//! One change at a time, each one batch of the store; then the table in memory is replaced and those who watch
//! ([`Resources::watch`]) are told. Devices, enrollments, twins and events of a resource belong to its own service.

mod build;
mod certificate_issuer;
mod certificates;
mod check;
mod consumer_groups;
pub mod declared;
mod defaults;
mod event_hubs;
mod event_routes;
mod failure;
mod file_upload;
mod groups;
mod indexes;
mod kept_streams;
mod keys;
mod links;
mod policies;
mod routing;
mod table;

use std::sync::Arc;

use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, Etag, ResourceName, Result};
use pollux_store::{Batch, Expect, Write};
use tokio::sync::{Mutex, MutexGuard, watch};

use crate::blobs::Blobs;
use crate::caller::{Caller, Identity};
use crate::cluster::{Alone, Change};
use crate::context::Context;

pub use certificate_issuer::CertificateIssuerInput;
pub use certificates::CertificateHolder;
pub use consumer_groups::GroupsOf;
pub use declared::Declared;
pub(crate) use failure::{commit_failed, store_failed};
pub use groups::GroupContents;
pub use keys::WhichKey;
pub use policies::PolicyHolder;
pub use table::ResourceTable;

/// Creates, changes and deletes resources.
#[derive(Debug)]
pub struct Resources {
    context: Arc<Context>,
    /// For what is said of containers.
    blobs: Arc<Blobs>,
    /// What host names end with: `hub1.<domain>`.
    domain: String,
    /// One change at a time; held across the commit.
    changing: Mutex<()>,
    /// Who is next to change something.
    turn: Mutex<()>,
    version: watch::Sender<u64>,
}

impl Resources {
    /// Over a context; host names of new resources end with `domain`.
    #[must_use]
    pub fn new(context: Arc<Context>, blobs: Arc<Blobs>, domain: &str) -> Self {
        let domain = domain.to_ascii_lowercase();
        Self {
            context,
            blobs,
            domain,
            changing: Mutex::new(()),
            turn: Mutex::new(()),
            version: watch::Sender::new(0),
        }
    }

    /// Changes with every change of the table: for those who hold something made from it.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Reads the store, makes the defaults at the first start ever, applies what the configuration declares, and makes
    /// sure that each event hub has its stream.
    pub async fn load(&self, declared: &[Declared]) -> Result<()> {
        let stored = self.context.store.resources().await.map_err(store_failed)?;
        self.context.table.replace(stored);
        let admin = Caller::admin();
        let mut sorted: Vec<&Declared> = declared.iter().collect();
        sorted.sort_by_key(|one| one.order());
        for one in sorted {
            self.apply(&admin, one).await?;
        }
        self.ensure_defaults(declared).await?;
        self.ensure_streams().await
    }

    /// Reads the store anew: another node changed something.
    pub(crate) async fn refresh(&self) -> Result<()> {
        let _one = self.changing.lock().await;
        self.reread().await
    }

    /// With `changing` held. Those who watch are told only of changes.
    async fn reread(&self) -> Result<()> {
        let stored = self.context.store.resources().await.map_err(store_failed)?;
        let known = self.context.table.all();
        let same = |one: &Resource| known.iter().any(|other| **other == *one);
        if stored.len() != known.len() || !stored.iter().all(same) {
            self.publish(stored);
        }
        Ok(())
    }

    /// The right to change resources: nobody else does on any node, and the table is as the store has it.
    async fn change_alone(&self) -> Result<Changing<'_>> {
        // Whoever waits for other nodes holds only his turn: what those announce must be taken in meanwhile.
        let turn = self.turn.lock().await;
        let alone = self.context.cluster.alone("resources", "resources").await?;
        let changing = self.changing.lock().await;
        if self.context.cluster.node().is_some() {
            self.reread().await?;
        }
        Ok(Changing { _changing: changing, _alone: alone, _turn: turn })
    }

    /// All resources, for those who watch.
    pub(crate) fn all(&self) -> Arc<[Arc<Resource>]> {
        self.context.table.all()
    }

    /// All resources, or those of a kind.
    pub fn list(&self, caller: &Caller, kind: Option<ResourceKind>) -> Result<Vec<Arc<Resource>>> {
        administer(caller)?;
        let all = self.context.table.all();
        Ok(all.iter().filter(|one| kind.is_none_or(|kind| one.kind() == kind)).cloned().collect())
    }

    /// One resource.
    pub fn get(&self, caller: &Caller, kind: ResourceKind, name: &ResourceName) -> Result<Arc<Resource>> {
        administer(caller)?;
        self.context.table.get(kind, name)
    }

    /// Makes a resource. [`ErrorCode::ResourceExists`] if there is one of that kind and name.
    pub async fn create(&self, caller: &Caller, declared: &Declared) -> Result<Resource> {
        administer(caller)?;
        self.ask_webhooks(declared).await?;
        let _one = self.change_alone().await?;
        let name = ResourceName::parse(declared.name())?;
        if self.context.table.named(declared.kind(), &name).is_some() {
            let message = format!("there is already a {} named '{name}'", declared.kind());
            return Err(Error::new(ErrorCode::ResourceExists, message));
        }
        self.make(name, declared).await
    }

    /// Changes the fields a declaration names; those it leaves out stay. `expected`: the etag the caller saw.
    pub async fn change(
        &self,
        caller: &Caller,
        declared: &Declared,
        expected: Option<&Etag>,
    ) -> Result<Resource> {
        administer(caller)?;
        self.ask_webhooks(declared).await?;
        let _one = self.change_alone().await?;
        let name = ResourceName::parse(declared.name())?;
        let present = self.context.table.get(declared.kind(), &name)?;
        check_etag(&present, expected)?;
        self.adopt(&present, declared).await
    }

    /// Makes the resource if it is absent, adopts what the declaration says differently if it is there. Deletes
    /// nothing.
    pub async fn apply(&self, caller: &Caller, declared: &Declared) -> Result<Resource> {
        administer(caller)?;
        let _one = self.change_alone().await?;
        let name = ResourceName::parse(declared.name())?;
        match self.context.table.named(declared.kind(), &name) {
            Some(present) => self.adopt(&present, declared).await,
            None => self.make(name, declared).await,
        }
    }

    /// Deletes a resource and all it holds. [`ErrorCode::ResourceInUse`] while another one refers to it.
    pub async fn delete(
        &self,
        caller: &Caller,
        kind: ResourceKind,
        name: &ResourceName,
        expected: Option<&Etag>,
    ) -> Result<()> {
        administer(caller)?;
        let _one = self.change_alone().await?;
        let present = self.context.table.get(kind, name)?;
        check_etag(&present, expected)?;
        self.remove(&[present]).await
    }

    async fn make(&self, name: ResourceName, declared: &Declared) -> Result<Resource> {
        let resource = self.built(name, declared)?;
        self.checked(&resource)?;
        self.make_streams(&resource, None).await?;
        self.put(resource, Expect::Absent, Vec::new()).await
    }

    async fn adopt(&self, present: &Resource, declared: &Declared) -> Result<Resource> {
        let mut resource = present.clone();
        self.merge(&mut resource, declared)?;
        self.replace(present, resource).await
    }

    /// Commits a changed resource, unless nothing changed.
    async fn replace(&self, present: &Resource, resource: Resource) -> Result<Resource> {
        self.replace_and(present, resource, Vec::new()).await
    }

    /// The same, with what must be written together with it.
    async fn replace_and(
        &self,
        present: &Resource,
        mut resource: Resource,
        also: Vec<Write>,
    ) -> Result<Resource> {
        if *present == resource && also.is_empty() {
            return Ok(resource);
        }
        self.checked(&resource)?;
        self.make_streams(&resource, Some(present)).await?;
        resource.etag = Etag::fresh(&*self.context.random);
        let resource = self.put(resource, Expect::Etag(present.etag.clone()), also).await?;
        self.forget_left(present, &resource).await?;
        Ok(resource)
    }

    async fn put(&self, resource: Resource, expect: Expect, also: Vec<Write>) -> Result<Resource> {
        let write = Write::PutResource { resource: Box::new(resource.clone()), expect };
        let batch = also.into_iter().fold(Batch::from(write), Batch::with);
        self.context.store.commit(batch).await.map_err(commit_failed)?;
        let same = |one: &Resource| one.kind() == resource.kind() && one.name == resource.name;
        let others = self.context.table.all();
        let mut all: Vec<_> =
            others.iter().filter(|one| !same(one)).map(|one| Resource::clone(one)).collect();
        all.push(resource.clone());
        self.publish(all);
        self.context.cluster.announce(Change::Resources).await;
        Ok(resource)
    }

    /// Deletes these together; references among them do not hold them back.
    async fn remove(&self, leaving: &[Arc<Resource>]) -> Result<()> {
        self.check_unused(leaving)?;
        let mut batch = Batch::new();
        for one in leaving {
            let (kind, name) = (one.kind(), one.name.clone());
            batch = batch.with(Write::DeleteResource { kind, name, expect: Expect::Etag(one.etag.clone()) });
        }
        self.context.store.commit(batch).await.map_err(commit_failed)?;
        let leaves =
            |one: &Resource| leaving.iter().any(|gone| gone.kind() == one.kind() && gone.name == one.name);
        let all = self.context.table.all();
        self.publish(all.iter().filter(|one| !leaves(one)).map(|one| Resource::clone(one)).collect());
        self.context.cluster.announce(Change::Resources).await;
        // While nobody can make a hub of the name anew: its files would be where these are.
        for hub in leaving.iter().filter(|one| one.kind() == ResourceKind::Hub) {
            self.blobs.remove_own(&hub.name, crate::hub::files::CONTAINER).await;
        }
        self.drop_streams(leaving).await
    }

    fn publish(&self, all: Vec<Resource>) {
        self.context.table.replace(all);
        self.version.send_modify(|version| *version += 1);
    }
}

/// Held while resources change.
struct Changing<'r> {
    _changing: MutexGuard<'r, ()>,
    _alone: Alone,
    _turn: MutexGuard<'r, ()>,
}

/// Only the operator handles resources.
pub(crate) fn administer(caller: &Caller) -> Result<()> {
    match caller.identity {
        Identity::Admin => Ok(()),
        _ => Err(Error::new(ErrorCode::Forbidden, "only the operator may handle resources")),
    }
}

fn check_etag(present: &Resource, expected: Option<&Etag>) -> Result<()> {
    match expected {
        Some(expected) if *expected != present.etag => Err(Error::new(
            ErrorCode::PreconditionFailed,
            format!("the {} '{}' has changed since it was read", present.kind(), present.name),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
