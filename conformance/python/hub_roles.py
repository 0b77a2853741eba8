# about: PyPI's azure-iot-hub with tokens of another issuer: what each role of a hub allows, over HTTPS and AMQP
# server: config/roles.toml
# timeout: 120
"""Roles as their owners see them: each operation of azure-iot-hub is tried under each of them."""

import time
import uuid

from azure.iot.hub import DigitalTwinClient, IoTHubConfigurationManager, IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, QuerySpecification, Twin, TwinProperties
from msrest.exceptions import HttpOperationError

from lib import Scenario, connections, equal, refuses
from lib.issuer import Issuer

AUDIENCE = "pollux"
DEVICE = f"roles-{uuid.uuid4().hex[:8]}"
PATCH = Twin(properties=TwinProperties(desired={"a": 1}))
hub = connections()["hub"][0]
issuer = Issuer("http://127.0.0.1:7800/realms/iot", AUDIENCE)
roles = Scenario()

# Each operation, and the role's letter that allows it: Data `R`eader, `D`evices (Registry Contributor), `T`win Contributor.
# Data Contributor allows them all.
OPERATIONS = [
    ("get_device", "RD", lambda use: use.registry.get_device(DEVICE)),
    ("get_devices", "RD", lambda use: use.registry.get_devices(1)),
    ("get_modules", "RD", lambda use: use.registry.get_modules(DEVICE)),
    ("create_device_with_sas", "D", lambda use: use.registry.create_device_with_sas(f"{DEVICE}-n", "", "", "enabled")),
    ("delete_device", "D", lambda use: use.registry.delete_device(f"{DEVICE}-{use.letter}")),
    ("bulk_create_or_update_devices", "D", lambda use: use.registry.bulk_create_or_update_devices([])),
    ("get_twin", "RT", lambda use: use.registry.get_twin(DEVICE)),
    ("update_twin", "T", lambda use: use.registry.update_twin(DEVICE, PATCH, "*")),
    ("replace_twin", "T", lambda use: use.registry.replace_twin(DEVICE, PATCH, "*")),
    ("query_iot_hub", "RT", lambda use: use.registry.query_iot_hub(QuerySpecification(query="SELECT * FROM devices"))),
    ("get_device_registry_statistics", "R", lambda use: use.registry.get_device_registry_statistics()),
    ("get_configurations", "R", lambda use: use.configurations.get_configurations()),
    ("delete_configuration", "", lambda use: use.configurations.delete_configuration(f"none-{use.letter}")),
    ("get_digital_twin", "RT", lambda use: use.digital_twins.get_digital_twin(DEVICE)),
    ("update_digital_twin", "T", lambda use: use.digital_twins.update_digital_twin(DEVICE, [], "*")),
    ("invoke_device_method", "", lambda use: use.registry.invoke_device_method(DEVICE, CloudToDeviceMethod(method_name="m"))),
]


class Use:
    """azure-iot-hub's clients with one credential."""

    def __init__(self, letter, credential):
        self.letter = letter
        self.registry, self.configurations, self.digital_twins = (
            kind.from_token_credential(hub["hostName"], credential)
            for kind in (IoTHubRegistryManager, IoTHubConfigurationManager, DigitalTwinClient)
        )


def asked(operation, use):
    """The HTTP status, 200 where it went well, and what the answer says."""
    try:
        operation(use)
        return 200, ""
    except HttpOperationError as error:
        return error.response.status_code, error.response.text


def opens(use, wanted):
    for name, _, operation in OPERATIONS:
        status, said = asked(operation, use)
        equal(status != 401, name in wanted, f"{name} is let through ({status} {said})")
        assert status < 500, f"{name}: {status} {said}"
        if name == "create_device_with_sas" and status == 200:
            use.registry.delete_device(f"{DEVICE}-n")


@roles.case("preparation: a device, made with a token of the role Data Contributor", needed=True)
def _():
    admin = Use("A", issuer.credential("IoT Hub Data Contributor"))
    admin.registry.create_device_with_sas(DEVICE, "", "", "enabled")


@roles.each(
    [
        ("IoT Hub Data Reader", "R"),
        ("IoT Hub Registry Contributor", "D"),
        ("IoT Hub Twin Contributor", "T"),
        ("Azure Digital Twins Data Owner", "-"),
        ("operators", "DT"),
    ],
    "the role {} opens what Azure's does and no more",
)
def _(role, letters):
    wanted = {name for name, allow, _ in OPERATIONS if set(allow) & set(letters)}
    opens(Use(letters, issuer.credential(role)), wanted)


@roles.case("the role Data Contributor opens everything, several roles what each of them does, none nothing")
def _():
    opens(Use("A", issuer.credential("IoT Hub Data Contributor")), {name for name, _, _ in OPERATIONS})
    both = issuer.credential("IoT Hub Data Reader", "IoT Hub Twin Contributor")
    opens(Use("RT", both), {name for name, allow, _ in OPERATIONS if set(allow) & set("RT")})
    opens(Use("0", issuer.credential()), set())


@roles.case("a refusal names the role that would do")
def _():
    reader = Use("R", issuer.credential("IoT Hub Data Reader"))
    error = refuses(lambda: reader.registry.update_twin(DEVICE, PATCH, "*"), kinds=(HttpOperationError,), status=401)
    assert "IoT Hub Twin Contributor" in error.response.text, error.response.text


@roles.case("messages from the cloud are sent over AMQP by Data Contributor, and not by Data Reader")
def _():
    Use("A", issuer.credential("IoT Hub Data Contributor")).registry.send_c2d_message(DEVICE, "hello")
    reader = Use("R", issuer.credential("IoT Hub Data Reader"))
    refuses(lambda: reader.registry.send_c2d_message(DEVICE, "hello"), says="IoT Hub Data Contributor")
    twin = Use("A", issuer.credential("IoT Hub Data Contributor")).registry.get_twin(DEVICE)
    equal(twin.cloud_to_device_message_count, 1)


@roles.case("a token for another audience, of another issuer, or that has run out opens nothing")
def _():
    contributor = "IoT Hub Data Contributor"
    for wrong in ({"aud": "other"}, {"iss": "http://127.0.0.1:7801/realms/iot"}, {"exp": int(time.time()) - 3600}):
        use = Use("W", issuer.credential(contributor, **wrong))
        equal(asked(lambda use: use.registry.get_device(DEVICE), use)[0], 401, f"{wrong}")


roles.run()
