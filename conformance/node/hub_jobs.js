// about: scheduled jobs with npm's clients: twins and methods of many devices, progress, results of each device, cancelling, pages
// timeout: 120
'use strict';
// azure-iothub's JobClient and Registry on one side, azure-iot-device on the other.

const { execFile } = require('node:child_process');
const path = require('node:path');
const { Client: Device } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { Amqp } = require('azure-iot-device-amqp');
const { NoRetry } = require('azure-iot-common');
const { JobClient, Registry } = require('azure-iothub');
const lib = require('./lib');
const { assert, subject } = lib;

const [hub] = subject.hub;
const registry = Registry.fromConnectionString(hub.connectionString);
const jobs = JobClient.fromConnectionString(hub.connectionString);
const scenario = new lib.Scenario();

async function made(deviceId) {
  const { responseBody } = await registry.create({ deviceId });
  return responseBody.authentication.symmetricKey.primaryKey;
}

async function device(deviceId, Transport = Mqtt) {
  const key = await made(deviceId);
  const client = Device.fromConnectionString(`HostName=${hub.hostName};DeviceId=${deviceId};SharedAccessKey=${key}`, Transport);
  client.setRetryPolicy(new NoRetry());
  await client.open();
  return client;
}

const read = async (id) => (await jobs.getJob(id)).jobStatus;
const ended = (id, seconds = 15) => lib.eventually(async () => {
  const job = await read(id);
  return ['completed', 'failed', 'cancelled'].includes(job.status) && job;
}, { seconds, what: `the end of ${id}` });

/** All rows of a query, two at a time. The client's `next()` goes on only where it is told where. */
async function rows(text) {
  const query = registry.createQuery(text, 2);
  const found = [];
  let response;
  while (query.hasMoreResults) {
    const page = await query.next(query.continuationToken);
    found.push(...page.result);
    response = page.message ?? page.response ?? response;
  }
  return { found, type: response?.headers?.['x-ms-item-type'] };
}

/** What the job client says of a request that is refused: the status and the service's code. */
async function refused(request) {
  const error = await request.then(() => assert.fail('it was accepted'), (refusal) => refusal);
  return [error.response?.statusCode, error.response?.headers['iothub-errorcode']];
}

scenario.case('scheduleTwinUpdate: tags and desired properties of all that fulfil the condition; a connected device is told', async () => {
  const [one, two] = [await device('jobs-twin-1'), await device('jobs-twin-2', Amqp)];
  await made('jobs-twin-3');
  for (const id of ['jobs-twin-1', 'jobs-twin-2']) await registry.updateTwin(id, { tags: { site: 'jobs' } }, '*');
  const told = [];
  for (const client of [one, two]) {
    const twin = await client.getTwin();
    told.push(new Promise((resolve) => {
      twin.on('properties.desired', (patch) => { if (patch.interval !== undefined) resolve(patch.interval); });
    }));
  }
  const patch = { etag: '*', tags: { floor: 'G' }, properties: { desired: { interval: 60, nested: { a: [1, 2] } } } };
  const { jobStatus } = await jobs.scheduleTwinUpdate('jobs-twin', "tags.site = 'jobs'", patch, new Date(), 300);
  assert.deepEqual(jobStatus, { jobId: 'jobs-twin', type: 'scheduleUpdateTwin', status: 'queued' });
  const job = await ended('jobs-twin');
  assert.equal(job.status, 'completed');
  assert.deepEqual(job.deviceJobStatistics, { deviceCount: 2, failedCount: 0, succeededCount: 2, runningCount: 0, pendingCount: 0 });
  assert.deepEqual(job.updateTwin, patch);
  assert.equal(job.queryCondition, "tags.site = 'jobs'");
  assert.ok(new Date(job.createdTime) <= new Date(job.startTime) && new Date(job.startTime) <= new Date(job.endTime));
  assert.deepEqual(await Promise.all(told), [60, 60]);
  for (const id of ['jobs-twin-1', 'jobs-twin-2']) {
    const { responseBody: twin } = await registry.getTwin(id);
    assert.deepEqual([twin.tags, twin.properties.desired.nested, twin.properties.desired.$version], [{ site: 'jobs', floor: 'G' }, { a: [1, 2] }, 2]);
  }
  assert.equal((await registry.getTwin('jobs-twin-3')).responseBody.properties.desired.$version, 1);
  const { found, type } = await rows("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'jobs-twin'");
  assert.equal(type, 'deviceJob');
  assert.deepEqual(found.map((row) => [row.deviceId, row.jobType, row.status, row.outcome]), [
    ['jobs-twin-1', 'scheduleUpdateTwin', 'completed', { deviceMethodResponse: null }],
    ['jobs-twin-2', 'scheduleUpdateTwin', 'completed', { deviceMethodResponse: null }],
  ]);
  for (const name of ['startTimeUtc', 'endTimeUtc', 'createdDateTimeUtc', 'lastUpdatedDateTimeUtc']) assert.ok(new Date(found[0][name]) > 0, name);
  await Promise.all([one.close(), two.close()]);
});

