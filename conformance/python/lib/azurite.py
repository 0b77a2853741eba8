"""Azurite, Microsoft's own emulator of blob storage (npm), in memory: it ends with the scenario. Spoken to with PyPI's client."""

import atexit
import datetime
import subprocess

from azure.eventhub.extensions.checkpointstoreblob._vendor.storage.blob import ContainerClient, generate_container_sas

from . import CONFORMANCE, eventually

PORT = 10000  # in the scenario's own network
# The account that Azurite has unless it is told otherwise; its key is published.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
PROGRAM = CONFORMANCE / "node" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


def start(name):
    """Starts it; answers a container of this name, and what makes a blob's URL with a signature for reading and writing."""
    options = ["--inMemoryPersistence", "--blobPort", str(PORT), "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    process = subprocess.Popen(["node", str(PROGRAM), *options], stdout=subprocess.DEVNULL)
    atexit.register(process.kill)
    url = f"http://127.0.0.1:{PORT}/{ACCOUNT}/{name}"
    container = ContainerClient.from_container_url(url, credential=KEY, retry_total=0)

    def made():
        container.create_container()
        return True

    eventually(made, seconds=30, what="Azurite")

    def signed(blob, permission="racw"):
        expiry = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
        sas = generate_container_sas(ACCOUNT, name, account_key=KEY, permission=permission, expiry=expiry)
        return f"{url}/{blob}?{sas}"

    return container, signed, process
