"""The subject as azure-mgmt-eventhub and a storage account would show it, as far as the live tests look."""

import types

from azure.eventhub._eventprocessor.in_memory_checkpoint_store import InMemoryCheckpointStore
from azure.eventhub.aio._eventprocessor.in_memory_checkpoint_store import (
    InMemoryCheckpointStore as InMemoryCheckpointStoreAsync,
)
from azure.identity import ClientSecretCredential
from azure.identity.aio import ClientSecretCredential as ClientSecretCredentialAsync

from lib import connections
from lib.events import declare, namespace
from lib.sas import parts


def policy():
    """The name and the key of the namespace's policy."""
    found = parts(namespace()["connectionString"])
    return found["SharedAccessKeyName"], found["SharedAccessKey"]


def credential(is_async=False):
    identity = connections()["identity"]
    kind = ClientSecretCredentialAsync if is_async else ClientSecretCredential
    return kind(
        identity["tenantId"],
        identity["clientId"],
        identity["clientSecret"],
        authority=identity["authority"],
        disable_instance_discovery=True,
    )


class EventHubs:
    """`event_hubs` of azure-mgmt-eventhub's client: retention can be read and changed."""

    def __init__(self):
        self.days = 1

    def get(self, group, namespace, hub):
        return types.SimpleNamespace(as_dict=lambda: {"message_retention_in_days": self.days})

    def create_or_update(self, group, namespace, hub, properties):
        self.days = properties["message_retention_in_days"]
        declare("PUT", hub, {"retentionHours": self.days * 24})


def checkpoint_store(is_async=False):
    """The client's own, in memory: the tests look for a container of it only to make and remove that."""
    return InMemoryCheckpointStoreAsync() if is_async else InMemoryCheckpointStore()
