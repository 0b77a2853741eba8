// about: the whole story with npm's clients: a simulator that knows only host, ID scope and key
// timeout: 90
'use strict';
// A device provisions and its twin appears; the device is deleted and its twin is gone.

const { Client, Message } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { Mqtt: ProvisioningMqtt } = require('azure-iot-provisioning-device-mqtt');
const { ProvisioningServiceClient } = require('azure-iot-provisioning-service');
const { SymmetricKeySecurityClient } = require('azure-iot-security-symmetric-key');
const { NoRetry } = require('azure-iot-common');
const { Registry } = require('azure-iothub');
const lib = require('./lib');
const { assert, eventually, subject, SPACE, THERMOSTAT } = lib;

const DEVICE = 'Thermostat-Node_1';
const [dps] = subject.dps;
const [hub] = subject.hub;
const enrollments = ProvisioningServiceClient.fromConnectionString(dps.connectionString);
const registry = Registry.fromConnectionString(hub.connectionString);
const twins = lib.twinsClient();
const story = new lib.Scenario();
let groupKey, assignedHub, device;

function register() {
  const security = new SymmetricKeySecurityClient(DEVICE, lib.derivedKey(groupKey, DEVICE));
  const client = ProvisioningDeviceClient.create(dps.hostName, dps.idScope, new ProvisioningMqtt(), security);
  client.setProvisioningPayload({ modelId: THERMOSTAT });
  return client.register();
}

async function connect() {
  const key = lib.derivedKey(groupKey, DEVICE);
  const client = Client.fromConnectionString(`HostName=${assignedHub};DeviceId=${DEVICE};SharedAccessKey=${key}`, Mqtt);
  client.setRetryPolicy(new NoRetry()); // else it tries again for minutes before it tells of its end
  await client.open();
  return client;
}

async function telemetry(value) {
  const message = new Message(JSON.stringify({ Temperature: value }));
  message.contentType = 'application/json';
  message.contentEncoding = 'utf-8';
  await device.sendEvent(message);
}

/** The simulator: one message each half second, as the sample sends them. */
async function simulate(values) {
  for (const value of values) {
    await telemetry(value);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

async function query(where) {
  const found = [];
  for await (const twin of twins.queryTwins(`SELECT * FROM DIGITALTWINS T WHERE ${where}`)) found.push(twin.$dtId);
  return found;
}

const temperature = async () => (await twins.getDigitalTwin(DEVICE)).body.Temperature;
const gone = async () => (await lib.refused(() => twins.getDigitalTwin(DEVICE))) === 404;

async function all(pages) {
  const rows = [];
  for await (const row of pages) rows.push(row);
  return rows;
}

story.case('the models are uploaded', () => lib.uploadModels(twins), { needed: true });

story.case('an enrollment group with custom allocation is made', async () => {
  const { responseBody: group } = await enrollments.createOrUpdateEnrollmentGroup(lib.groupBody('node-line'));
  assert.equal(group.customAllocationDefinition.webhookUrl, subject.functions[0].allocateUrl);
  const { responseBody: mechanism } = await enrollments.getEnrollmentGroupAttestationMechanism('node-line');
  groupKey = mechanism.symmetricKey.primaryKey;
}, { needed: true });

story.case('the simulator registers and is assigned to the hub', async () => {
  const result = await register();
  assert.equal(result.deviceId, DEVICE);
  assert.equal(result.assignedHub, hub.hostName);
  assignedHub = result.assignedHub;
}, { needed: true });

story.case('its twin is there, named like the registration id', async () => {
  const { body } = await twins.getDigitalTwin(DEVICE);
  assert.equal(body.$metadata.$model, THERMOSTAT);
});

story.case('the device twin has the tags dtmi and dtId', async () => {
  const { responseBody: twin } = await registry.getTwin(DEVICE);
  assert.deepEqual({ dtmi: twin.tags.dtmi, dtId: twin.tags.dtId }, { dtmi: THERMOSTAT, dtId: DEVICE });
});

story.case('it connects and sends its temperature every half second', async () => {
  device = await connect();
  await simulate([20.5, 21.5, 24.25]);
}, { needed: true });

story.case('the twin shows the last temperature', () =>
  eventually(async () => (await temperature()) === 24.25, { what: 'the last temperature' }));

story.case('the queries of the story find it', async () => {
  assert.deepEqual(await query(`$dtId = '${DEVICE}' AND IS_OF_MODEL('${THERMOSTAT}')`), [DEVICE]);
  assert.deepEqual(await query('T.Temperature > 20'), [DEVICE]);
});

story.case('registering again finds the same twin and device', async () => {
  const before = (await registry.get(DEVICE)).responseBody.generationId;
  await register();
  assert.equal((await registry.get(DEVICE)).responseBody.generationId, before);
  assert.equal(await temperature(), 24.25);
});

story.case('the twin has relationships in both directions', async () => {
  await twins.upsertDigitalTwin('hall', JSON.stringify({ $metadata: { $model: SPACE } }));
  const relate = (source, target, id, name) =>
    twins.upsertRelationship(source, id, {
      $relationshipId: id, $sourceId: source, $targetId: target, $relationshipName: name,
    });
  await relate('hall', DEVICE, 'in', 'contains');
  await relate(DEVICE, 'hall', 'out', 'serves');
});

story.case('the device is deleted and cut off', async () => {
  const cut = lib.once(device, 'disconnect');
  await registry.delete(DEVICE);
  await cut;
  assert.equal(await lib.refused(() => registry.get(DEVICE)), 404);
  await lib.refused(connect);
});

story.case('its twin is gone, with the relationships in both directions', async () => {
  await eventually(gone, { what: 'the end of the twin' });
  assert.deepEqual(await all(twins.listRelationships('hall')), []);
  assert.deepEqual(await all(twins.listIncomingRelationships('hall')), []);
});

story.run();
