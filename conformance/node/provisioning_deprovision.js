// about: devices of npm's clients are explained, deprovisioned for a while and for good, alone and by the group; the audit record
// timeout: 180
'use strict';

const { execFileSync, spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { Client } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { NoRetry } = require('azure-iot-common');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { Http } = require('azure-iot-provisioning-device-http');
const { Mqtt: ProvisioningMqtt } = require('azure-iot-provisioning-device-mqtt');
const { ProvisioningServiceClient } = require('azure-iot-provisioning-service');
const { SymmetricKeySecurityClient } = require('azure-iot-security-symmetric-key');
const { X509Security } = require('azure-iot-security-x509');
const { Registry } = require('azure-iothub');
const lib = require('./lib');
const pki = require('./lib/pki');
const { assert, subject, THERMOSTAT } = lib;

const [dps] = subject.dps;
const service = ProvisioningServiceClient.fromConnectionString(dps.connectionString);
const registry = Registry.fromConnectionString(subject.hub[0].connectionString);
const twins = lib.twinsClient();
const scenario = new lib.Scenario();
const root = pki.root('Deprovisioning Root');
const line = pki.intermediate(root, 'Line 1');
const identity = pki.leaf(line, 'dep-1');
const chainFile = path.join(process.env.WORK_DIR, 'chain.pem');

function provisioning(security, Transport) {
  const client = ProvisioningDeviceClient.create(dps.hostName, dps.idScope, new Transport(), security);
  client.setProvisioningPayload({ modelId: THERMOSTAT });
  return client.register();
}
const byCertificate = (id, { chain, key }, Transport = ProvisioningMqtt) =>
  provisioning(new X509Security(id, { cert: chain, key }), Transport);
const byKey = (id, key, Transport = Http) => provisioning(new SymmetricKeySecurityClient(id, key), Transport);

const options = { encoding: 'utf8', env: { ...process.env, POLLUX_DATA_DIR: subject.dataDir } };
const cli = (...args) => JSON.parse(execFileSync(process.env.SUBJECT_BIN, ['dps', ...args, '--json'], options));
const exitCode = (...args) => spawnSync(process.env.SUBJECT_BIN, ['dps', ...args, '--json'], options).status;
const explain = (...args) => cli('explain', '--registration-id', 'dep-1', ...args);
const status = async (id) => (await registry.get(id)).responseBody.status;
const gone = async (id) => assert.equal(await lib.refused(() => registry.get(id)), 404);
const noTwin = (id) => lib.eventually(async () => (await lib.refused(() => twins.getDigitalTwin(id))) === 404, { what: `the twin of ${id} is retired` });
const x509Group = (id, signer) => service.createOrUpdateEnrollmentGroup(lib.groupBody(id, {
  attestation: { type: 'x509', x509: { signingCertificates: { primary: { certificate: signer.cert } } } },
}));

async function refusedEverywhere() {
  for (const Transport of [ProvisioningMqtt, Http]) await lib.refused(() => byCertificate('dep-1', identity, Transport));
}

/** A group by keys with so many devices. */
async function keyGroup(id, count) {
  await service.createOrUpdateEnrollmentGroup(lib.groupBody(id));
  const { primaryKey } = (await service.getEnrollmentGroupAttestationMechanism(id)).responseBody.symmetricKey;
  const devices = Array.from({ length: count }, (_, n) => `${id}-${n}`);
  for (let at = 0; at < count; at += 10) {
    await Promise.all(devices.slice(at, at + 10).map((device) => byKey(device, lib.derivedKey(primaryKey, device))));
  }
  return { devices, primaryKey };
}

scenario.case('preparation: models, a hierarchy of two groups, a device', async () => {
  await lib.uploadModels(twins);
  await x509Group('dep-root', root);
  await x509Group('dep-line', line);
  fs.writeFileSync(chainFile, identity.chain);
  assert.equal((await byCertificate('dep-1', identity)).deviceId, 'dep-1');
}, { needed: true });

scenario.case('it is told which group lets the device in, and which would if that were gone', async () => {
  const said = explain('--certificate', chainFile, '--without-group', 'dep-line');
  assert.deepEqual([said.now.verdict, said.now.decidedBy.enrollmentGroupId, said.now.distance], ['admitted', 'dep-line', 0]);
  assert.deepEqual([said.after.verdict, said.after.decidedBy.enrollmentGroupId, said.after.distance], ['admitted', 'dep-root', 1]);
  assert.equal(said.ifDisabled.verdict, 'disabled');
  // Its certificate is lost: its record and what the groups' certificates say of each other tell the same.
  const lost = explain('--without-group', 'dep-line');
  assert.deepEqual([lost.by, lost.now.decidedBy.enrollmentGroupId, lost.after.decidedBy.enrollmentGroupId], ['record', 'dep-line', 'dep-root']);
  const shut = explain('--certificate', chainFile, '--disable-enrollment');
  assert.deepEqual([shut.after.verdict, shut.after.decidedBy.registrationId], ['disabled', 'dep-1']);
});

scenario.case('a dry run tells the plan and does nothing', async () => {
  const { plan, done } = cli('deprovision', '--registration-id', 'dep-1', '--permanent', '--dry-run');
  assert.equal(done, null);
  assert.ok(plan.steps.some((step) => step.includes("delete the device 'dep-1'")), JSON.stringify(plan));
  assert.equal(await status('dep-1'), 'enabled');
  assert.equal(await lib.refused(() => service.getIndividualEnrollment('dep-1')), 404);
});

scenario.case('for a while: the device is cut off, disabled in its hub, and registers over nothing', async () => {
  const client = Client.fromConnectionString(`HostName=${subject.hub[0].hostName};DeviceId=dep-1;x509=true`, Mqtt);
  client.setOptions({ cert: identity.chain, key: identity.key });
  client.setRetryPolicy(new NoRetry());
  await client.open();
  const cut = lib.once(client, 'disconnect');
  const { done } = cli('deprovision', '--registration-id', 'dep-1', '--yes');
  assert.deepEqual([done.enrollment, done.device, done.record], ['created', 'disabled', 'kept']);
  await cut;
  assert.equal(await status('dep-1'), 'disabled');
  await refusedEverywhere();
  assert.equal(explain('--certificate', chainFile).now.verdict, 'refused');
  // Once more changes nothing.
  assert.equal(cli('deprovision', '--registration-id', 'dep-1', '--yes').done.device, 'unchanged');
});

scenario.case('what was disabled can be let in again', async () => {
  await service.deleteIndividualEnrollment('dep-1');
  await registry.update({ deviceId: 'dep-1', status: 'enabled' });
  assert.equal((await byCertificate('dep-1', identity)).deviceId, 'dep-1');
  assert.equal(await status('dep-1'), 'enabled');
});

scenario.case('for good: device, digital twin and record go; the entry that shuts it out stays', async () => {
  const { plan, done } = cli('deprovision', '--registration-id', 'dep-1', '--permanent', '--certificate', chainFile, '--yes');
  assert.deepEqual([done.enrollment, done.device, done.record], ['created', 'deleted', 'deleted'], JSON.stringify(plan));
  await gone('dep-1');
  await noTwin('dep-1');
  assert.equal(await lib.refused(() => service.getDeviceRegistrationState('dep-1')), 404);
  await refusedEverywhere();
  assert.deepEqual([explain('--certificate', chainFile).now.verdict, (await service.getIndividualEnrollment('dep-1')).responseBody.provisioningStatus], ['disabled', 'disabled']);
  // The record that told of its group is gone: the entry is known to be one that must stay.
  const again = cli('deprovision', '--registration-id', 'dep-1', '--permanent', '--yes');
  assert.deepEqual([again.done.enrollment, again.plan.warnings.length], ['unchanged', 1], JSON.stringify(again));
});

scenario.case('a group for good: a higher group would let its devices in, so it stays, disabled', async () => {
  const other = pki.leaf(line, 'dep-2');
  await byCertificate('dep-2', other);
  const { plan, done } = cli('deprovision', '--group', 'dep-line', '--permanent', '--yes');
  assert.deepEqual([done.enrollmentGroup, done.devices, done.failed], ['disabled', 1, 0]);
  assert.ok(plan.warnings[0].includes('dep-root'), JSON.stringify(plan));
  await gone('dep-2');
  await lib.refused(() => byCertificate('dep-2', other));
});

scenario.case('a group for good: devices, twins, records and the group go', async () => {
  const { devices, primaryKey } = await keyGroup('dep-keys', 20);
  const { done } = cli('deprovision', '--group', 'dep-keys', '--permanent', '--yes');
  assert.deepEqual([done.enrollmentGroup, done.devices, done.failed, done.records], ['deleted', 20, 0, 'deleted']);
  await Promise.all(devices.map(gone));
  await Promise.all(devices.map(noTwin));
  await lib.refused(() => byKey(devices[0], lib.derivedKey(primaryKey, devices[0])));
  assert.equal(exitCode('deprovision', '--group', 'dep-keys', '--yes'), 3, 'nothing is left of it');
});

scenario.case('what was cut off is taken up by running it again', async () => {
  const { devices } = await keyGroup('dep-cut', 60);
  const run = spawn(process.env.SUBJECT_BIN, ['dps', 'deprovision', '--group', 'dep-cut', '--permanent', '--yes', '--json'], options);
  const ended = lib.once(run, 'exit');
  // Some devices are gone, not all: unless it was too fast for us.
  await lib.eventually(async () => (await lib.refused(() => registry.get(devices[0]))) === 404);
  run.kill('SIGKILL');
  await ended;
  const again = exitCode('deprovision', '--group', 'dep-cut', '--permanent', '--yes');
  assert.ok(again === 0 || again === 3, `exit code ${again}`);
  await Promise.all(devices.map(gone));
  assert.equal(await lib.refused(() => service.getEnrollmentGroup('dep-cut')), 404);
});

scenario.case('an individual enrollment for good', async () => {
  await service.createOrUpdateIndividualEnrollment({ registrationId: 'dep-own', attestation: { type: 'symmetricKey' } });
  const { primaryKey } = (await service.getIndividualEnrollmentAttestationMechanism('dep-own')).responseBody.symmetricKey;
  await byKey('dep-own', primaryKey);
  const { done } = cli('deprovision', '--registration-id', 'dep-own', '--permanent', '--keep-records', '--yes');
  assert.deepEqual([done.enrollment, done.device, done.record], ['deleted', 'deleted', 'kept']);
  await lib.refused(() => byKey('dep-own', primaryKey));
  assert.equal((await service.getDeviceRegistrationState('dep-own')).responseBody.deviceId, 'dep-own');
});

scenario.case('a group for good, whose way to a higher one is not known here: it stays, disabled', async () => {
  const far = pki.root('Far Root');
  const between = pki.intermediate(far, 'Between');
  const low = pki.intermediate(between, 'Far Line');
  await x509Group('dep-far-line', low);
  await x509Group('dep-far', far);
  const one = pki.leaf(low, 'dep-far-1');
  await byCertificate('dep-far-1', one);
  const { plan, done } = cli('deprovision', '--group', 'dep-far-line', '--permanent', '--yes');
  assert.deepEqual([done.enrollmentGroup, plan.warnings.length], ['disabled', 1], JSON.stringify(plan));
  await lib.refused(() => byCertificate('dep-far-1', one));
});

scenario.case('a device of which nothing is known any more: its entry stays, disabled', async () => {
  const { primaryKey } = await keyGroup('dep-known', 0);
  const key = lib.derivedKey(primaryKey, 'dep-lost');
  await byKey('dep-lost', key);
  await service.deleteDeviceRegistrationState('dep-lost');
  await service.createOrUpdateIndividualEnrollment({ registrationId: 'dep-lost', attestation: { type: 'symmetricKey' }, provisioningStatus: 'disabled' });
  const { plan, done } = cli('deprovision', '--registration-id', 'dep-lost', '--permanent', '--yes');
  assert.deepEqual([done.enrollment, done.device, done.record], ['unchanged', 'deleted', 'missing'], JSON.stringify(plan));
  await lib.refused(() => byKey('dep-lost', key));
});

scenario.case('the audit record tells all of it, and no secrets', async () => {
  const actions = () => cli('audit', '--registration-id', 'dep-1');
  const rows = await lib.eventually(() => {
    const found = actions();
    return found.filter((row) => row.action === 'deprovisioned').length >= 3 && found;
  });
  const of = (action) => rows.filter((row) => row.action === action);
  assert.equal(of('admitted')[0].decidedBy.enrollmentGroup, 'dep-line');
  assert.ok(of('admitted')[0].address.length > 0);
  assert.equal(of('refused')[0].decidedBy.individualEnrollment, 'dep-1');
  assert.ok(of('enrollmentCreated').some((row) => row.who === 'policy provisioningserviceowner' && row.detail === 'disabled'), JSON.stringify(rows));
  assert.deepEqual([of('enrollmentDeleted').length, of('registrationDeleted').length], [1, 1]);
  const text = JSON.stringify(cli('audit'));
  for (const secret of [/-----BEGIN/, /SharedAccessSignature/, /primaryKey/]) assert.doesNotMatch(text, secret);
  assert.deepEqual(cli('audit', '--group-id', 'dep-keys').map((row) => row.action).filter((action) => action !== 'enrollmentGroupUpdated'),
    ['enrollmentGroupCreated', 'deprovisioned', 'enrollmentGroupDeleted', 'deprovisioned']);
  // Each device of a group has it under its own id.
  assert.ok(cli('audit', '--registration-id', 'dep-keys-7').some((row) => row.detail?.includes("with the enrollment group 'dep-keys': deleted")));
});

scenario.case('a stranger cannot fill the audit record', async () => {
  const count = () => cli('audit').filter((row) => row.action === 'refused').length;
  const before = count();
  for (let n = 0; n < 30; n += 1) await lib.refused(() => byKey(`stranger-${n}`, Buffer.alloc(32, n).toString('base64')));
  const more = count() - before;
  assert.ok(more <= 30, `${more} more`);
  return `${more} of 30`;
});

scenario.case('how much there is, beside how much there may be', async () => {
  const stats = cli('stats');
  assert.deepEqual([stats.enforced, stats.registrations.limit, stats.linkedHubs.count], [false, 1000000, 1]);
  assert.ok(stats.x509EnrollmentGroups.count >= 2 && stats.registrations.count >= 1, JSON.stringify(stats));
});

scenario.case('what is not there is told by the exit code', async () => {
  assert.equal(exitCode('deprovision', '--registration-id', 'dep-nobody', '--yes'), 3);
  assert.equal(exitCode('deprovision', '--group', 'dep-nobody', '--yes'), 3);
  assert.equal(exitCode('deprovision'), 2);
});

scenario.run();
