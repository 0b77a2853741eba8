// about: a hundred identities at once with npm's client: made, changed, guarded by etags, deleted, errors one by one
// timeout: 60
'use strict';

const { Registry } = require('azure-iothub');
const lib = require('./lib');
const { assert, subject } = lib;

const registry = Registry.fromConnectionString(subject.hub[0].connectionString);
const scenario = new lib.Scenario();
const ids = Array.from({ length: 100 }, (_, number) => `bulk-${String(number).padStart(3, '0')}`);

/** The client throws what is not wholly done; the body tells more. */
async function failed(operation) {
  const error = await operation.then(() => assert.fail('all of it was done'), (refusal) => refusal);
  assert.equal(error.response.statusCode, 400);
  return JSON.parse(error.responseBody);
}

scenario.case('a hundred devices are made at once, with keys, a certificate, and disabled', async () => {
  const key = Buffer.alloc(32, 7).toString('base64');
  const thumbprint = 'AB'.repeat(20);
  const devices = ids.map((deviceId) => ({ deviceId }));
  devices[0].authentication = { symmetricKey: { primaryKey: key, secondaryKey: key } };
  devices[1].authentication = { x509Thumbprint: { primaryThumbprint: thumbprint } };
  Object.assign(devices[2], { status: 'disabled', statusReason: 'later' });
  const { responseBody: result } = await registry.addDevices(devices);
  assert.ok(result.isSuccessful && result.errors.length === 0);
  const { responseBody: all } = await registry.list();
  assert.ok(ids.every((id) => all.some((device) => device.deviceId === id)));
  const [first, second, third] = await Promise.all(ids.slice(0, 3).map(async (id) => (await registry.get(id)).responseBody));
  assert.equal(first.authentication.symmetricKey.primaryKey, key);
  assert.equal(second.authentication.x509Thumbprint.primaryThumbprint, thumbprint);
  assert.deepEqual([third.status, third.statusReason], ['disabled', 'later']);
}, { needed: true });

scenario.case('those that are there already are told one by one, the others are made', async () => {
  const result = await failed(registry.addDevices([{ deviceId: 'bulk-000' }, { deviceId: 'bulk-new' }, { deviceId: 'not good?' }]));
  assert.equal(result.isSuccessful, false);
  assert.deepEqual(result.errors.map((error) => [error.deviceId, error.errorCode]),
    [['bulk-000', 'DeviceAlreadyExists'], ['not good?', 'ArgumentInvalid']]);
  assert.equal((await registry.get('bulk-new')).responseBody.status, 'enabled');
});

scenario.case('changed with and without their etags', async () => {
  const { responseBody: known } = await registry.get('bulk-003');
  await registry.updateDevices([{ ...known, deviceId: 'bulk-003', status: 'disabled', etag: known.etag }], false);
  const result = await failed(registry.updateDevices([{ deviceId: 'bulk-003', status: 'enabled', etag: known.etag }], false));
  assert.equal(result.errors[0].errorCode, 'PreconditionFailed');
  await registry.updateDevices([{ deviceId: 'bulk-003', status: 'enabled' }], true);
  assert.equal((await registry.get('bulk-003')).responseBody.status, 'enabled');
  assert.equal((await failed(registry.updateDevices([{ deviceId: 'bulk-none' }], true))).errors[0].errorCode, 'DeviceNotFound');
});

scenario.case('refused whole: one of them twice', async () => {
  assert.equal(await lib.refused(() => registry.addDevices([{ deviceId: 'twice' }, { deviceId: 'twice' }])), 400);
  assert.equal(await lib.refused(() => registry.get('twice')), 404);
});

scenario.case('deleted at once', async () => {
  const { responseBody: known } = await registry.get('bulk-004');
  const result = await failed(registry.removeDevices([{ deviceId: 'bulk-004', etag: 'AAAA' }], false));
  assert.equal(result.errors[0].errorCode, 'PreconditionFailed');
  await registry.removeDevices([{ deviceId: 'bulk-004', etag: known.etag }], false);
  await registry.removeDevices(ids.filter((id) => id !== 'bulk-004').map((deviceId) => ({ deviceId })), true);
  assert.equal(await lib.refused(() => registry.get('bulk-099')), 404);
});

scenario.run();
