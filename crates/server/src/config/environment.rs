//! Settings from the environment: `POLLUX_<SECTION>__<KEY>`, such as `POLLUX_LISTEN__HTTPS=8443`.
//!
//! The value is read as TOML; where that does not fit the setting, as plain text, then as a list separated by commas.
//! Variables without the double underscore belong to the command line and are left alone.

use toml::{Table, Value};

use super::Config;
use super::error::{ConfigError, Place};
use super::place::accepted_beside;

const PREFIX: &str = "POLLUX_";

/// One setting from the environment. Not `Debug`: the value may be a secret.
pub(super) struct Override {
    pub(super) variable: String,
    /// Such as `["listen", "https"]`.
    path: Vec<String>,
    value: Value,
}

impl Override {
    /// Reads a variable; `None` if it is none of ours.
    pub(super) fn read(variable: &str, text: &str) -> Result<Option<Self>, ConfigError> {
        let Some(rest) = variable.strip_prefix(PREFIX).filter(|rest| rest.contains("__")) else {
            return Ok(None);
        };
        let path: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
        let mut first_problem = None;
        for value in readings(text) {
            let one = Self { variable: variable.to_owned(), path: path.clone(), value };
            let mut table = Table::new();
            one.put_into(&mut table);
            match table.try_into::<Config>() {
                Ok(_) => return Ok(Some(one)),
                Err(error) => first_problem = first_problem.or_else(|| Some(error.message().to_owned())),
            }
        }
        let problem = first_problem.unwrap_or_default();
        let accepted = accepted_beside(&path.join("."), &problem);
        Err(ConfigError { place: Place::Variable(variable.to_owned()), problem, accepted })
    }

    /// Whether it sets this key or one above it.
    pub(super) fn sets(&self, key: &str) -> bool {
        self.path.join(".") == key
    }

    /// Sets the value, whatever was there.
    pub(super) fn put_into(&self, table: &mut Table) {
        let Some((last, sections)) = self.path.split_last() else { return };
        let mut table = table;
        for section in sections {
            let entry = table.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
            if !entry.is_table() {
                *entry = Value::Table(Table::new());
            }
            let Value::Table(inner) = entry else { return };
            table = inner;
        }
        table.insert(last.clone(), self.value.clone());
    }
}

fn readings(text: &str) -> Vec<Value> {
    let as_toml =
        |text: &str| toml::from_str::<Table>(&format!("v = {text}")).ok().and_then(|mut t| t.remove("v"));
    let mut readings: Vec<Value> = as_toml(text).into_iter().collect();
    readings.push(Value::String(text.to_owned()));
    let items: Vec<&str> = text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    let texts =
        |items: &[&str]| Value::Array(items.iter().map(|item| Value::String((*item).to_owned())).collect());
    if let Some(values) = items.iter().map(|item| as_toml(item)).collect::<Option<Vec<_>>>() {
        readings.push(Value::Array(values));
    }
    readings.push(texts(&items));
    readings
}
