// about: configurations (automatic device management) with npm's clients: whom they target, who wins, what a device is told, metrics
// timeout: 180
'use strict';
// Registry and Query of azure-iothub on one side, azure-iot-device on the other.

const { Client: Device, ModuleClient } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { NoRetry } = require('azure-iot-common');
const { Registry } = require('azure-iothub');
const lib = require('./lib');
const { assert, subject } = lib;

const [hub] = subject.hub;
const registry = Registry.fromConnectionString(hub.connectionString);
const scenario = new lib.Scenario();
const body = async (answer) => (await answer).responseBody;
const run = `c${Date.now().toString(36)}`;

const configuration = (id, targetCondition, priority, deviceContent, more = {}) =>
  ({ id: `${run}-${id}`, targetCondition, priority, content: { deviceContent }, ...more });

async function refusal(promise) {
  const error = await promise.then(() => assert.fail('it was not refused'), (refused) => refused);
  return { status: error.response?.statusCode, code: /ErrorCode:(\w+)/.exec(JSON.stringify(error.responseBody))?.[1] };
}

async function made(id, tags) {
  const deviceId = `${run}-${id}`;
  const device = await body(registry.create({ deviceId }));
  if (tags) await registry.updateTwin(deviceId, { tags }, '*');
  const { primaryKey } = device.authentication.symmetricKey;
  return { deviceId, cs: `HostName=${hub.hostName};DeviceId=${deviceId};SharedAccessKey=${primaryKey}` };
}

async function open(cs, Client = Device) {
  const client = Client.fromConnectionString(cs, Mqtt);
  client.setRetryPolicy(new NoRetry());
  await client.open();
  const twin = await client.getTwin();
  const told = [];
  twin.on('properties.desired', (delta) => told.push(delta));
  return { client, twin, told };
}

const twinOf = async (deviceId) => body(registry.getTwin(deviceId));
const desired = async (deviceId) => {
  const { $metadata, $version, ...own } = (await twinOf(deviceId)).properties.desired;
  return own;
};
const statuses = async (deviceId) => {
  const { configurations = {} } = await twinOf(deviceId);
  return Object.fromEntries(Object.entries(configurations).map(([id, { status }]) => [id.slice(run.length + 1), status]));
};
const query = async (text) => (await registry.createQuery(text, 100).nextAsTwin()).result;
const remove = (...ids) => Promise.all(ids.map((id) => registry.removeConfiguration(`${run}-${id}`)));

scenario.case('one is made, shown, listed, changed and removed; what cannot be is refused', async () => {
  const wanted = configuration('crud', "tags.run = 'nobody'", 3, { 'properties.desired.a': { b: [1, 'x'] } }, {
    labels: { Version: '3.0.1', 'who?': 'me' },
    metrics: { queries: { mine: 'SELECT deviceId FROM devices WHERE tags.run = \'nobody\'' } },
  });
  const first = await body(registry.addConfiguration(wanted));
  assert.deepEqual([first.id, first.schemaVersion, first.priority, first.labels], [wanted.id, '1.0', 3, wanted.labels]);
  assert.deepEqual(first.content, wanted.content);
  assert.equal(first.systemMetrics.queries.appliedCount, `select deviceId from devices where configurations.[[${wanted.id}]].status = 'Applied'`);
  const shown = await body(registry.getConfiguration(wanted.id));
  assert.deepEqual(shown.systemMetrics.results, { targetedCount: 0, appliedCount: 0 });
  assert.deepEqual(shown.metrics, { results: { mine: 0 }, queries: wanted.metrics.queries });
  assert.ok(Date.parse(shown.createdTimeUtc) && shown.etag === first.etag);
  assert.ok((await body(registry.getConfigurations())).some((one) => one.id === wanted.id));

  assert.deepEqual(await refusal(registry.addConfiguration(wanted)), { status: 409, code: 'ConfigurationAlreadyExists' });
  const changed = await body(registry.updateConfiguration({ ...shown, priority: 9, labels: { Version: '4' } }));
  assert.deepEqual([changed.priority, changed.labels, changed.createdTimeUtc], [9, { Version: '4' }, shown.createdTimeUtc]);
  assert.deepEqual(await refusal(registry.updateConfiguration(shown)), { status: 412, code: 'PreconditionFailed' });
  await registry.updateConfiguration(shown, true);
  const other = { ...shown, content: { deviceContent: { 'properties.desired.a': 2 } } };
  assert.deepEqual(await refusal(registry.updateConfiguration(other, true)), { status: 400, code: 'CannotModifyImmutableConfigurationContent' });
  await registry.removeConfiguration(wanted.id);
  for (const gone of [() => registry.getConfiguration(wanted.id), () => registry.removeConfiguration(wanted.id), () => registry.updateConfiguration(shown, true)]) {
    assert.deepEqual(await refusal(gone()), { status: 404, code: 'ConfigurationNotFound' });
  }
  for (const [change, code] of [
    [{ id: 'Upper' }, 'ArgumentInvalid'],
    [{ priority: -1 }, 'ArgumentInvalid'],
    [{ targetCondition: 'tags.a =' }, 'InvalidConfigurationTargetCondition'],
    [{ targetCondition: 'connectionState = \'Connected\'' }, 'InvalidConfigurationTargetCondition'],
    [{ content: { deviceContent: { 'tags.a': 1 } } }, 'InvalidConfigurationContent'],
    [{ content: { moduleContent: { 'properties.desired.a': 1 } } }, 'InvalidConfigurationContent'],
    [{ metrics: { queries: { bad: 'SELECT' } } }, 'InvalidConfigurationCustomMetricsQuery'],
  ]) {
    assert.deepEqual(await refusal(registry.addConfiguration({ ...wanted, ...change })), { status: 400, code }, JSON.stringify(change));
  }
});

