// about: modules of devices with npm's clients: identities, telemetry, twins, methods, wrong keys, what ends with a device
// timeout: 150
'use strict';
// ModuleClient of azure-iot-device on one side, Registry and Client of azure-iothub on the other.

const { execFile, execFileSync } = require('node:child_process');
const path = require('node:path');
const { Client: Device, Message, ModuleClient } = require('azure-iot-device');
const { Amqp, AmqpWs } = require('azure-iot-device-amqp');
const { Mqtt, MqttWs } = require('azure-iot-device-mqtt');
const { NoRetry } = require('azure-iot-common');
const { Client, Registry } = require('azure-iothub');
const { earliestEventPosition } = require('@azure/event-hubs');
const lib = require('./lib');
const { Receiving, consumer } = require('./lib/events');
const { assert, subject } = lib;

const [hub] = subject.hub;
const registry = Registry.fromConnectionString(hub.connectionString);
const service = Client.fromConnectionString(hub.connectionString);
const scenario = new lib.Scenario();
const TRANSPORTS = { MQTT: Mqtt, 'MQTT over WebSocket': MqttWs, AMQP: Amqp, 'AMQP over WebSocket': AmqpWs };
const body = async (answer) => (await answer).responseBody;
const D = 'modules-1';
const keys = {};

function client(deviceId, moduleId, key, Transport = Mqtt) {
  const found = ModuleClient.fromConnectionString(`HostName=${hub.hostName};DeviceId=${deviceId};ModuleId=${moduleId};SharedAccessKey=${key}`, Transport);
  found.setRetryPolicy(new NoRetry());
  return found;
}

function ofDevice(deviceId, key) {
  const found = Device.fromConnectionString(`HostName=${hub.hostName};DeviceId=${deviceId};SharedAccessKey=${key}`, Mqtt);
  found.setRetryPolicy(new NoRetry());
  return found;
}

/** A module; its client is not open yet. */
async function module_(deviceId, moduleId, Transport) {
  const made = await body(registry.addModule({ deviceId, moduleId }));
  keys[`${deviceId}/${moduleId}`] = made.authentication.symmetricKey.primaryKey;
  return client(deviceId, moduleId, keys[`${deviceId}/${moduleId}`], Transport);
}

const report = (twin, patch) =>
  new Promise((resolve, reject) => twin.properties.reported.update(patch, (error) => (error ? reject(error) : resolve())));
const invoke = async (deviceId, moduleId, methodName, payload) =>
  (await service.invokeDeviceMethod(deviceId, moduleId, { methodName, payload, responseTimeoutInSeconds: 10 })).result;
const rows = async (query) => (await registry.createQuery(query, 100).next()).result;

scenario.case('module identities are made, read, listed, changed under their etag and removed', async () => {
  const device = await body(registry.create({ deviceId: D }));
  keys[D] = device.authentication.symmetricKey.primaryKey;
  const made = await body(registry.addModule({ deviceId: D, moduleId: 'first', managedBy: 'me' }));
  assert.deepEqual([made.deviceId, made.moduleId, made.managedBy, made.connectionState], [D, 'first', 'me', 'Disconnected']);
  assert.ok(made.authentication.symmetricKey.primaryKey && made.etag && made.generationId);
  assert.deepEqual(await body(registry.getModule(D, 'first')), made);
  await registry.addModule({ deviceId: D, moduleId: 'second' });
  assert.deepEqual((await body(registry.getModulesOnDevice(D))).map((one) => one.moduleId), ['first', 'second']);
  const changed = await body(registry.updateModule({ ...made, managedBy: 'you' }));
  assert.equal(changed.managedBy, 'you');
  assert.deepEqual(changed.authentication, made.authentication);
  assert.equal(await lib.refused(() => registry.updateModule({ ...made, managedBy: 'nobody' })), 412);
  await registry.updateModule({ ...made, managedBy: 'nobody' }, true);
  // With a module in place of its ids the client wants a callback.
  const removed = () => new Promise((resolve, reject) => registry.removeModule(made, (error) => (error ? reject(error) : resolve())));
  assert.equal(await lib.refused(removed), 412);
  await registry.removeModule(D, 'first');
  assert.equal(await lib.refused(() => registry.getModule(D, 'first')), 404);
}, { needed: true });

scenario.case('refused: one that is there, one of no device, the fifty-first', async () => {
  assert.equal(await lib.refused(() => registry.addModule({ deviceId: D, moduleId: 'second' })), 409);
  assert.equal(await lib.refused(() => registry.addModule({ deviceId: 'modules-none', moduleId: 'm' })), 404);
  assert.equal(await lib.refused(() => registry.getModulesOnDevice('modules-none')), 404);
  await registry.create({ deviceId: 'modules-many' });
  for (let at = 0; at < 50; at++) await registry.addModule({ deviceId: 'modules-many', moduleId: `m${at}` });
  assert.equal(await lib.refused(() => registry.addModule({ deviceId: 'modules-many', moduleId: 'm50' })), 413);
});

