// about: certificates from a request: a device registers with a CSR over HTTPS, MQTT and AMQP, npm's client connects with what it is
// issued; renewed, revoked, listed
// timeout: 120
'use strict';

const { execFileSync } = require('node:child_process');
const crypto = require('node:crypto');
const path = require('node:path');
const mqtt = require('mqtt');
const { Client } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { NoRetry } = require('azure-iot-common');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { Mqtt: ProvisioningMqtt } = require('azure-iot-provisioning-device-mqtt');
const { ProvisioningServiceClient } = require('azure-iot-provisioning-service');
const { SymmetricKeySecurityClient } = require('azure-iot-security-symmetric-key');
const { X509Security } = require('azure-iot-security-x509');
const { Registry } = require('azure-iothub');
const lib = require('./lib');
const pki = require('./lib/pki');
const registering = require('./lib/registering');
const { assert, subject } = lib;

const [dps] = subject.dps;
const service = ProvisioningServiceClient.fromConnectionString(dps.connectionString);
const registry = Registry.fromConnectionString(subject.hub[0].connectionString);
const scenario = new lib.Scenario();
const root = pki.root('Issuing Root');
const authority = pki.intermediate(root, 'Issuing Authority');
const VERSION = '2025-07-01-preview';
let groupKey;

const keyOf = (id) => lib.derivedKey(groupKey, id);
const hashed = { allocationPolicy: 'hashed', customAllocationDefinition: undefined };

