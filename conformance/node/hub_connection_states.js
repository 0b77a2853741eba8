// about: connection states of npm's devices over four transports: told at once and in order, not where one takes another's place
// server: config/connection_states.toml
// timeout: 200
'use strict';
// azure-iot-device connects and leaves; @azure/event-hubs reads what routes of DeviceConnectionStateEvents are told.

const https = require('node:https');
const { Client: Device, Message, ModuleClient } = require('azure-iot-device');
const { Amqp, AmqpWs } = require('azure-iot-device-amqp');
const { Http } = require('azure-iot-device-http');
const { Mqtt, MqttWs } = require('azure-iot-device-mqtt');
const { NoRetry } = require('azure-iot-common');
const { Registry } = require('azure-iothub');
const { earliestEventPosition } = require('@azure/event-hubs');
const lib = require('./lib');
const { Receiving, consumer } = require('./lib/events');
const { assert, eventually, subject } = lib;

const [hub] = subject.hub;
const registry = Registry.fromConnectionString(hub.connectionString);
const scenario = new lib.Scenario();
const TRANSPORTS = { MQTT: Mqtt, 'MQTT over WebSocket': MqttWs, AMQP: Amqp, 'AMQP over WebSocket': AmqpWs };
const UP = 'deviceConnected';
const DOWN = 'deviceDisconnected';
let reading;

