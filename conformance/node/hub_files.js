// about: files that devices upload with npm's client: five transports, certificates, ten at a time, notifications; a folder, Azurite
// timeout: 240
'use strict';
// azure-iot-device uploads with its own @azure/storage-blob; azure-iothub hears of files; the command line sends and fetches.

const { execFileSync } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { Readable } = require('node:stream');
const { BlockBlobClient } = require('@azure/storage-blob');
const { Client: Device } = require('azure-iot-device');
const { Mqtt, MqttWs } = require('azure-iot-device-mqtt');
const { Amqp, AmqpWs } = require('azure-iot-device-amqp');
const { Http } = require('azure-iot-device-http');
const { NoRetry } = require('azure-iot-common');
const { Client: Service, Registry } = require('azure-iothub');
const lib = require('./lib');
const azurite = require('./lib/azurite');
const pki = require('./lib/pki');
const { assert, eventually, subject } = lib;

const TRANSPORTS = { mqtt: Mqtt, 'mqtt-ws': MqttWs, amqp: Amqp, 'amqp-ws': AmqpWs, http: Http };
const MIB = 1024 * 1024;
const [hub] = subject.hub;
const registry = Registry.fromConnectionString(hub.connectionString);
const scenario = new lib.Scenario();
const keys = {};

