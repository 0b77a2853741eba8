# about: files that devices upload with PyPI's azure-iot-device and azure-storage-blob: URLs of the hub, notifications, refusals
# timeout: 120
"""azure-iot-device asks and tells; the blob client that azure-eventhub-checkpointstoreblob brings along uploads and reads."""

import os
import uuid

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.eventhub.extensions.checkpointstoreblob._vendor.storage.blob import BlobClient
from azure.iot.device import IoTHubDeviceClient
from azure.iot.device.exceptions import ClientError
from azure.iot.hub import IoTHubRegistryManager

from lib import Scenario, connections, equal, refuses
from lib.rest import hub as hub_service

DEVICE = f"files-{uuid.uuid4().hex[:8]}"
MIB = 1024 * 1024
NOTIFICATIONS = "/messages/serviceBound/filenotifications"
subject = connections()
hub = subject["hub"][0]
service = hub_service()
registry = IoTHubRegistryManager.from_connection_string(hub["connectionString"])
made = {}
files = Scenario()


def client(device=DEVICE, key=None):
    return IoTHubDeviceClient.create_from_symmetric_key(
        symmetric_key=key or made["key"],
        hostname=hub["hostName"],
        device_id=device,
        server_verification_cert=open(subject["ca"]).read(),
        connection_retry=False,
        auto_connect=False,
    )


def blob(place, token=None):
    """Of small portions, so that a file of some MiB goes in blocks side by side."""
    url = f"https://{place['hostName']}/{place['containerName']}/{place['blobName']}{place['sasToken'] if token is None else token}"
    return BlobClient.from_blob_url(url, max_block_size=MIB, max_single_put_size=2 * MIB, max_chunk_get_size=MIB, retry_total=0)


def bad_request(action):
    """The client says what was answered in the cause of its error only."""
    error = refuses(action, kinds=(ClientError,))
    assert "400" in str(error.__cause__), repr(error.__cause__)


def told():
    """The next notification, completed; None where there is none."""
    answer = service("GET", NOTIFICATIONS)
    if answer.status_code == 204:
        return None
    service.ok("DELETE", f"{NOTIFICATIONS}/{answer.headers['ETag'][1:-1]}")
    return answer.json()


@files.case("a device uploads, and services hear of it", needed=True)
def _():
    made["key"] = registry.create_device_with_sas(DEVICE, "", "", "enabled").authentication.symmetric_key.primary_key
    device = client()
    device.connect()
    place = device.get_storage_info_for_blob("logs/day 1.txt")
    equal(place["blobName"], f"{DEVICE}/logs/day 1.txt")
    equal((place["hostName"], place["containerName"]), (hub["hostName"], "hub-files"))
    blob(place).upload_blob(b"hello")
    device.notify_blob_upload_status(place["correlationId"], True, 201, "OK: written")
    device.shutdown()
    notification = told()
    equal((notification["deviceId"], notification["blobName"], notification["blobSizeInBytes"]), (DEVICE, place["blobName"], 5))
    equal(told(), None)
    equal(blob(place).download_blob().readall(), b"hello")


@files.case("many blocks side by side make the file that was meant, and parts of it are read")
def _():
    place = client().get_storage_info_for_blob("large.bin")
    content = os.urandom(11 * MIB + 3)
    blob(place).upload_blob(content, max_concurrency=8)
    equal(blob(place).get_blob_properties().size, len(content))
    equal(blob(place).download_blob(max_concurrency=4).readall() == content, True)
    equal(blob(place).download_blob(offset=MIB, length=10).readall(), content[MIB : MIB + 10])
    refuses(lambda: blob(place).upload_blob(b"again"), kinds=(ResourceExistsError,), status=409)
    blob(place).upload_blob(b"again", overwrite=True)
    equal(blob(place).download_blob().readall(), b"again")
    client().notify_blob_upload_status(place["correlationId"], True, 201, "")
    equal(told()["blobSizeInBytes"], 5)


@files.case("what the URL does not open stays shut, in words that the client reads")
def _():
    place = client().get_storage_info_for_blob("shut.bin")
    refuses(lambda: blob(place).download_blob(), kinds=(ResourceNotFoundError,), status=404)
    refuses(lambda: blob(place).delete_blob(), kinds=(HttpResponseError,), status=403)
    for other in (
        {**place, "blobName": f"{DEVICE}/other.bin"},
        {**place, "sasToken": place["sasToken"].replace("sp=rw", "sp=rwd")},
        {**place, "sasToken": ""},
    ):
        error = refuses(lambda: blob(other).upload_blob(b"x"), kinds=(HttpResponseError,), status=403)
        equal(error.error_code, "AuthenticationFailed")


@files.case("a correlation id is good once and for its device, and a name that climbs is none")
def _():
    place = client().get_storage_info_for_blob("once.bin")
    bad_request(lambda: client().notify_blob_upload_status(place["correlationId"], True, 201, "not there"))
    other = f"{DEVICE}-other"
    key = registry.create_device_with_sas(other, "", "", "enabled").authentication.symmetric_key.primary_key
    bad_request(lambda: client(other, key).notify_blob_upload_status(place["correlationId"], False, 500, ""))
    client().notify_blob_upload_status(place["correlationId"], False, 500, "given up")
    bad_request(lambda: client().notify_blob_upload_status(place["correlationId"], False, 500, ""))
    bad_request(lambda: client().get_storage_info_for_blob("../other/x"))
    equal(told(), None)


@files.case("a notification is locked, abandoned, and comes again with its count")
def _():
    place = client().get_storage_info_for_blob("counted.bin")
    blob(place).upload_blob(b"x")
    client().notify_blob_upload_status(place["correlationId"], True, 201, "")
    first = service("GET", NOTIFICATIONS)
    equal(service("GET", NOTIFICATIONS).status_code, 204)
    token = first.headers["ETag"][1:-1]
    equal(service("POST", f"{NOTIFICATIONS}/{token}/abandon").status_code, 204)
    equal(service("DELETE", f"{NOTIFICATIONS}/{token}").status_code, 412)
    again = service("GET", NOTIFICATIONS)
    equal(again.headers["iothub-deliverycount"], "1")
    service.ok("DELETE", f"{NOTIFICATIONS}/{again.headers['ETag'][1:-1]}")
    equal(told(), None)


files.run()
