// about: provisioning by certificate with npm's clients over MQTT and HTTPS: individual, group, CA references, rollover, refusals
// timeout: 120
'use strict';

const { execFileSync } = require('node:child_process');
const { Client, Message } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { NoRetry } = require('azure-iot-common');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { Http } = require('azure-iot-provisioning-device-http');
const { Mqtt: ProvisioningMqtt, MqttWs } = require('azure-iot-provisioning-device-mqtt');
const { ProvisioningServiceClient } = require('azure-iot-provisioning-service');
const { X509Security } = require('azure-iot-security-x509');
const { Registry } = require('azure-iothub');
const lib = require('./lib');
const pki = require('./lib/pki');
const { assert, subject, THERMOSTAT } = lib;

const [dps] = subject.dps;
const service = ProvisioningServiceClient.fromConnectionString(dps.connectionString);
const registry = Registry.fromConnectionString(subject.hub[0].connectionString);
const TRANSPORTS = { MQTT: ProvisioningMqtt, 'MQTT over WebSocket': MqttWs, HTTPS: Http };
const scenario = new lib.Scenario();
const root = pki.root('Conformance Root');
const factory = pki.intermediate(root, 'Factory A');
const line = pki.intermediate(factory, 'Line 1');

/** Registers with a certificate; resolves to the registration. */
function register(id, { chain, key }, Transport = ProvisioningMqtt) {
  const security = new X509Security(id, { cert: chain, key });
  const client = ProvisioningDeviceClient.create(dps.hostName, dps.idScope, new Transport(), security);
  client.setProvisioningPayload({ modelId: THERMOSTAT });
  return client.register();
}

/** What refuses over every transport. */
async function refusedEverywhere(id, identity) {
  for (const Transport of Object.values(TRANSPORTS)) await lib.refused(() => register(id, identity, Transport));
  await notThere(id);
}

const notThere = async (id) => assert.equal(await lib.refused(() => registry.get(id)), 404);

const certificates = (primary, secondary) => ({
  primary: { certificate: primary.cert },
  ...(secondary ? { secondary: { certificate: secondary.cert } } : {}),
});

const individual = (registrationId, own, more = {}) => service.createOrUpdateIndividualEnrollment({
  registrationId, attestation: { type: 'x509', x509: { clientCertificates: certificates(...own) } }, ...more,
});

const group = (enrollmentGroupId, signers, more = {}) => service.createOrUpdateEnrollmentGroup(lib.groupBody(enrollmentGroupId, {
  attestation: { type: 'x509', x509: { signingCertificates: certificates(...signers) } }, ...more,
}));

function cli(...args) {
  return JSON.parse(execFileSync(process.env.SUBJECT_BIN, ['dps', 'certificate', ...args, '--json'], {
    encoding: 'utf8', env: { ...process.env, POLLUX_DATA_DIR: subject.dataDir },
  }));
}

scenario.case('preparation: models', () => lib.uploadModels(lib.twinsClient()), { needed: true });

for (const [name, Transport] of Object.entries(TRANSPORTS)) {
  scenario.case(`an individual enrollment admits its device by its own certificate over ${name}`, async () => {
    const id = `own-${name.toLowerCase().replace(/ /g, '-')}`;
    const device = pki.selfSigned(id);
    await individual(id, [device], { deviceId: `${id}-device` });
    const result = await register(id, device, Transport);
    assert.equal(result.deviceId, `${id}-device`);
    await refusedEverywhere(id, pki.selfSigned(id)).catch((error) => assert.fail(error));
  });
}

scenario.case('what an enrollment shows of its certificates is what they say, and sent back it keeps them', async () => {
  const device = pki.selfSigned('shown-1');
  await individual('shown-1', [device]);
  const { responseBody: read } = await service.getIndividualEnrollment('shown-1');
  const { info, certificate } = read.attestation.x509.clientCertificates.primary;
  assert.equal(certificate, undefined);
  assert.equal(info.subjectName, 'CN=shown-1');
  assert.match(info.sha1Thumbprint, /^[0-9A-F]{40}$/);
  assert.match(info.sha256Thumbprint, /^[0-9A-F]{64}$/);
  assert.ok(new Date(info.notAfterUtc) > new Date());
  await service.createOrUpdateIndividualEnrollment({ ...read, deviceId: 'shown-device' });
  assert.equal((await register('shown-1', device)).deviceId, 'shown-device');
});

scenario.case('a new certificate beside the old one: both are believed, then the new one alone', async () => {
  const [old, next] = [pki.selfSigned('rolled-1'), pki.selfSigned('rolled-1')];
  await individual('rolled-1', [old, next]);
  await register('rolled-1', old);
  await register('rolled-1', next);
  const { responseBody: read } = await service.getIndividualEnrollment('rolled-1');
  await individual('rolled-1', [next], { etag: read.etag });
  await lib.refused(() => register('rolled-1', old));
  await register('rolled-1', next);
});

scenario.case('a group of an intermediate admits those below it, over each transport', async () => {
  await group('factory-a', [factory]);
  for (const [at, Transport] of Object.values(TRANSPORTS).entries()) {
    const id = `factory-device-${at}`;
    const result = await register(id, pki.leaf(line, id), Transport);
    assert.equal(result.deviceId, id);
    assert.equal(result.assignedHub, subject.hub[0].hostName);
  }
}, { needed: true });

