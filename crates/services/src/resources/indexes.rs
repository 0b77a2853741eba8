//! Indexes on properties that a digital twins instance declares: names and bounds.
//!
//! Not here: when they are made, which is `twins::indexes`.

use pollux_model::ids::shown;
use pollux_model::resource::ResourceKind;
use pollux_model::{Error, ResourceName, Result};

use super::Resources;
use crate::twins::indexes::declared;

impl Resources {
    /// What an instance is to declare, if all of it can have an index and there may be so many.
    pub(super) fn declared_indexes(&self, instance: &ResourceName, said: &[String]) -> Result<Vec<String>> {
        if let Some(bad) = said.iter().find(|text| declared::parse(text).is_none()) {
            return Err(Error::invalid(format!(
                "'{}' can have no index: name a property, up to four names of letters, digits and '_' with '.' between \
                 them, and ':number' or ':text' behind it if only such values need one, like temperature or \
                 climate.level:number",
                shown(bad)
            )));
        }
        let (limits, all) = (&self.context.limits, self.context.table.all());
        let wanted = declared::properties(said).len();
        let others = all.iter().filter(|one| one.kind() == ResourceKind::Twins && one.name != *instance);
        let of_others: usize = others.map(|one| declared::of(one).len()).sum();
        for (wanted, most, whose, limit) in [
            (wanted, limits.property_indexes, "one instance", "property_indexes"),
            (wanted + of_others, limits.property_indexes_in_all, "all instances", "property_indexes_in_all"),
        ] {
            if wanted > most {
                return Err(Error::invalid(format!(
                    "these are {wanted} indexes, and {whose} may have {most} (limits.{limit}): a property without ':number' \
                     or ':text' has two"
                )));
            }
        }
        let mut indexes = said.to_vec();
        indexes.sort();
        indexes.dedup();
        Ok(indexes)
    }
}
