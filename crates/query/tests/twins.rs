//! Digital twins queries: the documentation's examples as a table, what rows look like, what is refused and where.

use pollux_query::{
    CompareOp, ExprKind, Limits, PredicateOp, QueryError,
    twins::{self, Bindings, Collection, ModelTree, SelectList, StepDirection},
};
use serde_json::{Value as Json, json};

/// `dtmi:sample:Room;1` extends `dtmi:sample:Space;1`.
struct Models;

impl ModelTree for Models {
    fn is_of_model(&self, model: &str, ancestor: &str, exact: bool) -> bool {
        model == ancestor || (!exact && model == "dtmi:sample:Room;1" && ancestor == "dtmi:sample:Space;1")
    }
}

fn room() -> Json {
    json!({
        "$dtId": "room1",
        "$etag": "W/\"1\"",
        "$metadata": {"$model": "dtmi:sample:Room;1", "Temperature": {"lastUpdateTime": "2026-01-01T00:00:00Z"}},
        "Temperature": 70,
        "Humidity": 40.5,
        "firmwareVersion": "1.1",
        "owner": "O'Brien",
        "active": true,
        "nothing": null,
        "tags": {"red": true, "size": "large"},
        "floor_number": [1, 2, [3], "four"],
        "GROUP": "g",
        "Comp": {"$metadata": {}, "prop": 5, "deep": {"er": "x"}},
        "Location": "here"
    })
}

fn holds(query: &str) -> bool {
    let parsed = twins::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    parsed.matches(&Bindings::one(&room()), &Models)
}

fn refused(query: &str) -> QueryError {
    twins::parse(query).expect_err(query)
}

#[test]
fn documented_conditions() {
    let table = [
        ("SELECT * FROM DIGITALTWINS", true),
        (
            "SELECT  * \nFROM DigitalTwins T  \nWHERE T.firmwareVersion = '1.1'\nAND T.$dtId in ['room1', '456']\nAND T.Temperature = 70",
            true,
        ),
        ("SELECT * FROM DIGITALTWINS WHERE IS_DEFINED(Location)", true),
        ("select * from digitaltwins where is_defined(tags.red)", true),
        ("SELECT * FROM DIGITALTWINS T\nWHERE IS_NUMBER(T.Temperature)", true),
        ("SELECT * FROM DIGITALTWINS WHERE IS_OF_MODEL('dtmi:sample:Space;1')", true),
        ("SELECT * FROM DIGITALTWINS DT WHERE IS_OF_MODEL(DT, 'dtmi:sample:Space;1')", true),
        ("SELECT * FROM DIGITALTWINS WHERE IS_OF_MODEL('dtmi:sample:Space;1', exact)", false),
        ("SELECT * FROM DIGITALTWINS WHERE IS_OF_MODEL('dtmi:sample:Room;1', EXACT)", true),
        ("SELECT ROOM FROM DIGITALTWINS DT WHERE IS_OF_MODEL(DT, 'dtmi:sample:Room;1', exact)", true),
        (
            "SELECT COUNT() FROM DIGITALTWINS c WHERE IS_OF_MODEL('dtmi:sample:Room;1') AND c.Temperature > 20",
            true,
        ),
        ("SELECT * FROM DIGITALTWINS T WHERE $dtId = 'room1' AND IS_OF_MODEL('dtmi:sample:Room;1')", true),
        ("SELECT * FROM DIGITALTWINS T WHERE $dtId = 'room2' AND IS_OF_MODEL('dtmi:sample:Room;1')", false),
        ("SELECT * FROM DIGITALTWINS T WHERE T.Temperature > 20", true),
        ("SELECT * FROM DIGITALTWINS T WHERE T.temperature > 20", false),
        ("SELECT * FROM DIGITALTWINS T WHERE T.Temperature < 80 AND T.Humidity < 50", true),
        ("SELECT * FROM DIGITALTWINS T WHERE T.Temperature < 30 OR T.Humidity < 50", true),
        ("SELECT * FROM DIGITALTWINS T WHERE NOT T.Temperature < 80", false),
        ("SELECT * FROM DIGITALTWINS T WHERE NOT IS_NULL(T.Temperature)", true),
        ("SELECT * FROM DIGITALTWINS T WHERE NOT IS_NULL(T.nothing)", false),
        ("SELECT * FROM DIGITALTWINS T WHERE T.$metadata.$model = 'dtmi:sample:Room;1'", true),
        ("SELECT * FROM DIGITALTWINS WHERE STARTSWITH($dtId, 'room')", true),
        ("SELECT * FROM DIGITALTWINS WHERE ENDSWITH($dtId, '-small')", false),
        ("SELECT * FROM DIGITALTWINS WHERE CONTAINS($dtId, 'oom')", true),
        ("SELECT * FROM DIGITALTWINS WHERE ARRAY_CONTAINS(floor_number, 2)", true),
        ("SELECT * FROM DIGITALTWINS WHERE ARRAY_CONTAINS(floor_number, 3)", false),
        ("SELECT * FROM DIGITALTWINS WHERE ARRAY_CONTAINS(floor_number, 'four')", true),
        ("SELECT * FROM DIGITALTWINS T WHERE T.[[GROUP]] = 'g' AND [[GROUP]] = 'g'", true),
        (
            "SELECT * FROM DIGITALTWINS T WHERE IS_OBJECT(T.tags) AND NOT (IS_DEFINED(T.tags.TemperatureReading))",
            true,
        ),
        ("SELECT * FROM DIGITALTWINS T WHERE IS_PRIMITIVE(T.Humidity) AND NOT IS_PRIMITIVE(T.tags)", true),
        (
            "SELECT * FROM DIGITALTWINS T WHERE IS_STRING(T.firmwareVersion) AND T.firmwareVersion != 'Completed'",
            true,
        ),
        ("SELECT * FROM DIGITALTWINS T WHERE IS_BOOL(T.active) AND T.active != false", true),
        ("SELECT * FROM DIGITALTWINS T WHERE T.Comp.prop = 5 AND T.Comp.deep.er = 'x'", true),
    ];
    for (query, expected) in table {
        assert_eq!(holds(query), expected, "{query}");
    }
}

