# about: import and delete jobs with PyPI's client and Azurite: good and bad files, logs, cancel, kill -9 in the middle
# server: none
# timeout: 300
"""`importJobs` and `deleteJobs` of azure-digitaltwins-core 1.3.0, as its generated client has them (api-version 2023-10-31)."""

import json
import time

from azure.core.exceptions import HttpResponseError
from azure.digitaltwins.core._generated import AzureDigitalTwinsAPI
from azure.digitaltwins.core._generated.models import ImportJob

from lib import WORK, Scenario, connections, equal, eventually, out, refuses
from lib import azurite
from lib.server import Server
from lib.twins import client, credential

scenario = Scenario()
made = {}
ROOM, SENSOR = "dtmi:jobs:Room;1", "dtmi:jobs:Sensor;1"
HEADER = [{"Section": "Header"}, {"fileVersion": "1.0.0", "author": "a", "organization": "b"}]
MANY = 60_000


def interface(identifier, *contents):
    return {"@id": identifier, "@type": "Interface", "@context": "dtmi:dtdl:context;2", "contents": list(contents)}


# The room names the sensor's model before the file does.
MODELS = [
    interface(
        ROOM,
        {"@type": "Property", "name": "area", "schema": "double"},
        {"@type": "Component", "name": "sensor", "schema": SENSOR},
        {"@type": "Relationship", "name": "beside", "target": ROOM, "properties": [{"@type": "Property", "name": "door", "schema": "boolean"}]},
    ),
    interface(SENSOR, {"@type": "Property", "name": "level", "schema": "double"}),
]


def room(identifier, **contents):
    return {"$dtId": identifier, "$metadata": {"$model": ROOM}, "sensor": {"$metadata": {}}, **contents}


def beside(source, identifier, target, **properties):
    return {"$dtId": source, "$relationshipId": identifier, "$targetId": target, "$relationshipName": "beside", **properties}


def section(name, items):
    return [{"Section": name}, *items]


def file(*lines):
    return "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n"


def api(**options):
    return AzureDigitalTwinsAPI(
        credential(), base_url=connections()["twins"][0]["url"], polling_interval=0.2,
        credential_scopes=["https://digitaltwins.azure.net/.default"], **options,
    )


def add(identifier, text, *, output=None):
    """Uploads the file and adds the job."""
    made["container"].upload_blob(f"{identifier}.ndjson", text, overwrite=True)
    job = ImportJob(input_blob_uri=made["signed"](f"{identifier}.ndjson"), output_blob_uri=output or made["signed"](f"{identifier}.log"))
    return api().import_jobs.add(identifier, job)


def ended(identifier, seconds=60):
    def over():
        job = api().import_jobs.get_by_id(identifier)
        return job if job.status in ("succeeded", "failed", "cancelled") else None

    return eventually(over, seconds=seconds, what=f"the end of {identifier}")


def log(identifier):
    lines = [json.loads(line) for line in made["container"].download_blob(f"{identifier}.log").readall().splitlines()]
    for line in lines:
        equal((line["jobId"], line["jobType"]), (identifier, "Import"))
        equal(set(line), {"timestamp", "jobId", "jobType", "logType", "details"})
    return lines


def failures(identifier):
    return [line["details"] for line in log(identifier) if line["logType"] == "Error" and "message" in line["details"] and "section" in line["details"]]


def counts():
    twins = client()
    ask = lambda what: next(iter(twins.query_twins(f"SELECT COUNT() FROM {what}")))["COUNT"]
    return ask("DIGITALTWINS"), ask("RELATIONSHIPS")


def begin():
    (WORK / "jobs").mkdir(exist_ok=True)
    config = WORK / "jobs.toml"
    config.write_text(f'[jobs]\nhosts = ["127.0.0.1"]\nfolder = "{(WORK / "jobs").resolve()}"\n')
    made["server"] = Server(WORK / "data", "--config", str(config))


