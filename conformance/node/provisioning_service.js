// about: the DPS service API with npm's client: enrollments, groups, etags, attestation, registrations
// timeout: 60
'use strict';

const { ProvisioningServiceClient } = require('azure-iot-provisioning-service');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { Http } = require('azure-iot-provisioning-device-http');
const { SymmetricKeySecurityClient } = require('azure-iot-security-symmetric-key');
const lib = require('./lib');
const { assert, subject, THERMOSTAT } = lib;

const [dps] = subject.dps;
const service = ProvisioningServiceClient.fromConnectionString(dps.connectionString);
const scenario = new lib.Scenario();
let enrollment, groupKey;

/** Registers over HTTPS (443). */
function register(id, key, scope = dps.idScope) {
  const client = ProvisioningDeviceClient.create(dps.hostName, scope, new Http(), new SymmetricKeySecurityClient(id, key));
  client.setProvisioningPayload({ modelId: THERMOSTAT });
  return client.register();
}

scenario.case('preparation: models', () => lib.uploadModels(lib.twinsClient()), { needed: true });

scenario.case('an enrollment is created, read, changed with its etag', async () => {
  const body = { registrationId: 'node-single', attestation: { type: 'symmetricKey' }, initialTwin: { tags: { a: 1 }, properties: { desired: { b: 2 } } } };
  ({ responseBody: enrollment } = await service.createOrUpdateIndividualEnrollment(body));
  assert.equal(enrollment.registrationId, 'node-single');
  const { responseBody: changed } = await service.createOrUpdateIndividualEnrollment({ ...enrollment, deviceId: 'node-named' });
  assert.notEqual(changed.etag, enrollment.etag);
  assert.equal(await lib.refused(() => service.createOrUpdateIndividualEnrollment({ ...enrollment, deviceId: 'x' })), 412);
  assert.equal((await service.getIndividualEnrollment('node-single')).responseBody.deviceId, 'node-named');
}, { needed: true });

scenario.case('a device registers over HTTPS under the name its enrollment gives', async () => {
  const { responseBody } = await service.getIndividualEnrollmentAttestationMechanism('node-single');
  const result = await register('node-single', responseBody.symmetricKey.primaryKey);
  assert.equal(result.deviceId, 'node-named');
  const twin = (await require('azure-iothub').Registry.fromConnectionString(subject.hub[0].connectionString).getTwin('node-named')).responseBody;
  assert.deepEqual([twin.tags.a, twin.properties.desired.b], [1, 2]);
});

scenario.case('a device of a group registers over HTTPS with its derived key', async () => {
  await service.createOrUpdateEnrollmentGroup(lib.groupBody('node-https'));
  groupKey = (await service.getEnrollmentGroupAttestationMechanism('node-https')).responseBody.symmetricKey.primaryKey;
  const result = await register('node-https-1', lib.derivedKey(groupKey, 'node-https-1'));
  assert.equal(result.assignedHub, subject.hub[0].hostName);
}, { needed: true });

scenario.case('over HTTPS a wrong key, a wrong scope and an unknown device are refused', async () => {
  const key = lib.derivedKey(groupKey, 'node-https-2');
  await lib.refused(() => register('node-https-2', lib.derivedKey(key, 'other')));
  await lib.refused(() => register('node-https-2', key, '0ne00000000'));
  await lib.refused(() => register('node-stranger', key));
  assert.equal(await lib.refused(() => service.getDeviceRegistrationState('node-https-2')), 404);
});

scenario.case('registrations of a group: queried, read, deleted', async () => {
  const query = service.createEnrollmentGroupDeviceRegistrationStateQuery({ query: '*' }, 'node-https', 10);
  const rows = await new Promise((resolve, reject) => query.next((error, result) => (error ? reject(error) : resolve(result))));
  assert.deepEqual(rows.map((row) => row.registrationId), ['node-https-1']);
  const { responseBody: state } = await service.getDeviceRegistrationState('node-https-1');
  assert.equal(state.status, 'assigned');
  await service.deleteDeviceRegistrationState(state);
  assert.equal(await lib.refused(() => service.getDeviceRegistrationState('node-https-1')), 404);
});

scenario.case('enrollments and groups are queried page by page', async () => {
  for (let n = 0; n < 5; n += 1) {
    await service.createOrUpdateIndividualEnrollment({ registrationId: `page-${n}`, attestation: { type: 'symmetricKey' } });
  }
  const query = service.createIndividualEnrollmentQuery({ query: '*' }, 2);
  const seen = [];
  for (;;) {
    const page = await new Promise((resolve, reject) => query.next((error, result) => (error ? reject(error) : resolve(result))));
    assert.ok(page.length <= 2, `a page of ${page.length}`);
    seen.push(...page.map((row) => row.registrationId));
    if (!query.hasMoreResults) break;
  }
  assert.deepEqual(seen.filter((id) => id.startsWith('page-')).sort(), [0, 1, 2, 3, 4].map((n) => `page-${n}`));
  const groups = service.createEnrollmentGroupQuery({ query: '*' }, 10);
  const rows = await new Promise((resolve, reject) => groups.next((error, result) => (error ? reject(error) : resolve(result))));
  assert.ok(rows.some((row) => row.enrollmentGroupId === 'node-https'));
});

scenario.case('deletes are final, with the etag or without', async () => {
  const { responseBody } = await service.getIndividualEnrollment('page-0');
  assert.equal(await lib.refused(() => service.deleteIndividualEnrollment('page-0', 'AAAA')), 412);
  await service.deleteIndividualEnrollment('page-0', responseBody.etag);
  await service.deleteIndividualEnrollment('page-1');
  assert.equal(await lib.refused(() => service.getIndividualEnrollment('page-0')), 404);
  await service.deleteEnrollmentGroup('node-https');
  assert.equal(await lib.refused(() => service.getEnrollmentGroup('node-https')), 404);
});

scenario.run();
