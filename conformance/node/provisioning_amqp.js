// about: provisioning over AMQP and AMQP over WebSocket with npm's client: keys, certificates, payloads, refusals, Retry-After
// timeout: 120
'use strict';

const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { Amqp, AmqpWs } = require('azure-iot-provisioning-device-amqp');
const { ProvisioningServiceClient } = require('azure-iot-provisioning-service');
const { SymmetricKeySecurityClient } = require('azure-iot-security-symmetric-key');
const { X509Security } = require('azure-iot-security-x509');
const { Registry } = require('azure-iothub');
const lib = require('./lib');
const amqp = require('./lib/amqp');
const pki = require('./lib/pki');
const registering = require('./lib/registering');
const { assert, subject, derivedKey } = lib;

const [dps] = subject.dps;
const service = ProvisioningServiceClient.fromConnectionString(dps.connectionString);
const registry = Registry.fromConnectionString(subject.hub[0].connectionString);
const TRANSPORTS = { amqp: Amqp, 'amqp-ws': AmqpWs };
const scenario = new lib.Scenario();
let groupKey, hook;

/** Registers with whatever proves it; resolves to the registration, its payload among it. */
function register(security, Transport, { scope = dps.idScope, payload } = {}) {
  const client = ProvisioningDeviceClient.create(dps.hostName, scope, new Transport(), security);
  if (payload) client.setProvisioningPayload(payload);
  return client.register();
}

const byKey = (id, key, Transport, more) => register(new SymmetricKeySecurityClient(id, key), Transport, more);
const byCertificate = (id, { chain, key }, Transport, more) => register(new X509Security(id, { cert: chain, key }), Transport, more);
const groupDevice = (id, Transport, more) => byKey(id, derivedKey(groupKey, id), Transport, more);

/** What the client says when it is refused: AMQP's condition, or the name of its own error. */
async function refusal(action) {
  const error = await action().then(() => assert.fail('it was accepted'), (error) => error);
  return error.condition ?? error.amqpError?.condition ?? error.name;
}

/** An individual enrollment with keys; its primary key. */
async function individual(registrationId, more = {}) {
  const body = { registrationId, attestation: { type: 'symmetricKey' }, ...more };
  await service.createOrUpdateIndividualEnrollment(body);
  return (await service.getIndividualEnrollmentAttestationMechanism(registrationId)).responseBody.symmetricKey.primaryKey;
}

scenario.case('preparation: a group whose webhook answers with what the device sent', async () => {
  hook = await registering.webhook(({ deviceRuntimeContext: { payload } }) => ({ payload: { heard: payload } }));
  const definition = { webhookUrl: hook.url, apiVersion: '2021-10-01' };
  await service.createOrUpdateEnrollmentGroup(lib.groupBody('amqp', { customAllocationDefinition: definition }));
  groupKey = (await service.getEnrollmentGroupAttestationMechanism('amqp')).responseBody.symmetricKey.primaryKey;
}, { needed: true });

