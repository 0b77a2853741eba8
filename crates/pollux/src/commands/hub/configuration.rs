//! `pollux hub configuration`: what all devices or modules that a condition matches are to desire.

use anyhow::{Context as _, Result, bail};
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use pollux_client::rest::Paging;
use serde_json::{Map, Value, json};

use super::Target;
use super::device::quoted;
use crate::input::{self, segment};
use crate::output::Column;
use crate::session::Session;

const COLUMNS: &[Column] = &[
    ("id", "/id"),
    ("priority", "/priority"),
    ("target condition", "/targetCondition"),
    ("targeted", "/systemMetrics/results/targetedCount"),
    ("applied", "/systemMetrics/results/appliedCount"),
];

/// Configurations: what many devices or modules are to desire
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a configuration
    Create(Create),
    /// Show a configuration, and what its metrics come to
    Show(One),
    /// List configurations
    List(List),
    /// Change a configuration's target, priority, labels or metrics; what is not named stays
    Update(Update),
    /// Delete a configuration: what it set is taken back
    Delete(Delete),
    /// List the devices or modules that a metric counts
    ShowMetric(ShowMetric),
    /// See whether a target condition and queries of metrics hold
    Test(Test),
}

/// Make a configuration
#[derive(Debug, Args)]
#[command(after_help = "\
Of configurations that set the same path the one of greater priority wins; of two of one priority the later.

Examples:
  pollux hub configuration create -c chillers --target-condition \"tags.building = '43'\" --priority 10 \\
      --content '{\"deviceContent\": {\"properties.desired.chiller\": {\"temperature\": 66}}}'
  pollux hub configuration create -c filters --target-condition \"from devices.modules where moduleId = 'filter'\" \\
      --content '{\"moduleContent\": {\"properties.desired.interval\": 5}}' \\
      --metrics '{\"queries\": {\"slow\": \"SELECT deviceId, moduleId FROM devices.modules WHERE properties.reported.late = true\"}}'")]
pub(crate) struct Create {
    #[command(flatten)]
    id: Id,
    /// What is set, by path: JSON, or a file
    #[arg(long, visible_alias = "content-file")]
    content: String,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    target: Target,
}

/// Which configuration.
#[derive(Debug, Args)]
struct Id {
    /// The configuration's id
    #[arg(long, short = 'c')]
    config_id: String,
}

/// What can be changed.
#[derive(Debug, Args)]
struct Fields {
    /// Whom it is for: a condition on tags, properties.reported or deviceId; * for all devices
    #[arg(long, visible_alias = "tc")]
    target_condition: Option<String>,
    /// The greater one wins
    #[arg(long, visible_alias = "pri")]
    priority: Option<u32>,
    /// Labels: a JSON object of texts, or a file
    #[arg(long, visible_alias = "lab")]
    labels: Option<String>,
    /// Metrics: a JSON object of queries, or a file
    #[arg(long)]
    metrics: Option<String>,
}

/// A configuration
#[derive(Debug, Args)]
pub(crate) struct One {
    #[command(flatten)]
    id: Id,
    #[command(flatten)]
    target: Target,
}

/// List configurations
#[derive(Debug, Args)]
pub(crate) struct List {
    /// At most this many
    #[arg(long)]
    top: Option<u32>,
    #[command(flatten)]
    target: Target,
}

/// Change a configuration
#[derive(Debug, Args)]
#[command(after_help = "\
What it sets cannot be changed: make another configuration and delete this one.

Example:
  pollux hub configuration update -c chillers --target-condition \"tags.building = '44'\" --priority 20")]
