// about: provisioning with a TPM over HTTPS, AMQP and AMQP over WebSocket: npm's clients on swtpm; activation, hub key, refusals
// timeout: 120
'use strict';

const https = require('node:https');
const { Client, Message } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { NoRetry } = require('azure-iot-common');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { Amqp, AmqpWs } = require('azure-iot-provisioning-device-amqp');
const { Http } = require('azure-iot-provisioning-device-http');
const { ProvisioningServiceClient } = require('azure-iot-provisioning-service');
const { Registry } = require('azure-iothub');
const { SaslTpm } = require('azure-iot-provisioning-device-amqp/dist/sasl_tpm');
const lib = require('./lib');
const amqp = require('./lib/amqp');
const registering = require('./lib/registering');
const swtpm = require('./lib/swtpm');
const { assert, subject } = lib;

const [dps] = subject.dps;
const [hub] = subject.hub;
const service = ProvisioningServiceClient.fromConnectionString(dps.connectionString);
const registry = Registry.fromConnectionString(hub.connectionString);
const TRANSPORTS = { https: Http, amqp: Amqp, 'amqp-ws': AmqpWs };
const scenario = new lib.Scenario();
let ours, theirs;

/** Registers with a TPM; resolves to the registration. */
async function register(security, Transport, { payload, scope = dps.idScope } = {}) {
  const client = ProvisioningDeviceClient.create(dps.hostName, scope, new Transport(), security);
  if (payload) client.setProvisioningPayload(payload);
  const result = await client.register();
  return result.registrationState ?? result;
}

/** An enrollment for one of our TPMs; answers its security client. */
async function enrolled(registrationId, { make = ours, ...more } = {}) {
  const security = make(registrationId);
  const endorsementKey = (await swtpm.call(security, 'getEndorsementKey')).toString('base64');
  await service.createOrUpdateIndividualEnrollment({ registrationId, attestation: { type: 'tpm', tpm: { endorsementKey } }, ...more });
  return security;
}

/** A client with some of its answers from elsewhere. */
const but = (security, other) => new Proxy(security, {
  get: (target, name) => other[name] ?? (typeof target[name] === 'function' ? target[name].bind(target) : target[name]),
});

/** A token for the hub, signed in the TPM. */
async function hubToken(security, deviceId) {
  const audience = encodeURIComponent(`${hub.hostName}/devices/${deviceId}`);
  const expiry = Math.floor(Date.now() / 1000) + 600;
  const signature = await swtpm.call(security, 'signWithIdentity', Buffer.from(`${audience}\n${expiry}`));
  return `SharedAccessSignature sr=${audience}&sig=${encodeURIComponent(signature.toString('base64'))}&se=${expiry}`;
}

/** Connects to the hub with what the TPM signs, and sends. */
async function sends(security, deviceId) {
  const client = Client.fromSharedAccessSignature(await hubToken(security, deviceId), Mqtt);
  client.setRetryPolicy(new NoRetry());
  await client.open();
  await client.sendEvent(new Message('{}'));
  await client.close();
}

/** The answer to a registration that shows nothing but keys: its status and body. */
function challenge(id, tpm) {
  const body = JSON.stringify({ registrationId: id, tpm });
  const options = { host: dps.hostName, method: 'PUT', path: `/${dps.idScope}/registrations/${id}/register?api-version=2019-03-31` };
  return new Promise((resolve, reject) => {
    const request = https.request({ ...options, headers: { 'content-type': 'application/json', 'content-length': body.length } }, (answer) => {
      const pieces = [];
      answer.on('data', (piece) => pieces.push(piece));
      answer.on('end', () => resolve({ status: answer.statusCode, body: JSON.parse(Buffer.concat(pieces)) }));
    });
    request.on('error', reject);
    request.end(body);
  });
}

const refusal = (action) => action().then(() => assert.fail('it was accepted'), (error) => error);

/** Refused before there is a challenge. npm's client over AMQP waits for that challenge for ever then: its SASL mechanism is asked. */
async function refusedAtOnce(security, Transport, scope = dps.idScope) {
  if (Transport === Http) return refusal(() => register(security, Transport, { scope }));
  const [id, endorsement, storageRoot] = await Promise.all(
    ['getRegistrationId', 'getEndorsementKey', 'getStorageRootKey'].map((name) => swtpm.call(security, name)),
  );
  const TPM = new SaslTpm(scope, id, endorsement, storageRoot, () => assert.fail('there is a challenge'));
  return refusal(() => amqp.connect({ sasl_mechanisms: { TPM } }));
}

if (!swtpm.available()) {
  lib.out({ name: 'provisioning with a TPM', skip: 'needs swtpm: apt-get install swtpm' });
  process.exit(0);
}

scenario.case('preparation: two TPMs', async () => {
  [ours, theirs] = [await swtpm.start(), await swtpm.start()];
}, { needed: true });

