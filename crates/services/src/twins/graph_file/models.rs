//! The models of a file: one set, all or none, whatever their order and their number.

use std::sync::Arc;

use parking_lot::Mutex;
use pollux_model::ids::shown;
use pollux_model::job::Section;
use pollux_model::resource::Resource;
use pollux_model::{Error, ErrorCode, Result};
use serde_json::Value;

use super::lines::{Block, Line};
use super::{ItemFault, read};
use crate::twins::Twins;
use crate::twins::create_models::{add, invalid};
use crate::twins::models::{limits, outermost};

/// The models of a file, as they are gathered.
#[derive(Debug, Default)]
pub(in crate::twins) struct Models {
    documents: Vec<Value>,
    bytes: usize,
    pub(in crate::twins) faults: Vec<ItemFault>,
}

/// What became of models.
#[derive(Debug, Default)]
pub(in crate::twins) struct Made {
    pub(in crate::twins) created: u64,
    pub(in crate::twins) unchanged: u64,
    pub(in crate::twins) faults: Vec<ItemFault>,
}

impl Models {
    /// Adds a block of the section.
    ///
    /// # Errors
    /// [`ErrorCode::QuotaExceeded`]: more than `most` bytes in all.
    pub(in crate::twins) fn add(&mut self, block: Block, most: usize) -> Result<()> {
        for line in block.lines {
            self.bytes += line.text.as_ref().map_or(0, Vec::len);
            if self.bytes > most {
                let message = format!("The models of an import may have {most} bytes in all.");
                return Err(Error::new(ErrorCode::QuotaExceeded, message));
            }
            let number = line.number;
            match document(line) {
                Ok(document) => self.documents.push(document),
                Err(error) => {
                    self.faults.push(ItemFault { line: number, section: Section::Models, id: None, error });
                }
            }
        }
        Ok(())
    }

    pub(in crate::twins) fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }
}

/// An Interface, or several in an array as model files have them.
fn document(line: Line) -> Result<Value> {
    if line.text.as_ref().is_some_and(|text| text.first() == Some(&b'[')) {
        let array = serde_json::from_slice(&line.text.unwrap_or_default());
        return array.map_err(|error| Error::invalid(format!("The line is no JSON: {error}.")));
    }
    read::object(line).map(Value::Object)
}

impl Twins {
    /// Uploads the models of a file: those that are not there; all of them or, where they do not hold together, none.
    ///
    /// # Errors
    /// As [`Twins::create_models`].
    pub(in crate::twins) async fn import_models(
        self: &Arc<Self>,
        resource: &Arc<Resource>,
        models: Models,
    ) -> Result<Made> {
        let Models { documents, faults, .. } = models;
        let bounds = &self.context.limits;
        let accepted =
            pollux_dtdl::Limits { max_version: bounds.dtdl_version, model_bytes: bounds.model, ..limits() };
        let parsed =
            tokio::task::spawn_blocking(move || pollux_dtdl::parse(&outermost(documents), &accepted));
        let parsed = parsed.await.map_err(|_| Error::internal())?;
        let parsed = parsed.map_err(|diagnostics| invalid(&diagnostics))?;
        let (name, now, most) = (resource.name.clone(), self.context.clock.now(), bounds.models);
        let made = Arc::new(Mutex::new(Made { faults, ..Made::default() }));
        let noted = Arc::clone(&made);
        self.models
            .change(Arc::clone(resource), move |present| {
                let mut noted = noted.lock();
                let mut fresh = Vec::with_capacity(parsed.len());
                for model in parsed {
                    match present.stored.get(model.id.as_str()) {
                        None => fresh.push(model),
                        Some(stored) if stored.document == model.source => noted.unchanged += 1,
                        Some(_) => noted.faults.push(exists(model.id.as_str())),
                    }
                }
                noted.created = fresh.len() as u64;
                if fresh.is_empty() { Ok(None) } else { add(present, fresh, (&name, most), now).map(Some) }
            })
            .await?;
        let made = std::mem::take(&mut *made.lock());
        Ok(made)
    }
}

fn exists(id: &str) -> ItemFault {
    let error = Error::new(
        ErrorCode::ModelExists,
        format!("There is another model {} already; give what changed a new version.", shown(id)),
    );
    // Of a model defined in another the line is not known; the id is.
    ItemFault { line: 0, section: Section::Models, id: Some(id.to_owned()), error }
}