scenario.case('scheduleDeviceMethod: each device answers, its answer is kept; one that is away fails when its time is over', async () => {
  const clients = [];
  for (let number = 0; number < 5; number += 1) {
    const client = await device(`jobs-method-${number}`);
    client.onDeviceMethod('add', (request, response) => response.send(number === 3 ? 500 : 200, { sum: request.payload.a + number }));
    clients.push(client);
  }
  await made('jobs-method-away');
  const params = { methodName: 'add', payload: { a: 10 }, responseTimeoutInSeconds: 10 };
  await jobs.scheduleDeviceMethod('jobs-method', "STARTS_WITH(deviceId, 'jobs-method-')", params, new Date(), 6);
  await lib.eventually(async () => (await read('jobs-method')).deviceJobStatistics.succeededCount === 5, { what: 'progress' });
  assert.equal((await read('jobs-method')).status, 'running', 'one device is waited for');
  const job = await ended('jobs-method');
  assert.equal(job.status, 'completed');
  assert.deepEqual(job.deviceJobStatistics, { deviceCount: 6, failedCount: 1, succeededCount: 5, runningCount: 0, pendingCount: 0 });
  assert.deepEqual(job.cloudToDeviceMethod, params);
  const { found } = await rows("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'jobs-method' AND devices.jobs.status = 'completed'");
  assert.deepEqual(found.map((row) => row.outcome.deviceMethodResponse), [0, 1, 2, 3, 4].map((number) => ({ status: number === 3 ? 500 : 200, payload: { sum: 10 + number } })));
  const failed = (await rows("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'jobs-method' AND devices.jobs.status = 'failed'")).found;
  assert.deepEqual(failed.map((row) => [row.deviceId, row.error.code]), [['jobs-method-away', 'JobRunPreconditionFailed']]);
  const sums = (await rows("SELECT status, COUNT() AS n FROM devices.jobs WHERE jobId = 'jobs-method' GROUP BY status")).found;
  assert.deepEqual(sums, [{ status: 'completed', n: 5 }, { status: 'failed', n: 1 }]);
  await Promise.all(clients.map((client) => client.close()));
});

scenario.case('a device that comes in time is called; one that does not answer fails', async () => {
  const key = await made('jobs-late');
  const params = { methodName: 'hello', payload: 1, responseTimeoutInSeconds: 5 };
  await jobs.scheduleDeviceMethod('jobs-late', "deviceId = 'jobs-late'", params, new Date(), 60);
  await lib.eventually(async () => (await read('jobs-late')).deviceJobStatistics.pendingCount === 1, { what: 'it waits' });
  const client = Device.fromConnectionString(`HostName=${hub.hostName};DeviceId=jobs-late;SharedAccessKey=${key}`, Mqtt);
  client.setRetryPolicy(new NoRetry());
  let calls = 0;
  await client.open();
  client.onDeviceMethod('hello', (request, response) => { calls += 1; return response.send(200, request.payload); });
  client.onDeviceMethod('silence', () => { calls += 1; });
  assert.equal((await ended('jobs-late', 25)).deviceJobStatistics.succeededCount, 1);
  await jobs.scheduleDeviceMethod('jobs-silent', "deviceId = 'jobs-late'", { ...params, methodName: 'silence' }, new Date(), 60);
  assert.equal((await ended('jobs-silent', 25)).deviceJobStatistics.failedCount, 1);
  const { found } = await rows("SELECT * FROM devices.jobs WHERE devices.jobs.deviceId = 'jobs-late'");
  assert.deepEqual(found.map((row) => [row.jobId, row.status, row.error?.code]), [['jobs-late', 'completed', undefined], ['jobs-silent', 'failed', 'GatewayTimeout']]);
  assert.equal(calls, 2, 'each once');
  await client.close();
});

