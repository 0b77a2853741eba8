# about: configurations with azure-iot-hub: made, changed, tried, removed; hundreds of devices follow; the command line
# timeout: 180
"""IoTHubConfigurationManager of PyPI's azure-iot-hub, and `pollux hub configuration`."""

import json
import os
import time
import uuid

from azure.iot.hub import IoTHubConfigurationManager, IoTHubRegistryManager
from azure.iot.hub.models import (
    Configuration,
    ConfigurationContent,
    ConfigurationMetrics,
    ConfigurationQueriesTestInput,
    QuerySpecification,
)

from lib import Scenario, connections, equal, eventually, out
from lib.hub import pollux, refused
from lib.rest import hub as rest

RUN = f"p{uuid.uuid4().hex[:8]}"
DEVICES = int(os.environ.get("DEVICES", "300"))
PATIENCE = 30 + DEVICES // 100
MINE = f"tags.run = '{RUN}'"
subject = connections()
hub = subject["hub"][0]
manager = IoTHubConfigurationManager.from_connection_string(hub["connectionString"])
registry = IoTHubRegistryManager.from_connection_string(hub["connectionString"])
configurations = Scenario()


def configuration(name, condition, content, priority=1, **more):
    content = ConfigurationContent(device_content=content)
    return Configuration(id=f"{RUN}-{name}", target_condition=condition, priority=priority, content=content, **more)


def counts(name):
    return manager.get_configuration(f"{RUN}-{name}").system_metrics.results


def ids(query):
    found, token = [], None
    while True:
        page = registry.query_iot_hub(QuerySpecification(query=query), token, 100)
        found += [row.device_id for row in page.items]
        token = page.continuation_token
        if not token:
            return found


@configurations.case("one is made, changed under its etag, listed and removed")
def _():
    metrics = ConfigurationMetrics(queries={"mine": f"SELECT deviceId FROM devices WHERE {MINE}"})
    wanted = configuration("crud", MINE, {"properties.desired.a": {"b": 1}}, labels={"Version": "3"}, metrics=metrics)
    made = manager.create_configuration(wanted)
    equal(made.content.device_content, {"properties.desired.a": {"b": 1}})
    equal(made.priority, 1)
    equal(refused(manager.create_configuration, wanted), 409)
    equal(counts("crud"), {"targetedCount": 0, "appliedCount": 0})
    made.priority, made.labels = 4, {"Version": "4"}
    changed = manager.update_configuration(made, made.etag)
    equal((changed.priority, changed.labels, changed.metrics.queries), (4, {"Version": "4"}, metrics.queries))
    equal(refused(manager.update_configuration, made, made.etag), 412)
    changed.content.device_content = {"properties.desired.other": 1}
    equal(refused(manager.update_configuration, changed, "*"), 400)
    assert made.id in [one.id for one in manager.get_configurations(100)]
    equal(len(manager.get_configurations(1)), 1)
    equal(refused(manager.delete_configuration, made.id, made.etag), 412)
    manager.delete_configuration(made.id)
    equal(refused(manager.get_configuration, made.id), 404)


@configurations.case("a condition and metrics are tried before")
def _():
    tried = ConfigurationQueriesTestInput(target_condition="tags.a =", custom_metric_queries={"bad": "SELECT", "good": "SELECT * FROM devices"})
    found = manager.test_configuration_queries(tried)
    assert found.target_condition_error and list(found.custom_metric_query_errors) == ["bad"], found
    found = manager.test_configuration_queries(ConfigurationQueriesTestInput(target_condition="tags.a = 1", custom_metric_queries={}))
    equal((found.target_condition_error, found.custom_metric_query_errors), ("", {}))


@configurations.case(f"{DEVICES} devices follow within moments: made, changed, removed")
def _():
    for start in range(0, DEVICES, 100):
        many = [
            {"id": f"{RUN}-{number:04}", "importMode": "createOrUpdate", "tags": {"run": RUN, "odd": number % 2}}
            for number in range(start, start + 100)
        ]
        rest().ok("POST", "/devices", many)
    manager.create_configuration(configuration("low", MINE, {"properties.desired.level": "low"}))
    begun = time.monotonic()
    eventually(lambda: counts("low") == {"targetedCount": DEVICES, "appliedCount": DEVICES}, seconds=PATIENCE, what="all follow")
    out({"note": f"{DEVICES} devices followed within {time.monotonic() - begun:.1f} s"})
    manager.create_configuration(configuration("high", f"{MINE} AND tags.odd = 1", {"properties.desired.level": "high"}, 2))
    eventually(lambda: counts("low")["appliedCount"] == DEVICES // 2, seconds=PATIENCE, what="half follow another")
    equal(counts("high"), {"targetedCount": DEVICES // 2, "appliedCount": DEVICES // 2})
    high = ids(f"SELECT deviceId FROM devices WHERE {MINE} AND properties.desired.level = 'high'")
    equal(high, ids(f"SELECT deviceId FROM devices WHERE configurations.[[{RUN}-high]].status = 'Applied'"))
    equal(len(high), DEVICES // 2)
    equal(len(ids(f"SELECT deviceId FROM devices WHERE configurations.[[{RUN}-low]].status = 'Targeted'")), DEVICES // 2)
    before = registry.get_twin(f"{RUN}-0001")
    manager.delete_configuration(f"{RUN}-high")
    eventually(lambda: counts("low")["appliedCount"] == DEVICES, seconds=PATIENCE, what="all follow the first again")
    after = registry.get_twin(f"{RUN}-0001")
    assert after.version > before.version and after.properties.desired["level"] == "low", after
    manager.delete_configuration(f"{RUN}-low")
    eventually(lambda: not ids(f"SELECT deviceId FROM devices WHERE {MINE} AND is_defined(properties.desired.level)"), seconds=PATIENCE, what="nothing is set")


@configurations.case("the command line")
def _():
    name = f"{RUN}-cli"
    content = {"content": {"deviceContent": {"properties.desired.cli": {"on": True}}}}
    metrics = {"metrics": {"queries": {"even": f"SELECT deviceId FROM devices WHERE {MINE} AND tags.odd = 0"}}}
    made = pollux("configuration", "create", "-c", name, "--content", json.dumps(content), "--target-condition", f"deviceId = '{RUN}-0002'",
                  "--priority", "3", "--labels", '{"by": "cli"}', "--metrics", json.dumps(metrics))
    equal((made["priority"], made["labels"], made["content"]), (3, {"by": "cli"}, content["content"]))
    eventually(lambda: pollux("configuration", "show", "-c", name)["systemMetrics"]["results"]["appliedCount"] == 1, what="it is applied")
    assert name in [one["id"] for one in pollux("configuration", "list")]
    applied = pollux("configuration", "show-metric", "-c", name, "--metric-id", "appliedCount", "--metric-type", "system")
    equal(applied["result"], [{"deviceId": f"{RUN}-0002"}])
    equal(len(pollux("configuration", "show-metric", "-c", name, "--metric-id", "even")["result"]), DEVICES // 2)
    assert "even" in pollux("configuration", "show-metric", "-c", name, "--metric-id", "none", status=1)
    changed = pollux("configuration", "update", "-c", name, "--target-condition", f"deviceId = '{RUN}-0003'", "--priority", "5")
    equal((changed["priority"], changed["labels"]), (5, {"by": "cli"}))
    eventually(lambda: "cli" not in registry.get_twin(f"{RUN}-0002").properties.desired, what="the first is left")
    pollux("configuration", "delete", "-c", name)
    assert "ConfigurationNotFound" in pollux("configuration", "show", "-c", name, status=3)


configurations.run()
