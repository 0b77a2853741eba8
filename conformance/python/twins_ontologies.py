# about: real ontologies: 1,364 models of RealEstateCore and 63 of smart cities are uploaded, listed, related and deleted in order
# timeout: 300
"""Whole ontologies through azure-digitaltwins-core: in one call where the number of models permits, otherwise in order of dependency."""

import json
import os
import time
from pathlib import Path

from azure.core.exceptions import HttpResponseError

from lib import Scenario, equal, out, refuses
from lib.twins import clear, client, dependency_order, needed

MODELS = Path(os.environ.get("SHARED_DIR", "/nonexistent")) / "models"
ONTOLOGIES = [("realestatecore", 1364), ("smartcities", 63)]
PER_CALL = 250  # "Azure Digital Twins service limits"
twins = client()
scenario = Scenario()


def read(name):
    """The interfaces of an ontology by id; a file may hold several."""
    found = {}
    for path in sorted((MODELS / name).rglob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        for interface in content if isinstance(content, list) else [content]:
            found[interface["@id"]] = interface
    return found


def portions(models):
    ordered = dependency_order(list(models.values()))
    return [ordered[start : start + PER_CALL] for start in range(0, len(ordered), PER_CALL)]


@scenario.each(ONTOLOGIES, "{}: uploaded, listed whole, closed under dependencies, deleted in order")
def _(name, count):
    models = read(name)
    equal(len(models), count, "interfaces at hand")
    start = time.monotonic()
    for portion in portions(models):
        created = twins.create_models([models[identifier] for identifier in portion])
        equal([model.id for model in created], portion, "what an upload answers")
    uploaded = time.monotonic()
    listed = {model.id: model for model in twins.list_models(include_model_definition=True)}
    equal(listed.keys(), models.keys(), "what is listed")
    for identifier, model in models.items():
        shown = listed[identifier].model
        context = model["@context"] if isinstance(model["@context"], list) else [model["@context"]]
        equal(shown, model | {"@context": context}, identifier)
    check_closures(models)
    referenced = next(base for model in models.values() for base in needed(model) if base in models)
    error = refuses(lambda: twins.delete_model(referenced), kinds=(HttpResponseError,), status=409)
    equal(error.error.code, "ModelReferencesNotDeleted")
    checked = time.monotonic()
    for identifier in reversed(dependency_order(list(models.values()))):
        twins.delete_model(identifier)
    equal(list(twins.list_models()), [])
    deleted = time.monotonic() - checked
    out({"note": f"{name}: {count} models uploaded in {uploaded - start:.1f} s, deleted one by one in {deleted:.1f} s"})


def check_closures(models):
    """`dependenciesFor` gives a model with all it extends and has as components, through any number of steps."""
    for identifier in list(models)[:: max(1, len(models) // 20)]:
        wanted, open_ = set(), [identifier]
        while open_:
            one = open_.pop()
            if one not in wanted and one in models:
                wanted.add(one)
                open_.extend(needed(models[one]))
        got = {model.id for model in twins.list_models(dependencies_for=[identifier])}
        equal(got, wanted, f"dependencies of {identifier}")


@scenario.case("more models than a call may carry are refused whole")
def _():
    models = read("realestatecore")
    ordered = dependency_order(list(models.values()))[: PER_CALL + 1]
    error = refuses(lambda: twins.create_models([models[one] for one in ordered]), kinds=(HttpResponseError,), status=400)
    equal(error.error.code, "LimitExceeded")
    equal(list(twins.list_models()), [])


@scenario.case("an ontology in another order: cross references within one call resolve, over calls they do not")
def _():
    models = read("smartcities")
    backwards = list(reversed(dependency_order(list(models.values()))))
    first = next(one for one in backwards if any(base in models for base in needed(models[one])))
    error = refuses(lambda: twins.create_models([models[first]]), kinds=(HttpResponseError,), status=400)
    equal(error.error.code, "DTDLParserError")
    twins.create_models([models[one] for one in backwards])
    equal(len(list(twins.list_models())), len(models))
    clear(twins)
    equal(list(twins.list_models()), [])


if MODELS.is_dir():
    scenario.run()
out({"name": "ontologies", "skip": f"no models at {MODELS}: set SHARED_DIR"})
