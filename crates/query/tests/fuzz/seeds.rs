//! Queries of each dialect, with what each has. Shared with `fuzz/`.

/// All seeds, with the name of their target.
pub(crate) fn all() -> Vec<(&'static str, Vec<u8>)> {
    QUERIES.iter().map(|query| ("query", query.as_bytes().to_vec())).collect()
}

const QUERIES: [&str; 22] = [
    "SELECT * FROM DIGITALTWINS",
    "SELECT TOP(5) T.Temperature AS t, T.$dtId FROM DIGITALTWINS T WHERE T.tags.red = true AND NOT IS_NULL(T.x)",
    "SELECT COUNT() FROM RELATIONSHIPS R WHERE R.$sourceId IN ['a', 'b'] AND R.$relationshipName = 'contains'",
    "SELECT A, r.w FROM DIGITALTWINS A JOIN B RELATED A.contains r JOIN C RELATED B.feeds WHERE A.$dtId = 'x'",
    "SELECT * FROM DIGITALTWINS MATCH (a)-[:contains|feeds*1..5]->(b)<-[r:x]-(c)-[*..3]-() WHERE a.$dtId = 'x'",
    "SELECT * FROM DIGITALTWINS MATCH (a)-[has|includes*..3]-(b)-[]->(a) WHERE IS_OF_MODEL(b, 'dtmi:m;1', exact)",
    "SELECT T.floor, COUNT() AS n, MIN(T.t), MAX(T.t) AS m, SUM(T.t), AVG(T.t) FROM DIGITALTWINS T GROUP BY T.floor",
    "EXPLAIN SELECT DISTINCT T.a, T.b AS c FROM DIGITALTWINS T ORDER BY c DESC, a ASC OFFSET 10",
    "SELECT T FROM DIGITALTWINS AS T WHERE T.[[GROUP]] = 'O\\'Brien' OR [[x]].y != \"q\" ORDER BY T.a OFFSET 3",
    "select * from digitaltwins where startswith($dtId, 'r') or endswith(a, 'b') or contains(a.b.c, '\\u00e9')",
    "SELECT * FROM DIGITALTWINS WHERE ARRAY_CONTAINS(y, 1) AND x NIN [1, -2.5e3, null, true] AND IS_DEFINED(n)",
    "SELECT * FROM DIGITALTWINS WHERE (a = 1 OR (b < 2 AND c >= 3)) AND NOT (d <> 4 OR IS_PRIMITIVE(e))",
    "SELECT * FROM devices",
    "SELECT deviceId, status AS s FROM devices WHERE tags.floor = 3 AND properties.reported.x > 1.5",
    "SELECT TOP 3 * FROM devices WHERE is_defined(tags['a']) AND deviceId IN ['a', 'b']",
    "SELECT status, COUNT() AS n FROM devices GROUP BY status",
    "true",
    "$body.temperature > 20 AND $body.items[0].name = 'x' AND level <> \"high\"",
    "$connectionDeviceId = 'd' OR $twin.tags.a = 5 AND as_number($body.n) + 1 * 2 % 3 < 10",
    "is_defined($systemProperties['content-type']) AND substring(concat('a', b), 1, 2) = '0x10'",
    "$twin.properties.desired.x = 0x1F AND power(2, 3) = 8 AND NOT starts_with(upper(x), 'A')",
    "dt-dataschema = 'dtmi:m;1' AND $dt-subject = 'c'",
];