function admin(method, path, body) {
  const url = new URL(`/admin/resources/hub/${hub.name}${path}`, subject.admin.url);
  return new Promise((resolve, reject) => {
    const request = https.request(url, { method, headers: { Authorization: `Bearer ${subject.admin.key}`, 'Content-Type': 'application/json' } }, (answer) => {
      let text = '';
      answer.on('data', (part) => { text += part; });
      answer.on('end', () => (answer.statusCode < 300 ? resolve(text) : reject(new Error(`${answer.statusCode} ${text}`))));
    });
    request.on('error', reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

async function made(deviceId) {
  const { responseBody: device } = await registry.create({ deviceId });
  return device.authentication.symmetricKey.primaryKey;
}

function client(deviceId, key, Transport) {
  const found = Device.fromConnectionString(`HostName=${hub.hostName};DeviceId=${deviceId};SharedAccessKey=${key}`, Transport);
  found.setRetryPolicy(new NoRetry());
  return found;
}

/** What was told of a device, or of a module of it, in the order in which it was. */
const told = (deviceId, moduleId) => reading.events.filter(({ properties, systemProperties }) =>
  systemProperties['iothub-message-source'] === 'deviceConnectionStateEvents' && properties.deviceId === deviceId && properties.moduleId === moduleId);

async function operations(expected, ...who) {
  await eventually(() => told(...who).length >= expected.length, { seconds: 25, what: `${expected.length} events of ${who}` });
  assert.deepEqual(told(...who).map(({ properties }) => properties.opType), expected);
  const numbers = told(...who).map(({ body }) => body.sequenceNumber);
  assert.deepEqual(numbers, [...new Set(numbers)].sort(), 'sequence numbers grow');
}

scenario.case('a route of connection states; others are told nothing of them', async () => {
  await admin('PUT', '/routes/states', { source: 'DeviceConnectionStateEvents', endpoint: 'deviceevents', condition: "opType = 'deviceConnected' OR opType = 'deviceDisconnected'" });
  reading = new Receiving(consumer('deviceevents'), undefined, { startPosition: earliestEventPosition });
}, { needed: true });

for (const [name, Transport] of Object.entries(TRANSPORTS)) {
  scenario.case(`over ${name}: connected when it connects, disconnected when it is gone for long`, async () => {
    const id = `states-${name.toLowerCase().replaceAll(' ', '-')}`;
    const key = await made(id);
    const device = client(id, key, Transport);
    await device.open();
    await device.sendEvent(new Message('{}'));
    await operations([UP], id);
    await device.close();
    await operations([UP, DOWN], id);
    const [first] = told(id);
    assert.deepEqual(Object.keys(first.properties).sort(), ['deviceId', 'hubName', 'iothub-message-schema', 'opType', 'operationTimestamp']);
    assert.equal(first.properties['iothub-message-schema'], 'deviceConnectionStateNotification');
    assert.equal(first.properties.hubName, hub.name);
    assert.equal(first.systemProperties['iothub-connection-device-id'], id);
    assert.match(first.body.sequenceNumber, /^[0-9A-F]{64}$/);
    assert.equal(first.contentType, 'application/json');
    assert.ok(first.correlationId, 'an id of its own');
    return first.body.sequenceNumber;
  });
}

scenario.case('a connection that takes the place of another, and one that comes back at once, are not told of', async () => {
  const key = await made('states-again');
  const first = client('states-again', key, Mqtt);
  const lost = new Promise((resolve) => first.on('disconnect', resolve));
  await first.open();
  const second = client('states-again', key, Amqp);
  await second.open();
  await second.getTwin();
  await lost;
  await second.close();
  const third = client('states-again', key, MqttWs);
  await third.open();
  await third.close();
  await operations([UP, DOWN], 'states-again');
});

scenario.case('a module has states of its own', async () => {
  await made('states-of');
  await registry.addModule({ deviceId: 'states-of', moduleId: 'm' });
  const { responseBody: module } = await registry.getModule('states-of', 'm');
  const text = `HostName=${hub.hostName};DeviceId=states-of;ModuleId=m;SharedAccessKey=${module.authentication.symmetricKey.primaryKey}`;
  const device = ModuleClient.fromConnectionString(text, Mqtt);
  await device.open();
  await device.close();
  await operations([UP, DOWN], 'states-of', 'm');
  assert.equal(told('states-of').length, 0);
  assert.equal(told('states-of', 'm')[0].systemProperties['iothub-connection-module-id'], 'm');
});

scenario.case('requests over HTTPS are no connections; a device that is disabled, or deleted, is gone', async () => {
  const key = await made('states-https');
  await client('states-https', key, Http).sendEvent(new Message('{}'));
  const device = client('states-https', key, Mqtt);
  device.on('error', () => {});
  await device.open();
  await registry.update({ deviceId: 'states-https', status: 'disabled' });
  await operations([UP, DOWN], 'states-https');
  const other = client('states-deleted', await made('states-deleted'), Amqp);
  other.on('error', () => {});
  await other.open();
  await other.getTwin();
  await operations([UP], 'states-deleted');
  await registry.delete('states-deleted');
  await operations([UP, DOWN], 'states-deleted');
});

scenario.case('when a device connected, left and was last heard of is known after it is gone', async () => {
  const NEVER = Date.parse('0001-01-01T00:00:00Z');
  const times = async (id) => {
    const { responseBody: device } = await registry.get(id);
    const { responseBody: twin } = await registry.getTwin(id);
    assert.equal(twin.lastActivityTime, device.lastActivityTime);
    return { state: device.connectionState, updated: Date.parse(device.connectionStateUpdatedTime), last: Date.parse(device.lastActivityTime) };
  };
  const begun = Date.now();
  for (const [id, Transport] of [['heard-mqtt', Mqtt], ['heard-amqp', Amqp], ['heard-https', Http]]) {
    const device = client(id, await made(id), Transport);
    assert.deepEqual(await times(id), { state: 'Disconnected', updated: NEVER, last: NEVER });
    await device.open();
    await device.sendEvent(new Message('{}'));
    if (Transport === Http) {
      const heard = await eventually(async () => { const now = await times(id); return now.last > NEVER && now; }, { what: 'it was heard of' });
      assert.deepEqual([heard.state, heard.updated], ['Disconnected', NEVER], 'a request is no connection');
      continue;
    }
    const there = await times(id);
    assert.equal(there.state, 'Connected');
    assert.ok(there.updated >= begun && there.updated <= there.last, JSON.stringify(there));
    await device.close();
    // Where another node had the connection it says so within a second or two.
    const gone = await eventually(async () => { const now = await times(id); return now.updated > there.updated && now; }, { what: 'it left' });
    assert.equal(gone.state, 'Disconnected');
    assert.ok(gone.last >= there.updated && gone.last <= gone.updated, JSON.stringify([there, gone]));
  }
  const since = new Date(begun).toISOString();
  const query = registry.createQuery(`SELECT deviceId FROM devices WHERE lastActivityTime >= '${since}' AND STARTSWITH(deviceId, 'heard-')`);
  const { result } = await query.next();
  assert.deepEqual(result.map((row) => row.deviceId).sort(), ['heard-amqp', 'heard-https', 'heard-mqtt']);
});

scenario.case('nothing is told any more once nobody asks', async () => {
  await admin('DELETE', '/routes/states');
  const device = client('states-mqtt', (await registry.get('states-mqtt')).responseBody.authentication.symmetricKey.primaryKey, Mqtt);
  await device.open();
  await device.sendEvent(new Message('{"last":true}'));
  await eventually(() => reading.events.some(({ body }) => body?.last), { what: 'what came after it' });
  await operations([UP, DOWN], 'states-mqtt');
  await device.close();
  await reading.stop();
});

scenario.run();
