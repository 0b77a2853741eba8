// about: digital twins of Plug and Play devices with npm's clients: components and properties, patches, commands, what is refused
// timeout: 120
'use strict';
// DigitalTwinClient of azure-iothub on one side, a device of azure-iot-device that follows the conventions on the other.

const { Client: Device } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { NoRetry } = require('azure-iot-common');
const { DigitalTwinClient, IoTHubTokenCredentials, Registry } = require('azure-iothub');
const lib = require('./lib');
const { assert, subject } = lib;

const [hub] = subject.hub;
const registry = Registry.fromConnectionString(hub.connectionString);
const twins = new DigitalTwinClient(new IoTHubTokenCredentials(hub.connectionString));
const scenario = new lib.Scenario();
const MODEL = 'dtmi:com:example:TemperatureController;2';
const ID = `pnp-${Date.now().toString(36)}`;
let client;
let twin;

const shown = async (id = ID) => {
  const found = await twins.getDigitalTwin(id);
  const { eTag, _response, ...own } = found;
  return own;
};
const report = (patch) => new Promise((resolve, reject) => twin.properties.reported.update(patch, (error) => (error ? reject(error) : resolve())));
const reported = async () => (await registry.getTwin(ID)).responseBody.properties;

async function refusal(promise) {
  const error = await promise.then(() => assert.fail('it was not refused'), (refused) => refused);
  return [error.statusCode, /ErrorCode:(\w+)/.exec(error.response?.bodyAsText ?? error.message)?.[1]];
}

scenario.case('a device announces its model and reports: its digital twin', async () => {
  const { responseBody: made } = await registry.create({ deviceId: ID });
  const before = await shown();
  assert.deepEqual(before, { $dtId: ID, $metadata: { $model: '' } });
  client = Device.fromConnectionString(`HostName=${hub.hostName};DeviceId=${ID};SharedAccessKey=${made.authentication.symmetricKey.primaryKey}`, Mqtt);
  client.setRetryPolicy(new NoRetry());
  await client.setOptions({ modelId: MODEL });
  await client.open();
  twin = await client.getTwin();
  await report({ serialNumber: 'alwinexlepaho8329', place: { floor: 3 }, thermostat1: { __t: 'c', maxTempSinceLastReboot: 25.3 } });
  const now = await shown();
  assert.deepEqual([now.$dtId, now.$metadata.$model, now.serialNumber, now.place], [ID, MODEL, 'alwinexlepaho8329', { floor: 3 }]);
  assert.ok(Date.parse(now.$metadata.serialNumber.lastUpdateTime));
  const { $metadata: metadata, ...thermostat } = now.thermostat1;
  assert.deepEqual(thermostat, { maxTempSinceLastReboot: 25.3 });
  assert.deepEqual(Object.keys(metadata), ['maxTempSinceLastReboot']);
}, { needed: true });

scenario.case('a property is set, told to the device, and acknowledged', async () => {
  const told = new Promise((resolve) => twin.on('properties.desired.thermostat1', resolve));
  // What is told is subscribed to beside the call.
  await lib.eventually(async () => {
    await registry.updateTwin(ID, { properties: { desired: { ready: Date.now() } } }, '*');
    return twin.properties.desired.ready;
  }, { what: 'the subscription' });
  await twins.updateDigitalTwin(ID, [{ op: 'add', path: '/thermostat1/targetTemperature', value: 21.8 }]);
  assert.deepEqual(await told, { __t: 'c', targetTemperature: 21.8 });
  const { $version: version } = twin.properties.desired;
  let { thermostat1 } = await shown();
  assert.deepEqual(thermostat1.$metadata.targetTemperature, { desiredValue: 21.8, desiredVersion: version });
  assert.equal(thermostat1.targetTemperature, undefined, 'the device has not said so');
  await report({ thermostat1: { __t: 'c', targetTemperature: { value: 21.8, ac: 200, av: version, ad: 'done' } } });
  ({ thermostat1 } = await shown());
  assert.equal(thermostat1.targetTemperature, 21.8);
  const { lastUpdateTime, ...rest } = thermostat1.$metadata.targetTemperature;
  assert.deepEqual(rest, { desiredValue: 21.8, desiredVersion: version, ackVersion: version, ackCode: 200, ackDescription: 'done' });
  assert.ok(lastUpdateTime);
});

scenario.case('components and properties of the root: added, replaced, removed', async () => {
  await twins.updateDigitalTwin(ID, [
    { op: 'add', path: '/thermostat2', value: { targetTemperature: 5, mode: { fan: { level: 1 } }, $metadata: {} } },
    { op: 'add', path: '/fanSpeed', value: 2 },
  ]);
  let { desired } = await reported();
  assert.deepEqual([desired.thermostat2, desired.fanSpeed], [{ __t: 'c', targetTemperature: 5, mode: { fan: { level: 1 } } }, 2]);
  let now = await shown();
  assert.deepEqual(now.$metadata.fanSpeed, { desiredValue: 2, desiredVersion: desired.$version });
  assert.deepEqual(now.thermostat2.$metadata.mode.desiredValue, { fan: { level: 1 } });
  await twins.updateDigitalTwin(ID, [
    { op: 'replace', path: '/thermostat2', value: { targetTemperature: 6, $metadata: {} } },
    { op: 'replace', path: '/fanSpeed', value: { low: 1 } },
  ]);
  ({ desired } = await reported());
  assert.deepEqual([desired.thermostat2, desired.fanSpeed], [{ __t: 'c', targetTemperature: 6 }, { low: 1 }]);
  await twins.updateDigitalTwin(ID, [{ op: 'remove', path: '/fanSpeed' }, { op: 'remove', path: '/thermostat2/targetTemperature' }]);
  ({ desired } = await reported());
  assert.deepEqual([desired.thermostat2, desired.fanSpeed], [undefined, undefined], 'a component goes with its last property');
  now = await shown();
  assert.deepEqual([now.thermostat2, now.$metadata.fanSpeed], [undefined, undefined]);
});