scenario.case('a connected device is told in order when it begins to match, and when it ceases to', async () => {
  const { deviceId, cs } = await made('told');
  await registry.addConfiguration(configuration('told', `tags.run = '${run}-told'`, 1, { 'properties.desired.chiller': { temperature: 66, pressure: 28 } }));
  const { client, twin, told } = await open(cs);
  // What is told is subscribed to beside the call.
  await lib.eventually(async () => {
    await registry.updateTwin(deviceId, { properties: { desired: { ready: Date.now() } } }, '*');
    return told.length > 0;
  }, { what: 'the subscription' });
  const from = (await twinOf(deviceId)).properties.desired.$version;
  await registry.updateTwin(deviceId, { tags: { run: `${run}-told` }, properties: { desired: { own: 1 } } }, '*');
  assert.deepEqual((await desired(deviceId)).chiller, { temperature: 66, pressure: 28 }, 'in the same commit');
  assert.deepEqual(await statuses(deviceId), { told: 'Applied' });
  await lib.eventually(() => told.at(-1).$version === from + 2, { what: 'both changes' });
  const [own, followed] = told.slice(-2);
  assert.deepEqual([own, followed], [{ own: 1, $version: from + 1 }, { chiller: { temperature: 66, pressure: 28 }, $version: from + 2 }]);
  assert.deepEqual(twin.properties.desired.chiller, { temperature: 66, pressure: 28 });
  // Nobody else changes what a configuration holds.
  await registry.updateTwin(deviceId, { properties: { desired: { chiller: { temperature: 1, mode: 'eco' } } } }, '*');
  assert.deepEqual((await desired(deviceId)).chiller, { temperature: 66, pressure: 28, mode: 'eco' });
  await registry.updateTwin(deviceId, { tags: { run: null }, properties: { desired: { chiller: { mode: null } } } }, '*');
  await lib.eventually(() => twin.properties.desired.chiller === undefined, { what: 'the device knows that it is gone' });
  assert.deepEqual(await statuses(deviceId), {});
  const { version } = await twinOf(deviceId);
  assert.ok(version > from);
  await client.close();
  await remove('told');
});

scenario.case('a report makes a device match', async () => {
  const { deviceId, cs } = await made('reports');
  await registry.addConfiguration(configuration('reports', `properties.reported.run = '${run}' AND properties.reported.fw < 2`, 1, { 'properties.desired.fw': 2 }));
  const { client, twin } = await open(cs);
  const report = (patch) => new Promise((resolve, reject) => twin.properties.reported.update(patch, (error) => (error ? reject(error) : resolve())));
  await report({ run, fw: 1 });
  assert.deepEqual(await desired(deviceId), { fw: 2 });
  await lib.eventually(() => twin.properties.desired.fw === 2, { what: 'the device knows' });
  await report({ fw: 2 });
  assert.deepEqual(await desired(deviceId), {});
  await client.close();
  await remove('reports');
});