for (const [name, Transport] of Object.entries(TRANSPORTS)) {
  scenario.case(`${name}: a device of a group registers with its derived key, a payload goes both ways`, async () => {
    const id = `${name}-group-1`;
    const result = await groupDevice(id, Transport, { payload: { floor: 3 } });
    assert.equal(result.deviceId, id);
    assert.equal(result.assignedHub, subject.hub[0].hostName);
    assert.equal(result.substatus, 'initialAssignment');
    assert.deepEqual(result.payload, { heard: { floor: 3 } });
    const { responseBody: known } = await registry.get(id);
    assert.equal(known.authentication.symmetricKey.primaryKey, derivedKey(groupKey, id));
  });

  scenario.case(`${name}: a device with an enrollment of its own gets the name that it gives`, async () => {
    const id = `${name}-single`;
    const key = await individual(id, { deviceId: `${id}-device` });
    assert.equal((await byKey(id, key, Transport)).deviceId, `${id}-device`);
    assert.equal((await byKey(id, key, Transport)).deviceId, `${id}-device`, 'again');
  });

  scenario.case(`${name}: a device registers with its own certificate, and one through its group's`, async () => {
    const own = pki.selfSigned(`${name}-cert`);
    const clientCertificates = { primary: { certificate: own.cert } };
    await service.createOrUpdateIndividualEnrollment({ registrationId: `${name}-cert`, attestation: { type: 'x509', x509: { clientCertificates } } });
    assert.equal((await byCertificate(`${name}-cert`, own, Transport)).deviceId, `${name}-cert`);
    const root = pki.root(`${name} root`);
    const factory = pki.intermediate(root, `${name} factory`);
    const signingCertificates = { primary: { certificate: root.cert } };
    await service.createOrUpdateEnrollmentGroup({ enrollmentGroupId: `${name}-x509`, attestation: { type: 'x509', x509: { signingCertificates } } });
    const below = pki.leaf(factory, `${name}-below`);
    assert.equal((await byCertificate(`${name}-below`, below, Transport)).deviceId, `${name}-below`);
    assert.equal((await registry.get(`${name}-below`)).responseBody.authentication.type, 'selfSigned');
    assert.equal(await refusal(() => byCertificate(`${name}-below`, pki.selfSigned(`${name}-below`), Transport)), 'amqp:unauthorized-access');
    assert.equal(await refusal(() => byCertificate(`${name}-other`, below, Transport)), 'amqp:unauthorized-access', 'under another name');
    assert.equal(await refusal(() => byCertificate(`${name}-below`, below, Transport, { scope: '0ne00000000' })), 'amqp:unauthorized-access', 'wrong scope');
  });

  scenario.case(`${name}: refused: a wrong key, an unknown device, a wrong scope, a disabled enrollment`, async () => {
    const id = `${name}-refused`;
    const key = derivedKey(groupKey, id);
    const disabled = await individual(`${name}-disabled`, { provisioningStatus: 'disabled' });
    const wrong = {
      'wrong key': () => byKey(id, derivedKey(key, 'other'), Transport),
      'unknown device': () => byKey(`${name}-stranger`, key, Transport),
      'wrong scope': () => byKey(id, key, Transport, { scope: '0ne00000000' }),
      disabled: () => byKey(`${name}-disabled`, disabled, Transport),
    };
    const names = [];
    for (const [what, action] of Object.entries(wrong)) names.push(await refusal(action).catch((error) => assert.fail(`${what}: ${error.message}`)));
    assert.equal(await lib.refused(() => registry.get(id)), 404);
    return names.join(' ');
  });
}

scenario.case('an answer says after how many seconds to ask again, until the operation has ended', async () => {
  const device = await registering.device('raw-1', derivedKey(groupKey, 'raw-1'));
  const begun = await device.register();
  assert.equal(begun.status, 'assigning');
  assert.equal(begun.retryAfter, 1);
  const done = await device.ended(begun.operationId);
  assert.equal(done.status, 'assigned');
  assert.equal(done.registrationState.deviceId, 'raw-1');
  assert.equal(done.retryAfter, undefined);
  await device.close();
});

scenario.case('a second connection joins the running operation; the webhook is called once', async () => {
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  const slow = await registering.webhook(() => held);
  const key = await individual('joined-1', {
    allocationPolicy: 'custom', customAllocationDefinition: { webhookUrl: slow.url, apiVersion: '2021-10-01' }, iotHubs: [subject.hub[0].hostName],
  });
  const [first, second] = [await registering.device('joined-1', key), await registering.device('joined-1', key)];
  const begun = await first.register();
  await lib.eventually(() => slow.calls.length === 1, { what: 'the webhook is called' });
  const joined = await second.register({ registrationId: 'joined-1' }, true);
  assert.equal(joined.operationId, begun.operationId);
  assert.equal((await second.status(begun.operationId)).status, 'assigning');
  release({});
  assert.equal((await second.ended(begun.operationId)).status, 'assigned');
  assert.equal((await first.ended(begun.operationId)).status, 'assigned');
  assert.equal(slow.calls.length, 1);
  await first.close();
  await second.close();
});

