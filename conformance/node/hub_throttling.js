// about: hubs held to Azure's tiers, with npm's azure-iothub and azure-iot-device: ThrottlingError, the quota of a day, and none that binds
// server: config/hub_throttling.toml
// timeout: 180
'use strict';
// Of several nodes each allows its share of a minute, and clients meet them by turns: so less than the tier has may pass. The quota of
// the day is one for all.

const { execFile } = require('node:child_process');
const path = require('node:path');
const { Client: Device, Message } = require('azure-iot-device');
const { Http } = require('azure-iot-device-http');
const { Mqtt } = require('azure-iot-device-mqtt');
const { NoRetry } = require('azure-iot-common');
const { Client, Registry } = require('azure-iothub');
const lib = require('./lib');
const { assert, subject } = lib;

const hubs = Object.fromEntries(subject.hub.map((hub) => [hub.name, hub]));
const registry = (name) => Registry.fromConnectionString(hubs[name].connectionString);
const scenario = new lib.Scenario();

async function device(name, deviceId) {
  const { responseBody: made } = await registry(name).create({ deviceId });
  const { primaryKey } = made.authentication.symmetricKey;
  return (Transport) => {
    const client = Device.fromConnectionString(`HostName=${hubs[name].hostName};DeviceId=${deviceId};SharedAccessKey=${primaryKey}`, Transport);
    client.setRetryPolicy(new NoRetry());
    return client;
  };
}

/** Does it until it is refused: how often it was done, and the refusal. */
async function untilRefused(action, most) {
  for (let done = 0; done <= most; done += 1) {
    try {
      await action(done);
    } catch (error) {
      return { done, error };
    }
  }
  throw new Error(`nothing of ${most} was refused`);
}

/** Does it so often at once: how often it was done, the refusals, and how much a rate of so many a minute may have let through. */
async function together(action, times, perMinute) {
  const began = performance.now();
  const all = await Promise.allSettled(Array.from({ length: times }, (_, number) => action(number)));
  const refusals = all.filter(({ status }) => status === 'rejected').map(({ reason }) => reason);
  const most = perMinute + Math.ceil((performance.now() - began) / 60000 * perMinute) + 1;
  return { done: times - refusals.length, refusals, most };
}

const between = (number, least, most) => assert.ok(number >= least && number <= most, `${number} is not ${least} to ${most}`);

const cli = (...args) => new Promise((resolve, reject) => execFile(process.env.SUBJECT_BIN,
  ['--json', '--data-dir', path.dirname(process.env.CONNECTIONS), 'hub', ...args],
  (error, stdout, stderr) => (error ? reject(new Error(stderr)) : resolve(JSON.parse(stdout)))));

scenario.case('S1: about a hundred identity operations at once, then ThrottlingError with Retry-After', async () => {
  const identities = registry('standard');
  for (const deviceId of ['a', 'b', 'c']) await identities.create({ deviceId: `throttled-${deviceId}` });
  const { done, refusals: [error], most } = await together(() => identities.get('throttled-a'), 150, 100);
  between(done, 30, most);
  assert.equal(error.name, 'ThrottlingError');
  assert.equal(error.response.statusCode, 429);
  const [, seconds] = /Wait (\d+) s/.exec(error.responseBody);
  assert.equal(error.response.headers['retry-after'], seconds, 'the header says what the message says');
  assert.match(error.responseBody, /ThrottlingException.*identity registry operations a minute/);
  return `after ${done}`;
}, { needed: true });

scenario.case('S1: what is throttled does not throttle the rest: twins are read all the same', async () => {
  for (let number = 0; number < 50; number += 1) await registry('standard').getTwin('throttled-b');
});

scenario.case('S1: twenty queries, then ThrottlingError', async () => {
  const { done, refusals, most } = await together(() => registry('standard').createQuery('SELECT * FROM devices').nextAsTwin(), 40, 20);
  between(done, 6, most);
  assert.deepEqual([...new Set(refusals.map(({ name }) => name))], ['ThrottlingError']);
  // Twenty a minute: the next one has a place in up to three seconds.
  const waits = refusals.map(({ response, responseBody }) => [response.headers['retry-after'], /Wait (\d+) s/.exec(responseBody)[1]]);
  for (const [header, message] of waits) assert.equal(header, message);
  assert.ok(waits.some(([header]) => Number(header) > 1), JSON.stringify(waits));
});

scenario.case('S1: a hundred messages to devices, over AMQP, then ThrottlingError', async () => {
  const service = Client.fromConnectionString(hubs.standard.connectionString);
  service.setRetryPolicy(new NoRetry()); // by itself it waits and tries again, until all are sent
  await service.open();
  const { done, refusals, most } = await together((number) => service.send(`throttled-${'abc'[number % 3]}`, 'x'), 140, 100);
  between(done, 30, most);
  assert.deepEqual([...new Set(refusals.map(({ name }) => name))], ['ThrottlingError']);
  await service.close();
});

scenario.case('F1: 8,000 messages of half a kilobyte a day, then IotHubQuotaExceededError over HTTP; MQTT takes no more either', async () => {
  const connect = await device('free', 'poor');
  const client = connect(Http);
  const sized = () => new Message('x'.repeat(100 * 1024)); // 200 of them
  const { done, error } = await untilRefused(() => client.sendEvent(sized()), 60);
  between(done, 38, 44);
  assert.equal(error.name, 'IotHubQuotaExceededError');
  const mqtt = connect(Mqtt);
  await mqtt.open();
  const lost = lib.once(mqtt, 'disconnect').then(() => { throw new Error('disconnected'); });
  lost.catch(() => {});
  between((await untilRefused(() => Promise.race([mqtt.sendEvent(sized()), lost]), 5)).done, 0, 2);
  return `after ${done}`;
});

scenario.case('the command line shows what is used of it', async () => {
  const [messages, devices] = await cli('show-quota-metrics', '-n', 'free');
  assert.deepEqual([messages.name, messages.maxValue, devices], ['TotalMessages', 8000, { name: 'TotalDeviceCount', currentValue: 1 }]);
  between(messages.currentValue, 7600, 8800);
  assert.deepEqual((await cli('show', '--name', 'free')).sku, { name: 'F1', capacity: 1 });
  assert.equal((await cli('show-quota-metrics', '-n', 'unbound'))[0].maxValue, undefined);
});

scenario.case('a hub without a tier is held to nothing', async () => {
  const identities = registry('unbound');
  await identities.create({ deviceId: 'free-1' });
  for (let number = 0; number < 200; number += 1) await identities.get('free-1');
});

scenario.case('a tier can be changed and dropped; what is no tier is refused', async () => {
  await cli('update', '-n', 'standard', '--sku', 'none');
  assert.equal((await cli('show', '--name', 'standard')).sku, null);
  for (let number = 0; number < 150; number += 1) await registry('standard').get('throttled-a');
  await assert.rejects(cli('update', '-n', 'standard', '--sku', 'S3', '--unit', '11'), /sku.capacity of S3 must be 1 to 10/);
  await assert.rejects(cli('update', '-n', 'standard', '--unit', '2'), /sku.name is missing/);
  await assert.rejects(cli('update', '-n', 'standard', '--sku', 'B1'), /possible values: F1, S1, S2, S3, none/);
  assert.deepEqual((await cli('update', '-n', 'standard', '--sku', 's2', '--unit', '3')).sku, { name: 'S2', capacity: 3 });
});

scenario.run();
