//! One set of models, checked as a whole and offline: `{"id", "input", "options", "maxDtdlVersion", "resolution"}` in,
//! a verdict out. The fields are those of the parser cases of the Digital Twin Consortium.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use crate::dtmi::Dtmi;
use crate::element::Model;
use crate::error::Diagnostic;
use crate::limits::{Limits, UndefinedExtensions};
use crate::locate::{locate, member};
use crate::metamodel::SUPPORTED_VERSIONS;
use crate::model_set::ModelSet;
use crate::parse::{Reference, parse_located, within};

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
///
/// Paths are those of the set: `$.input[0].contents`, `$.resolution[2]`.
#[must_use]
pub fn validate(set: &Value, limits: &Limits) -> Verdict {
    let id = set.get("id").cloned().unwrap_or(Value::Null);
    let errors = match read(set, limits) {
        Err(message) => vec![Diagnostic::general("$", message)],
        Ok(set) => check(&set).err().unwrap_or_default(),
    };
    Verdict { id, errors }
}

/// As [`validate`], for a set in one line of text; errors then have their column.
#[must_use]
pub fn validate_line(line: &str, limits: &Limits) -> Verdict {
    match crate::json::read(line) {
        // What is too deep to be read has its answer under its own name all the same.
        Err(error) => Verdict { id: member(line, "id").unwrap_or(Value::Null), errors: vec![error] },
        Ok(set) => {
            let mut verdict = validate(&set, limits);
            locate(line, &mut verdict.errors);
            verdict
        }
    }
}

/// Checks texts, each a document, as one set. Each error comes with the index of its text; paths start at the document.
#[must_use]
pub fn validate_texts(texts: &[&str], limits: &Limits) -> Vec<(usize, Diagnostic)> {
    let mut errors: Vec<Vec<Diagnostic>> = vec![Vec::new(); texts.len()];
    let documents = texts.iter().zip(&mut errors).map(|(text, errors)| {
        crate::json::read(text).unwrap_or_else(|error| {
            errors.push(error);
            // Its own error is reported; as an empty array it adds no other.
            Value::Array(Vec::new())
        })
    });
    let documents: Vec<Value> = documents.collect();
    let set = Set { input: &documents, resolution: &[], limits: limits.clone() };
    for mut error in check(&set).err().unwrap_or_default() {
        let path = within(&error.path, "$.input", "");
        let end = path.find(']').map_or(0, |at| at + 1);
        let index = path.get(1..end.saturating_sub(1)).and_then(|index| index.parse::<usize>().ok());
        error.path = format!("${}", path.get(end..).unwrap_or_default());
        let index = index.filter(|index| *index < texts.len()).unwrap_or(0);
        if let Some(errors) = errors.get_mut(index) {
            errors.push(error);
        }
    }
    let mut located = Vec::new();
    for (index, (text, mut errors)) in texts.iter().zip(errors).enumerate() {
        if errors.iter().all(|error| error.line.is_none()) {
            locate(text, &mut errors);
        }
        located.extend(errors.into_iter().map(|error| (index, error)));
    }
    located
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
            let version = version.filter(|version| SUPPORTED_VERSIONS.contains(version));
            let version = version.ok_or("'maxDtdlVersion' is a version of DTDL: 2, 3 or 4")?;
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
    let mut places = HashMap::new();
    let mut models = take(set.input, "$.input", set, &mut places)?;
    let mut resolvable = resolvable(set.resolution);
    let mut wanted: Vec<Dtmi> = models.iter().flat_map(Model::dependencies).collect();
    while let Some(id) = wanted.pop() {
        if places.contains_key(&id) {
            continue;
        }
        let Some((path, document)) = resolvable.remove(id.as_str()) else { continue };
        let found = take(std::slice::from_ref(document), &path, set, &mut places)?;
        wanted.extend(found.iter().flat_map(Model::dependencies));
        models.extend(found);
    }
    let linked = ModelSet::new().with_limits(models, &set.limits);
    linked.map(drop).map_err(|mut errors| {
        for error in &mut errors {
            if let Some(place) = error.model.as_ref().and_then(|model| places.get(model)) {
                error.path = within(&error.path, "$", place);
            }
        }
        errors
    })
}

/// The models of documents, and notes where each is; a model that is there already is found when the set is linked.
fn take(
    documents: &[Value],
    root: &str,
    set: &Set<'_>,
    places: &mut HashMap<Dtmi, String>,
) -> Result<Vec<Model>, Vec<Diagnostic>> {
    // A single document of `resolution` has the path of its own; those of `input` are items of it.
    let (from, to) = if root == "$.input" { ("$", root) } else { ("$[0]", root) };
    let located = parse_located(documents, &set.limits).map_err(|unread| {
        let mut errors = unread.errors;
        errors.extend(missing(documents, &unread.references, set));
        for error in &mut errors {
            error.path = within(&error.path, from, to);
        }
        errors
    })?;
    let note = |(model, path): (Model, String)| {
        places.entry(model.id.clone()).or_insert_with(|| within(&path, from, to));
        model
    };
    Ok(located.into_iter().map(note).collect())
}

/// What documents that could not be read refer to and nothing in the set has.
fn missing(documents: &[Value], references: &[Reference], set: &Set<'_>) -> Vec<Diagnostic> {
    let mut here: HashSet<&str> = HashSet::new();
    for document in documents.iter().chain(set.input).chain(set.resolution) {
        identifiers(document, &mut here);
    }
    let gone = references.iter().filter(|reference| !here.contains(reference.to.as_str()));
    gone.map(|reference| {
        let message = format!("model '{}' does not exist; give it too", reference.to);
        Diagnostic { model: reference.from.clone(), ..Diagnostic::general(&reference.path, message) }
    })
    .collect()
}

/// Every `@id` in a document, wherever it is; without recursion.
fn identifiers<'v>(document: &'v Value, found: &mut HashSet<&'v str>) {
    let mut stack = vec![document];
    while let Some(value) = stack.pop() {
        match value {
            Value::Array(items) => stack.extend(items),
            Value::Object(members) => {
                found.extend(members.get("@id").and_then(Value::as_str));
                stack.extend(members.values());
            }
            _ => {}
        }
    }
}

/// The documents of `resolution` by their identifiers, each with its path; arrays are opened.
fn resolvable(documents: &[Value]) -> HashMap<&str, (String, &Value)> {
    let mut found = HashMap::new();
    for (index, document) in documents.iter().enumerate() {
        let path = format!("$.resolution[{index}]");
        match document {
            Value::Array(items) => {
                for (inner, item) in items.iter().enumerate() {
                    found.extend(identified(item).map(|id| (id, (format!("{path}[{inner}]"), item))));
                }
            }
            single => found.extend(identified(single).map(|id| (id, (path, single)))),
        }
    }
    found
}

fn identified(document: &Value) -> Option<&str> {
    document.get("@id")?.as_str()
}
