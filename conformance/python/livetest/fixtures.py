"""A pytest plugin in the place of `tests/conftest.py` of azure-eventhub: the same fixtures, from the subject.

What is left out: recording through a proxy, spans (their own tests have them commented out), making a namespace with azure-mgmt.
"""

import functools
import inspect
import re
import uuid

import certifi
import pytest
from azure.eventhub import EventHubProducerClient, TransportType
from azure.eventhub._pyamqp import ReceiveClient
from azure.eventhub._pyamqp.authentication import SASTokenAuth

from lib import connections
from lib.events import declare, namespace
from livetest import known, subject

PARTITIONS = ["0", "1"]

# The clients trust what certifi brings; the tests do not name a CA of their own.
certifi.where = lambda: connections()["ca"]


def pytest_addoption(parser):
    parser.addoption("--sleep", default="True", help="whether to sleep for longer than a connection may be idle in Azure")


def pytest_configure(config):
    config.addinivalue_line("markers", "liveTest: needs a namespace")
    config.addinivalue_line("markers", "no_amqpproxy: cannot be recorded")


def pytest_collection_modifyitems(items):
    """Those that sleep longest come first, so that none is left over in the end."""
    items.sort(key=lambda item: -slept(item.function))
    for item in items:
        entry = known.ENTRIES.get(item.originalname, {})
        if not entry.get("run", True):
            item.add_marker(pytest.mark.skip(entry["reason"]))


@functools.cache
def slept(function):
    return sum(float(seconds) for seconds in re.findall(r"sleep\(([\d.]+)\)", inspect.getsource(function)))


@pytest.fixture
def sleep(request):
    return request.config.getoption("--sleep") == "True"


@pytest.fixture(scope="session", params=[False], ids=["pyamqp"])
def uamqp_transport(request):
    """Without uamqp: azure-eventhub 5.15.1 gives it `desired_capabilities` of a type that it does not take, and cannot send."""
    return request.param


@pytest.fixture(scope="session", params=[TransportType.Amqp, TransportType.AmqpOverWebsocket], ids=["amqp", "ws"])
def socket_transport(request):
    return request.param


@pytest.fixture
def timeout_factor():
    return 1


@pytest.fixture
def client_args():
    return {}


@pytest.fixture
def faultinjector():
    pytest.skip("there is no fault injector")


@pytest.fixture
def checkpoint_store():
    return subject.checkpoint_store()


@pytest.fixture
def checkpoint_store_aio():
    return subject.checkpoint_store(is_async=True)


@pytest.fixture
def resource_mgmt_client():
    client = type("Client", (), {})()
    client.event_hubs = subject.EventHubs()
    return client


@pytest.fixture
def get_credential():
    return subject.credential


@pytest.fixture
def get_credential_async():
    return functools.partial(subject.credential, is_async=True)


@pytest.fixture
def live_eventhub():
    hub = f"eh{uuid.uuid4()}"
    name, key = subject.policy()
    declare("PUT", hub, {"partitions": len(PARTITIONS)})
    yield {
        "resource_group": namespace()["group"],
        "hostname": namespace()["hostName"],
        "key_name": name,
        "access_key": key,
        "namespace": namespace()["name"],
        "event_hub": hub,
        "consumer_group": "$Default",
        "partition": "0",
        "connection_str": f"{namespace()['connectionString']};EntityPath={hub}",
    }
    declare("DELETE", hub)


def connection_string(live, **other):
    said = {"hostname": live["hostname"], "key_name": live["key_name"], "access_key": live["access_key"]} | other
    return (
        f"Endpoint=sb://{said['hostname']}/;SharedAccessKeyName={said['key_name']};"
        f"SharedAccessKey={said['access_key']};EntityPath={live['event_hub']}"
    )


@pytest.fixture
def connection_str(live_eventhub):
    return connection_string(live_eventhub)


@pytest.fixture
def invalid_hostname(live_eventhub):
    return connection_string(live_eventhub, hostname="invalid123.servicebus.windows.net")


@pytest.fixture
def invalid_key(live_eventhub):
    return connection_string(live_eventhub, access_key="invalid")


@pytest.fixture
def invalid_policy(live_eventhub):
    return connection_string(live_eventhub, key_name="invalid")


@pytest.fixture
def receivers(live_eventhub):
    """A receiver of each partition, below the client that is tested."""
    opened = [receiver(live_eventhub, partition) for partition in PARTITIONS]
    for one in opened:
        one.open()
    yield opened
    for one in opened:
        one.close()


def receiver(live, partition):
    host, hub = live["hostname"], live["event_hub"]
    uri = f"sb://{host}/{hub}"
    source = f"amqps://{host}/{hub}/ConsumerGroups/{live['consumer_group']}/Partitions/{partition}"
    auth = SASTokenAuth(uri, uri, live["key_name"], live["access_key"])
    return ReceiveClient(host, source, auth=auth, network_trace=False, timeout=30, link_credit=500)


@pytest.fixture
def senders(live_eventhub):
    """A producer of each partition, of the client's own."""
    client = EventHubProducerClient(
        fully_qualified_namespace=live_eventhub["hostname"],
        eventhub_name=live_eventhub["event_hub"],
        credential=subject.credential(),
    )
    made = [client._create_producer(partition_id=partition) for partition in client.get_partition_ids()]
    yield made
    for one in made:
        one.close()
    client.close()


@pytest.fixture
def connstr_receivers(live_eventhub, receivers):
    return live_eventhub["connection_str"], receivers


@pytest.fixture
def auth_credentials(live_eventhub, get_credential):
    return live_eventhub["hostname"], live_eventhub["event_hub"], get_credential


@pytest.fixture
def auth_credentials_async(live_eventhub, get_credential_async):
    return live_eventhub["hostname"], live_eventhub["event_hub"], get_credential_async


@pytest.fixture
def auth_credential_receivers(auth_credentials, receivers):
    return *auth_credentials, receivers


@pytest.fixture
def auth_credential_receivers_async(auth_credentials_async, receivers):
    return *auth_credentials_async, receivers


@pytest.fixture
def auth_credential_senders(auth_credentials, senders):
    return *auth_credentials, senders


@pytest.fixture
def auth_credential_senders_async(auth_credentials_async, senders):
    return *auth_credentials_async, senders
