//! The settings of a function app, by the names of Microsoft's article, and what they mean.
//!
//! Without a setting the app works on this deployment: on the oldest instance of its own group, else of all.

use std::collections::BTreeMap;
use std::sync::Arc;

use pollux_model::resource::{PolicyRight, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, Result, ids, sas};
use url::Url;

use super::Functions;
use super::twins_client::TwinsClient;
use super::twins_local::LocalTwins;
use super::twins_remote::RemoteTwins;
use crate::caller::{Caller, Right};

/// The digital twins instance: `https://<host>`.
pub(super) const ADT_SERVICE_URL: &str = "ADT_SERVICE_URL";
/// The namespace the consumers read, with a policy that may listen.
pub(super) const EVENTHUB_CONNECTIONSTRING: &str = "EVENTHUB_CONNECTIONSTRING";
/// For a digital twins instance elsewhere: the credential, as azure-identity's `EnvironmentCredential` names it.
pub(super) const CREDENTIAL: [&str; 4] =
    ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_AUTHORITY_HOST"];

impl Functions {
    /// The settings of an app. Values may be secret: for who may administer it only.
    pub fn settings(&self, caller: &Caller, app: &Resource) -> Result<BTreeMap<String, String>> {
        caller.require(ResourceKind::Functions, &app.name, Right::Administer)?;
        Ok(Self::app(app)?.settings.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect())
    }

    /// Whether a setting may have this value; the message says what may be.
    pub fn check_setting(&self, name: &str, value: &str) -> Result<()> {
        match name {
            ADT_SERVICE_URL => service_url(value).map(|_| ()),
            EVENTHUB_CONNECTIONSTRING => self.namespace_of(value).map(|_| ()),
            _ if CREDENTIAL.contains(&name) => Ok(()),
            _ => Err(Error::invalid(format!(
                "'{}' is no setting; there are {ADT_SERVICE_URL}, {EVENTHUB_CONNECTIONSTRING}, {}",
                ids::shown(name),
                CREDENTIAL.join(", ")
            ))),
        }
    }

    /// The twins service the app works on.
    pub(super) fn twins_client(&self, app: &Resource) -> Result<Arc<dyn TwinsClient>> {
        let settings = &Self::app(app)?.settings;
        let local = |instance: &Resource| -> Arc<dyn TwinsClient> {
            Arc::new(LocalTwins::new(Arc::clone(&self.twins), app.name.clone(), instance.name.clone()))
        };
        let Some(url) = settings.get(ADT_SERVICE_URL) else {
            return self.of_this_deployment(app, ResourceKind::Twins).map(|instance| local(&instance));
        };
        let url = service_url(&url.0)?;
        if let Some(instance) = self.own_twins(&url) {
            return Ok(local(&instance));
        }
        let mut clients = self.remote.lock();
        if let Some((_, client)) = clients.get(&app.name).filter(|(known, _)| known == settings) {
            return Ok(Arc::clone(client));
        }
        let (http, clock) = (self.context.http.clone(), Arc::clone(&self.context.clock));
        let client: Arc<dyn TwinsClient> = Arc::new(RemoteTwins::new(http, clock, url, settings)?);
        clients.insert(app.name.clone(), (settings.clone(), Arc::clone(&client)));
        Ok(client)
    }

    /// The namespace the app's consumers read.
    pub(super) fn namespace(&self, app: &Resource) -> Result<Arc<Resource>> {
        match Self::app(app)?.settings.get(EVENTHUB_CONNECTIONSTRING) {
            None => self.of_this_deployment(app, ResourceKind::Events),
            Some(connection_string) => self.namespace_of(&connection_string.0),
        }
    }

    fn of_this_deployment(&self, app: &Resource, kind: ResourceKind) -> Result<Arc<Resource>> {
        let all = self.context.table.all();
        let mut of_kind = all.iter().filter(|resource| resource.kind() == kind);
        let found = of_kind.clone().find(|resource| resource.group == app.group).or_else(|| of_kind.next());
        found.cloned().ok_or_else(|| {
            Error::new(
                ErrorCode::ResourceNotFound,
                format!("the function app '{}' needs a resource of kind {kind}, and there is none", app.name),
            )
        })
    }