scenario.case('a job for modules', async () => {
  await made('jobs-modules');
  for (const moduleId of ['filter', 'other']) await registry.addModule({ deviceId: 'jobs-modules', moduleId });
  await jobs.scheduleTwinUpdate('jobs-modules', "FROM devices.modules WHERE moduleId = 'filter'", { etag: '*', tags: { checked: true } });
  assert.equal((await ended('jobs-modules')).deviceJobStatistics.succeededCount, 1);
  assert.deepEqual((await registry.getModuleTwin('jobs-modules', 'filter')).responseBody.tags, { checked: true });
  assert.notDeepEqual((await registry.getModuleTwin('jobs-modules', 'other')).responseBody.tags, { checked: true });
});

scenario.case('a job for later waits for its time; cancelled, it never begins; its list comes in pages', async () => {
  await made('jobs-later');
  const later = new Date(Date.now() + 3600 * 1000);
  const ids = ['a', 'b', 'c'].map((name) => `jobs-later-${name}`);
  for (const id of ids) await jobs.scheduleTwinUpdate(id, "deviceId = 'jobs-later'", { etag: '*', tags: { late: id } }, later, 60);
  assert.equal((await read(ids[0])).status, 'scheduled');
  const query = jobs.createQuery('scheduleUpdateTwin', 'scheduled', 2);
  const found = [];
  let pages = 0;
  while (query.hasMoreResults) {
    found.push(...(await query.next(query.continuationToken)).result);
    pages += 1;
  }
  assert.deepEqual(found.map((job) => job.jobId), ids);
  assert.ok(pages >= 2);
  for (const id of ids) assert.equal((await jobs.cancelJob(id)).jobStatus.status, 'cancelled');
  for (const id of ids) assert.equal((await read(id)).status, 'cancelled');
  assert.equal((await jobs.createQuery('scheduleUpdateTwin', 'scheduled').next()).result.length, 0);
  const soon = new Date(Date.now() + 1500);
  await jobs.scheduleTwinUpdate('jobs-soon', "deviceId = 'jobs-later'", { etag: '*', tags: { soon: true } }, soon, 60);
  const job = await ended('jobs-soon');
  assert.ok(new Date(job.endTime) >= soon, 'not before its time');
  assert.deepEqual((await registry.getTwin('jobs-later')).responseBody.tags, { soon: true });
});

scenario.case('one under way is cancelled: whose turn has not come is told so', async () => {
  for (const name of ['x', 'y']) await made(`jobs-cancel-${name}`);
  await jobs.scheduleDeviceMethod('jobs-cancel', "STARTS_WITH(deviceId, 'jobs-cancel-')", { methodName: 'm' }, new Date(), 600);
  await lib.eventually(async () => (await read('jobs-cancel')).deviceJobStatistics.pendingCount === 2, { what: 'both are waited for' });
  assert.equal((await jobs.cancelJob('jobs-cancel')).jobStatus.status, 'cancelled');
  assert.equal((await read('jobs-cancel')).status, 'cancelled');
  await lib.eventually(async () => {
    const { found } = await rows("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'jobs-cancel' AND devices.jobs.status = 'canceled'");
    return found.length === 2;
  }, { what: 'the rows' });
});