function cli(...args) {
  const all = ['--json', '--data-dir', path.dirname(process.env.CONNECTIONS), 'dps', ...args];
  return execFileSync(process.env.SUBJECT_BIN, all, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** One request of the device API. */
async function https(method, place, id, body) {
  const url = `https://${dps.hostName}/${dps.idScope}/registrations/${id}/${place}?api-version=${VERSION}`;
  const headers = { authorization: registering.token(id, keyOf(id)), 'content-type': 'application/json' };
  const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  return { status: answer.status, body: await answer.json() };
}

/** Registers over HTTPS, as the newest API version writes it; resolves to the registration's state. */
async function registerOverHttps(id, body) {
  const begun = await https('PUT', 'register', id, { registrationId: id, ...body });
  assert.equal(begun.status, 202, JSON.stringify(begun.body));
  return lib.eventually(async () => {
    const { status, body: found } = await https('GET', `operations/${begun.body.operationId}`, id);
    return status === 200 && found.registrationState;
  }, { what: 'the end of the registration' });
}

/** The same over MQTT (Azure article "Communicate with DPS using the MQTT protocol"). */
async function registerOverMqtt(id, body) {
  const client = mqtt.connect(`mqtts://${dps.hostName}:8883`, {
    clientId: id, reconnectPeriod: 0, protocolVersion: 4, clean: true,
    username: `${dps.idScope}/registrations/${id}/api-version=${VERSION}&ClientVersion=conformance`,
    password: registering.token(id, keyOf(id)),
  });
  try {
    await new Promise((resolve, reject) => client.once('connect', resolve).once('error', reject));
    await new Promise((resolve, reject) => client.subscribe('$dps/registrations/res/#', (error) => (error ? reject(error) : resolve())));
    const ask = (topic, text) => new Promise((resolve, reject) => {
      client.once('message', (answer, payload) => resolve({ status: Number(answer.split('/')[3]), body: JSON.parse(payload) }));
      client.publish(topic, text, { qos: 1 }, (error) => error && reject(error));
    });
    let answer = await ask('$dps/registrations/PUT/iotdps-register/?$rid=1', JSON.stringify({ registrationId: id, ...body }));
    const operation = answer.body.operationId;
    for (let rid = 2; answer.status === 202; rid += 1) {
      answer = await ask(`$dps/registrations/GET/iotdps-get-operationstatus/?$rid=${rid}&operationId=${operation}`, '');
    }
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body.registrationState;
  } finally {
    client.end(true);
  }
}

async function registerOverAmqp(id, body) {
  const device = await registering.device(id, keyOf(id), { version: VERSION });
  const { operationId } = await device.register({ registrationId: id, ...body });
  const ended = await device.ended(operationId);
  await device.close();
  return ended.registrationState;
}

/** What a device connects with: its key, and the chain it was given, as PEM. */
const identity = (request, state) => ({
  key: request.key,
  cert: state.issuedCertificateChain.map((der) => new crypto.X509Certificate(Buffer.from(der, 'base64')).toString()).join(''),
});

/** npm's client in the hub with a certificate. */
function deviceClient(id, { cert, key }) {
  const client = Client.fromConnectionString(`HostName=${subject.hub[0].hostName};DeviceId=${id};x509=true`, Mqtt);
  client.setOptions({ cert, key });
  client.setRetryPolicy(new NoRetry());
  return client;
}

async function connects(id, own) {
  const client = deviceClient(id, own);
  await client.open();
  await client.getTwin();
  await client.close();
}

const refusedInHub = (id, own) => lib.refused(() => deviceClient(id, own).open());

scenario.case('preparation: a group by key', async () => {
  const made = await service.createOrUpdateEnrollmentGroup(lib.groupBody('issuing', hashed));
  groupKey = made.responseBody.attestation.symmetricKey.primaryKey;
}, { needed: true });

scenario.case('refused: a request while nobody issues certificates', async () => {
  const request = pki.request('early-1');
  const { status, body } = await https('PUT', 'register', 'early-1', { registrationId: 'early-1', csr: request.csr });
  assert.equal(status, 400);
  assert.match(body.message, /issues no certificates/);
});

scenario.case('an operator sets the issuer; its key is not shown', async () => {
  assert.throws(() => cli('issuer', 'set', '--certificate-path', `${authority.base}.pem`, '--key-path', `${root.base}.key`));
  const shown = cli('issuer', 'set', '--certificate-path', `${authority.base}.pem`, '--key-path', `${authority.base}.key`, '--days', '1');
  assert.equal(JSON.parse(shown).info.subjectName, 'CN=Issuing Authority');
  assert.ok(!(shown + cli('issuer', 'show')).includes('PRIVATE'));
}, { needed: true });

for (const [name, register] of Object.entries({ HTTPS: registerOverHttps, MQTT: registerOverMqtt, AMQP: registerOverAmqp })) {
  scenario.case(`a device that sends a request over ${name} gets a certificate, and connects to its hub with it`, async () => {
    const id = `asked-${name.toLowerCase()}`;
    const request = pki.request(id);
    const state = await register(id, { csr: request.csr });
    const [leaf, above] = state.issuedCertificateChain.map((der) => new crypto.X509Certificate(Buffer.from(der, 'base64')));
    assert.equal(leaf.subject, `CN=${id}`);
    assert.ok(leaf.verify(above.publicKey) && leaf.checkPrivateKey(crypto.createPrivateKey(request.key)) && !leaf.ca);
    await connects(id, identity(request, state));
    const { responseBody: known } = await registry.get(id);
    assert.equal(known.authentication.type, 'selfSigned');
    const byKey = Client.fromConnectionString(
      `HostName=${subject.hub[0].hostName};DeviceId=${id};SharedAccessKey=${keyOf(id)}`, Mqtt);
    byKey.setRetryPolicy(new NoRetry());
    await lib.refused(() => byKey.open());
  });
}

scenario.case('the names of the preview before it are taken, and answered with PEM', async () => {
  const request = pki.request('older-1');
  const state = await registerOverHttps('older-1', { clientCertificateCsr: request.pem });
  await connects('older-1', { key: request.key, cert: state.issuedClientCertificate });
});

scenario.case('renewed: both hold until the next one; a registration without a request takes nothing away', async () => {
  const requests = [1, 2, 3].map(() => pki.request('renewed-1'));
  const issued = [];
  for (const request of requests) issued.push(identity(request, await registerOverHttps('renewed-1', { csr: request.csr })));
  await refusedInHub('renewed-1', issued[0]);
  await connects('renewed-1', issued[1]);
  await connects('renewed-1', issued[2]);
  const security = new SymmetricKeySecurityClient('renewed-1', keyOf('renewed-1'));
  await ProvisioningDeviceClient.create(dps.hostName, dps.idScope, new ProvisioningMqtt(), security).register();
  await connects('renewed-1', issued[2]);
});

scenario.case('refused: no request, one of another name, one without its key, a short RSA key', async () => {
  const other = pki.request('somebody-else');
  const forged = Buffer.from(other.csr, 'base64');
  forged[forged.length - 1] ^= 1;
  const short = pki.request('wrong-1', ['-newkey', 'rsa:1024', '-nodes']);
  for (const csr of ['', 'no request', other.csr, forged.toString('base64'), short.csr, 'A'.repeat(40000), 7]) {
    const { status } = await https('PUT', 'register', 'wrong-1', { registrationId: 'wrong-1', csr });
    assert.equal(status, 400, String(csr).slice(0, 40));
  }
  assert.equal(await lib.refused(() => registry.get('wrong-1')), 404);
});

scenario.case('revoked: cut off at once, let in nowhere with it, listed; registering again brings another', async () => {
  const id = 'revoked-1';
  const request = pki.request(id);
  const own = identity(request, await registerOverHttps(id, { csr: request.csr }));
  await service.createOrUpdateEnrollmentGroup(lib.groupBody('renewals', {
    ...hashed, attestation: { type: 'x509', x509: { signingCertificates: { primary: { certificate: authority.cert } } } },
  }));
  const renew = () => ProvisioningDeviceClient.create(dps.hostName, dps.idScope, new ProvisioningMqtt(), new X509Security(id, own)).register();
  await renew();
  const client = deviceClient(id, own);
  await client.open();
  const gone = new Promise((resolve) => client.once('disconnect', resolve));
  const [revoked] = JSON.parse(cli('issuer', 'revoke', '--registration-id', id));
  await gone;
  await refusedInHub(id, own);
  await lib.refused(renew);
  const crl = cli('issuer', 'crl');
  assert.ok(pki.revokedIn(crl).includes(revoked.serialNumber), crl);
  assert.ok(JSON.parse(cli('issuer', 'revocations')).some((one) => one.registrationId === id));
  const next = pki.request(id);
  await connects(id, identity(next, await registerOverHttps(id, { csr: next.csr })));
});

scenario.case('deprovisioned for good: what it was issued is revoked', async () => {
  const id = 'retired-1';
  const request = pki.request(id);
  await registerOverHttps(id, { csr: request.csr });
  cli('deprovision', '--registration-id', id, '--permanent', '--yes');
  assert.ok(JSON.parse(cli('issuer', 'revocations')).some((one) => one.registrationId === id));
});

scenario.case('without the issuer requests are refused again; what was issued holds', async () => {
  const request = pki.request('kept-1');
  const own = identity(request, await registerOverHttps('kept-1', { csr: request.csr }));
  cli('issuer', 'delete');
  const { status } = await https('PUT', 'register', 'kept-1', { registrationId: 'kept-1', csr: pki.request('kept-1').csr });
  assert.equal(status, 400);
  await connects('kept-1', own);
});

scenario.run();