function cli(...args) {
  const all = ['--json', '--data-dir', path.dirname(process.env.CONNECTIONS), 'hub', 'file-upload', ...args];
  const text = execFileSync(process.env.SUBJECT_BIN, all, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  return text && JSON.parse(text);
}

/** What the hub keeps, fetched as a service does it. */
function kept(blobName) {
  const file = path.join(process.env.WORK_DIR, `fetched-${crypto.randomUUID()}`);
  cli('download', '--blob-name', blobName, '--file-path', file);
  return fs.readFileSync(file);
}

async function device(deviceId, Transport = Mqtt) {
  if (!keys[deviceId]) {
    const { responseBody: made } = await registry.create({ deviceId });
    keys[deviceId] = made.authentication.symmetricKey.primaryKey;
  }
  const client = Device.fromConnectionString(`HostName=${hub.hostName};DeviceId=${deviceId};SharedAccessKey=${keys[deviceId]}`, Transport);
  client.setRetryPolicy(new NoRetry());
  return client;
}

async function upload(client, name, content) {
  await client.uploadToBlob(name, Readable.from([content]), content.length);
}

/** Collects notifications of files while `run` runs; each is completed unless `settle` says otherwise. */
async function listening(run, { settle = 'complete' } = {}) {
  const service = Service.fromConnectionString(hub.connectionString);
  await service.open();
  const receiver = await new Promise((resolve, reject) => { service.getFileNotificationReceiver((error, made) => (error ? reject(error) : resolve(made))); });
  const came = [];
  receiver.on('message', (message) => {
    came.push(JSON.parse(message.data.toString()));
    receiver[settle](message, () => {});
  });
  try {
    return await run(came);
  } finally {
    await service.close();
  }
}

/** Completes what earlier cases left. */
function drain() {
  while (cli('receive', '--complete')) { /* one more */ }
}

const told = (came, blobName) => eventually(() => came.find((one) => one.blobName === blobName), { what: `notification of ${blobName}` });
const status = async (action) => (await lib.refused(action));

scenario.case('uploadToBlob over each transport: the file is kept and services are told', async () => {
  const heard = await listening(async (came) => {
    for (const [name, Transport] of Object.entries(TRANSPORTS)) {
      const client = await device('files-1', Transport);
      await client.open();
      const content = Buffer.from(`hello over ${name}`);
      await upload(client, `logs/${name} 1.txt`, content);
      await client.close();
      const blobName = `files-1/logs/${name} 1.txt`;
      assert.deepEqual(kept(blobName), content);
      const notification = await told(came, blobName);
      assert.equal(notification.deviceId, 'files-1');
      assert.equal(notification.blobSizeInBytes, content.length);
      assert.equal(notification.blobUri, `https://${hub.hostName}/hub-files/files-1/logs/${encodeURIComponent(`${name} 1.txt`)}`);
      assert.ok(Math.abs(Date.parse(notification.lastUpdatedTime) - Date.now()) < 60_000, notification.lastUpdatedTime);
      assert.ok(Date.parse(notification.enqueuedTimeUtc) >= Date.parse(notification.lastUpdatedTime) - 1000);
    }
    return came;
  });
  assert.equal(heard.length, Object.keys(TRANSPORTS).length, 'once each');
}, { needed: true });

scenario.case('a large file goes in blocks side by side, and is what it was', async () => {
  const client = await device('files-large');
  const content = crypto.randomBytes(21 * MIB + 17);
  await upload(client, 'large.bin', content);
  const fetched = kept('files-large/large.bin');
  assert.ok(fetched.equals(content), `${fetched.length} bytes`);
  // Written again it is another one as a whole.
  await upload(client, 'large.bin', Buffer.from('small'));
  assert.equal(kept('files-large/large.bin').toString(), 'small');
});

scenario.case('the URL opens this blob to reading and writing, and nothing else', async () => {
  const client = await device('files-url');
  const place = await client.getBlobSharedAccessSignature('x/report.bin');
  assert.equal(place.blobName, 'files-url/x/report.bin');
  assert.equal(place.hostName, hub.hostName);
  const url = (blobName, token) => `https://${place.hostName}/${place.containerName}/${blobName}${token}`;
  const at = (blobName, token = place.sasToken) => new BlockBlobClient(url(blobName, token), undefined, { retryOptions: { maxTries: 1 } });
  const blob = at(place.blobName);
  assert.equal(await status(() => blob.getProperties()), 404);
  const content = crypto.randomBytes(3 * MIB);
  await blob.upload(content, content.length);
  assert.equal((await blob.getProperties()).contentLength, content.length);
  assert.ok((await blob.downloadToBuffer()).equals(content));
  assert.ok((await blob.downloadToBuffer(1000, 5000)).equals(content.subarray(1000, 6000)));
  await blob.uploadData(crypto.randomBytes(9 * MIB), { blockSize: MIB, concurrency: 8, maxSingleShotSize: MIB });
  assert.equal((await blob.getProperties()).contentLength, 9 * MIB);
  const other = await lib.refused(() => blob.upload('x', 1, { conditions: { ifNoneMatch: '*' } }));
  assert.equal(other, 409);
  assert.equal(await status(() => blob.upload('x', 1, { conditions: { ifMatch: '"0x8D4BCC2E4835CD0"' } })), 412);
  assert.equal(await status(() => blob.commitBlockList([Buffer.from('none').toString('base64')])), 400);
  // Not deleted, no other blob, no other permission, no other signature, none at all.
  assert.equal(await status(() => blob.delete()), 403);
  for (const [blobName, token] of [
    ['files-url/x/other.bin', place.sasToken],
    ['files-other/x/report.bin', place.sasToken],
    [place.blobName, place.sasToken.replace('sp=rw', 'sp=rwd')],
    [place.blobName, place.sasToken.replace(/se=[^&]*/, 'se=2099-01-01T00%3A00%3A00Z')],
    [place.blobName, place.sasToken.replace(/sig=[^&]*/, 'sig=AAAA')],
    [place.blobName, ''],
  ]) {
    const refusal = await at(blobName, token).upload('x', 1).then(() => undefined, (error) => error);
    assert.equal(refusal?.statusCode, 403, blobName + token);
    assert.equal(refusal.code ?? refusal.details?.errorCode, 'AuthenticationFailed');
  }
  assert.equal(await status(() => client.getBlobSharedAccessSignature('../files-other/x')), 400);
  await client.notifyBlobUploadStatus(place.correlationId, true, 201, 'done');
});

scenario.case('a correlation id is good once, for its device, and only if the file is there', async () => {
  drain();
  const [mine, other] = [await device('files-id'), await device('files-id-other')];
  const place = await mine.getBlobSharedAccessSignature('f');
  const refusedAs = async (client, id, success = true) => {
    const error = await client.notifyBlobUploadStatus(id, success, 200, 'x').then(() => undefined, (error) => error);
    assert.ok(error, `it was accepted: ${id}`);
    return error.message; // of this answer the client keeps nothing else
  };
  assert.equal(await refusedAs(mine, place.correlationId), 'Bad Request', 'there is no file yet');
  assert.equal(await refusedAs(other, place.correlationId, false), 'Bad Request', 'of another device');
  assert.equal(await refusedAs(mine, 'never-given-out', false), 'Bad Request');
  await new BlockBlobClient(`https://${place.hostName}/${place.containerName}/${place.blobName}${place.sasToken}`).upload('file', 4);
  await mine.notifyBlobUploadStatus(place.correlationId, true, 200, 'done');
  assert.equal(await refusedAs(mine, place.correlationId), 'Bad Request', 'twice');
  // One that failed is told to nobody.
  const failed = await mine.getBlobSharedAccessSignature('failed');
  await mine.notifyBlobUploadStatus(failed.correlationId, false, 500, 'no network');
  const last = await mine.getBlobSharedAccessSignature('last');
  await new BlockBlobClient(`https://${last.hostName}/${last.containerName}/${last.blobName}${last.sasToken}`).upload('file', 4);
  await mine.notifyBlobUploadStatus(last.correlationId, true, 200, 'done');
  const names = await listening(async (came) => {
    await told(came, 'files-id/last');
    return came.map((one) => one.blobName);
  });
  assert.deepEqual(names, ['files-id/f', 'files-id/last']);
});

scenario.case('ten uploads of a device are under way at most', async () => {
  const client = await device('files-ten');
  const places = [];
  for (let n = 0; n < 10; n++) places.push(await client.getBlobSharedAccessSignature(`f${n}`));
  const eleventh = await client.getBlobSharedAccessSignature('f10').then(() => undefined, (error) => error);
  assert.equal(eleventh?.response?.statusCode, 403);
  assert.match(eleventh.responseBody, /DeviceMaximumActiveFileUploadLimitExceeded/);
  await client.notifyBlobUploadStatus(places[4].correlationId, false, 500, 'given up');
  await client.getBlobSharedAccessSignature('f10');
});

scenario.case('a device with a certificate uploads, a stranger does not', async () => {
  const [identity, stranger] = [pki.selfSigned('files-x509'), pki.selfSigned('files-x509')];
  const primaryThumbprint = crypto.createHash('sha1').update(new crypto.X509Certificate(identity.cert).raw).digest('hex').toUpperCase();
  await registry.create({ deviceId: 'files-x509', authentication: { type: 'selfSigned', x509Thumbprint: { primaryThumbprint, secondaryThumbprint: primaryThumbprint } } });
  const client = ({ chain, key }) => {
    const made = Device.fromConnectionString(`HostName=${hub.hostName};DeviceId=files-x509;x509=true`, Mqtt);
    made.setOptions({ cert: chain, key });
    return made;
  };
  await upload(client(identity), 'by certificate.txt', Buffer.from('x509'));
  assert.equal(kept('files-x509/by certificate.txt').toString(), 'x509');
  const refusal = await client(stranger).getBlobSharedAccessSignature('y').then(() => undefined, (error) => error);
  assert.equal(refusal?.response?.statusCode, 401);
});

scenario.case('a notification that is abandoned comes again, a rejected one does not', async () => {
  drain();
  const client = await device('files-settle');
  await listening(async (came) => {
    await upload(client, 'rejected', Buffer.from('x'));
    await told(came, 'files-settle/rejected');
  }, { settle: 'reject' });
  await listening(async (came) => {
    await upload(client, 'abandoned', Buffer.from('x'));
    await eventually(() => came.filter((one) => one.blobName === 'files-settle/abandoned').length > 1, { what: 'it comes again' });
  }, { settle: 'abandon' });
  const names = await listening(async (came) => {
    await told(came, 'files-settle/abandoned');
    return came.map((one) => one.blobName);
  });
  assert.deepEqual(names, ['files-settle/abandoned']);
});

scenario.case('the command line sends, hears, settles, and switches notifications off', async () => {
  const file = path.join(process.env.WORK_DIR, 'report.txt');
  fs.writeFileSync(file, 'by the command line');
  drain();
  await device('files-cli');
  assert.equal(cli('send', '-d', 'files-cli', '--file-path', file).blobName, 'files-cli/report.txt');
  assert.equal(kept('files-cli/report.txt').toString(), 'by the command line');
  const first = cli('receive');
  assert.equal(first.notification.blobName, 'files-cli/report.txt');
  assert.equal(cli('receive'), '', 'it is locked');
  cli('abandon', '--etag', first.etag);
  assert.equal(cli('receive', '--complete').deliveryCount, '1');
  assert.equal(cli('receive'), '');
  assert.equal(cli('show').enableFileUploadNotifications, true);
  assert.equal(cli('update', '--notifications', 'false', '--sas-ttl', 'PT5M').sasTtlAsIso8601, 'PT5M');
  await eventually(() => cli('show').enableFileUploadNotifications === false);
  cli('send', '-d', 'files-cli', '--file-path', file, '--blob-name', 'untold');
  assert.equal(cli('receive'), '');
  cli('update', '--notifications', 'true', '--sas-ttl', 'PT1H');
  assert.throws(() => cli('update', '--sas-ttl', 'PT1S'));
  assert.throws(() => cli('update', '--connection-string', 'AccountName=a'));
});

scenario.case('with a storage account the device writes there, and the hub sees to it', async () => {
  const container = await azurite.start({ tls: pki.selfSigned('127.0.0.1') });
  const endpoint = `127.0.0.1:${azurite.PORT}/${azurite.ACCOUNT}`;
  const account = `BlobEndpoint=http://${endpoint};AccountName=${azurite.ACCOUNT};AccountKey=${azurite.KEY}`;
  const shown = cli('update', '--connection-string', account, '--container-name', 'uploads');
  assert.equal(shown.storage.containerName, 'uploads');
  assert.ok(!JSON.stringify(shown).includes(azurite.KEY), 'the key is shown to nobody');
  // Its certificate is nobody's: the client of this scenario trusts it for this case.
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  try {
    const client = await device('files-azurite');
    const content = crypto.randomBytes(9 * MIB);
    await upload(client, 'there.bin', content);
    const notification = await listening((came) => told(came, 'files-azurite/there.bin'));
    assert.equal(notification.blobSizeInBytes, content.length);
    assert.equal(notification.blobUri, `http://${endpoint}/uploads/files-azurite/there.bin`);
    const there = await (await container('uploads')).getBlobClient('files-azurite/there.bin').downloadToBuffer();
    assert.ok(there.equals(content));
    const place = await client.getBlobSharedAccessSignature('never written');
    assert.equal(place.hostName, endpoint);
    const refusal = await client.notifyBlobUploadStatus(place.correlationId, true, 201, '').then(() => undefined, (error) => error);
    assert.equal(refusal?.message, 'Bad Request', 'the hub has looked');
  } finally {
    delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  }
  cli('update', '--connection-string', '');
  await eventually(() => cli('show').storage === null);
});

scenario.run();
