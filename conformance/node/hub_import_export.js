// about: import and export of identities by jobs with npm's azure-iothub: Azurite, modes, keys, errors, one at a time, cancelled, resumed
// server: config/import_export.toml
// timeout: 240
'use strict';
// Registry.importDevicesFromBlob and exportDevicesToBlob against containers of Azurite.

const { execFileSync } = require('node:child_process');
const path = require('node:path');
const { ContainerSASPermissions } = require('@azure/storage-blob');
const { Registry } = require('azure-iothub');
const lib = require('./lib');
const azurite = require('./lib/azurite');
const { assert, eventually, subject } = lib;

const [hub] = subject.hub;
const registry = Registry.fromConnectionString(hub.connectionString);
const scenario = new lib.Scenario();
let container;
let url;

const body = (answer) => answer.responseBody ?? answer;
const get = async (id) => body(await registry.getJob(id));
const ended = (id) => eventually(async () => {
  const job = await get(id);
  return ['completed', 'failed', 'cancelled'].includes(job.status) && job;
}, { seconds: 30, what: `the job ${id} is over` });

async function write(name, lines) {
  const text = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\r\n');
  await container.getBlockBlobClient(name).upload(text, Buffer.byteLength(text));
}

async function read(name) {
  const text = (await container.getBlobClient(name).downloadToBuffer()).toString();
  return text.split('\n').map((line) => line.trim()).filter(Boolean).map((line) => JSON.parse(line));
}

async function run(start) {
  const job = body(await start());
  assert.ok(['enqueued', 'running', 'completed'].includes(job.status), job.status);
  assert.ok(!JSON.stringify(job).includes('sig='), 'signatures are shown to nobody');
  return ended(job.jobId);
}

