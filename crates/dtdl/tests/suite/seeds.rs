//! Texts from which fuzzing starts: between them, every class, extension and form of the language.

pub(crate) const MODELS: [&str; 7] = [
    r#"{"@context":"dtmi:dtdl:context;2","@id":"dtmi:a;1","@type":"Interface","displayName":{"en":"a","de-DE":"b"},"contents":[
{"@type":["Property","Temperature"],"name":"t","schema":"double","unit":"kelvin","writable":true},
{"@type":"Telemetry","name":"p","schema":"point"},{"@type":"Command","name":"c","request":{"name":"r","schema":"dtmi:a:e;1"}},
{"@type":"Relationship","name":"l","maxMultiplicity":{"@value":3,"@type":"xsd:integer"},"target":"dtmi:b;1","properties":[{"@type":"Property","name":"q","schema":"date"}]}],
"schemas":[{"@id":"dtmi:a:e;1","@type":"Enum","valueSchema":"string","enumValues":[{"name":"x","enumValue":"X"}]}]}"#,
    r#"[{"@context":["dtmi:dtdl:context;3","dtmi:dtdl:extension:quantitativeTypes;1","dtmi:dtdl:extension:annotation;1","dtmi:dtdl:extension:overriding;1"],
"@id":"dtmi:a;1.2","@type":"Interface","extends":{"@id":"dtmi:b;1","@type":"Interface","@context":"dtmi:dtdl:context;2"},"contents":[
{"@type":["Telemetry","Temperature"],"name":"t","schema":"float","unit":"degreeCelsius"},
{"@type":["Property","ValueAnnotation","Override"],"name":"o","annotates":"t","overrides":"unit","schema":"TemperatureUnit"}]}]"#,
    r#"{"@context":"dtmi:dtdl:context;4","@id":"dtmi:a;1","@type":"Interface","contents":[{"@type":"Property","name":"x","schema":"dtmi:a:t;1"},
{"@type":"Command","name":"c","response":{"@type":"CommandResponse","name":"r","nullable":true,"schema":"scaledDecimal"}}],
"schemas":{"@id":"dtmi:a:t;1","@type":"Object","fields":[{"name":"x","schema":"dtmi:a:t;1"},{"name":"y","schema":{"@type":"Map",
"mapKey":{"name":"k","schema":"string"},"mapValue":{"name":"v","schema":{"@type":"Array","elementSchema":"dtmi:a:t;1"}}}}]}}"#,
    r#"{"@context":["dtmi:dtdl:context;4#limitless","dtmi:dtdl:limits:onvif;1","dtmi:dtdl:extension:mqtt;4","dtmi:dtdl:extension:requirement;2"],
"@id":"dtmi:a;1","@type":["Interface","Mqtt"],"payloadFormat":"Json/ecma/404","commandTopic":"a/{b:c}/d","contents":[
{"@type":["Command","Idempotent","Cacheable"],"name":"c","ttl":"PT1S","response":{"name":"r","schema":{"@type":["Object","Result"],"fields":[
{"@type":["Field","NormalResult","Indexed"],"index":1,"name":"n","schema":"bytes"},
{"@type":["Field","ErrorResult"],"name":"e","schema":{"@type":["Object","Error"],"fields":[{"@type":["Field","ErrorMessage"],"name":"m","schema":"string"}]}}]}}}]}"#,
    r#"{"@context":["dtmi:dtdl:context;2","dtmi:iotcentral:context;2"],"@id":"dtmi:a;1","@type":"Interface","contents":[
{"@type":["Telemetry","Location"],"name":"l","schema":"geopoint"},{"@type":["Property","VelocityVector"],"name":"v","schema":"vector","unit":"knot"}]}"#,
    r#"{"@context":["dtmi:dtdl:context;4","dtmi:iotoperations:context;4"],"@id":"dtmi:a;1","@type":["Interface","Composite"],"ontology":"o","contents":[
{"@type":["Telemetry","Limited"],"name":"t","schema":"unsignedShort","minimum":1,"maximum":25},{"@type":"Component","name":"c","schema":"dtmi:b;1"}]}"#,
    r#"{"@context":["dtmi:dtdl:context;3","dtmi:x:y;1"],"@id":"dtmi:a;1","@type":["Interface","dtmi:x:T;1"],"colour":1,"dtmi:dtdl:property:comment;3":["c"]}"#,
];

pub(crate) const SETS: [&str; 3] = [
    r#"{"id":1,"input":[{"@context":"dtmi:dtdl:context;3","@id":"dtmi:a;1","@type":"Interface","extends":"dtmi:b;1"}],"resolution":[{"@context":"dtmi:dtdl:context;3","@id":"dtmi:b;1","@type":"Interface"}],"maxDtdlVersion":3}"#,
    r#"{"id":"x","input":[[],{}],"options":["AllowUndefinedExtensions"],"acceptableLimits":["dtmi:dtdl:limits:onvif"]}"#,
    r#"{"input":[{"@context":"dtmi:dtdl:context;4","@id":"dtmi:a;1","@type":"Interface"}],"options":["DisallowUndefinedExtensions"]}"#,
];

pub(crate) const IDENTIFIERS: [&str; 4] =
    ["dtmi:a;1", "dtmi:a:_b:c_d;12.3#f", "dtmi:x", "dtmi:dtdl:context;4#limitless"];