pub(crate) struct Update {
    #[command(flatten)]
    id: Id,
    #[command(flatten)]
    fields: Fields,
    /// Only if it still is of this etag
    #[arg(long, visible_alias = "etag")]
    if_match: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// Delete a configuration
#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    id: Id,
    /// Only if it still is of this etag
    #[arg(long, visible_alias = "etag")]
    if_match: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// List what a metric counts
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux hub configuration show-metric -c chillers --metric-id appliedCount --metric-type system
  pollux hub configuration show-metric -c filters --metric-id slow")]
pub(crate) struct ShowMetric {
    #[command(flatten)]
    id: Id,
    /// The metric
    #[arg(long, short = 'm')]
    metric_id: String,
    /// Whose it is
    #[arg(long, visible_alias = "mt", value_enum, default_value = "user")]
    metric_type: MetricType,
    #[command(flatten)]
    target: Target,
}

/// See whether a target condition and queries of metrics hold
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is saved. Ends with 1 where something is wrong; what, is printed in either case.

Examples:
  pollux hub configuration test --target-condition \"tags.building = '43' AND properties.reported.rate > 5\"
  pollux hub configuration test --target-condition \"from devices.modules where moduleId = 'filter'\" \\
      --metrics '{\"queries\": {\"slow\": \"SELECT deviceId FROM devices WHERE properties.reported.late = true\"}}'")]
#[command(group = ArgGroup::new("tested").args(["target_condition", "metrics"]).multiple(true).required(true))]
pub(crate) struct Test {
    /// Whom it would be for: a condition on tags, properties.reported or deviceId; * for all devices
    #[arg(long, visible_alias = "tc")]
    target_condition: Option<String>,
    /// Metrics: a JSON object of queries, or a file
    #[arg(long)]
    metrics: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// Whose a metric is.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum MetricType {
    /// One of its metrics
    User,
    /// targetedCount or appliedCount
    System,
}

impl Id {
    fn path(&self) -> String {
        format!("/configurations/{}", segment(&self.config_id))
    }
}

impl Fields {
    fn apply(&self, body: &mut Value) -> Result<()> {
        if let Some(condition) = &self.target_condition {
            body["targetCondition"] = json!(condition);
        }
        if let Some(priority) = self.priority {
            body["priority"] = json!(priority);
        }
        if let Some(labels) = input::optional_object("--labels", self.labels.as_deref())? {
            body["labels"] = Value::Object(labels);
        }
        if let Some(metrics) = input::optional_object("--metrics", self.metrics.as_deref())? {
            body["metrics"] = json!({ "queries": queries(metrics) });
        }
        Ok(())
    }
}

/// The queries of metrics, which may be wrapped as a configuration has them.
fn queries(metrics: Map<String, Value>) -> Value {
    inside(Value::Object(metrics), &["metrics", "queries"])
}

/// What is in the members of these names, as far as they are there: files often hold more around it.
fn inside(mut value: Value, names: &[&str]) -> Value {
    for name in names {
        if let Some(inner) = value.get_mut(*name).filter(|inner| inner.is_object()) {
            value = inner.take();
        }
    }
    value
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Create(Create { id, content, fields, target }) => {
            let content = Value::Object(input::object("--content", &content)?);
            let mut body = json!({ "id": id.config_id, "content": inside(content, &["content"]) });
            fields.apply(&mut body)?;
            let rest = session.hub(target.hub_name.as_deref())?;
            let made = rest.put(&id.path()).json(body).send().await;
            let made = made.with_context(|| format!("cannot create the configuration '{}'", id.config_id))?;
            session.output.document(&made.body)
        }
        Command::Show(One { id, target }) => session.output.document(&shown(session, &id, &target).await?),
        Command::List(List { top, target }) => {
            let rest = session.hub(target.hub_name.as_deref())?;
            let mut request = rest.get("/configurations");
            if let Some(top) = top {
                request = request.query("top", &top.to_string());
            }
            let found = request.send().await.context("cannot list the configurations")?;
            session.output.rows(found.body.as_array().cloned().unwrap_or_default(), COLUMNS)
        }
        Command::Update(args) => update(session, args).await,
        Command::Delete(Delete { id, if_match, target }) => {
            let etag = quoted(if_match.as_deref().unwrap_or("*"));
            let rest = session.hub(target.hub_name.as_deref())?;
            let gone = rest.delete(&id.path()).if_match(&etag).send().await;
            gone.with_context(|| format!("cannot delete the configuration '{}'", id.config_id))?;
            session.output.note(&format!("deleted the configuration '{}'", id.config_id))
        }
        Command::ShowMetric(args) => show_metric(session, args).await,
        Command::Test(args) => test(session, args).await,
    }
}

async fn shown(session: &Session, id: &Id, target: &Target) -> Result<Value> {
    let found = session.hub(target.hub_name.as_deref())?.get(&id.path()).send().await;
    Ok(found.with_context(|| format!("cannot show the configuration '{}'", id.config_id))?.body)
}

async fn update(session: &Session, args: Update) -> Result<()> {
    let mut body = shown(session, &args.id, &args.target).await?;
    let etag = args.if_match.as_deref().or(body["etag"].as_str()).unwrap_or("*");
    let etag = quoted(etag);
    args.fields.apply(&mut body)?;
    let rest = session.hub(args.target.hub_name.as_deref())?;
    let changed = rest.put(&args.id.path()).if_match(&etag).json(body).send().await;
    let changed = changed.with_context(|| format!("cannot change the configuration '{}'", args.id.config_id));
    session.output.document(&changed?.body)
}

/// The metric's query, and its rows.
async fn show_metric(session: &Session, args: ShowMetric) -> Result<()> {
    let found = shown(session, &args.id, &args.target).await?;
    let of = match args.metric_type {
        MetricType::User => "metrics",
        MetricType::System => "systemMetrics",
    };
    let queries = &found[of]["queries"];
    let Some(query) = queries[&args.metric_id].as_str() else {
        let known = queries.as_object().map(|queries| queries.keys().cloned().collect::<Vec<_>>());
        let known = known.unwrap_or_default().join(", ");
        bail!("the configuration '{}' has no metric '{}' but: {known}", args.id.config_id, args.metric_id);
    };
    let rows = if query.is_empty() {
        Vec::new()
    } else {
        let paging = Paging::Header { path: "/devices/query".to_owned(), query: query.to_owned() };
        let rest = session.hub(args.target.hub_name.as_deref())?;
        rest.pages(paging).collect(usize::MAX).await.context("the metric's query failed")?
    };
    session.output.document(&json!({ "metric": args.metric_id, "query": query, "result": rows }))
}

async fn test(session: &Session, args: Test) -> Result<()> {
    let mut body = json!({});
    let metrics = input::optional_object("--metrics", args.metrics.as_deref())?.map(queries);
    let condition = args.target_condition.map(Value::from);
    input::fill(&mut body, [("/targetCondition", condition), ("/customMetricQueries", metrics)]);
    let rest = session.hub(args.target.hub_name.as_deref())?;
    let tested = rest.post("/configurations/testQueries").json(body).send().await;
    let tested = tested.context("cannot test it")?.body;
    session.output.document(&tested)?;
    let wrong = |errors: &Value| errors.as_object().is_some_and(|errors| !errors.is_empty());
    if tested["targetConditionError"] != "" || wrong(&tested["customMetricQueryErrors"]) {
        bail!("not all of it holds");
    }
    Ok(())
}