@scenario.case("a whole graph: models in any order, twins, relationships; the log is that of the article", needed=True)
def _():
    begin()
    made["container"], made["signed"], made["azurite"] = azurite.start("graphs")
    text = file(
        *HEADER, *section("Models", MODELS), *section("Twins", [room("a", area=1.5), room("b")]),
        *section("Relationships", [beside("a", "r1", "b", door=True)]),
    )
    job = add("whole", text)
    assert job.status in ("notstarted", "running"), job.status
    assert "sig=" not in job.input_blob_uri, "the signature is a secret"
    job = ended("whole")
    equal((job.status, job.error), ("succeeded", None))
    equal(job.id, "whole")
    assert job.created_date_time <= job.last_action_date_time <= job.finished_date_time
    equal((job.purge_date_time - job.finished_date_time).days, 30)
    equal(counts(), (2, 1))
    equal(client().get_digital_twin("a")["area"], 1.5)
    equal(client().get_relationship("a", "r1")["door"], True)
    steps = [(line["details"].get("section"), line["details"]["status"]) for line in log("whole")]
    wanted = [(None, "Started")]
    wanted += [(name, status) for name in ("Models", "Twins", "Relationships") for status in ("Started", "Succeeded")]
    equal(steps, [*wanted, (None, "Succeeded")])


@scenario.case("the same again: what is there and equal is left as it is; what differs is told")
def _():
    etag = client().get_digital_twin("a")["$etag"]
    again = [*HEADER, *section("Models", MODELS), *section("Twins", [room("a", area=1.5), room("b", area=9)])]
    add("again", file(*again, *section("Relationships", [beside("a", "r1", "b", door=True), beside("a", "r1", "b", door=False)])))
    job = ended("again")
    equal((job.status, job.error.code), ("failed", "PartialSuccess"))
    equal([(fault["line"], fault["id"], fault["code"]) for fault in failures("again")],
          [(8, "b", "PreconditionFailed"), (11, "a/r1", "RelationshipAlreadyExists")])
    equal(client().get_digital_twin("a")["$etag"], etag)


@scenario.case("bad items are told one by one, with line, id and code, and all others are imported")
def _():
    text = file(
        *HEADER,
        *section("Twins", [
            room("c"), "{ not json", room("d", area="wide"), {"$dtId": "e", "$metadata": {"$model": "dtmi:jobs:None;1"}},
            {"$metadata": {"$model": ROOM}}, "[1]", room("f"), room("f"), room("f", area=3), room("bad/id"),
        ]),
        *section("Relationships", [
            beside("c", "r", "f"), beside("c", "r2", "nowhere"), beside("nowhere", "r", "c"), beside("c", "r3", "c"),
            beside("c", "r4", "f", door=7), {"$dtId": "c", "$relationshipId": "r5", "$targetId": "f", "$relationshipName": "none"},
        ]),
    )
    add("bad", text)
    job = ended("bad")
    equal((job.status, job.error.code), ("failed", "PartialSuccess"))
    found = [(fault["line"], fault.get("id"), fault["code"]) for fault in failures("bad")]
    equal(sorted(found, key=lambda row: row[0]), [
        (5, None, "InvalidArgument"), (6, "d", "ValidationFailed"), (7, "e", "ValidationFailed"), (8, None, "InvalidArgument"),
        (9, None, "InvalidArgument"), (12, "f", "PreconditionFailed"), (13, "bad/id", "InvalidArgument"),
        (16, "c/r2", "TargetDigitalTwinNotFound"), (17, "nowhere/r", "DigitalTwinNotFound"), (18, "c/r3", "OperationNotAllowed"),
        (19, "c/r4", "ValidationFailed"), (20, "c/r5", "ValidationFailed"),
    ])
    twins = client()
    for identifier in ("c", "f"):
        twins.get_digital_twin(identifier)
    equal([row["$relationshipId"] for row in twins.list_relationships("c")], ["r"])


