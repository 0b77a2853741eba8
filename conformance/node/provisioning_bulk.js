// about: bulk operations on enrollments with npm's client: every mode, per-item results, the bound of ten
// timeout: 60
'use strict';

const { ProvisioningServiceClient } = require('azure-iot-provisioning-service');
const lib = require('./lib');
const { assert, subject } = lib;

const service = ProvisioningServiceClient.fromConnectionString(subject.dps[0].connectionString);
const scenario = new lib.Scenario();
const ids = Array.from({ length: 10 }, (_, n) => `bulk-${n}`);
const enrollment = (registrationId, more = {}) => ({ registrationId, attestation: { type: 'symmetricKey' }, ...more });

/** The client answers through a callback only: its promise is never kept. */
const bulk = (mode, enrollments) => new Promise((resolve, reject) => {
  service.runBulkEnrollmentOperation({ mode, enrollments }, (error, result) => (error ? reject(error) : resolve(result)));
});

const read = async (id) => (await service.getIndividualEnrollment(id)).responseBody;
const codes = (result) => result.errors.map(({ registrationId, errorCode }) => [registrationId, errorCode]);

scenario.case('ten are created at once', async () => {
  assert.deepEqual(await bulk('create', ids.map((id) => enrollment(id))), { isSuccessful: true, errors: [] });
  assert.equal((await read('bulk-9')).provisioningStatus, 'enabled');
}, { needed: true });

scenario.case('eleven are refused whole', async () => {
  const many = Array.from({ length: 11 }, (_, n) => enrollment(`many-${n}`));
  assert.equal(await lib.refused(() => bulk('create', many)), 400);
  assert.equal(await lib.refused(() => read('many-0')), 404);
});

scenario.case('of what is there already each is told, and the others are made', async () => {
  const result = await bulk('create', [enrollment('bulk-0'), enrollment('bulk-new'), enrollment('bulk-1')]);
  assert.equal(result.isSuccessful, false);
  assert.deepEqual(codes(result), [['bulk-0', 409201], ['bulk-1', 409201]]);
  assert.ok(result.errors[0].errorStatus.length > 0);
  assert.equal((await read('bulk-new')).registrationId, 'bulk-new');
});

scenario.case('an update changes what is there, whatever its etag', async () => {
  const result = await bulk('update', [enrollment('bulk-0', { provisioningStatus: 'disabled' }), enrollment('bulk-none')]);
  assert.deepEqual(codes(result), [['bulk-none', 404201]]);
  assert.equal((await read('bulk-0')).provisioningStatus, 'disabled');
});

scenario.case('an update by etag leaves alone what has changed meanwhile', async () => {
  const [stale, fresh] = [await read('bulk-1'), await read('bulk-2')];
  await service.createOrUpdateIndividualEnrollment({ ...stale, deviceId: 'meanwhile' });
  const changed = [stale, fresh].map((one) => ({ ...one, provisioningStatus: 'disabled' }));
  const result = await bulk('updateIfMatchETag', [...changed, enrollment('bulk-3')]);
  assert.deepEqual(codes(result), [['bulk-1', 412001], ['bulk-3', 400004]]);
  assert.equal((await read('bulk-1')).provisioningStatus, 'enabled');
  assert.equal((await read('bulk-2')).provisioningStatus, 'disabled');
});

scenario.case('one that does not parse fails by itself', async () => {
  const wrong = { ...enrollment('bulk-4'), provisioningStatus: 'asleep' };
  assert.deepEqual(codes(await bulk('update', [wrong, enrollment('bulk-5')])), [['bulk-4', 400004]]);
  assert.equal(await lib.refused(() => bulk('rename', [enrollment('bulk-5')])), 400);
});

scenario.case('all are deleted at once, and what is gone is told', async () => {
  const result = await bulk('delete', [...ids.slice(0, 9).map((registrationId) => ({ registrationId })), { registrationId: 'bulk-none' }]);
  assert.deepEqual(codes(result), [['bulk-none', 404201]]);
  assert.equal(await lib.refused(() => read('bulk-0')), 404);
  assert.equal((await read('bulk-9')).registrationId, 'bulk-9');
});

scenario.run();
