"""What can be said of the files below deploy/ by reading them: `files.py compose|kubernetes|dockerfile|settings`."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
problems = []


def must(holds, problem):
    if not holds:
        problems.append(problem)


def skip(why):
    print(f"skip: {why}")
    sys.exit(77)


def documents(path):
    try:
        import yaml
    except ImportError:
        skip("python3 has no yaml (PyPI: PyYAML, Debian: python3-yaml)")
    return [document for document in yaml.safe_load_all((DEPLOY / path).read_text()) if document]


def compose():
    (file,) = documents("docker-compose.yml")
    services = file["services"]
    text = (DEPLOY / "docker-compose.yml").read_text()
    example = (DEPLOY / ".env.example").read_text()
    for variable in set(re.findall(r"\$\{(\w+)", text)):
        must(re.search(rf"^{variable}=", example, re.M), f".env.example does not name {variable}")
    for variable, default in re.findall(r"\$\{(\w+_PASSWORD)(:\?)?", text):
        must(default, f"{variable} may be missing: write ${{{variable}:?…}}")
    for name, service in services.items():
        must("restart" in service, f"{name}: no restart policy")
        must("build" in service or ":" in service["image"], f"{name}: an image without a tag")
        for other, how in service.get("depends_on", {}).items():
            must(other in services, f"{name}: depends on {other}, which is not there")
            told = how["condition"] != "service_healthy" or "healthcheck" in services.get(other, {})
            must(told, f"{name}: waits for {other}, which has no healthcheck")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            there = (DEPLOY / source).is_file() if source.startswith(".") else source in file["volumes"]
            must(there, f"{name}: no volume or file {source}")
        for network in service.get("networks", []):
            must(network in file["networks"], f"{name}: no network {network}")
        must("ports" not in service or name == "balancer", f"{name}: only the balancer publishes ports")
        build = service.get("build")
        must(not build or (DEPLOY / build["context"] / build["dockerfile"]).is_file(), f"{name}: no Dockerfile")
    for port in services["balancer"]["ports"]:
        must(port.startswith("${PUBLISH_ADDRESS:-127.0.0.1}:"), f"{port} is open to the network by default")
    nodes = {name for name in services if name.startswith("node-")}
    balanced = set(re.findall(r"^ *server (\S+) ", (DEPLOY / "haproxy.cfg").read_text(), re.M))
    must(nodes == balanced, f"nodes {sorted(nodes)}, but the balancer has {sorted(balanced)}")
    connections = int(re.search(r"maxconn (\d+)", (DEPLOY / "haproxy.cfg").read_text()).group(1))
    files = services["balancer"]["ulimits"]["nofile"]
    must(files > 2 * connections + 1000, f"haproxy does not start with {files} open files: maxconn is {connections}")
    names = [services[node]["environment"]["POLLUX_SERVER__NODE"] for node in nodes]
    must(len(set(names)) == len(nodes), "two nodes have one name")


def kubernetes():
    (kustomization,) = documents("kubernetes/kustomization.yaml")
    manifests = [one for path in kustomization["resources"] for one in documents(f"kubernetes/{path}")]
    kinds = {one["kind"]: one for one in manifests}
    must(set(kinds) == {"Deployment", "Service", "PodDisruptionBudget"}, f"kinds: {sorted(kinds)}")
    pod = kinds["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe, path in (("startupProbe", "/health"), ("livenessProbe", "/health"), ("readinessProbe", "/ready")):
        get = container[probe]["httpGet"]
        must(get["path"] == path and get["scheme"] == "HTTPS", f"{probe}: not {path} over HTTPS")
        must(get["port"] in ports, f"{probe}: no port {get['port']}")
    for port in kinds["Service"]["spec"]["ports"]:
        must(port["targetPort"] in ports, f"the Service leads to {port['targetPort']}, which no container has")
    served = {port["port"] for port in kinds["Service"]["spec"]["ports"]}
    must(served == {443, 8443, 8883, 5671}, f"the Service serves {sorted(served)}")
    inside = container["securityContext"]
    must(pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"], "may run as root")
    must(inside["readOnlyRootFilesystem"] and not inside["allowPrivilegeEscalation"], "the container may change itself")
    must(inside["capabilities"]["drop"] == ["ALL"], "capabilities are not dropped")
    must("limits" in container["resources"] and "requests" in container["resources"], "no resources")
    must(kinds["Deployment"]["spec"]["replicas"] >= 3, "fewer than three nodes")
    waits = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    must(pod["terminationGracePeriodSeconds"] >= waits + 10 + 5, "killed before it has drained")
    volumes = {volume["name"] for volume in pod["volumes"]}
    for mount in container["volumeMounts"]:
        must(mount["name"] in volumes, f"no volume {mount['name']}")
    places = [mount["mountPath"] for mount in container["volumeMounts"]]
    must("/var/lib/pollux" in places, "no place for the data folder")
    (secret,) = documents("kubernetes/secret.example.yaml")
    for variable in container["env"]:
        key = variable["valueFrom"].get("secretKeyRef")
        must(not key or (key["name"] == secret["metadata"]["name"] and key["key"] in secret["stringData"]),
             f"secret.example.yaml has no {variable['name']}")
    for maps in kustomization["configMapGenerator"]:
        for path in maps["files"]:
            must((DEPLOY / "kubernetes" / path).is_file(), f"no {path}")


def dockerfile():
    text = (DEPLOY / "Dockerfile").read_text()
    lines = re.sub(r"^#.*\n", "", text, flags=re.M).replace("\\\n", " ").splitlines()
    steps = [line.split(None, 1) for line in lines if line.strip()]
    arguments = dict(rest.split("=", 1) for word, rest in steps if word == "ARG" and "=" in rest)
    stages, user, final = set(), None, []
    for word, rest in steps:
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            given = re.fullmatch(r"\$\{(\w+)\}", image)
            image = arguments.get(given.group(1), "") if given else image
            must(re.search(r"[:@]", image), f"FROM {image}: no tag")
            stages.add(name)
            user, final = None, []
        source = re.search(r"--from=(\S+)", rest)
        must(not source or source.group(1) in stages, f"COPY --from={source and source.group(1)}: no such stage")
        if word == "COPY" and not source:
            must(all((ROOT / path).exists() for path in rest.split()[:-1]), f"COPY {rest}: no such path")
        if word == "USER":
            user = rest
        final.append((word, rest))
    must(user and user.split(":")[0] not in ("0", "root"), "the image runs as root")
    last = dict(final)
    must(last.get("STOPSIGNAL") == "SIGTERM", "STOPSIGNAL is not SIGTERM, which drains")
    must("HEALTHCHECK" not in last, "there is nothing in the image to run a HEALTHCHECK with")
    manifest = (ROOT / "crates/pollux/Cargo.toml").read_text()
    binary = re.search(r'^name = "([^"]+)"', manifest, re.M).group(1)
    must(f"target/dist/{binary} " in text, f"the binary is {binary}")
    must(last.get("ENTRYPOINT") == f'["/usr/local/bin/{binary}"]', "ENTRYPOINT is not the binary")
    rust = re.search(r'^rust-version = "([^"]+)"', (ROOT / "Cargo.toml").read_text(), re.M).group(1)
    must(f"rust:{rust}-" in arguments["BUILDER"], f"the builder is not Rust {rust}")
    debian = {"bookworm": "12", "trixie": "13"}[arguments["BUILDER"].rsplit("-", 1)[1]]
    must(f"debian{debian}" in arguments["RUNTIME"], "builder and runtime are of different Debian releases")
    # The build must see every member of the workspace, and whatever is compiled in from beside them.
    seen = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    must((DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()[1] == "*", "the context is not narrowed")
    members = re.search(r"^members = \[(.*)\]", (ROOT / "Cargo.toml").read_text(), re.M).group(1)
    for member in re.findall(r'"([^"/]+)[^"]*"', members):
        must(member in seen, f"Dockerfile.dockerignore hides {member}")
    for path in seen:
        must((ROOT / path).exists(), f"Dockerfile.dockerignore: no {path}")


def known_settings():
    """Section → keys, read from the structs of config.rs and what it takes from limits.rs."""
    sources = [path for glob in ("config*.rs", "config/**/*.rs") for path in (ROOT / "crates/server/src").glob(glob)]
    text = "\n".join(path.read_text() for path in [*sources, ROOT / "crates/services/src/limits.rs"])
    structs = {
        name: dict(re.findall(r"^\s*pub (\w+): ([\w:<>]+)", body, re.M))
        for name, body in re.findall(r"^pub(?:\(\w+\))? struct (\w+) \{(.*?)^\}", text, re.M | re.S)
    }
    fields = {section: kind.rsplit("::", 1)[-1] for section, kind in structs["Config"].items()}
    return {section: set(structs.get(kind, {})) for section, kind in fields.items()}


def settings():
    try:
        import tomllib
    except ImportError:
        skip("python3 is older than 3.11 (tomllib)")
    known = known_settings()

    def check(place, section, key):
        if section not in known:
            problems.append(f"{place}: no section [{section}]")
        elif key not in known[section]:
            problems.append(f"{place}: [{section}] has no {key}")

    for path in sorted(DEPLOY.rglob("*.toml")):
        for section, keys in tomllib.loads(path.read_text()).items():
            for key in keys:
                check(path.relative_to(ROOT), section, key)
        # Settings that are shown but not made.
        section = None
        for line in path.read_text().splitlines():
            section = (re.match(r"\[(\w+)\]", line) or [None, section])[1]
            shown = re.match(r"# (\w+) = ", line)
            if shown and section:
                check(path.relative_to(ROOT), section, shown.group(1))
    for path in sorted(path for path in DEPLOY.rglob("*") if path.is_file() and path.parent.name != "checks"):
        for section, key in set(re.findall(r"POLLUX_([A-Z]+)__([A-Z_]+)", path.read_text())):
            check(path.relative_to(ROOT), section.lower(), key.lower())
    # What balancer and probes ask for.
    for path in ("/ready", "/health"):
        found = f'"{path}"' in (ROOT / "crates/edges/src/http/health.rs").read_text()
        must(found, f"no route {path}")


{"compose": compose, "kubernetes": kubernetes, "dockerfile": dockerfile, "settings": settings}[sys.argv[1]]()
for problem in problems:
    print(problem)
sys.exit(1 if problems else 0)