scenario.case('an etag guards a patch', async () => {
  const patch = [{ op: 'add', path: '/fanSpeed', value: 3 }];
  const eTag = (await twins.getDigitalTwin(ID))._response.headers.get('etag');
  assert.equal(eTag, `"${(await registry.getTwin(ID)).responseBody.etag}"`);
  await twins.updateDigitalTwin(ID, patch, eTag);
  assert.deepEqual(await refusal(twins.updateDigitalTwin(ID, patch, eTag)), [412, 'PreconditionFailed']);
  await twins.updateDigitalTwin(ID, patch, '*');
});

scenario.case('refused: patches that cannot be', async () => {
  const before = (await reported()).desired.$version;
  const update = (...operations) => refusal(twins.updateDigitalTwin(ID, operations));
  for (const bad of [
    { op: 'test', path: '/a', value: 1 },
    { op: 'add', path: 'a', value: 1 },
    { op: 'add', path: '/a' },
    { op: 'add', path: '/a/b/c', value: 1 },
    { op: 'add', path: '/a b', value: 1 },
    { op: 'add', path: '/_a', value: 1 },
    { op: 'add', path: '/$metadata', value: {} },
    { op: 'add', path: '/$metadata/$model', value: 'dtmi:a;1' },
    { op: 'add', path: '/a', value: [1] },
    { op: 'add', path: '/a', value: null },
    { op: 'add', path: '/a', value: { 'b-c': 1 } },
    { op: 'add', path: '/a', value: { b: { c: { d: { e: { f: { g: 1 } } } } } } },
    { op: 'add', path: '/a', value: { b: 1, $metadata: { b: 1 } } },
    { op: 'remove', path: '/nothing' },
    { op: 'remove', path: '/thermostat1/nothing' },
  ]) {
    assert.deepEqual(await update(bad), [400, 'InvalidDigitalTwinJsonPatch'], JSON.stringify(bad));
  }
  for (const [foreign, path] of [['serialNumber', '/serialNumber/a'], ['thermostat1', '/thermostat1']]) {
    assert.deepEqual(await update({ op: 'add', path, value: 1 }), [400, 'ArgumentInvalid'], foreign);
  }
  assert.deepEqual(await refusal(twins.updateDigitalTwin(ID, [])), [400, 'InvalidDigitalTwinJsonPatch']);
  assert.equal((await reported()).desired.$version, before, 'nothing was changed');
  assert.deepEqual(await refusal(twins.getDigitalTwin(`${ID}-none`)), [404, 'DeviceNotFound']);
  assert.deepEqual(await refusal(twins.getDigitalTwin(`${ID}~none`)), [404, 'ModuleNotFound']);
  assert.deepEqual(await refusal(twins.updateDigitalTwin(`${ID}-none`, [{ op: 'add', path: '/a', value: 1 }])), [404, 'DeviceNotFound']);
});

scenario.case('commands of the root and of components', async () => {
  client.onDeviceMethod('reboot', (request, response) => response.send(202, { in: request.payload }));
  client.onDeviceMethod('thermostat1*getMaxMinReport', (request, response) => response.send(200, { since: request.payload }));
  const first = await lib.eventually(() => twins.invokeCommand(ID, 'reboot', 5), { what: 'the subscription' });
  assert.deepEqual([first.xMsCommandStatuscode, first.body], [202, { in: 5 }]);
  assert.ok(first.xMsRequestId);
  const since = '2026-01-01T00:00:00Z';
  const options = { connectTimeoutInSeconds: 5, responseTimeoutInSeconds: 10 };
  const report1 = await twins.invokeComponentCommand(ID, 'thermostat1', 'getMaxMinReport', since, options);
  assert.deepEqual([report1.xMsCommandStatuscode, report1.body], [200, { since }]);
  assert.deepEqual(await refusal(twins.invokeCommand(ID, 'reboot', 5, { responseTimeoutInSeconds: 4 })), [400, 'ArgumentInvalid']);
  assert.deepEqual(await refusal(twins.invokeCommand(`${ID}-none`, 'reboot', 5)), [404, 'DeviceNotFound']);
  await client.close();
  assert.deepEqual(await refusal(twins.invokeCommand(ID, 'reboot', 5)), [404, 'DeviceNotOnline']);
});

scenario.case('a module has a digital twin too', async () => {
  await registry.addModule({ deviceId: ID, moduleId: 'm' });
  await twins.updateDigitalTwin(`${ID}~m`, [{ op: 'add', path: '/interval', value: 5 }]);
  assert.equal((await registry.getModuleTwin(ID, 'm')).responseBody.properties.desired.interval, 5);
  const now = await shown(`${ID}~m`);
  assert.deepEqual([now.$dtId, now.$metadata.interval.desiredValue], [`${ID}~m`, 5]);
});

scenario.run();
