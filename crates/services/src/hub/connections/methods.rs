//! Methods that a connected device is asked, wherever its connection is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use pollux_model::{DeviceAddress, ResourceName};
use tokio::sync::oneshot;

use super::{Connections, Live};
use crate::hub::{MethodAnswer, MethodCall, MethodFailure};

/// Methods that a device may have to answer.
const OPEN: usize = 64;

/// What a device has to answer: the ids under which it was asked, and who waits. An edge keeps one for each connection.
#[derive(Debug, Default)]
pub struct OpenMethods(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    last: u64,
    ended: bool,
    waiting: HashMap<u64, oneshot::Sender<MethodAnswer>>,
}

impl OpenMethods {
    /// Notes a method and gives the id to ask under; the answer comes to the receiver, which ends without one when the
    /// connection does.
    ///
    /// # Errors
    /// [`MethodFailure::Busy`]; [`MethodFailure::NotOnline`] once it has ended.
    pub fn ask(&self) -> Result<(u64, oneshot::Receiver<MethodAnswer>), MethodFailure> {
        let mut open = self.0.lock();
        if open.ended {
            return Err(MethodFailure::NotOnline);
        }
        // Nobody waits for those any more.
        open.waiting.retain(|_, answer| !answer.is_closed());
        if open.waiting.len() >= OPEN {
            return Err(MethodFailure::Busy);
        }
        open.last += 1;
        let (id, (answer, waits)) = (open.last, oneshot::channel());
        open.waiting.insert(id, answer);
        Ok((id, waits))
    }

    /// The connection is over: whoever waits hears so, and nobody is asked any more.
    pub fn end(&self) {
        let mut open = self.0.lock();
        open.ended = true;
        open.waiting.clear();
    }

    /// The device answers. An answer that nobody waits for is passed over.
    pub fn answer(&self, id: u64, answer: MethodAnswer) {
        if let Some(waits) = self.0.lock().waiting.remove(&id) {
            // Whoever waited may have given up just now.
            let _gone = waits.send(answer);
        }
    }
}

impl Connections {
    /// Asks the device, on whichever node it is, and waits for its answer.
    pub(in crate::hub) async fn invoke(
        &self,
        hub: &ResourceName,
        device: &DeviceAddress,
        call: MethodCall,
        patience: Duration,
    ) -> Result<MethodAnswer, MethodFailure> {
        let key = (hub.clone(), device.clone());
        let answer = match self.here(&key) {
            Some(live) => live.invoke(call, patience).await,
            None => self.invoke_elsewhere(&key, call, patience).await,
        }?;
        // What it was asked with has the same bound (Azure article "Cloud-to-device communications guidance").
        match answer.payload.to_string().len() > self.context.limits.method_payload {
            true => Err(MethodFailure::TooLarge),
            false => Ok(answer),
        }
    }
}

impl Live {
    pub(super) async fn invoke(
        self: Arc<Self>,
        call: MethodCall,
        patience: Duration,
    ) -> Result<MethodAnswer, MethodFailure> {
        let waits = self.link.invoke(call)?;
        match tokio::time::timeout(patience, waits).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(MethodFailure::Gone),
            Err(_) => Err(MethodFailure::Late),
        }
    }
}

/// What came of it, from node to node.
pub(super) fn encoded(outcome: &Result<MethodAnswer, MethodFailure>) -> Bytes {
    serde_json::to_vec(outcome).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_finds_who_asked_and_no_more_are_open_than_may_be() {
        let open = OpenMethods::default();
        let (first, mut one) = open.ask().unwrap();
        let (second, mut two) = open.ask().unwrap();
        open.answer(second, MethodAnswer { status: 200, payload: json!(2) });
        open.answer(second, MethodAnswer { status: 500, payload: json!(0) });
        open.answer(99, MethodAnswer { status: 500, payload: json!(0) });
        assert_eq!(two.try_recv().unwrap().payload, json!(2));
        assert!(one.try_recv().is_err());
        let kept: Vec<_> = (1..OPEN).map(|_| open.ask().unwrap()).collect();
        assert_eq!(open.ask().map(|_| ()).unwrap_err(), MethodFailure::Busy);
        drop(kept);
        open.ask().unwrap();
        open.answer(first, MethodAnswer { status: 200, payload: json!(1) });
        assert_eq!(one.try_recv().unwrap().payload, json!(1));
        let (_, mut last) = open.ask().unwrap();
        open.end();
        assert_eq!(last.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(open.ask().map(|_| ()).unwrap_err(), MethodFailure::NotOnline);
    }
}
