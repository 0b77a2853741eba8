// about: edge devices and their children with npm's client: scopes, the two modules of each, queries; keys made anew
// timeout: 60
'use strict';

const { Registry } = require('azure-iothub');
const lib = require('./lib');
const { assert, subject } = lib;

const registry = Registry.fromConnectionString(subject.hub[0].connectionString);
const scenario = new lib.Scenario();
const body = async (answer) => (await answer).responseBody;
const rows = async (query) => (await registry.createQuery(query, 100).next()).result;
let gateway;

scenario.case('an edge device has a scope of its own, and the modules that its runtime is made of', async () => {
  gateway = await body(registry.create({ deviceId: 'gateway', capabilities: { iotEdge: true } }));
  assert.equal(gateway.deviceScope, `ms-azure-iot-edge://gateway-${gateway.generationId}`);
  assert.deepEqual(gateway.parentScopes, []);
  const modules = await body(registry.getModulesOnDevice('gateway'));
  assert.deepEqual(modules.map((one) => [one.moduleId, one.managedBy]), [['$edgeAgent', 'IotEdge'], ['$edgeHub', 'IotEdge']]);
  assert.deepEqual((await body(registry.getModuleTwin('gateway', '$edgeAgent'))).properties.desired.$version, 1);
  assert.equal((await body(registry.getTwin('gateway'))).deviceScope, gateway.deviceScope);
}, { needed: true });

scenario.case('a leaf is its child by its scope, an edge device by its parents', async () => {
  const leaf = await body(registry.create({ deviceId: 'leaf', deviceScope: gateway.deviceScope }));
  assert.deepEqual([leaf.deviceScope, leaf.parentScopes], [gateway.deviceScope, [gateway.deviceScope]]);
  const inner = { deviceId: 'inner', capabilities: { iotEdge: true }, parentScopes: [gateway.deviceScope] };
  const made = await body(registry.create(inner));
  assert.equal(made.deviceScope, `ms-azure-iot-edge://inner-${made.generationId}`);
  assert.deepEqual(made.parentScopes, [gateway.deviceScope]);
  const children = await rows(`SELECT deviceId FROM devices WHERE array_contains(parentScopes, '${gateway.deviceScope}')`);
  assert.deepEqual(children.map((row) => row.deviceId).sort(), ['inner', 'leaf']);
});

scenario.case('what is no scope, and another scope for an edge device, are refused', async () => {
  for (const deviceScope of ['6f1e', 'ms-azure-iot-edge://gateway-1', 'ms-azure-iot-edge://leaf-1']) {
    assert.equal(await lib.refused(() => registry.create({ deviceId: 'lost', deviceScope })), 400, deviceScope);
    assert.equal(await lib.refused(() => registry.update({ deviceId: 'leaf', deviceScope })), 400, deviceScope);
  }
  const { deviceScope } = await body(registry.get('inner'));
  assert.equal(await lib.refused(() => registry.update({ ...gateway, deviceScope, etag: undefined })), 400);
  assert.equal((await body(registry.get('leaf'))).deviceScope, gateway.deviceScope);
});

scenario.case('no edge device is its own parent, nor the child of what is below it', async () => {
  const inner = await body(registry.get('inner'));
  for (const scope of [gateway.deviceScope, inner.deviceScope]) {
    const parentScopes = [scope];
    assert.equal(await lib.refused(() => registry.update({ deviceId: 'gateway', capabilities: { iotEdge: true }, parentScopes })), 400, scope);
  }
  assert.deepEqual((await body(registry.get('gateway'))).parentScopes, []);
});

scenario.case('a leaf moves to another parent, and has none', async () => {
  const leaf = await body(registry.get('leaf'));
  const { deviceScope } = await body(registry.get('inner'));
  const moved = await body(registry.update({ ...leaf, deviceScope }));
  assert.deepEqual([moved.deviceScope, moved.parentScopes], [deviceScope, [deviceScope]]);
  const alone = await body(registry.update({ ...moved, deviceScope: '', parentScopes: [] }));
  assert.deepEqual([alone.deviceScope, alone.parentScopes], [undefined, undefined]);
  await registry.update({ ...alone, deviceScope });
});

scenario.case('a parent may go; its children keep what they had and can be changed', async () => {
  await registry.delete('inner');
  const leaf = await body(registry.get('leaf'));
  const disabled = await body(registry.update({ ...leaf, status: 'disabled' }));
  assert.deepEqual([disabled.status, disabled.deviceScope], ['disabled', leaf.deviceScope]);
});

// This client sends empty keys where it is given none.
scenario.case('an empty key asks for a new one', async () => {
  const keys = (device) => device.authentication.symmetricKey;
  const before = await body(registry.get('leaf'));
  const kept = await body(registry.update({ deviceId: 'leaf', authentication: before.authentication }));
  assert.deepEqual(keys(kept), keys(before));
  const authentication = { type: 'sas', symmetricKey: { primaryKey: '', secondaryKey: keys(before).secondaryKey } };
  const after = await body(registry.update({ deviceId: 'leaf', authentication }));
  assert.notEqual(keys(after).primaryKey, keys(before).primaryKey);
  assert.ok(Buffer.from(keys(after).primaryKey, 'base64').length >= 16);
  assert.equal(keys(after).secondaryKey, keys(before).secondaryKey);
});

scenario.run();