scenario.case('refused: ids in use, jobs that are not there or over, conditions and changes that cannot be', async () => {
  await made('jobs-wrong');
  const later = new Date(Date.now() + 3600 * 1000);
  const one = "deviceId = 'jobs-wrong'";
  await jobs.scheduleTwinUpdate('jobs-wrong', one, { etag: '*', tags: { a: 1 } }, later);
  assert.deepEqual(await refused(jobs.scheduleTwinUpdate('jobs-wrong', one, { etag: '*', tags: { a: 1 } }, later)), [409, 'JobAlreadyExists']);
  await jobs.cancelJob('jobs-wrong');
  assert.deepEqual(await read('jobs-none'), { jobId: 'jobs-none', type: 'unknown', status: 'unknown' });
  assert.deepEqual(await refused(jobs.cancelJob('jobs-none')), [404, 'JobNotFound']);
  await jobs.scheduleTwinUpdate('jobs-over', one, { etag: '*', tags: { a: 1 } });
  await ended('jobs-over');
  assert.deepEqual(await refused(jobs.cancelJob('jobs-over')), [412, 'PreconditionFailed']);
  for (const [condition, patch] of [
    ['tags.x =', { etag: '*', tags: { a: 1 } }],
    ['SELECT * FROM devices.jobs', { etag: '*', tags: { a: 1 } }],
    [one, { tags: { a: 1 } }],
    [one, { etag: '*', tags: { 'a.b': 1 } }],
    [one, { etag: '*', properties: { desired: { $x: 1 } } }],
  ]) {
    assert.deepEqual(await refused(jobs.scheduleTwinUpdate('jobs-bad', condition, patch, later)), [400, 'ArgumentInvalid'], condition);
  }
  assert.deepEqual(await refused(jobs.scheduleDeviceMethod('jobs-bad', one, { methodName: 'm', responseTimeoutInSeconds: 4 }, later)), [400, 'ArgumentInvalid']);
  assert.deepEqual(await refused(jobs.scheduleDeviceMethod('jobs bad', one, { methodName: 'm' }, later)), [400, 'ArgumentInvalid']);
  const large = Object.fromEntries(Array.from({ length: 12 }, (_, number) => [`k${number}`, 'x'.repeat(4000)]));
  assert.deepEqual(await refused(jobs.scheduleTwinUpdate('jobs-bad', one, { etag: '*', properties: { desired: large } }, later)), [413, 'MessageTooLarge']);
});

scenario.case('more than ten at once are refused until one is over', async () => {
  await made('jobs-many');
  const schedule = (id) => jobs.scheduleDeviceMethod(id, "deviceId = 'jobs-many'", { methodName: 'm' }, new Date(), 600);
  const ids = Array.from({ length: 10 }, (_, number) => `jobs-many-${number}`);
  for (const id of ids) await schedule(id);
  assert.deepEqual(await refused(schedule('jobs-many-10')), [429, 'ThrottlingMaxActiveJobCountExceeded']);
  await jobs.cancelJob(ids[0]);
  await lib.eventually(() => schedule('jobs-many-10'), { what: 'room' });
  for (const id of [...ids.slice(1), 'jobs-many-10']) await jobs.cancelJob(id);
});

scenario.case('the command line has them too', async () => {
  await made('jobs-cli');
  const pollux = (...more) => new Promise((resolve, reject) => {
    const args = ['--json', '--data-dir', path.dirname(process.env.CONNECTIONS), 'hub', 'job', ...more];
    execFile(process.env.SUBJECT_BIN, args, (error, stdout, stderr) => (error ? reject(new Error(stderr)) : resolve(JSON.parse(stdout))));
  });
  const job = await pollux('create', '--job-id', 'jobs-cli', '--job-type', 'scheduleUpdateTwin', '-q', "deviceId = 'jobs-cli'",
    '--twin-patch', '{"tags": {"by": "cli"}}', '--wait');
  assert.deepEqual([job.status, job.deviceJobStatistics.succeededCount], ['completed', 1]);
  assert.equal((await pollux('show', '--job-id', 'jobs-cli')).jobId, 'jobs-cli');
  const listed = await pollux('list', '--job-type', 'scheduleUpdateTwin', '--job-status', 'completed');
  assert.ok(listed.some((one) => one.jobId === 'jobs-cli') && listed.every((one) => one.status === 'completed'));
  await pollux('create', '--job-id', 'jobs-cli-2', '--job-type', 'scheduleDeviceMethod', '-q', '*', '--method-name', 'm', '--start-time', '2999-01-01T00:00:00Z');
  assert.equal((await pollux('cancel', '--job-id', 'jobs-cli-2')).status, 'cancelled');
  await assert.rejects(pollux('show', '--job-id', 'jobs-none'), /there is no job/);
});

scenario.run();
