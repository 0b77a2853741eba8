//! One device: its registration comes to an end, its hub shuts it out, its record goes.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use pollux_client::Rest;
use pollux_client::rest::RestError;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Work;
use crate::input::segment;
use crate::retry::until_answered;

/// How long a registration that was under way may take: longer than any webhook.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(200);
/// Changes by others under which ours is tried again.
const ATTEMPTS: u32 = 20;

/// What became of a device in its hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InHub {
    Disabled,
    Deleted,
    /// It was so before, or there is no such device.
    Before,
    /// The hub is gone.
    Gone,
}

impl InHub {
    /// This, unless nothing was done where the other was.
    pub(super) const fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Before | Self::Gone, Self::Disabled | Self::Deleted) => other,
            _ => self,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Deleted => "deleted",
            Self::Before => "unchanged",
            Self::Gone => "gone",
        }
    }
}

/// Whether what was asked for does not exist.
pub(super) fn is_missing(error: &RestError) -> bool {
    error.status() == Some(404)
}

/// What is there, if it is.
pub(super) async fn find(rest: &Rest, path: &str) -> Result<Option<Value>, RestError> {
    match until_answered(async || rest.get(path).send().await).await {
        Ok(found) => Ok(Some(found.body)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where a device is in its hub.
pub(super) fn in_hub(device: &str) -> String {
    format!("/devices/{}", segment(device))
}

impl Work<'_> {
    /// Shuts out the device that a registration record tells of. The entry that would let it in is disabled already.
    pub(super) async fn retire(&self, mut record: Value) -> Result<InHub> {
        let id = record["registrationId"].as_str().unwrap_or_default().to_owned();
        let path = format!("/registrations/{}", segment(&id));
        for _ in 0..ATTEMPTS {
            let Some(settled) = self.settled(&path, record).await? else { return Ok(InHub::Before) };
            // With its record goes what is known of them.
            if self.args.permanent && settled["issuedCertificates"].is_array() {
                self.revoke(&id).await?;
                let Some(now) = find(&self.dps, &path).await? else { return Ok(InHub::Before) };
                record = now;
                continue;
            }
            let in_hub = match (settled["assignedHub"].as_str(), settled["deviceId"].as_str()) {
                (Some(host), Some(device)) => self.shut_out(host, device).await?,
                _ => InHub::Before,
            };
            if !self.removes_records() {
                return Ok(in_hub);
            }
            let etag = settled["etag"].as_str().unwrap_or("*");
            let gone = until_answered(async || self.dps.delete(&path).if_match(etag).send().await).await;
            match gone {
                Ok(_) => return Ok(in_hub),
                Err(error) if is_missing(&error) => return Ok(in_hub),
                // It tells of something else now: look again.
                Err(error) if error.status() == Some(412) => {}
                Err(error) => return Err(error).context("cannot delete its registration record"),
            }
            let Some(now) = find(&self.dps, &path).await? else { return Ok(in_hub) };
            record = now;
        }
        bail!("its registration record changes all the time")
    }

    /// What the plan says of a device whose status in its hub is this.
    pub(super) fn said_of_device(&self, host: &str, device: &str, status: &Value) -> String {
        if !self.args.permanent && status == "disabled" {
            return format!("the device '{device}' in {host} is disabled already");
        }
        format!("{} the device '{device}' in {host}, and cut it off", self.verb())
    }

    /// Whether quotas bind and let no individual enrollment be made.
    pub(super) async fn enrollments_are_full(&self) -> Result<bool> {
        let stats = until_answered(async || self.dps.get("/stats").send().await).await?.body;
        let row = &stats["individualEnrollments"];
        Ok(stats["enforced"] == true && row["count"].as_u64() >= row["limit"].as_u64())
    }

    /// Revokes what was issued to a device.
    async fn revoke(&self, id: &str) -> Result<()> {
        let body = json!({ "registrationId": id });
        let post = async || self.dps.post("/revocations").json(body.clone()).send().await;
        match until_answered(post).await {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(error).context("cannot revoke the certificates that were issued to it"),
        }
    }

    /// The record once nothing is under way.
    async fn settled(&self, path: &str, mut record: Value) -> Result<Option<Value>> {
        let begun = Instant::now();
        while record["status"] == "assigning" {
            if begun.elapsed() > PATIENCE {
                bail!("its registration has been under way for {} s", PATIENCE.as_secs());
            }
            tokio::time::sleep(PAUSE).await;
            match find(&self.dps, path).await? {
                Some(now) => record = now,
                None => return Ok(None),
            }
        }
        Ok(Some(record))
    }

    /// Disables or deletes a device in its hub.
    pub(super) async fn shut_out(&self, host: &str, device: &str) -> Result<InHub> {
        let Some(hub) = self.hub(host) else { return Ok(InHub::Gone) };
        let path = in_hub(device);
        if self.args.permanent {
            return match until_answered(async || hub.delete(&path).if_match("*").send().await).await {
                Ok(_) => Ok(InHub::Deleted),
                Err(error) if is_missing(&error) => Ok(InHub::Before),
                Err(error) => Err(error).context("cannot delete it in its hub"),
            };
        }
        self.disable(hub, &path).await
    }

    /// Disables a device in its hub.
    pub(super) async fn disable(&self, hub: &Rest, path: &str) -> Result<InHub> {
        for _ in 0..ATTEMPTS {
            let Some(mut found) = find(hub, path).await? else { return Ok(InHub::Before) };
            if found["status"] == "disabled" {
                return Ok(InHub::Before);
            }
            (found["status"], found["statusReason"]) = (json!("disabled"), json!("deprovisioned"));
            let etag = found["etag"].as_str().unwrap_or("*").to_owned();
            let put = async || hub.put(path).if_match(&etag).json(found.clone()).send().await;
            match until_answered(put).await {
                Ok(_) => return Ok(InHub::Disabled),
                Err(error) if error.status() == Some(412) || is_missing(&error) => {}
                Err(error) => return Err(error).context("cannot disable it in its hub"),
            }
        }
        bail!("its identity in the hub changes all the time")
    }

    /// Disables an entry; whether it was enabled. `None`: there is none.
    pub(super) async fn disable_entry(&self, path: &str) -> Result<Option<bool>> {
        for _ in 0..ATTEMPTS {
            let Some(mut found) = find(&self.dps, path).await? else { return Ok(None) };
            if found["provisioningStatus"] == "disabled" {
                return Ok(Some(false));
            }
            found["provisioningStatus"] = json!("disabled");
            let etag = found["etag"].as_str().unwrap_or("*").to_owned();
            let put = async || self.dps.put(path).if_match(&etag).json(found.clone()).send().await;
            match until_answered(put).await {
                Ok(_) => return Ok(Some(true)),
                Err(error) if error.status() == Some(412) || is_missing(&error) => {}
                Err(error) => return Err(error).context("cannot disable the entry"),
            }
        }
        bail!("the entry changes all the time")
    }

    /// Deletes an entry; whether there was one.
    pub(super) async fn delete_entry(&self, path: &str) -> Result<bool> {
        match until_answered(async || self.dps.delete(path).if_match("*").send().await).await {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error).context("cannot delete the entry"),
        }
    }
}
