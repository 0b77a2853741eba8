// about: devices at their hub by certificate with npm's client: by thumbprint, by an authority that was verified, refusals
// timeout: 60
'use strict';

const { execFileSync } = require('node:child_process');
const crypto = require('node:crypto');
const path = require('node:path');
const { Client, Message } = require('azure-iot-device');
const { Mqtt, MqttWs } = require('azure-iot-device-mqtt');
const { NoRetry } = require('azure-iot-common');
const { Registry } = require('azure-iothub');
const lib = require('./lib');
const pki = require('./lib/pki');
const { assert, subject } = lib;

const [hub] = subject.hub;
const registry = Registry.fromConnectionString(hub.connectionString);
const scenario = new lib.Scenario();
const TRANSPORTS = { MQTT: Mqtt, 'MQTT over WebSocket': MqttWs };
const root = pki.root('Hub Root');
const line = pki.intermediate(root, 'Hub Line');

function cli(...args) {
  const all = ['--json', '--data-dir', path.dirname(process.env.CONNECTIONS), 'hub', 'certificate', ...args];
  return JSON.parse(execFileSync(process.env.SUBJECT_BIN, all, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }));
}

function client(id, { chain, key }, Transport = Mqtt) {
  const device = Client.fromConnectionString(`HostName=${hub.hostName};DeviceId=${id};x509=true`, Transport);
  device.setOptions({ cert: chain, key });
  device.setRetryPolicy(new NoRetry());
  return device;
}

async function works(id, identity, Transport) {
  const device = client(id, identity, Transport);
  await device.open();
  await device.sendEvent(new Message('{"Temperature": 1}'));
  await device.getTwin();
  await device.close();
}

async function refused(id, identity) {
  for (const Transport of Object.values(TRANSPORTS)) await lib.refused(() => client(id, identity, Transport).open());
}

const byAuthority = (deviceId) => registry.create({ deviceId, authentication: { type: 'certificateAuthority' } });
const thumbprint = ({ cert }, algorithm) =>
  crypto.createHash(algorithm).update(new crypto.X509Certificate(cert).raw).digest('hex').toUpperCase();

scenario.case('by thumbprint, SHA-1 and SHA-256, the primary and the secondary one', async () => {
  const [first, second, stranger] = [pki.selfSigned('thumb-1'), pki.selfSigned('thumb-1'), pki.selfSigned('thumb-1')];
  await registry.create({ deviceId: 'thumb-1', authentication: { type: 'selfSigned',
    x509Thumbprint: { primaryThumbprint: thumbprint(first, 'sha1'), secondaryThumbprint: thumbprint(second, 'sha256') } } });
  for (const Transport of Object.values(TRANSPORTS)) {
    await works('thumb-1', first, Transport);
    await works('thumb-1', second, Transport);
  }
  await refused('thumb-1', stranger);
});

scenario.case('an authority counts once possession is proved', async () => {
  await byAuthority('ca-1');
  const device = pki.leaf(line, 'ca-1');
  await refused('ca-1', device);
  assert.equal(cli('create', '--certificate-name', 'factory', '--path', `${root.base}.pem`).isVerified, false);
  await refused('ca-1', device);
  const { verificationCode } = cli('generate-verification-code', '--certificate-name', 'factory');
  assert.throws(() => cli('verify', '--certificate-name', 'factory', '--path', `${pki.leaf(root, 'not the code').base}.pem`));
  const proof = pki.leaf(root, verificationCode);
  assert.equal(cli('verify', '--certificate-name', 'factory', '--path', `${proof.base}.pem`).isVerified, true);
  for (const Transport of Object.values(TRANSPORTS)) await works('ca-1', device, Transport);
  const { responseBody: known } = await registry.get('ca-1');
  assert.equal(known.authentication.type, 'certificateAuthority');
}, { needed: true });

scenario.case('refused: another name, another authority, a chain with a hole, out of date, another key, a device by key', async () => {
  await byAuthority('ca-2');
  await refused('ca-2', pki.leaf(line, 'ca-1'));
  await refused('ca-2', pki.leaf(line, 'CA-2'));
  await refused('ca-2', pki.leaf(pki.root('Hub Root'), 'ca-2'));
  const hole = pki.leaf(line, 'ca-2');
  await refused('ca-2', { ...hole, chain: hole.cert });
  await refused('ca-2', pki.leaf(line, 'ca-2', -1));
  await refused('ca-2', { ...pki.leaf(line, 'ca-2'), key: pki.leaf(line, 'ca-2').key });
  await registry.create({ deviceId: 'by-key' });
  await refused('by-key', pki.leaf(line, 'by-key'));
  await works('ca-2', pki.leaf(line, 'ca-2'));
});

scenario.case('a disabled device is refused whatever it shows; without its authority so is the other', async () => {
  const device = pki.leaf(line, 'ca-1');
  const { responseBody: known } = await registry.get('ca-1');
  await registry.update({ ...known, status: 'disabled' });
  await refused('ca-1', device);
  await registry.update({ ...known, status: 'enabled', etag: '*' });
  await works('ca-1', device);
  execFileSync(process.env.SUBJECT_BIN, ['--data-dir', path.dirname(process.env.CONNECTIONS), 'hub', 'certificate', 'delete',
    '--certificate-name', 'factory'], { stdio: 'ignore' });
  await refused('ca-1', device);
});

scenario.run();
