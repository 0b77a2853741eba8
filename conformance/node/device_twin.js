// about: device twins from both ends with npm's clients: get, reported, desired, etags, queries, disable
// timeout: 60
'use strict';
// azure-iot-device on one side, azure-iothub on the other.

const { Client, Message } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { NoRetry } = require('azure-iot-common');
const { Registry } = require('azure-iothub');
const lib = require('./lib');
const { assert, subject } = lib;

const DEVICE = 'node-twin-1';
const [hub] = subject.hub;
const registry = Registry.fromConnectionString(hub.connectionString);
const scenario = new lib.Scenario();
let key, client, twin;

scenario.case('a device is created with keys of the service\'s own', async () => {
  const { responseBody: device } = await registry.create({ deviceId: DEVICE });
  assert.equal(device.connectionState, 'Disconnected');
  key = device.authentication.symmetricKey.primaryKey;
  assert.ok(key && device.etag && device.generationId);
  assert.equal(await lib.refused(() => registry.create({ deviceId: DEVICE })), 409);
}, { needed: true });

scenario.case('the device connects and gets its twin', async () => {
  client = Client.fromConnectionString(`HostName=${hub.hostName};DeviceId=${DEVICE};SharedAccessKey=${key}`, Mqtt);
  client.setRetryPolicy(new NoRetry()); // else it tries again for minutes before it tells of its end
  await client.open();
  twin = await client.getTwin();
  assert.equal(twin.properties.desired.$version, 1);
}, { needed: true });

const report = (patch) =>
  new Promise((resolve, reject) => twin.properties.reported.update(patch, (error) => (error ? reject(error) : resolve())));

scenario.case('reported properties arrive at the service, null removes', async () => {
  await report({ firmware: { version: '1.2' }, fan: true });
  await report({ fan: null });
  const { responseBody } = await registry.getTwin(DEVICE);
  assert.equal(responseBody.properties.reported.firmware.version, '1.2');
  assert.equal(responseBody.properties.reported.fan, undefined);
  assert.equal(responseBody.properties.reported.$version, 3);
});

scenario.case('a desired property reaches the connected device', async () => {
  const pushed = new Promise((resolve) => twin.on('properties.desired.interval', resolve));
  await report({ ready: true }); // answered after the client's wish to listen, which nothing tells of
  const { responseBody } = await registry.updateTwin(DEVICE, { tags: { floor: 2 }, properties: { desired: { interval: 9 } } }, '*');
  assert.equal(responseBody.properties.desired.interval, 9);
  assert.equal(await pushed, 9);
});

scenario.case('a stale etag is refused with 412', async () => {
  assert.equal(await lib.refused(() => registry.updateTwin(DEVICE, { tags: { floor: 9 } }, 'AAAA')), 412);
  assert.equal((await registry.getTwin(DEVICE)).responseBody.tags.floor, 2);
});

scenario.case('SELECT * FROM devices finds it by tag', async () => {
  const query = registry.createQuery('SELECT * FROM devices WHERE tags.floor = 2', 100);
  const { result } = await query.nextAsTwin();
  assert.deepEqual(result.map((row) => row.deviceId), [DEVICE]);
});

scenario.case('null takes away all tags, or all desired properties, and the device is told', async () => {
  const whole = new Promise((resolve) => twin.on('properties.desired', (delta) => delta.interval === null && resolve(delta)));
  const { responseBody } = await registry.updateTwin(DEVICE, { tags: null, properties: { desired: null } }, '*');
  assert.deepEqual(responseBody.tags, {});
  const { $metadata, $version, ...left } = responseBody.properties.desired;
  assert.deepEqual(left, {});
  assert.deepEqual(await whole, { interval: null, $version });
});

scenario.case('a message with properties of every kind is taken', async () => {
  const message = new Message(Buffer.from([0, 255, 128]));
  message.messageId = 'm1';
  message.correlationId = 'c&=1';
  message.properties.add('alert level', 'hö/ch & so');
  message.properties.add('empty', '');
  await client.sendEvent(message);
});

scenario.case('a disabled device is cut off now, and let in again once enabled', async () => {
  const cut = lib.once(client, 'disconnect');
  const { responseBody: device } = await registry.get(DEVICE);
  await registry.update({ ...device, status: 'disabled' });
  await cut;
  const again = () => {
    const fresh = Client.fromConnectionString(`HostName=${hub.hostName};DeviceId=${DEVICE};SharedAccessKey=${key}`, Mqtt);
    fresh.setRetryPolicy(new NoRetry());
    return fresh.open().then(() => fresh.close());
  };
  await lib.refused(again);
  assert.equal((await registry.get(DEVICE)).responseBody.connectionState, 'Disconnected');
  await registry.update({ ...device, status: 'enabled', etag: undefined });
  await again();
});

scenario.case('many devices are listed, and deleted', async () => {
  const { responseBody: list } = await registry.list();
  assert.ok(list.some((device) => device.deviceId === DEVICE));
  await registry.delete(DEVICE);
  assert.equal(await lib.refused(() => registry.get(DEVICE)), 404);
});

scenario.run();