for (const [name, Transport] of Object.entries(TRANSPORTS)) {
  scenario.case(`${name}: a device registers with its TPM, and connects to its hub with the key that it got`, async () => {
    const id = `tpm-${name}`;
    const security = await enrolled(id, { deviceId: `${id}-device` });
    const result = await register(security, Transport);
    assert.equal(result.status, 'assigned');
    assert.equal(result.deviceId, `${id}-device`);
    assert.equal(result.assignedHub, hub.hostName);
    assert.equal((await registry.get(`${id}-device`)).responseBody.authentication.type, 'sas');
    await sends(security, `${id}-device`);
    assert.equal((await register(security, Transport)).deviceId, `${id}-device`, 'again');
    await sends(security, `${id}-device`);
  });

  scenario.case(`${name}: refused: another TPM, also with the right key shown, a wrong signature, a wrong scope`, async () => {
    const id = `tpm-${name}-refused`;
    const security = await enrolled(id);
    const stranger = theirs(id);
    await refusedAtOnce(stranger, Transport);
    // Who knows the endorsement key, which is public, and cannot open what is encrypted to it.
    const known = (callback) => security.getEndorsementKey(callback);
    const pretended = (key, callback) => callback(null);
    const forged = (data, callback) => callback(null, Buffer.alloc(32, 7));
    const thief = but(stranger, { getEndorsementKey: known, activateIdentityKey: pretended, signWithIdentity: forged });
    await refusal(() => register(thief, Transport));
    await refusal(() => register(but(security, { signWithIdentity: forged }), Transport));
    await refusedAtOnce(security, Transport, '0ne00000000');
    assert.equal(await lib.refused(() => registry.get(id)), 404);
    assert.equal(await lib.refused(() => service.getDeviceRegistrationState(id)), 404);
  });

  scenario.case(`${name}: a disabled enrollment refuses its TPM`, async () => {
    const id = `tpm-${name}-disabled`;
    const security = await enrolled(id, { provisioningStatus: 'disabled' });
    await refusal(() => register(security, Transport));
    assert.equal(await lib.refused(() => registry.get(id)), 404);
  });
}

scenario.case('a payload goes to the webhook, with the keys of the TPM, and another comes back', async () => {
  const hook = await registering.webhook(({ deviceRuntimeContext: { payload } }) => ({ payload: { heard: payload } }));
  const definition = { webhookUrl: hook.url, apiVersion: '2021-10-01' };
  const security = await enrolled('tpm-payload', {
    allocationPolicy: 'custom', customAllocationDefinition: definition, iotHubs: [hub.hostName],
  });
  assert.deepEqual((await register(security, Amqp, { payload: { floor: 4 } })).payload, { heard: { floor: 4 } });
  const [call] = hook.calls;
  const [endorsementKey, storageRootKey] = await Promise.all(
    ['getEndorsementKey', 'getStorageRootKey'].map(async (name) => (await swtpm.call(security, name)).toString('base64')),
  );
  assert.deepEqual(call.deviceRuntimeContext.tpm, { endorsementKey, storageRootKey });
  assert.equal(call.individualEnrollment.attestation.type, 'tpm');
});

scenario.case('the challenge: 401 with a key for who is enrolled, the same without one for all others', async () => {
  const security = await enrolled('tpm-raw');
  const encoded = async (client, name) => (await swtpm.call(client, name)).toString('base64');
  const tpm = { endorsementKey: await encoded(security, 'getEndorsementKey'), storageRootKey: await encoded(security, 'getStorageRootKey') };
  const good = await challenge('tpm-raw', tpm);
  assert.equal(good.status, 401);
  assert.equal(good.body.errorCode, 401002);
  assert.ok(Buffer.from(good.body.authenticationKey, 'base64').length > 700);
  assert.notEqual((await challenge('tpm-raw', tpm)).body.authenticationKey, good.body.authenticationKey);
  const stranger = theirs('tpm-raw');
  const foreign = { ...tpm, endorsementKey: await encoded(stranger, 'getEndorsementKey') };
  for (const [id, keys] of [['tpm-raw', foreign], ['tpm-nobody', tpm]]) {
    const { status, body } = await challenge(id, keys);
    assert.deepEqual([status, body.errorCode, body.authenticationKey], [401, 401002, undefined]);
  }
  assert.equal((await challenge('tpm-raw', { ...tpm, storageRootKey: 'AAAA' })).status, 400);
});

scenario.case('an enrollment shows its TPM and keeps it; groups and keys that are none are refused', async () => {
  await enrolled('tpm-shown');
  const { responseBody: read } = await service.getIndividualEnrollment('tpm-shown');
  assert.equal(read.attestation.type, 'tpm');
  const { endorsementKey } = read.attestation.tpm;
  const { responseBody: changed } = await service.createOrUpdateIndividualEnrollment({ ...read, deviceId: 'tpm-shown-device' });
  assert.equal(changed.attestation.tpm.endorsementKey, endorsementKey);
  assert.equal((await register(ours('tpm-shown'), Http)).deviceId, 'tpm-shown-device');
  const { responseBody: mechanism } = await service.getIndividualEnrollmentAttestationMechanism('tpm-shown');
  assert.deepEqual(Object.keys(mechanism.tpm), ['endorsementKey']);
  const put = (attestation) => () => service.createOrUpdateIndividualEnrollment({ registrationId: 'tpm-wrong', attestation });
  for (const tpm of [{}, { endorsementKey: 'no base64!' }, { endorsementKey: 'AAAA' }, { endorsementKey, storageRootKey: 'AAAA' }]) {
    assert.equal(await lib.refused(put({ type: 'tpm', tpm })), 400, JSON.stringify(tpm));
  }
  const group = { enrollmentGroupId: 'tpm-group', attestation: { type: 'tpm', tpm: { endorsementKey } } };
  assert.equal(await lib.refused(() => service.createOrUpdateEnrollmentGroup(group)), 400);
});

scenario.run();
