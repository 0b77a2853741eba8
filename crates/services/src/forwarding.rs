//! Endpoints elsewhere, of hubs and of digital twins instances: what is routed to them waits in a stream of its own and is
//! sent on, over AMQP or HTTP.
//!
//! ```text
//!   routing ─▶ hub1.hub/to.<endpoint> (durable) ─▶ one consumer a partition ─▶ AMQP ─▶ event hub elsewhere
//!              twins1.twins/to.<endpoint>                   │              ├─▶ HTTP ─▶ webhook
//!                                                           │              └─▶ blobs ─▶ storage container
//!                                                           └─ what is refused for the event's sake ─▶ dead letter
//! ```
//!
//! The events of each device or twin go in their order, the next when those before are accepted or put aside. While the
//! endpoint is away, or does not let us in, they wait: as long as the stream keeps them. What a crash or a lost answer leaves
//! open is sent again ("at least once": Azure articles "Use IoT Hub message routing" and "Endpoints and event routes").

mod avro;
mod cloud_event;
mod event_hub;
mod forwarder;
mod health;
mod hub_cloud_event;
mod hub_message;
mod s3;
mod storage;
mod webhook;

use std::sync::Arc;

use pollux_model::function::DeadLetter;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, OwnerName, Result};
use pollux_store::Page;
use pollux_store::functions::ConsumerKey;
use tokio_util::sync::CancellationToken;

use crate::blobs::Blobs;
use crate::caller::{Caller, Right};
use crate::consume::{self, Consumer};
use crate::context::Context;
use crate::dead_letters::record_of;
use crate::streams::{Stream, owner_of};

pub use health::{EndpointHealth, HealthStatus};

pub(crate) use cloud_event::{OF_RELATIONSHIP, OF_TWIN, PREFIX};
pub(crate) use event_hub::external_event_hub;
use forwarder::{Forwarder, Refusal};
use health::Reports;
pub(crate) use storage::check_storage;
pub(crate) use webhook::{ask, cause, webhook_url};

/// Sends on what is routed to endpoints elsewhere.
#[derive(Debug)]
pub struct Forwarding {
    context: Arc<Context>,
    blobs: Arc<Blobs>,
    /// How endpoints fare.
    reports: Arc<Reports>,
}

/// A partition of what waits for an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    /// The hub or digital twins instance.
    owner: OwnerName,
    endpoint: String,
    partition: u32,
}

impl Place {
    /// The hub or digital twins instance as it is now.
    fn keeper(&self, context: &Context) -> Option<Arc<Resource>> {
        match (self.owner.hub(), self.owner.twins()) {
            (Some(hub), _) => context.table.named(ResourceKind::Hub, hub),
            (None, Some(twins)) => context.table.named(ResourceKind::Twins, twins),
            (None, None) => None,
        }
    }
}

impl Forwarding {
    /// Makes the service.
    #[must_use]
    pub fn new(context: Arc<Context>, blobs: Arc<Blobs>) -> Arc<Self> {
        Arc::new(Self { context, blobs, reports: Arc::default() })
    }

    /// Sends what waits until shutdown, following changes of the resources.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let this = Arc::clone(&self);
        let consume = move |place: Place, stop: CancellationToken| {
            let this = Arc::clone(&this);
            async move {
                match this.consumer(place) {
                    Ok(consumer) => consumer.run(&stop).await,
                    Err(error) => tracing::error!(%error, "events cannot be sent on"),
                }
            }
        };
        let places = || {
            let all = Place::all(&self.context);
            self.reports.keep(&all);
            all
        };
        consume::follow(&self.context, "forward", &shutdown, places, consume).await;
    }

    /// Dead letters of the endpoints elsewhere of a hub or digital twins instance, in the order they were put aside.
    pub async fn dead_letters(
        &self,
        caller: &Caller,
        keeper: &Resource,
        endpoint: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<DeadLetter>> {
        administer(caller, keeper)?;
        self.context.dead_letters(&owner_of(keeper), endpoint, after, limit).await
    }

    /// One dead letter, with its payload.
    pub async fn dead_letter(&self, caller: &Caller, keeper: &Resource, id: i64) -> Result<DeadLetter> {
        administer(caller, keeper)?;
        self.context.dead_letter(&owner_of(keeper), id).await
    }

    /// Sends a dead letter once more; it is forgotten when that works, and tells why when not.
    pub async fn replay_dead_letter(&self, caller: &Caller, keeper: &Resource, id: i64) -> Result<()> {
        let letter = self.dead_letter(caller, keeper, id).await?;
        let place = Place::new(&owner_of(keeper), &letter.function, letter.partition);
        let forwarder = self.forwarder(place);
        let sent = forwarder.send_again(&record_of(&letter)).await.map_err(|refusal| match refusal {
            Refusal::Event(why) => Error::invalid(why),
            Refusal::Attempt(why) | Refusal::Endpoint { why, .. } => Error::new(ErrorCode::Unavailable, why),
        });
        self.context.replayed(letter, sent).await
    }

    /// Forgets a dead letter.
    pub async fn delete_dead_letter(&self, caller: &Caller, keeper: &Resource, id: i64) -> Result<()> {
        administer(caller, keeper)?;
        self.context.forget_dead_letter(&owner_of(keeper), id).await
    }

    fn forwarder(&self, place: Place) -> Forwarder {
        Forwarder::new(Arc::clone(&self.context), place, Arc::clone(&self.blobs), Arc::clone(&self.reports))
    }

    fn consumer(&self, place: Place) -> Result<Consumer> {
        let Place { owner, endpoint, partition } = place.clone();
        let stream = Stream::waiting(owner.clone(), &endpoint);
        Ok(Consumer {
            context: Arc::clone(&self.context),
            stream: stream.name()?,
            partition,
            key: ConsumerKey {
                owner: "routing".to_owned(),
                namespace: stream.owner,
                event_hub: stream.event_hub,
                consumer_group: "$Default".to_owned(),
            },
            lease: format!("forward/{owner}/{endpoint}/{partition}"),
            work: Box::new(self.forwarder(place)),
        })
    }
}

fn administer(caller: &Caller, keeper: &Resource) -> Result<()> {
    caller.require(keeper.kind(), &keeper.name, Right::Administer)
}
