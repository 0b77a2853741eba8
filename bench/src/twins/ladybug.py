"""The graph of bench twins in ladybug: answers the questions for as long as each line of input says."""

import csv, json, os, sys, time

import ladybug

folder = sys.argv[1]
db = ladybug.Database(os.path.join(folder, "graph.lbug"))
connection = ladybug.Connection(db, num_threads=1)
run = connection.execute
run("CREATE NODE TABLE Twin (id STRING PRIMARY KEY, model STRING, temperature DOUBLE, setpoint DOUBLE, doc STRING)")
run("CREATE REL TABLE hasPart (FROM Twin TO Twin)")
for name in ("isPartOf", "isLocationOf", "locatedIn", "feeds"):
    run(f"CREATE REL TABLE {name} (FROM Twin TO Twin)")
began, used = time.perf_counter(), os.times()
run(f"COPY Twin FROM '{folder}/twins.csv' (header=false, parallel=false)")
for name in ("hasPart", "isPartOf", "isLocationOf", "locatedIn", "feeds"):
    run(f"COPY {name} FROM '{folder}/{name}.csv' (header=false)")
ended = os.times()
load = {
    "seconds": time.perf_counter() - began,
    "cpu": ended.user + ended.system - used.user - used.system,
}

QUESTIONS = {
    "Get": "MATCH (t:Twin) WHERE t.id = $id RETURN t.doc",
    "Patch": "MATCH (t:Twin) WHERE t.id = $id SET t.setpoint = $number",
    "Filter": "MATCH (t:Twin) WHERE t.temperature > $warm RETURN t.doc",
    "Join": "MATCH (b:Twin)-[:hasPart]->(l:Twin)-[:hasPart]->(r:Twin)-[:isLocationOf]->(t:Twin) "
    "WHERE b.id = $id AND t.model = 'dtmi:bench:Thermostat;1' AND t.temperature > 95 RETURN t.doc",
    "Count": "MATCH (t:Twin) RETURN count(*)",
    "Match": "MATCH (a:Twin)-[:hasPart|:isLocationOf|:feeds*1..5]->(b:Twin) WHERE a.id = $id RETURN count(*)",
}
prepared = {name: connection.prepare(text) for name, text in QUESTIONS.items()}


def ask(name, id, turn, warm):
    given = {}
    if "$id" in QUESTIONS[name]:
        given["id"] = id
    if "$number" in QUESTIONS[name]:
        given["number"] = float(turn)
    if "$warm" in QUESTIONS[name]:
        given["warm"] = warm
    rows = run(prepared[name], given).get_all()
    if name in ("Count", "Match"):
        return rows[0][0]
    return 1 if name == "Patch" else len(rows)


def cpu():
    times = os.times()
    return times.user + times.system


print(json.dumps({"version": ladybug.__version__, "load": load}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    name, ids, took = asked["question"], asked["ids"], []
    rows = ask(name, ids[0], 0, asked["warm"])
    began, used = time.perf_counter(), cpu()
    while time.perf_counter() - began < asked["seconds"]:
        turn = len(took)
        start = time.perf_counter()
        ask(name, ids[turn % len(ids)], turn, asked["warm"])
        took.append(time.perf_counter() - start)
    seconds, used = time.perf_counter() - began, cpu() - used
    print(json.dumps({"took": took, "seconds": seconds, "cpu": used, "rows": rows}), flush=True)
