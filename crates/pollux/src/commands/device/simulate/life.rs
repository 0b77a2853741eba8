//! One device from connection to goodbye.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use pollux_client::Endpoint;
use pollux_client::hub_device::{HubDevice, HubEvent, HubOptions};
use pollux_client::properties::Properties;
use pollux_dtdl::Interface;
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::script::{Part, Script};
use super::tally::Tally;
use super::values::Values;

/// Before a lost device tries again; each time twice as long.
const PAUSE: Duration = Duration::from_millis(500);
/// At most.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Marks a component in what is reported and wished (Azure article "IoT Plug and Play conventions").
const COMPONENT: &str = "__t";

/// A device, and what it is to do.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) script: Arc<Script>,
    pub(super) endpoint: Endpoint,
    pub(super) options: HubOptions,
    pub(super) offset: Duration,
    pub(super) interval: Duration,
    /// How often it sends, if not for ever.
    pub(super) messages: Option<u64>,
    pub(super) tally: Arc<Tally>,
    pub(super) stop: CancellationToken,
}

/// What outlives a connection.
#[derive(Debug)]
struct State {
    values: Values,
    sent: u64,
    ticks: Interval,
}

/// How a connection ended.
enum End {
    /// As it was to.
    Done,
    /// So that the device has to connect again.
    Lost,
}