const importing = () => run(() => registry.importDevicesFromBlob(url, url));
const exporting = (excludeKeys) => run(() => registry.exportDevicesToBlob(url, excludeKeys));
const device = async (id) => body(await registry.get(id));
const cli = (...args) => {
  const all = ['--json', '--data-dir', path.dirname(process.env.CONNECTIONS), 'hub', 'device-identity', ...args];
  const text = execFileSync(process.env.SUBJECT_BIN, all, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  return text && JSON.parse(text);
};

scenario.case('identities are imported in every mode, and what fails is in importErrors.log', async () => {
  const make = await azurite.start();
  container = await make('identities');
  url = await container.generateSasUrl({ permissions: ContainerSASPermissions.parse('racwdl'), expiresOn: new Date(Date.now() + 3_600_000) });
  const keys = { primaryKey: Buffer.alloc(32, 1).toString('base64'), secondaryKey: Buffer.alloc(32, 2).toString('base64') };
  await registry.create({ deviceId: 'ie-present' });
  const { etag } = await device('ie-present');
  await write('devices.txt', [
    { id: 'ie-new', importMode: 'create', status: 'enabled', authentication: { symmetricKey: keys }, tags: { site: 'x' }, properties: { desired: { rate: 5, $version: 7 } } },
    { id: 'ie-plain' },
    { id: 'ie-new', importMode: 'create' },
    { id: 'ie-present', importMode: 'updateIfMatchETag', eTag: 'stale', status: 'disabled' },
    { id: 'ie-present', importMode: 'updateIfMatchETag', eTag: etag, status: 'disabled', statusReason: 'imported' },
    { id: 'ie-absent', importMode: 'update' },
    { id: 'ie-absent', importMode: 'delete' },
    'nonsense',
    { id: 'ie-mode', importMode: 'fly' },
    { id: 'ie-new', moduleId: 'm', importMode: 'create' },
  ]);
  const job = await importing();
  assert.equal(job.status, 'completed', job.failureReason);
  assert.deepEqual([job.type, job.progress, job.inputBlobName, job.outputBlobName], ['import', 100, 'devices.txt', 'importErrors.log']);
  assert.ok(Date.parse(job.endTimeUtc) >= Date.parse(job.startTimeUtc));
  const made = await device('ie-new');
  assert.deepEqual(made.authentication.symmetricKey, keys);
  const twin = body(await registry.getTwin('ie-new'));
  assert.deepEqual([twin.tags.site, twin.properties.desired.rate], ['x', 5]);
  assert.deepEqual([(await device('ie-present')).status, (await device('ie-present')).statusReason], ['disabled', 'imported']);
  assert.equal(body(await registry.getModule('ie-new', 'm')).moduleId, 'm');
  const errors = await read('importErrors.log');
  assert.deepEqual(errors.map((one) => [one.deviceId, one.errorCode]), [
    ['ie-new', 'DeviceAlreadyExists'], ['ie-present', 'PreconditionFailed'], ['ie-absent', 'DeviceNotFound'],
    ['ie-absent', 'DeviceNotFound'], ['', 'ArgumentInvalid'], ['ie-mode', 'ArgumentInvalid'],
  ]);
}, { needed: true });

scenario.case('what was exported can be imported, with its keys, tags and desired properties', async () => {
  assert.equal((await exporting(false)).status, 'completed');
  const lines = await read('devices.txt');
  const ids = lines.map((line) => line.id + (line.moduleId ? `/${line.moduleId}` : ''));
  assert.deepEqual(ids.filter((id) => id.startsWith('ie-')), ['ie-new', 'ie-new/m', 'ie-plain', 'ie-present']);
  const before = await device('ie-new');
  assert.deepEqual(lines.find((line) => line.id === 'ie-new').authentication.symmetricKey, before.authentication.symmetricKey);
  await registry.removeDevices([{ deviceId: 'ie-new' }, { deviceId: 'ie-present' }], true);
  assert.equal(await lib.refused(() => registry.get('ie-new')), 404);
  assert.equal((await importing()).status, 'completed');
  assert.deepEqual((await device('ie-new')).authentication.symmetricKey, before.authentication.symmetricKey);
  assert.equal(body(await registry.getTwin('ie-new')).properties.desired.rate, 5);
  assert.equal((await device('ie-present')).status, 'disabled');
  assert.equal(body(await registry.getModule('ie-new', 'm')).moduleId, 'm');
});

scenario.case('keys are left out where that is asked for', async () => {
  const job = await exporting(true);
  assert.deepEqual([job.status, job.excludeKeysInExport], ['completed', true]);
  for (const line of await read('devices.txt')) {
    assert.deepEqual(line.authentication.symmetricKey, { primaryKey: null, secondaryKey: null }, line.id);
  }
});

scenario.case('many are imported, one job at a time, and a job is cancelled', async () => {
  const many = [...Array(6000).keys()].map((n) => ({ id: `ie-many-${String(n).padStart(4, '0')}`, importMode: 'create' }));
  await write('devices.txt', many);
  const first = body(await registry.importDevicesFromBlob(url, url));
  const second = await registry.exportDevicesToBlob(url, false).then(() => undefined, (error) => error);
  assert.equal(second?.response?.statusCode, 403, 'one at a time');
  assert.match(second.responseBody, /JobQuotaExceeded/);
  await eventually(async () => (await get(first.jobId)).progress > 0, { what: 'it moves' });
  await registry.cancelJob(first.jobId);
  const cancelled = await ended(first.jobId);
  assert.equal(cancelled.status, 'cancelled');
  assert.ok(cancelled.progress < 100);
  const all = body(await registry.listJobs());
  assert.equal(all[0].jobId, first.jobId, 'the newest first');
  assert.ok(all.length >= 5);
  // Cancelled once more it stays so, and the next one may begin.
  assert.equal(body(await registry.cancelJob(first.jobId)).status, 'cancelled');
  await write('devices.txt', many.slice(0, 500).map(({ id }) => ({ id })));
  const job = await importing();
  assert.equal(job.status, 'completed', job.failureReason);
  const { totalDeviceCount } = body(await registry.getRegistryStatistics());
  assert.ok(totalDeviceCount >= 500, `${totalDeviceCount}`);
});

scenario.case('what cannot be read or written fails with a reason, what may not be reached is refused', async () => {
  await container.getBlobClient('devices.txt').deleteIfExists();
  const missing = await importing();
  assert.equal(missing.status, 'failed');
  assert.match(missing.failureReason, /InputBlobNotReadable.*404/);
  const unsigned = url.split('?')[0];
  const shut = await run(() => registry.exportDevicesToBlob(unsigned, false));
  assert.equal(shut.status, 'failed');
  assert.match(shut.failureReason, /OutputBlobNotWritable/);
  for (const uri of ['http://10.0.0.1/c?sig=x', 'https://169.254.169.254/c', 'file:///etc', 'nonsense']) {
    assert.equal(await lib.refused(() => registry.exportDevicesToBlob(uri, false)), 400, uri);
  }
  assert.equal(await lib.refused(() => registry.exportDevicesToBlobByIdentity(unsigned, false)), 400, 'the hub has no account');
  assert.equal(await lib.refused(() => registry.getJob('no-such-job')), 404);
  assert.equal(await lib.refused(() => registry.cancelJob('no-such-job')), 404);
});

scenario.case('by the identity of the hub, in its own storage account', async () => {
  const endpoint = `http://127.0.0.1:${azurite.PORT}/${azurite.ACCOUNT}`;
  const account = `BlobEndpoint=${endpoint};AccountName=${azurite.ACCOUNT};AccountKey=${azurite.KEY}`;
  execFileSync(process.env.SUBJECT_BIN, ['--json', '--data-dir', path.dirname(process.env.CONNECTIONS), 'hub', 'file-upload', 'update',
    '--connection-string', account, '--container-name', 'uploads']);
  const unsigned = url.split('?')[0];
  const job = await run(() => registry.exportDevicesToBlobByIdentity(unsigned, true));
  assert.deepEqual([job.status, job.storageAuthenticationType], ['completed', 'identityBased'], job.failureReason);
  assert.ok((await read('devices.txt')).some((line) => line.id === 'ie-new'));
  const again = await run(() => registry.importDevicesFromBlobByIdentity(unsigned, unsigned));
  assert.equal(again.status, 'completed', again.failureReason);
  assert.equal(await lib.refused(() => registry.exportDevicesToBlobByIdentity('https://other.blob.example/c', true)), 400);
});

scenario.case('the command line exports, imports, lists and cancels', async () => {
  const exported = cli('export', '--blob-container-uri', url, '--include-keys');
  assert.equal((await ended(exported.jobId)).status, 'completed');
  const imported = cli('import', '--input-blob-container-uri', url, '--output-blob-container-uri', url);
  assert.equal((await ended(imported.jobId)).status, 'completed');
  assert.equal(cli('job', 'list')[0].jobId, imported.jobId);
  assert.equal(cli('job', 'show', '--job-id', imported.jobId).status, 'completed');
  assert.equal(cli('job', 'cancel', '--job-id', imported.jobId).status, 'completed', 'over is over');
});

scenario.run();