@scenario.each(
    [
        ("no header", file(*section("Twins", [room("x")])), "ValidationFailed"),
        ("another version", file({"Section": "Header"}, {"fileVersion": "2.0.0"}), "ValidationFailed"),
        ("sections in another order", file(*HEADER, *section("Relationships", []), *section("Twins", [room("x")])), "ValidationFailed"),
        ("an empty file", "", "ValidationFailed"),
        ("models that do not hold", file(*HEADER, *section("Models", [interface("dtmi:jobs:Lone;1", {"@type": "Component", "name": "c", "schema": "dtmi:none:None;1"})]), *section("Twins", [room("x")])), "DTDLParserError"),
    ],
    "a file that cannot be imported: {}",
)
def _(name, text, code):
    identifier = name.replace(" ", "-")
    add(identifier, text)
    job = ended(identifier)
    equal((job.status, job.error.code), ("failed", code))
    assert len(job.error.message) > 20, job.error.message
    equal(log(identifier)[-1]["details"]["status"], "Failed")
    assert not any(twin["$dtId"] == "x" for twin in client().query_twins("SELECT * FROM DIGITALTWINS"))


@scenario.case("a file that was cut off: what came is imported, the broken line is told")
def _():
    text = file(*HEADER, *section("Twins", [room("g"), room("h")]))
    add("cut", text[: -20])
    job = ended("cut")
    equal((job.status, [(fault["line"], fault["code"]) for fault in failures("cut")]), ("failed", [(5, "InvalidArgument")]))
    client().get_digital_twin("g")


@scenario.case("blobs that are missing, signatures that do not hold, logs that cannot be written")
def _():
    ops, signed = api().import_jobs, made["signed"]
    ops.add("missing", ImportJob(input_blob_uri=signed("none.ndjson"), output_blob_uri=signed("missing.log")))
    job = ended("missing")
    equal((job.status, job.error.code), ("failed", "InputBlobNotReadable"))
    good = signed("whole.ndjson")
    ops.add("unsigned", ImportJob(input_blob_uri=good.split("?")[0], output_blob_uri=signed("unsigned.log")))
    equal(ended("unsigned").error.code, "InputBlobNotReadable")
    ops.add("readonly", ImportJob(input_blob_uri=good, output_blob_uri=signed("readonly.log", permission="r")))
    job = ended("readonly")
    equal((job.status, job.error.code), ("failed", "OutputBlobNotWritable"))
    assert "sig" not in job.error.message.replace("signature", ""), job.error.message


@scenario.each(
    [
        ("http://169.254.169.254/metadata", "https"),
        ("https://169.254.169.254/metadata", "private network"),
        ("https://localhost/x", None),
        ("https://10.0.0.1/x", "private network"),
        ("file:///etc/passwd", "folder"),
        ("ftp://example.com/x", "scheme"),
        ("nonsense", "URL"),
    ],
    "what a job may not reach is refused: {}",
)
def _(url, says):
    ops, identifier = api().import_jobs, f"reach-{abs(hash(url))}"
    job = ImportJob(input_blob_uri=url, output_blob_uri=made["signed"](f"{identifier}.log"))
    if says:
        error = refuses(lambda: ops.add(identifier, job), kinds=(HttpResponseError,), status=400, says=says)
        equal(error.error.code if hasattr(error.error, "code") else None, "ValidationFailed")
    else:  # a name is resolved when it is fetched
        ops.add(identifier, job)
        job = ended(identifier)
        equal(job.error.code, "InputBlobNotReadable")
        assert "public address" in job.error.message, job.error.message


@scenario.case("ids, records and refusals: used once, listed in pages, deleted when over")
def _():
    ops = api().import_jobs
    again = ImportJob(input_blob_uri=made["signed"]("whole.ndjson"), output_blob_uri=made["signed"]("x.log"))
    refuses(lambda: ops.add("whole", again), kinds=(HttpResponseError,), status=400)
    refuses(lambda: ops.get_by_id("none"), kinds=(HttpResponseError,), status=404)
    refuses(lambda: ops.cancel("none"), kinds=(HttpResponseError,), status=404)
    refuses(lambda: ops.cancel("whole"), kinds=(HttpResponseError,), status=400)
    listed = [job.id for job in ops.list()]
    assert listed == sorted(listed) and {"whole", "bad"} <= set(listed), listed
    ops.delete("again")
    ops.delete("again")
    refuses(lambda: ops.get_by_id("again"), kinds=(HttpResponseError,), status=404)