scenario.case('forceRegistration allocates anew where the policy says to stay', async () => {
  const counting = await registering.webhook(() => ({}));
  const key = await individual('forced-1', {
    allocationPolicy: 'custom', customAllocationDefinition: { webhookUrl: counting.url, apiVersion: '2021-10-01' },
    iotHubs: [subject.hub[0].hostName], reprovisionPolicy: { updateHubAssignment: false, migrateDeviceData: true },
  });
  const device = await registering.device('forced-1', key);
  for (const [force, calls] of [[false, 1], [false, 1], [true, 2]]) {
    const { operationId } = await device.register({ registrationId: 'forced-1' }, force);
    assert.equal((await device.ended(operationId)).status, 'assigned');
    assert.equal(counting.calls.length, calls, `forceRegistration ${force}`);
  }
  await device.close();
});

scenario.case('a device of before reprovisioning policies stays where it was unless its enrollment has one', async () => {
  const counting = await registering.webhook(() => ({}));
  const entry = {
    allocationPolicy: 'custom', customAllocationDefinition: { webhookUrl: counting.url, apiVersion: '2021-10-01' },
    iotHubs: [subject.hub[0].hostName],
  };
  const key = await individual('old-1', entry);
  for (const [version, calls] of [['2018-04-01', 1], ['2018-04-01', 1], ['2017-08-31-preview', 1], ['2018-09-01-preview', 2]]) {
    const device = await registering.device('old-1', key, { version });
    const { operationId } = await device.register({ registrationId: 'old-1' });
    assert.equal((await device.ended(operationId)).status, 'assigned');
    assert.equal(counting.calls.length, calls, version);
    await device.close();
  }
});

scenario.case('api versions of older clients are answered alike', async () => {
  for (const version of ['2017-08-31-preview', '2017-11-15', '2018-09-01-preview', '2018-11-01', '2019-03-31', '2021-06-01']) {
    const device = await registering.device('versions-1', derivedKey(groupKey, 'versions-1'), { version });
    const { operationId } = await device.register();
    assert.equal((await device.ended(operationId)).status, 'assigned', version);
    await device.close();
  }
});

scenario.case('refused in words that clients can take apart: requests that make no sense', async () => {
  const device = await registering.device('raw-2', derivedKey(groupKey, 'raw-2'));
  const wrong = [
    [() => device.ask({ 'iotdps-operation-type': 'iotdps-nonsense' }), 'com.microsoft:argument-error', 400004],
    [() => device.ask({}), 'com.microsoft:argument-error', 400004],
    [() => device.register({ registrationId: 'other' }), 'com.microsoft:argument-error', 400004],
    [() => device.register({ payload: 'x'.repeat(17 * 1024) }), 'amqp:link:message-size-exceeded', 413001],
    [() => device.status('no-such-operation'), 'amqp:not-found', 404203],
  ];
  for (const [action, condition, code] of wrong) {
    const error = await action().then(() => assert.fail('it was accepted'), (error) => error);
    assert.equal(error.condition, condition);
    assert.equal(JSON.parse(error.description).errorCode, code);
  }
  const { operationId } = await device.register();
  assert.equal((await device.ended(operationId)).status, 'assigned', 'the connection is as good as before');
  await device.close();
});

scenario.case('a device has its own place only, and no event hub', async () => {
  const [id, key] = ['raw-3', derivedKey(groupKey, 'raw-3')];
  for (const place of [`${dps.idScope}/registrations/raw-4`, '0ne00000000/registrations/raw-3']) {
    await assert.rejects(registering.device(id, key, { place }), /unauthorized-access/, place);
  }
  await assert.rejects(registering.device(id, key, { place: subject.events[0].eventHubs?.[0] ?? 'deviceevents' }), /unauthorized-access|not-found/);
  const stranger = await amqp.connect();
  await assert.rejects(amqp.sender(stranger, `${dps.idScope}/registrations/${id}`), /unauthorized-access/);
  await amqp.close(stranger);
});

scenario.run();
