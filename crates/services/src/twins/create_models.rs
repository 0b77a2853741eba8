//! Uploads models: all or none.

use std::sync::Arc;

use pollux_dtdl::{Diagnostic, Model};
use pollux_model::digital_twin::StoredModel;
use pollux_model::{Error, ErrorCode, ResourceName, Result, Timestamp};
use pollux_store::{Batch, Expect, Write};
use serde_json::Value;

use super::get_model::describe;
use super::models::{Models, joined, limits};
use super::rates::Kind;
use super::{ModelDescription, Twins};
use crate::{Caller, Right};

impl Twins {
    /// Uploads DTDL documents, each an Interface or an array of Interfaces. Gives the models in the order given.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] for none, [`ErrorCode::ModelInvalid`] with every diagnostic,
    /// [`ErrorCode::ModelVersionUnsupported`] likewise, [`ErrorCode::ModelExists`], [`ErrorCode::QuotaExceeded`] for too many.
    pub async fn create_models(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        documents: Vec<Value>,
    ) -> Result<Vec<ModelDescription>> {
        let resource = self.admit(caller, instance, Right::TwinsWrite, (Kind::Models, &[]))?;
        if documents.is_empty() {
            return Err(Error::invalid(
                "Operation failed as models provided was empty or of a type that is not supported. Check that your Model \
                 Array contains at least one item and it is of a supported type. See link(http://aka.ms/ADTv2Models) for \
                 details.",
            ));
        }
        let (max_version, model_bytes) = (self.context.limits.dtdl_version, self.context.limits.model);
        let accepted = pollux_dtdl::Limits { max_version, model_bytes, ..limits() };
        let parsed = pollux_dtdl::parse(&documents, &accepted)
            .map_err(|diagnostics| refused(&documents, max_version, &diagnostics))?;
        let most = self.context.limits.models_per_request;
        if parsed.len() > most {
            let message = format!("A request may carry up to {most} models; this one has {}.", parsed.len());
            return Err(Error::new(ErrorCode::QuotaExceeded, message));
        }
        let (name, now) = (instance.clone(), self.context.clock.now());
        let most = self.context.limits.models;
        let ids: Vec<_> = parsed.iter().map(|model| model.id.clone()).collect();
        self.models
            .change(Arc::clone(&resource), move |models| add(models, parsed, (&name, most), now).map(Some))
            .await?;
        let models = self.models.get(&resource).await?;
        Ok(ids.iter().filter_map(|id| describe(&models, id.as_str())).collect())
    }
}

pub(super) fn add(
    present: &Models,
    new: Vec<Model>,
    (instance, most): (&ResourceName, usize),
    now: Timestamp,
) -> Result<(Batch, Models)> {
    let existing: Vec<&str> =
        new.iter().map(|model| model.id.as_str()).filter(|id| present.stored.contains_key(*id)).collect();
    if !existing.is_empty() {
        return Err(Error::new(
            ErrorCode::ModelExists,
            format!(
                "Some of the model ids already exist: {}. Use Model_List API to view models that already exist. See the \
                 Swagger example (http://aka.ms/ModelListSwSmpl).",
                existing.join(", ")
            ),
        ));
    }
    if present.stored.len() + new.len() > most {
        return Err(Error::new(
            ErrorCode::QuotaExceeded,
            format!("An instance may hold up to {most} models."),
        ));
    }
    let (mut batch, mut stored) = (Batch::new(), present.stored.clone());
    for model in &new {
        let id = model.id.to_string();
        let model = StoredModel {
            id: id.clone(),
            document: model.source.clone(),
            uploaded: now,
            decommissioned: false,
        };
        let write = Write::PutModel {
            twins: instance.clone(),
            model: Box::new(model.clone()),
            expect: Expect::Absent,
        };
        batch = batch.with(write);
        stored.insert(id, Arc::new(model));
    }
    let set = present.set.with_limits(new, &limits()).map_err(|diagnostics| invalid(&diagnostics))?;
    Ok((batch, Models { set, stored }))
}

/// Models that cannot be parsed; where one of them is in a version of DTDL that is not accepted, that says so.
fn refused(documents: &[Value], max_version: u8, diagnostics: &[Diagnostic]) -> Error {
    let each = |document: &Value| match document {
        Value::Array(inner) => inner.iter().filter_map(pollux_dtdl::version_of).collect(),
        single => Vec::from_iter(pollux_dtdl::version_of(single)),
    };
    let mut versions = documents.iter().flat_map(each);
    match versions.any(|version| !(2..=max_version).contains(&version)) {
        true => Error { code: ErrorCode::ModelVersionUnsupported, ..invalid(diagnostics) },
        false => invalid(diagnostics),
    }
}

pub(super) fn invalid(diagnostics: &[Diagnostic]) -> Error {
    Error::new(
        ErrorCode::ModelInvalid,
        format!(
            "None of the models in this request could be created due to a problem with one or more models: {}. See model \
             documentation(http://aka.ms/ADTv2Models) for supported format.",
            joined(diagnostics)
        ),
    )
}