def large():
    """A file that takes a while."""
    return file(*HEADER, *section("Twins", (room(f"many{n}", area=n) for n in range(MANY))),
                *section("Relationships", (beside(f"many{n}", "next", f"many{n + 1}") for n in range(MANY - 1))))


@scenario.case("files of the open folder, and one job at a time; cancelled within a second, and nothing is taken back")
def _():
    folder = (WORK / "jobs").resolve()
    (folder / "large.ndjson").write_text(large())
    ops = api().import_jobs
    job = ImportJob(input_blob_uri=f"file://{folder}/large.ndjson", output_blob_uri=f"file://{folder}/cancel.log")
    ops.add("cancel", job)
    error = refuses(lambda: add("second", file(*HEADER)), kinds=(HttpResponseError,), status=400)
    assert "JobLimitReached" in str(error), error
    refuses(lambda: ops.delete("cancel"), kinds=(HttpResponseError,), status=400)
    eventually(lambda: counts()[0] > 2000, what="the first twins")
    asked = time.monotonic()
    equal(ops.cancel("cancel").status, "cancelling")
    job = ended("cancel", seconds=10)
    took = time.monotonic() - asked
    out({"note": f"cancelled after {took:.2f} s"})
    equal(job.status, "cancelled")
    assert took < 2, took
    there = counts()
    assert there[0] > 2000, there
    time.sleep(0)
    equal(counts(), there, "nothing goes on")
    last = json.loads((folder / "cancel.log").read_text().splitlines()[-1])
    equal(last["details"]["status"], "Cancelled")


@scenario.case("kill -9 in the middle of an import: it goes on where it stood, and nothing is there twice or missing")
def _():
    (twins, _), folder = counts(), (WORK / "jobs").resolve()
    ops = api().import_jobs
    ops.add("crash", ImportJob(input_blob_uri=f"file://{folder}/large.ndjson", output_blob_uri=f"file://{folder}/crash.log"))
    for _ in range(3):
        before = counts()
        eventually(lambda: counts() > before or ops.get_by_id("crash").status == "succeeded", what="progress")
        made["server"].kill()
        begin()
        ops = api().import_jobs
    job = ended("crash", seconds=150)
    equal((job.status, job.error), ("succeeded", None))
    total, relationships = counts()
    others = 6  # a b c f g, and h was cut off
    assert total >= MANY and relationships >= MANY - 1, (total, relationships)
    equal(sum(1 for _ in range(1) for row in client().query_twins("SELECT COUNT() FROM DIGITALTWINS T WHERE STARTSWITH(T.$dtId, 'many')") if row["COUNT"] == MANY), 1)
    statuses = [json.loads(line)["details"]["status"] for line in (folder / "crash.log").read_text().splitlines()]
    assert "Resumed" in statuses, statuses
    equal(statuses[-1], "Succeeded")


@scenario.case("a delete job: relationships, twins and models; followed through Operation-Location")
def _():
    job = api(operation_id="all").delete_jobs.begin_add().result()
    equal((job.id, job.status), ("all", "succeeded"))
    equal(counts(), (0, 0))
    equal(list(client().list_models()), [])
    equal(api().delete_jobs.get_by_id("all").status, "succeeded")
    equal([job.id for job in api().delete_jobs.list()], ["all"])
    refuses(lambda: api(operation_id="all").delete_jobs.begin_add(), kinds=(HttpResponseError,), status=400)
    refuses(lambda: api(timeout_in_minutes=5).delete_jobs.begin_add(), kinds=(HttpResponseError,), status=400)
    refuses(lambda: api().delete_jobs.get_by_id("none"), kinds=(HttpResponseError,), status=404)


@scenario.case("the server stops in order")
def _():
    made["azurite"].kill()
    made["server"].stop()


scenario.run()