scenario.case('devices that are there follow what is made, changed and removed, and the greater priority wins', async () => {
  const ids = ['p1', 'p2', 'p3'];
  const devices = await Promise.all(ids.map((id) => made(id, { run, group: id === 'p3' ? 2 : 1 })));
  const [p1, , p3] = devices.map((device) => device.deviceId);
  const mine = `tags.run = '${run}'`;
  const low = configuration('low', mine, 1, { 'properties.desired.mode': 'low', 'properties.desired.extra': true }, {
    metrics: { queries: { low: `SELECT deviceId FROM devices WHERE ${mine} AND properties.desired.mode = 'low'` } },
  });
  await registry.addConfiguration(low);
  const counts = async (id) => {
    const shown = await body(registry.getConfiguration(`${run}-${id}`));
    return [shown.systemMetrics.results.targetedCount, shown.systemMetrics.results.appliedCount, ...Object.values(shown.metrics.results)];
  };
  const settled = (id, wanted) => lib.eventually(async () => JSON.stringify(await counts(id)) === JSON.stringify(wanted), { what: `${id}: ${wanted}` });
  await settled('low', [3, 3, 3]);
  await registry.addConfiguration(configuration('high', `${mine} AND tags.group = 1`, 5, { 'properties.desired.mode': 'high' }));
  await settled('high', [2, 2]);
  await settled('low', [3, 3, 1]);
  assert.deepEqual(await desired(p1), { mode: 'high', extra: true }, 'each sets what no other of higher priority does');
  assert.deepEqual(await desired(p3), { mode: 'low', extra: true });
  await registry.addConfiguration(configuration('none', `${mine} AND tags.group = 1`, 2, { 'properties.desired.mode': 'never' }));
  await settled('none', [2, 0]);
  const all = { high: 'Applied', low: 'Applied', none: 'Targeted' };
  const targeted = async () => Promise.all(ids.slice(0, 2).map(async (id) => assert.deepEqual(await statuses(`${run}-${id}`), all)));
  await lib.eventually(() => targeted().then(() => true), { what: 'those that match know of the one that loses' });
  const found = await query(`SELECT * FROM devices WHERE configurations.[[${run}-none]].status = 'Targeted'`);
  assert.deepEqual(found.map((twin) => twin.deviceId), devices.slice(0, 2).map((device) => device.deviceId));
  // The one that wins gives way: its target changes, then it goes.
  const high = await body(registry.getConfiguration(`${run}-high`));
  await registry.updateConfiguration({ ...high, targetCondition: `${mine} AND tags.group = 2` });
  await settled('high', [1, 1]);
  await settled('none', [2, 2]);
  assert.deepEqual([await desired(p1), await desired(p3)], [{ mode: 'never', extra: true }, { mode: 'high', extra: true }]);
  await remove('high', 'none', 'low');
  await lib.eventually(async () => Object.keys({ ...await desired(p1), ...await desired(p3) }).length === 0, { what: 'nothing is set any more' });
  assert.deepEqual(await statuses(p1), {});
});

scenario.case('a device that is made matches from the start; of two of one priority the later wins; \'\' is nobody', async () => {
  const condition = `deviceId = '${run}-late'`;
  await registry.addConfiguration(configuration('first', condition, 7, { 'properties.desired.by': 'first' }));
  await registry.addConfiguration(configuration('second', condition, 7, { 'properties.desired.by': 'second' }));
  await registry.addConfiguration(configuration('nobody', '', 9, { 'properties.desired.by': 'nobody' }));
  const { deviceId } = await made('late');
  assert.deepEqual(await desired(deviceId), { by: 'second' });
  assert.deepEqual(await statuses(deviceId), { first: 'Targeted', second: 'Applied' });
  assert.equal((await body(registry.getConfiguration(`${run}-nobody`))).systemMetrics.queries.targetedCount, '');
  await remove('first', 'second', 'nobody');
});

scenario.case('modules have configurations of their own', async () => {
  const { deviceId } = await made('modules');
  const id = `${run}-modules`;
  await registry.addConfiguration({
    id, priority: 1, targetCondition: `FROM devices.modules WHERE moduleId = '${run}' AND deviceId = '${deviceId}'`,
    content: { moduleContent: { 'properties.desired.interval': 5 } },
  });
  const module = await body(registry.addModule({ deviceId, moduleId: run }));
  assert.equal((await body(registry.getModuleTwin(deviceId, run))).properties.desired.interval, 5);
  const { client, twin } = await open(`HostName=${hub.hostName};DeviceId=${deviceId};ModuleId=${run};SharedAccessKey=${module.authentication.symmetricKey.primaryKey}`, ModuleClient);
  assert.equal(twin.properties.desired.interval, 5);
  const shown = await body(registry.getConfiguration(id));
  assert.deepEqual(shown.systemMetrics.results, { targetedCount: 1, appliedCount: 1 });
  const rows = await query(shown.systemMetrics.queries.appliedCount);
  assert.deepEqual(rows.map(({ deviceId: of, moduleId }) => [of, moduleId]), [[deviceId, run]]);
  await client.close();
  await registry.removeConfiguration(id);
  await lib.eventually(async () => (await body(registry.getModuleTwin(deviceId, run))).properties.desired.interval === undefined, { what: 'it is gone' });
});

