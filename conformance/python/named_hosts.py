# about: several resources side by side, each under its own host name, with keys and data of its own
# server: config/named.toml
# timeout: 60
"""Resources that share ports and nothing else."""

import socket
import ssl

from lib import Scenario, connections, equal, refuses
from lib.mqtt import Mqtt, Refused
from lib.rest import HUB_VERSION, Service, request
from lib.sas import parts, service_token, token
from lib.twins import client

subject = connections()
names = Scenario()
north, south = Service("hub", HUB_VERSION, "hub-north"), Service("hub", HUB_VERSION, "hub-south")


def row(kind, name):
    return next(row for row in subject[kind] if row["name"] == name)


@names.case("each resource tells its own host name and key", needed=True)
def _():
    equal(north.row["hostName"], "hub1.azure-devices.test")
    equal(parts(south.row["connectionString"])["HostName"], "hub2.azure-devices.test")
    keys = {parts(row["connectionString"])["SharedAccessKey"] for row in subject["hub"]}
    equal(len(keys), len(subject["hub"]), "hubs share a key")


@names.case("the certificate names them all")
def _():
    wanted = [row["hostName"] for kind in ("dps", "hub", "events", "twins") for row in subject[kind]]
    context = ssl.create_default_context(cafile=subject["ca"])
    for name in {*wanted, "localhost", "pollux.test"}:
        with socket.create_connection(("127.0.0.1", subject["ports"]["https"][0])) as plain:
            context.wrap_socket(plain, server_hostname=name).close()


@names.case("what one hub holds the other does not know")
def _():
    north.ok("PUT", "/devices/shared-name", {"deviceId": "shared-name"})
    equal(south("GET", "/devices/shared-name").status_code, 404)
    south.ok("PUT", "/devices/shared-name", {"deviceId": "shared-name"})
    north.ok("DELETE", "/devices/shared-name", If_Match="*")
    equal(south("GET", "/devices/shared-name").status_code, 200)


@names.case("the key of one hub opens no other, over HTTPS and MQTT")
def _():
    crossed = token("hub2.azure-devices.test", parts(north.row["connectionString"])["SharedAccessKey"], "iothubowner")
    for signed in (crossed, service_token(north.row["connectionString"])):
        equal(request("GET", south.base + "/devices", params=HUB_VERSION, token=signed).status_code, 401)
    key = north.ok("PUT", "/devices/only-north", {"deviceId": "only-north"})["authentication"]["symmetricKey"]["primaryKey"]
    south.ok("PUT", "/devices/only-north", {"deviceId": "only-north"})
    host = "hub2.azure-devices.test"
    user = f"{host}/only-north/?api-version=2021-04-12"
    refuses(lambda: Mqtt(host, "only-north", user, token(f"{host}/devices/only-north", key)), kinds=(Refused,))


@names.case("the second twins instance is empty when the first is not")
def _():
    port = subject["ports"]["https"][0]
    first, second = (client(f"https://{row('twins', name)['hostName']}:{port}") for name in ("twins-north", "twins-south"))
    model = {"@id": "dtmi:test:Alone;1", "@type": "Interface", "@context": "dtmi:dtdl:context;2"}
    second.create_models([model])
    second.upsert_digital_twin("alone", {"$metadata": {"$model": "dtmi:test:Alone;1"}})
    equal([twin["$dtId"] for twin in second.query_twins("SELECT * FROM DIGITALTWINS")], ["alone"])
    equal(list(first.query_twins("SELECT * FROM DIGITALTWINS")), [])
    equal(list(first.list_models()), [])


names.run()
