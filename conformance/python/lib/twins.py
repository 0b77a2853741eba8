"""PyPI's azure-digitaltwins-core with azure-identity, pointed at the subject."""

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.digitaltwins.core import DigitalTwinsClient
from azure.identity import ClientSecretCredential

from . import connections, models


def credential(**override):
    identity = connections()["identity"] | override
    return ClientSecretCredential(
        identity["tenantId"],
        identity["clientId"],
        identity["clientSecret"],
        authority=identity["authority"],
        disable_instance_discovery=True,
    )


def client(url=None, **options):
    return DigitalTwinsClient(url or connections()["twins"][0]["url"], credential(), **options)


def upload_models(twins):
    """The sample's models; finding them there already is as good."""
    try:
        twins.create_models(models())
    except ResourceExistsError:
        pass


def twin_or_none(twins, twin_id):
    try:
        return twins.get_digital_twin(twin_id)
    except ResourceNotFoundError:
        return None


def clear(twins):
    """Empties the instance: relationships, twins, models (what others need last)."""
    for row in list(twins.query_twins("SELECT * FROM DIGITALTWINS")):
        for relationship in list(twins.list_relationships(row["$dtId"])):
            twins.delete_relationship(row["$dtId"], relationship["$relationshipId"])
    for row in list(twins.query_twins("SELECT * FROM DIGITALTWINS")):
        twins.delete_digital_twin(row["$dtId"])
    models = {model.id: model.model for model in twins.list_models(include_model_definition=True)}
    for identifier in reversed(dependency_order(list(models.values()))):
        twins.delete_model(identifier)


def dependency_order(models):
    """Ids of DTDL interfaces, each after those among them that it extends or has as components."""
    needs = {model["@id"]: list(needed(model)) for model in models}
    ordered, seen = [], set()

    def visit(identifier):
        if identifier in seen or identifier not in needs:
            return
        seen.add(identifier)
        for other in needs[identifier]:
            visit(other)
        ordered.append(identifier)

    for identifier in needs:
        visit(identifier)
    return ordered


def needed(model):
    """What an interface cannot be without, as far as it is named by an id."""
    extends = model.get("extends", [])
    yield from (base for base in (extends if isinstance(extends, list) else [extends]) if isinstance(base, str))
    for content in model.get("contents", []):
        kinds = content["@type"] if isinstance(content["@type"], list) else [content["@type"]]
        if "Component" in kinds and isinstance(content["schema"], str):
            yield content["schema"]