scenario.case('an edge deployment reaches the modules of edge devices, and a layer lies over it', async () => {
  const [edge, plain] = [`${run}-edge1`, `${run}-edge2`];
  await registry.create({ deviceId: edge, capabilities: { iotEdge: true } });
  await registry.create({ deviceId: plain });
  for (const id of [edge, plain]) await registry.updateTwin(id, { tags: { deploy: run } }, '*');
  const deployment = (id, priority, modulesContent) => ({ id: `${run}-${id}`, priority, targetCondition: `tags.deploy = '${run}'`, content: { modulesContent } });
  await registry.addConfiguration(deployment('base', 1, {
    $edgeAgent: { 'properties.desired': { schemaVersion: '1.0', modules: { filter: { version: 1 } } } },
    $edgeHub: { 'properties.desired': { routes: {} } },
    filter: { 'properties.desired': { threshold: 5 } },
  }));
  const module = async (id) => {
    const { $metadata, $version, ...own } = (await body(registry.getModuleTwin(edge, id))).properties.desired;
    return own;
  };
  await lib.eventually(async () => (await module('filter')).threshold === 5, { what: 'the deployment' });
  // Modules follow one after the other.
  await lib.eventually(async () => (await module('$edgeAgent')).schemaVersion === '1.0', { what: 'the agent' });
  assert.deepEqual(await module('$edgeAgent'), { schemaVersion: '1.0', modules: { filter: { version: 1 } } });
  assert.equal((await body(registry.getModule(edge, 'filter'))).managedBy, 'IotEdge');
  assert.deepEqual([await statuses(edge), await statuses(plain)], [{ base: 'Applied' }, {}]);
  await registry.addConfiguration(deployment('layer', 2, {
    $edgeAgent: { 'properties.desired.modules.second': { version: 2 } },
    filter: { 'properties.desired.threshold': 7 },
  }));
  await lib.eventually(async () => (await module('filter')).threshold === 7, { what: 'the layer' });
  await lib.eventually(async () => (await module('$edgeAgent')).modules.second, { what: "the agent's layer" });
  assert.deepEqual((await module('$edgeAgent')).modules, { filter: { version: 1 }, second: { version: 2 } });
  const shown = await body(registry.getConfiguration(`${run}-base`));
  assert.deepEqual(shown.systemMetrics.results, { targetedCount: 1, appliedCount: 1 });
  assert.deepEqual((await query(shown.systemMetrics.queries.targetedCount)).map((twin) => twin.deviceId), [edge]);
  await remove('layer', 'base');
  await lib.eventually(async () => Object.keys(await module('filter')).length === 0, { what: 'what was deployed is taken back' });
});

scenario.case('content applied once, to one device', async () => {
  const { deviceId } = await made('once');
  await registry.applyConfigurationContentOnDevice(deviceId, { deviceContent: { 'properties.desired.a.b': { c: 1 } } });
  assert.deepEqual(await desired(deviceId), { a: { b: { c: 1 } } });
  assert.deepEqual(await statuses(deviceId), {});
  const modulesContent = { $edgeAgent: { 'properties.desired': { schemaVersion: '1.0' } } };
  assert.deepEqual(await refusal(registry.applyConfigurationContentOnDevice(deviceId, { modulesContent })), { status: 400, code: 'InvalidConfigurationContent' });
  assert.deepEqual(await refusal(registry.applyConfigurationContentOnDevice(`${run}-none`, { deviceContent: { 'properties.desired.a': 1 } })), { status: 404, code: 'DeviceNotFound' });
  const edge = `${run}-edge`;
  await registry.create({ deviceId: edge, capabilities: { iotEdge: true } });
  await registry.applyConfigurationContentOnDevice(edge, { modulesContent });
  assert.equal((await body(registry.getModuleTwin(edge, '$edgeAgent'))).properties.desired.schemaVersion, '1.0');
});

scenario.run();
