//! One set of models, checked as a whole and offline: `{"id", "input", "options", "maxDtdlVersion", "resolution"}` in,
//! a verdict out. The fields are those of the parser cases of the Digital Twin Consortium.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use crate::dtmi::Dtmi;
use crate::element::Model;
use crate::error::Diagnostic;
use crate::limits::{Limits, UndefinedExtensions};
use crate::model_set::ModelSet;
use crate::parse::parse;

/// What was found of one set.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The set's `id`, as given; null where it has none.
    pub id: Value,
    /// Every fault found; none means that the set is valid.
    pub errors: Vec<Diagnostic>,
}

impl Verdict {
    /// Whether the set is valid.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }

    /// As `{"id", "valid", "errors": [{"model", "path", "line", "column", "message"}]}`; what is not known is left out.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let errors: Vec<Value> = self.errors.iter().map(Diagnostic::to_json).collect();
        json!({"id": self.id, "valid": self.is_valid(), "errors": errors})
    }
}

impl Diagnostic {
    /// As `{"model", "path", "line", "column", "message"}`; what is not known is left out.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut members = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            members.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("model", self.model.as_ref().map(|id| id.as_str().into()));
        put("path", Some(self.path.as_str().into()));
        put("line", self.line.map(Into::into));
        put("column", self.column.map(Into::into));
        put("message", Some(self.message.as_str().into()));
        Value::Object(members)
    }
}

/// Checks one set.
///
/// | member | meaning |
/// |---|---|
/// | `id` | given back |
/// | `input` | documents: Interfaces, or arrays of them |
/// | `options` | `AllowUndefinedExtensions` or `DisallowUndefinedExtensions`; neither: as the language has it, allowed in v2 |
/// | `maxDtdlVersion` | the highest version accepted, if lower than that of `limits` |
/// | `acceptableLimits` | limit extensions accepted beside those of `limits` |
/// | `resolution` | documents from which the models are taken that `input` refers to and does not have |
#[must_use]
pub fn validate(set: &Value, limits: &Limits) -> Verdict {
    let id = set.get("id").cloned().unwrap_or(Value::Null);
    let errors = match read(set, limits) {
        Err(message) => vec![Diagnostic::general("$", message)],
        Ok(set) => match check(&set) {
            Ok(()) => Vec::new(),
            Err(errors) => errors,
        },
    };
    Verdict { id, errors }
}

struct Set<'v> {
    input: &'v [Value],
    resolution: &'v [Value],
    limits: Limits,
}

fn read<'v>(set: &'v Value, limits: &Limits) -> Result<Set<'v>, String> {
    let mut limits = limits.clone();
    for option in strings(set, "options")? {
        limits.undefined_extensions = match option {
            "AllowUndefinedExtensions" => UndefinedExtensions::Always,
            "DisallowUndefinedExtensions" => UndefinedExtensions::Never,
            other => {
                return Err(format!(
                    "option '{other}' is not known; there are AllowUndefinedExtensions and DisallowUndefinedExtensions"
                ));
            }
        };
    }
    let accepted = strings(set, "acceptableLimits")?;
    limits.limit_extensions.extend(accepted.into_iter().map(str::to_owned));
    match set.get("maxDtdlVersion") {
        None | Some(Value::Null) => {}
        Some(version) => {
            let version = version.as_u64().and_then(|version| u8::try_from(version).ok());
            let version = version.ok_or("'maxDtdlVersion' is a version, such as 3")?;
            limits.max_version = limits.max_version.min(version);
        }
    }
    let input = documents(set, "input")?.ok_or("'input' is missing; it is an array of models")?;
    Ok(Set { input, resolution: documents(set, "resolution")?.unwrap_or_default(), limits })
}

fn documents<'v>(set: &'v Value, name: &str) -> Result<Option<&'v [Value]>, String> {
    match set.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(_) => Err(format!("'{name}' is an array of models")),
    }
}

fn strings<'v>(set: &'v Value, name: &str) -> Result<Vec<&'v str>, String> {
    let message = || format!("'{name}' is an array of strings");
    documents(set, name)
        .map_err(|_| message())?
        .unwrap_or_default()
        .iter()
        .map(|item| item.as_str().ok_or_else(message))
        .collect()
}

fn check(set: &Set<'_>) -> Result<(), Vec<Diagnostic>> {
    let mut models = parse(set.input, &set.limits)?;
    let mut resolvable = resolvable(set.resolution);
    let mut here: HashSet<Dtmi> = models.iter().map(|model| model.id.clone()).collect();
    let mut wanted: Vec<Dtmi> = models.iter().flat_map(Model::dependencies).collect();
    while let Some(id) = wanted.pop() {
        if here.contains(&id) {
            continue;
        }
        let Some(document) = resolvable.remove(id.as_str()) else { continue };
        for model in parse(std::slice::from_ref(document), &set.limits)? {
            wanted.extend(model.dependencies());
            if here.insert(model.id.clone()) {
                models.push(model);
            }
        }
    }
    ModelSet::new().with_limits(models, &set.limits).map(drop)
}

/// The documents of `resolution` by their identifiers; arrays are opened.
fn resolvable(documents: &[Value]) -> HashMap<&str, &Value> {
    let flat = documents.iter().flat_map(|document| match document {
        Value::Array(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    });
    flat.filter_map(|document| Some((document.get("@id")?.as_str()?, document))).collect()
}