scenario.case('the device is in its hub with the certificate it showed, connects with it and sends', async () => {
  const id = 'factory-device-9';
  const device = pki.leaf(line, id);
  await register(id, device);
  const { responseBody: known } = await registry.get(id);
  assert.equal(known.authentication.type, 'selfSigned');
  const client = Client.fromConnectionString(`HostName=${subject.hub[0].hostName};DeviceId=${id};x509=true`, Mqtt);
  client.setOptions({ cert: device.chain, key: device.key });
  client.setRetryPolicy(new NoRetry());
  await client.open();
  const message = new Message(JSON.stringify({ Temperature: 31.5 }));
  message.contentType = 'application/json';
  message.contentEncoding = 'utf-8';
  await client.sendEvent(message);
  const twins = lib.twinsClient();
  await lib.eventually(async () => (await twins.getDigitalTwin(id)).body.Temperature === 31.5, { what: 'telemetry on the twin' });
  await client.close();
  const other = Client.fromConnectionString(`HostName=${subject.hub[0].hostName};DeviceId=${id};x509=true`, Mqtt);
  const stranger = pki.leaf(line, id);
  other.setOptions({ cert: stranger.chain, key: stranger.key });
  other.setRetryPolicy(new NoRetry());
  await lib.refused(() => other.open());
});

scenario.case('a leaf of version 1, as older openssl makes it, is admitted by the group that signed it', async () => {
  await group('line-1', [line]);
  assert.equal((await register('plain-1', pki.plainLeaf(line, 'plain-1'))).deviceId, 'plain-1');
});

scenario.case('refused: another name, no way to the enrolled certificate, a chain with a hole, one out of date, a stranger', async () => {
  await refusedEverywhere('not-its-name', pki.leaf(line, 'its-name'));
  await refusedEverywhere('foreign', pki.leaf(pki.intermediate(pki.root('Conformance Root'), 'Factory A'), 'foreign'));
  const hole = pki.leaf(pki.intermediate(line, 'Cell'), 'hole');
  await refusedEverywhere('hole', { ...hole, chain: hole.cert });
  await refusedEverywhere('late', pki.leaf(line, 'late', -1));
  await refusedEverywhere('stranger', pki.selfSigned('stranger'));
});

scenario.case('another key than the certificate is of does not get through the handshake', async () => {
  const [mine, other] = [pki.leaf(line, 'stolen-1'), pki.leaf(line, 'stolen-1')];
  await refusedEverywhere('stolen-1', { chain: mine.chain, key: other.key });
});

scenario.case('the nearest enrolled certificate decides: a disabled one refuses below an enabled one', async () => {
  const { responseBody: read } = await service.getEnrollmentGroup('line-1');
  await service.createOrUpdateEnrollmentGroup({ ...read, provisioningStatus: 'disabled' });
  await refusedEverywhere('below-1', pki.leaf(line, 'below-1'));
  const beside = pki.intermediate(factory, 'Line 2');
  await register('beside-1', pki.leaf(beside, 'beside-1'));
  await service.deleteEnrollmentGroup('line-1');
  assert.equal((await register('below-1', pki.leaf(line, 'below-1'))).deviceId, 'below-1', 'a higher group admits it again');
});

scenario.case('a disabled individual enrollment shuts one device out of its group', async () => {
  const device = pki.leaf(line, 'single-1');
  await register('single-1', device);
  await individual('single-1', [device], { provisioningStatus: 'disabled' });
  await lib.refused(() => register('single-1', device));
  await register('single-2', pki.leaf(line, 'single-2'));
});

scenario.case('a group by CA reference admits nobody until possession is proved', async () => {
  const other = pki.root('Referenced Root');
  const device = pki.leaf(pki.intermediate(other, 'Plant'), 'referenced-1');
  const made = cli('create', '--certificate-name', 'referenced', '--path', `${other.base}.pem`);
  assert.equal(made.isVerified, false);
  await service.createOrUpdateEnrollmentGroup(lib.groupBody('referenced', {
    attestation: { type: 'x509', x509: { caReferences: { primary: 'referenced' } } },
  }));
  await refusedEverywhere('referenced-1', device);
  const { verificationCode } = cli('generate-verification-code', '--certificate-name', 'referenced');
  const wrong = pki.leaf(other, 'not the code');
  assert.throws(() => cli('verify', '--certificate-name', 'referenced', '--path', `${wrong.base}.pem`));
  const foreign = pki.leaf(root, verificationCode);
  assert.throws(() => cli('verify', '--certificate-name', 'referenced', '--path', `${foreign.base}.pem`));
  const proof = pki.leaf(other, verificationCode);
  assert.equal(cli('verify', '--certificate-name', 'referenced', '--path', `${proof.base}.pem`).isVerified, true);
  assert.equal((await register('referenced-1', device)).deviceId, 'referenced-1');
  assert.ok(cli('list').some((one) => one.name === 'referenced' && one.isVerified));
});

scenario.case('refused: enrollments with certificates that cannot be', async () => {
  const x509 = (x509) => ({ attestation: { type: 'x509', x509 } });
  const put = (more) => service.createOrUpdateEnrollmentGroup(lib.groupBody('wrong', more));
  const wrong = [
    x509({}), x509({ signingCertificates: {} }), x509({ signingCertificates: { primary: { certificate: 'no certificate' } } }),
    x509({ signingCertificates: certificates(pki.leaf(root, 'no-authority')) }), x509({ caReferences: { primary: 'nobody' } }),
    x509({ clientCertificates: certificates(root) }),
  ];
  for (const one of wrong) assert.equal(await lib.refused(() => put(one)), 400, JSON.stringify(one).slice(0, 80));
});

scenario.run();
