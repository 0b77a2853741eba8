# about: provisioning by certificate with PyPI's azure-iot-device, over MQTT and MQTT over WebSocket: individual, group, refusals
# timeout: 120
"""A device registers with a certificate, and connects to its hub with it."""

from pathlib import Path

from azure.iot.device import IoTHubDeviceClient, ProvisioningDeviceClient

from lib import Scenario, connections, equal
from lib.pki import made, shown
from lib.rest import provisioning

x509 = Scenario()
service = provisioning()
dps, hub = connections()["dps"][0], connections()["hub"][0]


def register(registration_id, stem, **options):
    client = ProvisioningDeviceClient.create_from_x509_certificate(
        provisioning_host=dps["hostName"],
        registration_id=registration_id,
        id_scope=dps["idScope"],
        x509=shown(stem),
        **options,
    )
    return client.register()


def refused(registration_id, stem, **options):
    try:
        result = register(registration_id, stem, **options)
    except Exception as error:  # the SDK has a class for each of its layers
        return type(error).__name__
    raise AssertionError(f"it was accepted: {result.status}")


TRANSPORTS = {"MQTT": {}, "MQTT over WebSocket": {"websockets": True}}

for name, options in TRANSPORTS.items():

    @x509.case(f"{name}: a device registers with its own certificate, and connects to its hub with it")
    def _(name=name, options=options):
        device = f"py-own-{len(name)}"
        own = made(device, device)
        body = {"registrationId": device, "attestation": {"type": "x509", "x509": {
            "clientCertificates": {"primary": {"certificate": Path(f"{own}.pem").read_text()}}}}}
        service.ok("PUT", f"/enrollments/{device}", body)
        result = register(device, own, **options)
        equal((result.status, result.registration_state.device_id), ("assigned", device))
        equal(result.registration_state.assigned_hub, hub["hostName"])
        client = IoTHubDeviceClient.create_from_x509_certificate(
            x509=shown(own), hostname=hub["hostName"], device_id=device, **options
        )
        client.connect()
        client.send_message("{}")
        client.shutdown()

    @x509.case(f"{name}: a group admits who its certificate vouches for, and nobody else")
    def _(name=name, options=options):
        group = f"py-group-{len(name)}"
        root = made(group, group, authority=True)
        body = {"enrollmentGroupId": group, "attestation": {"type": "x509", "x509": {
            "signingCertificates": {"primary": {"certificate": Path(f"{root}.pem").read_text()}}}}}
        service.ok("PUT", f"/enrollmentGroups/{group}", body)
        device = f"{group}-device"
        leaf = made(device, device, above=root)
        equal(register(device, leaf, **options).registration_state.device_id, device)
        words = [
            refused(f"{group}-other", leaf, **options),
            refused(device, made(device, f"{device}-self"), **options),
        ]
        body["provisioningStatus"] = "disabled"
        service.ok("PUT", f"/enrollmentGroups/{group}", body, If_Match="*")
        words.append(refused(device, leaf, **options))
        return " ".join(words)


x509.run()