    fn own_twins(&self, url: &Url) -> Option<Arc<Resource>> {
        let ours = self.context.https_ports.get()?.contains(&url.port_or_known_default()?);
        if ours { self.context.table.own(ResourceKind::Twins, url.host_str()?) } else { None }
    }

    /// The namespace of this deployment that a connection string opens for listening. Namespaces elsewhere are read by
    /// a function host beside them.
    fn namespace_of(&self, connection_string: &str) -> Result<Arc<Resource>> {
        let part = |name: &str| {
            connection_string.split(';').find_map(|part| {
                let (key, value) = part.split_once('=')?;
                key.trim().eq_ignore_ascii_case(name).then_some(value.trim())
            })
        };
        let wrong = |what: &str| {
            Error::invalid(format!(
                "{EVENTHUB_CONNECTIONSTRING} {what}; it must be Endpoint=sb://<host>/;SharedAccessKeyName=…;SharedAccessKey=… of a namespace of this deployment"
            ))
        };
        let host = part("Endpoint")
            .and_then(|endpoint| Url::parse(endpoint).ok())
            .and_then(|url| url.host_str().map(str::to_owned));
        let host = host.ok_or_else(|| wrong("has no Endpoint"))?;
        let namespace = self.context.table.serving(ResourceKind::Events, &host);
        let namespace = namespace.ok_or_else(|| wrong("names a host that is not served here"))?;
        let (name, key) =
            (part("SharedAccessKeyName").unwrap_or_default(), part("SharedAccessKey").unwrap_or_default());
        let policy = namespace.policy(name).ok_or_else(|| wrong("names no policy of the namespace"))?;
        let keys = [&policy.keys.primary, &policy.keys.secondary];
        let opened = keys.map(|known| sas::secrets_equal(known.reveal().as_bytes(), key.as_bytes()));
        if !(opened[0] | opened[1]) {
            return Err(wrong("carries a key that is not the policy's"));
        }
        if !policy.rights.iter().any(|right| matches!(right, PolicyRight::Listen | PolicyRight::Manage)) {
            return Err(wrong("names a policy that may not listen"));
        }
        Ok(namespace)
    }
}

fn service_url(text: &str) -> Result<Url> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.host_str().is_some());
    url.ok_or_else(|| Error::invalid(format!("{ADT_SERVICE_URL} must be https://<host name>[:port]")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::World;
    use crate::resources::Declared;
    use crate::resources::declared::DeclaredFunctions;

    /// The app with these settings beside those it has.
    async fn set(world: &World, settings: &[(&str, &str)]) -> Resource {
        let setting = |(name, value): &(&str, &str)| {
            ((*name).to_owned(), pollux_model::resource::Setting((*value).to_owned()))
        };
        let settings = settings.iter().map(setting).collect();
        let said = DeclaredFunctions { name: "functions1".into(), settings, ..Default::default() };
        let resources = &world.services.resources;
        resources.change(&Caller::admin(), &Declared::Functions(said), None).await.unwrap()
    }

    #[tokio::test]
    async fn a_client_of_twins_elsewhere_lives_as_long_as_its_settings() {
        let world = World::new().await;
        let functions = &world.services.functions;
        let app = set(&world, &[(ADT_SERVICE_URL, "https://adt.example")]).await;
        // Settings are set one by one: until all are there, events wait and are not given up.
        assert_eq!(functions.twins_of_events(&app).unwrap_err().code, ErrorCode::Unavailable);
        let credential = [(CREDENTIAL[0], "t"), (CREDENTIAL[1], "c"), (CREDENTIAL[2], "s")];
        let app = set(&world, &credential).await;
        let client = functions.twins_of_events(&app).unwrap();
        assert!(Arc::ptr_eq(&client, &functions.twins_of_events(&app).unwrap()), "it keeps its token");
        assert!(!format!("{functions:?}").contains("\"s\""), "the secret shows");
        let app = set(&world, &[(CREDENTIAL[2], "another")]).await;
        assert!(!Arc::ptr_eq(&client, &functions.twins_of_events(&app).unwrap()), "it has another secret");
    }
}