#[test]
fn conditions_have_three_values() {
    let table = [
        ("missing = 1", false),
        ("NOT missing = 1", false),
        ("missing != 1", false),
        ("missing = 1 OR Temperature = 70", true),
        ("NOT (missing = 1 AND Temperature = 1)", true),
        ("missing IN [1]", false),
        ("missing NIN [1]", false),
        ("owner NIN ['x', 'y']", true),
        ("owner NOT IN ['x', 'y']", true),
        ("Temperature IN []", false),
        ("Temperature = '70'", false),
        ("Temperature != '70'", true),
        ("Temperature < '80'", false),
        ("nothing = null", true),
        ("Temperature != null", true),
        ("tags = tags", false),
        ("active", true),
        ("owner", false),
        ("(Temperature > 20) = true", true),
    ];
    for (condition, expected) in table {
        assert_eq!(holds(&format!("SELECT * FROM DIGITALTWINS WHERE {condition}")), expected, "{condition}");
    }
}

#[test]
fn literals() {
    let table = [
        (r"owner = 'O\'Brien'", true),
        ("owner = 'O''Brien'", true),
        (r#"owner = "O'Brien""#, true),
        (r"owner = 'O\u0027Brien'", true),
        ("Temperature = 70.0", true),
        ("Temperature = 7e1", true),
        ("Temperature > -5", true),
        ("Temperature IN [-1, 70]", true),
        ("Humidity = 40.5", true),
        ("Temperature < 70.00000001", true),
    ];
    for (condition, expected) in table {
        assert_eq!(holds(&format!("SELECT * FROM DIGITALTWINS WHERE {condition}")), expected, "{condition}");
    }
    let emoji = twins::parse(r"SELECT * FROM DIGITALTWINS WHERE a = '\ud83d\ude00'").unwrap();
    assert!(emoji.matches(&Bindings::one(&json!({"a": "😀"})), &Models));
}

#[test]
fn big_numbers_compare_exactly() {
    let twin = json!({"n": 9_007_199_254_740_993_i64, "u": u64::MAX});
    let holds = |condition: &str| {
        let query = twins::parse(&format!("SELECT * FROM DIGITALTWINS WHERE {condition}")).unwrap();
        query.matches(&Bindings::one(&twin), &Models)
    };
    assert!(holds("n = 9007199254740993") && !holds("n = 9007199254740992"));
    assert!(holds("n > 9007199254740992.0") && holds("u = 18446744073709551615"));
}

#[test]
fn precedence() {
    let query =
        twins::parse("SELECT * FROM DIGITALTWINS WHERE a = 1 OR b = 2 AND NOT c = 3 AND d = 4 OR e = 5")
            .unwrap();
    let ExprKind::Or(terms) = &query.filter().unwrap().kind else { panic!("an OR at the top") };
    assert_eq!(terms.len(), 3);
    assert!(matches!(&terms[0].kind, ExprKind::Compare { op: CompareOp::Eq, .. }));
    assert!(matches!(&terms[1].kind, ExprKind::And(terms) if terms.len() == 3
        && matches!(&terms[1].kind, ExprKind::Not(inner) if matches!(inner.kind, ExprKind::Compare { .. }))));
}

#[test]
fn rows() {
    let twin = room();
    let project = |query: &str| twins::parse(query).unwrap().project(&Bindings::one(&twin));
    assert_eq!(project("SELECT * FROM DIGITALTWINS"), twin);
    assert_eq!(project("SELECT T FROM DIGITALTWINS T"), json!({"T": twin}));
    assert_eq!(
        project("SELECT T.Temperature, T.Comp.prop, T.missing, T.$dtId, T.owner AS o FROM DIGITALTWINS AS T"),
        json!({"Temperature": 70, "prop": 5, "$dtId": "room1", "o": "O'Brien"})
    );
    assert_eq!(project("SELECT Temperature FROM DIGITALTWINS"), json!({"Temperature": 70}));
    let count = twins::parse("SELECT COUNT() FROM DIGITALTWINS").unwrap();
    assert!(count.is_count());
    assert_eq!(count.count_row(7), json!({"COUNT": 7}));
    assert_eq!(twins::parse("select count() as n from relationships").unwrap().count_row(2), json!({"n": 2}));
}

#[test]
fn top() {
    for (query, expected) in [
        ("SELECT TOP(5) * FROM DIGITALTWINS", Some(5)),
        ("SELECT TOP (5)\nFROM DIGITALTWINS\nWHERE $dtId = 'x'", Some(5)),
        ("SELECT TOP 3 T FROM DIGITALTWINS T", Some(3)),
        ("SELECT top FROM DIGITALTWINS", None),
        ("SELECT top, count FROM DIGITALTWINS", None),
    ] {
        assert_eq!(twins::parse(query).unwrap().top(), expected, "{query}");
    }
}

#[test]
fn joins_bind_twins_and_relationships() {
    let query = twins::parse(
        "SELECT T, SBT, R.since, R FROM DIGITALTWINS T JOIN SBT RELATED T.servicedBy R \
         WHERE T.$dtId = 'ABC' AND R.reportedCondition = 'clean' AND IS_OF_MODEL(SBT, 'dtmi:sample:Room;1')",
    )
    .unwrap();
    let step = &query.steps()[0];
    assert_eq!(
        (step.from, step.to, step.relationship, step.names.as_slice()),
        (0, 1, Some(2), &["servicedBy".to_owned()][..])
    );
    assert_eq!((step.direction, step.min_hops, step.max_hops), (StepDirection::Forward, 1, 1));
    let source = json!({"$dtId": "ABC"});
    let relationship = json!({"$relationshipId": "r", "reportedCondition": "clean", "since": 3});
    let target = room();
    let mut row = Bindings::default();
    assert!(!query.matches(&row, &Models));
    row.bind(0, &source);
    row.bind(step.to, &target);
    row.bind(2, &relationship);
    assert!(query.matches(&row, &Models));
    assert_eq!(query.project(&row), json!({"T": source, "SBT": target, "since": 3, "R": relationship}));
}

#[test]
fn joins_chain() {
    let query = twins::parse(
        "SELECT COUNT() FROM DIGITALTWINS Room JOIN LightPanel RELATED Room.contains \
         JOIN LightBulb RELATED LightPanel.contains WHERE IS_OF_MODEL(LightPanel, 'dtmi:contoso:com:lightpanel;1') \
         AND IS_OF_MODEL(LightBulb, 'dtmi:contoso:com:lightbulb ;1') AND Room.$dtId IN ['room1', 'room2']",
    )
    .unwrap();
    let path: Vec<_> = query.steps().iter().map(|step| (step.from, step.to)).collect();
    assert_eq!(path, [(0, 1), (1, 3)]);
    let hints = query.hints();
    assert_eq!(hints[0].ids, Some(vec!["room1".to_owned(), "room2".to_owned()]));
    assert_eq!(hints[1].models, Some(vec![("dtmi:contoso:com:lightpanel;1".to_owned(), false)]));
    // The relationship's name serves as its alias where that is unambiguous.
    twins::parse(
        "SELECT d FROM DIGITALTWINS s JOIN d RELATED s.has WHERE s.$dtId = 'r' AND has.role = 'Operator'",
    )
    .unwrap();
}

#[test]
fn relationships() {
    let query =
        twins::parse("SELECT * FROM RELATIONSHIPS R WHERE $sourceId IN ['A', 'B'] AND R.since > 1").unwrap();
    assert_eq!(query.collection(), Collection::Relationships);
    assert_eq!(query.select(), &SelectList::All);
    assert!(query.matches(&Bindings::one(&json!({"$sourceId": "B", "since": 2})), &Models));
}

#[test]
fn hints_are_necessary_conditions() {
    let hints = |condition: &str| {
        twins::parse(&format!("SELECT * FROM DIGITALTWINS T WHERE {condition}")).unwrap().hints().remove(0)
    };
    let ids = |condition: &str| hints(condition).ids.map(|ids| ids.join(","));
    assert_eq!(ids("$dtId = 'a'").as_deref(), Some("a"));
    assert_eq!(ids("'a' = T.$dtId AND x > 1").as_deref(), Some("a"));
    assert_eq!(ids("$dtId IN ['a', 'b'] AND T.$dtId IN ['b', 'c']").as_deref(), Some("b"));
    assert_eq!(ids("$dtId = 'b' OR ($dtId = 'a' AND x = 1)").as_deref(), Some("a,b"));
    assert_eq!(ids("$dtId = 'a' AND $dtId = 'b'").as_deref(), Some(""));
    assert_eq!(ids("$dtId = 'a' OR x = 1"), None);
    assert_eq!(ids("NOT $dtId = 'a'"), None);
    assert_eq!(ids("$dtId NIN ['a']"), None);

    let models = hints("(IS_OF_MODEL('m') OR T.$metadata.$model = 'n') AND IS_DEFINED(x)").models.unwrap();
    assert_eq!(models, [("m".to_owned(), false), ("n".to_owned(), true)]);

    let found: Vec<_> =
        hints("20 < T.Comp.Temperature AND owner IN ['x', 'y'] AND STARTSWITH(name, 'p') AND on")
            .predicates
            .into_iter()
            .map(|predicate| (predicate.path.join("."), predicate.op, predicate.value))
            .collect();
    assert_eq!(
        found,
        [
            ("Comp.Temperature".to_owned(), PredicateOp::Gt, json!(20)),
            ("owner".to_owned(), PredicateOp::In, json!(["x", "y"])),
            ("name".to_owned(), PredicateOp::StartsWith, json!("p")),
            ("on".to_owned(), PredicateOp::Eq, json!(true)),
        ]
    );
    assert!(hints("a = 1 OR b = 2").predicates.is_empty());
    assert_eq!(hints("(a = 1 AND b = 2) OR (a = 1 AND c = 3)").predicates.len(), 1);
}

#[test]
fn refusals_say_what_and_where() {
    let table = [
        ("foo", 0, "missing SELECT at 'foo'"),
        ("", 0, "missing SELECT at the end of the query"),
        ("SELECT", 6, "expected *, COUNT() or a column, found the end of the query"),
        ("SELECT *", 8, "expected FROM, found the end of the query"),
        ("SELECT T FORM DIGITALTWINS T", 9, "expected ',' or FROM, found 'FORM'"),
        ("SELECT * FROM DIGITALTWIN", 14, "did you mean DIGITALTWINS?"),
        ("SELECT * FROM DIGITALTWINS WHERE", 32, "expected a property, a constant, a function or '('"),
        ("SELECT * FROM DIGITALTWINS WHERE a =", 36, "found the end of the query"),
        (
            "SELECT * FROM DIGITALTWINS WHERE a = 1 b",
            39,
            "expected an operator, GROUP BY, ORDER BY or the end of the query, found 'b'",
        ),
        ("SELECT * FROM DIGITALTWINS WHERE (a = 1", 39, "expected ')'"),
        ("SELECT * FROM DIGITALTWINS WHERE a = 'x", 37, "no closing '"),
        ("SELECT * FROM DIGITALTWINS WHERE a = 'x\\q'", 39, "unknown escape"),
        ("SELECT * FROM DIGITALTWINS WHERE a = 12x", 37, "'12x' is not a number"),
        ("SELECT * FROM DIGITALTWINS WHERE a ; b", 35, "unexpected character ';'"),
        ("SELECT * FROM DIGITALTWINS WHERE a = 1 = 2", 39, "comparisons do not chain"),
        ("SELECT * FROM DIGITALTWINS WHERE a IN 'x'", 38, "expected '[', found ''x''"),
        ("SELECT * FROM DIGITALTWINS WHERE a IN ['x' 'y']", 43, "expected ',' or ']'"),
        (
            "SELECT * FROM DIGITALTWINS WHERE IS_DEFIND(a)",
            33,
            "no function IS_DEFIND; did you mean IS_DEFINED?",
        ),
        ("SELECT * FROM DIGITALTWINS WHERE IS_OFMODEL('m')", 33, "did you mean IS_OF_MODEL?"),
        ("SELECT * FROM DIGITALTWINS WHERE STARTSWITH(a)", 33, "STARTSWITH takes 2 arguments, not 1"),
        ("SELECT * FROM DIGITALTWINS WHERE STARTSWITH(a, 5)", 47, "STARTSWITH expects a string here"),
        ("SELECT * FROM DIGITALTWINS WHERE IS_OF_MODEL(5)", 45, "expected a model id in quotes"),
        ("SELECT * FROM DIGITALTWINS WHERE IS_OF_MODEL(X, 'm')", 45, "there is no alias X"),
        ("SELECT * FROM DIGITALTWINS WHERE IS_OF_MODEL('m', exactly)", 50, "expected exact"),
        ("SELECT * FROM DIGITALTWINS WHERE 5", 33, "expected a condition that is true or false"),
        ("SELECT * FROM DIGITALTWINS WHERE a = 1 AND 'x'", 43, "expected a condition that is true or false"),
        ("SELECT * FROM DIGITALTWINS WHERE a[0] = 1", 34, "expected an operator"),
        ("SELECT * FROM DIGITALTWINS WHERE a + 1 = 1", 35, "expected an operator"),
        ("SELECT * FROM DIGITALTWINS WHERE group = 1", 33, "write [[group]]"),
        ("SELECT COUNT(), T FROM DIGITALTWINS T", 16, "T is neither in GROUP BY nor in a function"),
        ("SELECT T, COUNT() FROM DIGITALTWINS T", 7, "T is neither in GROUP BY nor in a function"),
        ("SELECT TOP(5) COUNT() FROM DIGITALTWINS", 14, "TOP has no meaning"),
        ("SELECT TOP(0) * FROM DIGITALTWINS", 11, "expected how many rows, from 1 to"),
        ("SELECT TOP(-1) * FROM DIGITALTWINS", 11, "expected how many rows"),
        ("SELECT TOP(1.5) * FROM DIGITALTWINS", 11, "expected how many rows"),
        ("SELECT TOP(99999999999) * FROM DIGITALTWINS", 11, "expected how many rows"),
        ("SELECT SUMM(T.a) FROM DIGITALTWINS T", 7, "not SUMM; did you mean SUM?"),
        (
            "SELECT * FROM DIGITALTWINS T JOIN B RELATED T.has WHERE T.$dtId = 'x'",
            7,
            "cannot be used with JOIN",
        ),
        ("SELECT B FROM DIGITALTWINS T JOIN B RELATED Q.has", 44, "there is no alias Q; did you mean T?"),
        ("SELECT B FROM DIGITALTWINS T JOIN B RELATED T", 44, "alias.relationship"),
        ("SELECT B FROM DIGITALTWINS T JOIN T RELATED T.has", 34, "declared twice"),
        (
            "SELECT B FROM DIGITALTWINS T JOIN B RELATED T.has WHERE $dtId = 'x'",
            56,
            "there is no alias $dtId",
        ),
        (
            "SELECT B FROM DIGITALTWINS T JOIN B RELATED T.has WHERE IS_OF_MODEL('m')",
            68,
            "needs to know which twin",
        ),
        ("SELECT B FROM DIGITALTWINS T JOIN B RELATED T.has R JOIN C RELATED R.x", 67, "not a relationship"),
        ("SELECT R FROM RELATIONSHIPS R JOIN B RELATED R.has", 30, "cannot be combined with JOIN"),
        (
            "SELECT * FROM DIGITALTWINS T x",
            29,
            "expected JOIN, MATCH, WHERE, GROUP BY, ORDER BY or the end of the query",
        ),
        ("SELECT * FROM DIGITALTWINS WHERE T..a = 1", 35, "expected a property name after '.'"),
    ];
    for (query, offset, message) in table {
        let error = refused(query);
        assert!(error.message.contains(message), "{query}\n  {error}");
        assert_eq!(error.offset, offset, "{query}\n  {error}");
    }
}

#[test]
fn positions_count_lines_and_characters() {
    let error = refused("SELECT *\nFROM DIGITALTWINS\nWHERE é = 'ü' !");
    assert_eq!((error.line, error.column), (3, 15));
    assert_eq!(error.to_string(), "line 3, column 15: unexpected character '!'");
    let recorded = refused("foo");
    assert_eq!((recorded.line, recorded.column - 1), (1, 0)); // the service says Line=1, Position=0
}

#[test]
fn limits() {
    let join = |count: usize| {
        let joins: String = (0..count).map(|at| format!(" JOIN a{} RELATED a{at}.has", at + 1)).collect();
        format!("SELECT a0 FROM DIGITALTWINS a0{joins} WHERE a0.$dtId = 'x'")
    };
    twins::parse(&join(50)).unwrap();
    twins::parse_with(&join(5), &Limits::AZURE_TWINS).unwrap();
    let many = twins::parse_with(&join(6), &Limits::AZURE_TWINS).unwrap_err();
    assert!(many.message.contains("more than the allowed 5 JOINs"));
    let hops = |count: u32| format!("SELECT * FROM DIGITALTWINS MATCH (a)-[*..{count}]-(b)");
    twins::parse_with(&hops(10), &Limits::AZURE_TWINS).unwrap();
    let far = twins::parse_with(&hops(11), &Limits::AZURE_TWINS).unwrap_err();
    assert_eq!((far.offset, far.message.as_str()), (38, "more than the allowed 10 hops"));
    let long = |length: usize| format!("{:<length$}", "SELECT * FROM DIGITALTWINS");
    twins::parse(&long(8_000)).unwrap();
    assert!(refused(&long(8_001)).message.contains("longer than the allowed 8000 characters"));
}

#[test]
fn as_of_names_a_moment_and_of_stays_a_name() {
    let moment = |text: &str| {
        let query = twins::parse(text).unwrap();
        let aliases: Vec<_> = query.aliases().iter().map(|alias| alias.name.clone()).collect();
        (query.as_of().map(|moment| (moment.text.clone(), moment.line, moment.column)), aliases)
    };
    let then = || Some(("2026-11-29T10:00:00Z".to_owned(), 1, 38));
    assert_eq!(moment("SELECT * FROM DIGITALTWINS   AS OF   '2026-11-29T10:00:00Z'"), (then(), vec![None]));
    let t = || vec![Some("T".to_owned())];
    assert_eq!(
        moment("SELECT T FROM DIGITALTWINS  as of    '2026-11-29T10:00:00Z' T WHERE T.a = 1"),
        (then(), t())
    );
    assert_eq!(
        moment("SELECT T FROM DIGITALTWINS T AS OF   '2026-11-29T10:00:00Z' WHERE T.a = 1"),
        (then(), t())
    );
    assert_eq!(moment("SELECT T FROM RELATIONSHIPS T AS OF  '2026-11-29T10:00:00Z'"), (then(), t()));
    assert!(moment("SELECT COUNT() FROM DIGITALTWINS AS OF '1' MATCH (a)-[]->(b)").0.is_some());
    assert!(
        moment("SELECT b FROM DIGITALTWINS a AS OF '1' JOIN b RELATED a.has WHERE a.$dtId = 'x'").0.is_some()
    );
    // Azure's language has no such clause, and OF is no reserved word there.
    assert_eq!(
        moment("SELECT * FROM DIGITALTWINS AS OF WHERE OF.a = 1"),
        (None, vec![Some("OF".to_owned())])
    );
    assert_eq!(moment("SELECT * FROM DIGITALTWINS OF WHERE OF.a = 1"), (None, vec![Some("OF".to_owned())]));
    for wrong in [
        "SELECT * FROM DIGITALTWINS AS OF 5",
        "SELECT * FROM DIGITALTWINS T AS OF",
        "SELECT * FROM DIGITALTWINS AS OF '1' AS OF '2'",
    ] {
        assert!(twins::parse(wrong).is_err(), "{wrong}");
    }
}