for (const [name, Transport] of Object.entries(TRANSPORTS)) {
  const moduleId = `m-${Transport.name.toLowerCase()}`;

  scenario.case(`telemetry and outputs over ${name} bear the module's id`, async () => {
    const module = await module_(D, moduleId, Transport);
    await module.open();
    const message = new Message(JSON.stringify({ by: moduleId }));
    message.contentType = 'application/json';
    message.contentEncoding = 'utf-8';
    message.properties.add('level', 'high');
    await module.sendEvent(message);
    await module.sendOutputEvent('alerts', new Message('{"out": 1}'));
    assert.equal((await body(registry.getModule(D, moduleId))).connectionState, 'Connected');
    assert.equal((await body(registry.get(D))).connectionState, 'Disconnected', 'its device is not');
    await module.close();
    const reading = new Receiving(consumer('deviceevents'), undefined, { startPosition: earliestEventPosition });
    const own = () => reading.events.filter((event) => event.systemProperties['iothub-connection-module-id'] === moduleId);
    await lib.eventually(() => own().length >= 2, { what: 'both messages' });
    await reading.stop();
    const [sent, out] = own();
    assert.deepEqual([sent.body, sent.properties, sent.systemProperties['iothub-connection-device-id']], [{ by: moduleId }, { level: 'high' }, D]);
    assert.match(sent.systemProperties['iothub-connection-auth-method'], /"scope":"module"/);
    assert.equal(out.systemProperties['iothub-outputname'], 'alerts');
    assert.equal(out.partitionKey, D);
  });

  scenario.case(`twins over ${name}, both ways`, async () => {
    const module = client(D, moduleId, keys[`${D}/${moduleId}`], Transport);
    await module.open();
    const twin = await module.getTwin();
    assert.equal(twin.properties.desired.$version, 1);
    // Before what is reported: the client does not say when it listens, but it asks in its order.
    const pushed = new Promise((resolve) => twin.on('properties.desired.interval', resolve));
    await report(twin, { firmware: { version: '1.2' }, fan: true });
    await report(twin, { fan: null });
    const seen = await body(registry.getModuleTwin(D, moduleId));
    assert.deepEqual([seen.deviceId, seen.moduleId, seen.properties.reported.firmware], [D, moduleId, { version: '1.2' }]);
    assert.equal(seen.properties.reported.fan, undefined);
    const patch = { tags: { floor: 2 }, properties: { desired: { interval: 9 } } };
    const changed = await body(registry.updateModuleTwin(D, moduleId, patch, seen.etag));
    assert.deepEqual([changed.tags.floor, changed.properties.desired.interval], [2, 9]);
    assert.equal(await pushed, 9);
    assert.equal(await lib.refused(() => registry.updateModuleTwin(D, moduleId, patch, seen.etag)), 412);
    assert.equal((await body(registry.getTwin(D))).properties.desired.interval, undefined, 'its device has another');
    await module.close();
  });

  scenario.case(`methods over ${name}`, async () => {
    const module = client(D, moduleId, keys[`${D}/${moduleId}`], Transport);
    await module.open();
    module.onMethod('echo', (request, response) => response.send(207, request.payload));
    await lib.eventually(() => invoke(D, moduleId, 'echo', 'there?'), { what: 'the subscription' });
    assert.deepEqual(await invoke(D, moduleId, 'echo', { a: [1, 'ü', null] }), { status: 207, payload: { a: [1, 'ü', null] } });
    const refused = await service.invokeDeviceMethod(D, { methodName: 'echo', responseTimeoutInSeconds: 5 }).then(() => 200, (error) => error.response?.statusCode);
    assert.equal(refused, 404, 'its device listens to none');
    await module.close();
  });
}

scenario.case('refused: the keys of its device, of another module, of nobody', async () => {
  const other = keys[`${D}/m-mqttws`];
  for (const Transport of Object.values(TRANSPORTS)) {
    for (const key of [keys[D], other, Buffer.from('another key, not ours').toString('base64')]) {
      await lib.refused(() => client(D, 'm-mqtt', key, Transport).open());
    }
  }
  await lib.refused(() => ofDevice(D, other).open());
  await lib.refused(() => client(D, 'nobody', other).open());
});

scenario.case('a device and its modules are connected side by side; a newer connection takes the place of its own alone', async () => {
  const device = ofDevice(D, keys[D]);
  await device.open();
  const module = await module_(D, 'beside');
  await module.open();
  const cut = lib.once(module, 'disconnect');
  const newer = client(D, 'beside', keys[`${D}/beside`], MqttWs);
  await newer.open();
  await cut;
  for (const one of [device, newer]) await one.sendEvent(new Message('{"still": "there"}'));
  await newer.close();
  await device.close();
});

