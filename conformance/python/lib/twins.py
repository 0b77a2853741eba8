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


def client(url=None):
    return DigitalTwinsClient(url or connections()["twins"][0]["url"], credential())


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