impl Life {
    /// Connects, and connects again whenever the connection is lost, until it has sent all it is to send, or is stopped.
    pub(super) async fn live(mut self, door: Arc<Semaphore>) {
        self.options.model_id = Some(self.script.id().to_string());
        let mut ticks = interval_at(Instant::now() + self.offset, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut state = State { values: Values::default(), sent: 0, ticks };
        let mut pause = PAUSE;
        while !self.stop.is_cancelled() {
            let place = door.acquire().await;
            let connected = HubDevice::connect(&self.endpoint, self.options.clone()).await;
            drop(place);
            match connected {
                Ok((device, events)) => {
                    self.tally.connected();
                    pause = PAUSE;
                    match self.connected(&device, events, &mut state).await {
                        Ok(End::Done) => {
                            device.disconnect().await;
                            self.tally.gone();
                            return;
                        }
                        Ok(End::Lost) => {
                            let reason = device.closed().await;
                            self.tally.lost(true, format!("{}: {reason}", self.options.device_id));
                        }
                        Err(error) => {
                            device.disconnect().await;
                            self.tally.lost(true, format!("{}: {error:#}", self.options.device_id));
                        }
                    }
                }
                Err(error) => self.tally.lost(false, format!("{}: {error}", self.options.device_id)),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                () = self.stop.cancelled() => return,
            }
        }
    }

    async fn connected(
        &self,
        device: &HubDevice,
        mut events: mpsc::Receiver<HubEvent>,
        state: &mut State,
    ) -> Result<End> {
        device.subscribe_methods().await?;
        device.subscribe_desired().await?;
        device.subscribe_messages().await?;
        let twin = device.twin().await.context("its twin cannot be read")?;
        device
            .report(&self.described(&mut state.values))
            .await
            .context("its properties cannot be reported")?;
        let wished = &twin["desired"];
        self.take(device, wished, wished["$version"].as_u64()).await?;
        loop {
            if self.messages.is_some_and(|all| state.sent >= all) {
                return Ok(End::Done);
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(End::Done),
                event = events.recv() => match event {
                    Some(event) => self.react(device, event, &mut state.values).await?,
                    None => return Ok(End::Lost),
                },
                _ = state.ticks.tick() => {
                    self.send(device, &mut state.values).await?;
                    state.sent += 1;
                }
            }
        }
    }

    /// All telemetry: a message of the model's own, one of each component.
    async fn send(&self, device: &HubDevice, values: &mut Values) -> Result<()> {
        for (component, interface) in self.script.senders() {
            let body: Map<_, _> = interface
                .telemetries
                .iter()
                .map(|(name, one)| (name.clone(), values.of(&place(component, name), &one.schema)))
                .collect();
            let mut properties = Properties::json();
            if let Some(component) = component {
                properties = properties.system("sub", component);
            }
            let began = Instant::now();
            device.send(Value::Object(body).to_string(), &properties).await?;
            self.tally.sent(began.elapsed());
        }
        Ok(())
    }

    /// Its read-only properties, as it reports them.
    fn described(&self, values: &mut Values) -> Value {
        self.reported(|(component, interface), told| {
            for (name, property) in interface.properties.iter().filter(|(_, property)| !property.writable) {
                told.insert(name.clone(), values.of(&place(component, name), &property.schema));
            }
        })
    }

    fn reported(&self, mut tell: impl FnMut(Part<'_>, &mut Map<String, Value>)) -> Value {
        let mut all = Map::new();
        for part in self.script.parts() {
            let mut told = Map::new();
            tell(part, &mut told);
            match part.0 {
                None => all.append(&mut told),
                Some(_) if told.is_empty() => {}
                Some(component) => {
                    told.insert(COMPONENT.to_owned(), json!("c"));
                    all.insert(component.to_owned(), Value::Object(told));
                }
            }
        }
        Value::Object(all)
    }

    async fn react(&self, device: &HubDevice, event: HubEvent, values: &mut Values) -> Result<()> {
        match event {
            HubEvent::Desired { version, patch } => {
                self.tally.desired();
                self.take(device, &patch, version).await
            }
            HubEvent::Method { name, request_id, payload } => {
                self.tally.command();
                let (status, answer) = self.answer(&name, &payload, values);
                Ok(device.respond(&request_id, status, &answer).await?)
            }
            HubEvent::Message { .. } => {
                self.tally.received();
                Ok(())
            }
        }
    }

    /// Says of each property that is wished for whether it is taken.
    async fn take(&self, device: &HubDevice, wished: &Value, version: Option<u64>) -> Result<()> {
        let told = self.reported(|(component, interface), told| {
            let wished = component.map_or(Some(wished), |component| wished.get(component));
            let wished = wished.and_then(Value::as_object).into_iter().flatten();
            for (name, value) in wished {
                // Of a component as a whole its own part speaks.
                let whole = component.is_none() && self.script.component(name).is_some();
                if !name.starts_with('$') && name != COMPONENT && !whole && !value.is_null() {
                    told.insert(name.clone(), acknowledged(interface, name, value, version));
                }
            }
        });
        if told.as_object().is_some_and(|told| !told.is_empty()) {
            device.report(&told).await.context("its acknowledgement cannot be reported")?;
        }
        Ok(())
    }

    fn answer(&self, method: &str, payload: &Value, values: &mut Values) -> (u16, Value) {
        let Some(command) = self.script.command(method) else {
            return (404, json!({ "message": format!("the model has no command '{method}'") }));
        };
        let payload = Some(payload).filter(|payload| !payload.is_null());
        if let Err(violation) = command.check_request(payload) {
            return (400, json!({ "message": violation.to_string() }));
        }
        let response = command.response.as_ref();
        (200, response.map_or_else(|| json!({}), |response| values.of(method, &response.schema)))
    }
}

/// Where a number is, among all of a device.
fn place(component: Option<&str>, name: &str) -> String {
    format!("{}/{name}", component.unwrap_or_default())
}

/// An acknowledgement of a writable property: 200, or 400 with what is wrong.
fn acknowledged(interface: &Interface, name: &str, value: &Value, version: Option<u64>) -> Value {
    let checked = interface.check_writable(name).and_then(|()| interface.check_property(name, value));
    let (code, said) = match checked {
        Ok(()) => (200, "taken".to_owned()),
        Err(violation) => (400, violation.to_string()),
    };
    json!({ "value": value, "ac": code, "av": version, "ad": said })
}