scenario.case('what is deleted or disabled is cut off: a module alone, a device with its modules', async () => {
  const deviceId = 'modules-2';
  const { authentication } = await body(registry.create({ deviceId }));
  const device = ofDevice(deviceId, authentication.symmetricKey.primaryKey);
  const [a, b] = [await module_(deviceId, 'a'), await module_(deviceId, 'b')];
  for (const one of [device, a, b]) await one.open();
  let cut = lib.once(a, 'disconnect');
  await registry.removeModule(deviceId, 'a');
  await cut;
  await lib.refused(() => client(deviceId, 'a', keys[`${deviceId}/a`]).open());
  await b.sendEvent(new Message('{"still": "there"}'));
  cut = Promise.all([lib.once(device, 'disconnect'), lib.once(b, 'disconnect')]);
  const known = await body(registry.get(deviceId));
  await registry.update({ ...known, status: 'disabled' });
  await cut;
  await lib.refused(() => client(deviceId, 'b', keys[`${deviceId}/b`]).open());
  await registry.update({ ...(await body(registry.get(deviceId))), status: 'enabled' });
  const again = client(deviceId, 'b', keys[`${deviceId}/b`]);
  await again.open();
  cut = lib.once(again, 'disconnect');
  await registry.delete(deviceId);
  await cut;
  assert.equal(await lib.refused(() => registry.getModule(deviceId, 'b')), 404);
  await registry.create({ deviceId });
  assert.deepEqual(await body(registry.getModulesOnDevice(deviceId)), []);
});

scenario.case('modules among many at once', async () => {
  await registry.create({ deviceId: 'modules-3' });
  const item = (moduleId, more) => ({ deviceId: 'modules-3', moduleId, ...more });
  const done = await body(registry.addDevices([item('a', { tags: { floor: 7 } }), item('b')]));
  assert.deepEqual([done.isSuccessful, done.errors], [true, []]);
  assert.equal((await body(registry.getModuleTwin('modules-3', 'a'))).tags.floor, 7);
  assert.deepEqual((await body(registry.getModulesOnDevice('modules-3'))).map((one) => one.moduleId), ['a', 'b']);
});

scenario.case('FROM devices.modules, and groups', async () => {
  const found = await rows("SELECT * FROM devices.modules WHERE tags.floor = 2 AND properties.desired.interval > 5");
  assert.deepEqual(found.map((row) => `${row.deviceId}/${row.moduleId}`), ['amqp', 'amqpws', 'mqtt', 'mqttws'].map((name) => `${D}/m-${name}`));
  const groups = await rows("SELECT deviceId, COUNT() AS modules FROM devices.modules WHERE deviceId IN ['modules-many', 'modules-3'] GROUP BY deviceId");
  assert.deepEqual(groups, [{ deviceId: 'modules-3', modules: 2 }, { deviceId: 'modules-many', modules: 50 }]);
  const [sums] = await rows('SELECT AVG(tags.floor) AS a, SUM(tags.floor) AS s, MIN(tags.floor) AS least, MAX(tags.floor) AS most, COUNT() AS n FROM devices.modules WHERE is_defined(tags.floor)');
  assert.deepEqual(sums, { a: 3, s: 15, least: 2, most: 7, n: 5 });
});

scenario.case('the command line does all that too', async () => {
  const cli = (...args) => {
    const all = ['--json', '--data-dir', path.dirname(process.env.CONNECTIONS), 'hub', ...args];
    return JSON.parse(execFileSync(process.env.SUBJECT_BIN, all, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }) || 'null');
  };
  const which = ['-d', D, '-m', 'cli'];
  const made = cli('module-identity', 'create', ...which, '--managed-by', 'me');
  assert.equal(cli('module-identity', 'update', ...which, '--managed-by', 'you').managedBy, 'you');
  assert.equal(cli('module-identity', 'show', ...which).managedBy, 'you');
  assert.ok(cli('module-identity', 'list', '-d', D).some((row) => row.moduleId === 'cli'));
  assert.equal(cli('module-twin', 'update', ...which, '--desired', '{"rate": 5}').properties.desired.rate, 5);
  const twin = cli('module-twin', 'replace', ...which, '--from', '{"tags": {"a": 1}, "properties": {"desired": {}}}');
  assert.deepEqual([twin.tags, twin.properties.desired.rate], [{ a: 1 }, undefined]);
  assert.equal(cli('module-twin', 'show', ...which).tags.a, 1);
  const module = client(D, 'cli', made.authentication.symmetricKey.primaryKey);
  await module.open();
  module.onMethod('add', (request, response) => response.send(200, request.payload + 1));
  await lib.eventually(() => invoke(D, 'cli', 'add', 0), { what: 'the subscription' });
  const args = ['--json', '--data-dir', path.dirname(process.env.CONNECTIONS), 'hub', 'invoke-module-method', ...which, '--mn', 'add', '--mp', '41'];
  const run = await new Promise((resolve, reject) => execFile(process.env.SUBJECT_BIN, args, (error, stdout) => (error ? reject(error) : resolve(stdout))));
  assert.deepEqual(JSON.parse(run), { status: 200, payload: 42 });
  await module.close();
  cli('module-identity', 'delete', ...which);
  assert.equal(await lib.refused(() => registry.getModule(D, 'cli')), 404);
});

scenario.run();
