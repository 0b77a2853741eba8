//! The questions, in each one's language.

use clap::ValueEnum;

use super::campus::{Campus, HOT, THERMOSTAT};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Question {
    /// One twin by its id.
    Get,
    /// Changes one property, durably.
    Patch,
    /// 100 twins by a property.
    Filter,
    /// From a building over levels and rooms to its warm thermostats.
    Join,
    /// How many twins there are.
    Count,
    /// Everything that is 1 to 5 hops from a level.
    Match,
}

impl Question {
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Get => "get a twin",
            Self::Patch => "change a property, durable",
            Self::Filter => "filter, 100 twins",
            Self::Join => "3-hop join with a filter",
            Self::Count => "count of all",
            Self::Match => "match, 1 to 5 hops, counted",
        }
    }

    /// In the query language of digital twins; none for those that are no queries.
    pub(super) fn twins(self, campus: &Campus, turn: usize) -> Option<String> {
        match self {
            Self::Get | Self::Patch => None,
            Self::Filter => {
                Some(format!("SELECT * FROM DIGITALTWINS T WHERE T.temperature > {:.6}", campus.warm()))
            }
            Self::Join => Some(format!(
                "SELECT T FROM DIGITALTWINS B JOIN L RELATED B.hasPart JOIN R RELATED L.hasPart \
                 JOIN T RELATED R.isLocationOf WHERE B.$dtId = '{}' AND IS_OF_MODEL(T, '{THERMOSTAT}') \
                 AND T.temperature > {HOT}",
                campus.building(turn)
            )),
            Self::Count => Some("SELECT COUNT() FROM DIGITALTWINS".to_owned()),
            Self::Match => Some(format!(
                "SELECT COUNT() FROM DIGITALTWINS MATCH (a)-[:hasPart|isLocationOf|feeds*..5]->(b) \
                 WHERE a.$dtId = '{}'",
                campus.level_of(turn)
            )),
        }
    }

    /// In SQL with `$1` for an id (and `$2` for a number), PostgreSQL's.
    pub(super) fn postgres(self) -> String {
        let names = "('hasPart', 'isLocationOf', 'feeds')";
        match self {
            Self::Get => "SELECT doc::text FROM twins WHERE id = $1".to_owned(),
            Self::Patch => {
                "UPDATE twins SET doc = jsonb_set(doc, '{setpoint}', to_jsonb($2::float8)) WHERE id = $1"
                    .to_owned()
            }
            Self::Filter => "SELECT doc::text FROM twins WHERE (doc->>'temperature')::float8 > $1".to_owned(),
            Self::Join => format!(
                "SELECT t.doc::text FROM rels l JOIN rels r ON r.source = l.target AND r.name = 'hasPart'
                 JOIN rels d ON d.source = r.target AND d.name = 'isLocationOf'
                 JOIN twins t ON t.id = d.target WHERE l.source = $1 AND l.name = 'hasPart'
                 AND t.model = '{THERMOSTAT}' AND (t.doc->>'temperature')::float8 > {HOT}"
            ),
            Self::Count => "SELECT count(*)::text FROM twins".to_owned(),
            Self::Match => format!(
                "WITH RECURSIVE walk (id, hops) AS (
                     SELECT target, 1 FROM rels WHERE source = $1 AND name IN {names}
                     UNION ALL SELECT rels.target, hops + 1 FROM walk JOIN rels ON rels.source = walk.id
                     WHERE name IN {names} AND hops < 5)
                 SELECT count(*)::text FROM walk"
            ),
        }
    }

    /// SQLite's SQL.
    pub(super) fn sqlite(self) -> String {
        let number = "CAST(doc ->> '$.temperature' AS REAL)";
        let sql = self.postgres();
        match self {
            Self::Patch => "UPDATE twins SET doc = json_set(doc, '$.setpoint', ?2) WHERE id = ?1".to_owned(),
            Self::Filter => format!("SELECT doc FROM twins WHERE {number} > ?1"),
            _ => sql
                .replace("doc::text", "doc")
                .replace("count(*)::text", "CAST(count(*) AS TEXT)")
                .replace("(t.doc->>'temperature')::float8", "CAST(t.doc ->> '$.temperature' AS REAL)")
                .replace('$', "?")
                .replace("'?.", "'$."),
        }
    }

    /// The id that the question is about.
    pub(super) fn id(self, campus: &Campus, turn: usize) -> Option<String> {
        match self {
            Self::Get => Some(campus.any(turn).to_owned()),
            Self::Patch => Some(campus.thermostat(turn).to_owned()),
            Self::Filter | Self::Count => None,
            Self::Join => Some(campus.building(turn)),
            Self::Match => Some(campus.level_of(turn)),
        }
    }
}
