// about: cloud-to-device messages with npm's device clients over MQTT, MQTT over WebSocket and HTTPS: properties, settling, feedback
// timeout: 240
'use strict';
// azure-iot-device receives; what is sent is sent over REST and by the command line.

const { execFile } = require('node:child_process');
const path = require('node:path');
const { Client: Device, Message } = require('azure-iot-device');
const { Mqtt, MqttWs } = require('azure-iot-device-mqtt');
const { Http } = require('azure-iot-device-http');
const { NoRetry } = require('azure-iot-common');
const { Registry } = require('azure-iothub');
const lib = require('./lib');
const { rest } = require('./lib/hub_rest');
const { assert, eventually, subject } = lib;

const [hub] = subject.hub;
const registry = Registry.fromConnectionString(hub.connectionString);
const scenario = new lib.Scenario();

async function send(id, body, headers = {}) {
  const sent = await rest('POST', '/messages/devicebound', { 'iothub-to': `/devices/${id}/messages/devicebound`, ...headers }, body);
  assert.equal(sent.status, 204, sent.text);
}

/** All feedback there is, completed. */
async function feedback() {
  const found = await rest('GET', '/messages/serviceBound/feedback');
  if (found.status === 204) return [];
  const token = found.headers.etag.slice(1, -1);
  assert.equal((await rest('DELETE', `/messages/serviceBound/feedback/${token}`)).status, 204);
  return [...JSON.parse(found.text), ...await feedback()];
}

const told = [];
/** The status of the feedback about a message. */
const feedbackAbout = (id) => eventually(async () => {
  told.push(...await feedback());
  return told.find((record) => record.originalMessageId === id)?.statusCode;
}, { what: `feedback about ${id}` });

const waiting = async (id) => (await registry.get(id)).responseBody.cloudToDeviceMessageCount;
const emptied = (id) => eventually(async () => (await waiting(id)) === 0, { what: 'the queue is empty' });

const keys = {};
async function device(deviceId, Transport) {
  if (!keys[deviceId]) {
    const { responseBody: made } = await registry.create({ deviceId });
    keys[deviceId] = made.authentication.symmetricKey.primaryKey;
  }
  const client = Device.fromConnectionString(`HostName=${hub.hostName};DeviceId=${deviceId};SharedAccessKey=${keys[deviceId]}`, Transport);
  client.setRetryPolicy(new NoRetry());
  client.on('error', (error) => console.error(deviceId, error)); // HTTPS polls and says so when it fails; what must come is waited for
  return client;
}

/** Listens, and keeps what comes. */
function listen(client, { settle = 'complete' } = {}) {
  const came = [];
  client.on('message', (message) => {
    came.push(message);
    if (settle) client[settle](message, () => {});
  });
  return came;
}

const text = (message) => message.getData().toString();
const property = (message, key) => {
  for (let at = 0; at < message.properties.count(); at++) {
    const item = message.properties.getItem(at);
    if (item.key.toLowerCase() === key.toLowerCase()) return item.value;
  }
  return undefined;
};

for (const [name, Transport] of Object.entries({ MQTT: Mqtt, 'MQTT over WebSocket': MqttWs })) {
  const id = `c2d-${name.toLowerCase().replace(/ /g, '-')}`;
  scenario.case(`${name}: a message comes with all its properties, is completed, and feedback tells of it`, async () => {
    const client = await device(id, Transport);
    await client.open();
    const came = listen(client);
    const expiry = new Date(Date.now() + 600000).toISOString();
    await send(id, 'hello ü', {
      'iothub-messageid': `${id} 1`, 'iothub-correlationid': 'c/1', 'iothub-userid': 'operator', 'iothub-contenttype': 'application/json',
      'iothub-contentencoding': 'utf-8', 'iothub-ack': 'full', 'iothub-expiry': expiry, 'iothub-app-level': 'a&b=c d',
    });
    const [message] = await eventually(() => came.length && came, { what: 'the message' });
    assert.deepEqual(
      [text(message), message.messageId, message.correlationId, message.userId, message.to, message.contentType, message.contentEncoding],
      ['hello ü', `${id} 1`, 'c/1', 'operator', `/devices/${id}/messages/devicebound`, 'application/json', 'utf-8'],
    );
    assert.equal(new Date(message.expiryTimeUtc).getTime(), new Date(expiry).getTime());
    assert.deepEqual([property(message, 'level'), property(message, 'iothub-ack')], ['a&b=c d', 'full']);
    assert.equal(await feedbackAbout(`${id} 1`), 'Success');
    await client.close();
  });

  scenario.case(`${name}: what is sent while it is away comes when it is back, in order`, async () => {
    await emptied(id);
    for (let number = 0; number < 30; number++) await send(id, String(number));
    assert.equal(await waiting(id), 30);
    const client = await device(id, Transport);
    await client.open();
    const came = listen(client);
    await eventually(() => came.length >= 30, { what: 'thirty messages' });
    assert.deepEqual(came.map(text), Array.from({ length: 30 }, (_, number) => String(number)));
    await emptied(id);
    await client.close();
  });
}

scenario.case('HTTPS: messages are received with their properties, completed, rejected and abandoned', async () => {
  const id = 'c2d-http';
  const client = await device(id, Http);
  await send(id, 'one', { 'iothub-messageid': 'http-1', 'iothub-ack': 'full', 'iothub-app-level': 'info' });
  const came = listen(client, { settle: null });
  const next = async (count) => (await eventually(() => came.length >= count && came, { what: `message ${count}` }))[count - 1];
  const first = await next(1);
  assert.deepEqual([text(first), first.messageId, first.to, property(first, 'iothub-app-level')],
    ['one', 'http-1', `/devices/${id}/messages/devicebound`, 'info']);
  await client.abandon(first);
  const again = await next(2);
  assert.equal(text(again), 'one');
  await assert.rejects(client.complete(first), 'the lock is lost');
  await client.complete(again);
  assert.equal(await feedbackAbout('http-1'), 'Success');
  await send(id, 'two', { 'iothub-messageid': 'http-2', 'iothub-ack': 'negative' });
  await client.reject(await next(3));
  assert.equal(await feedbackAbout('http-2'), 'Rejected');
  await emptied(id);
  await client.close();
});

scenario.case('HTTPS: telemetry, one by one and as a batch, is readable where it is routed to', async () => {
  const id = 'c2d-telemetry';
  const client = await device(id, Http);
  const { EventHubConsumerClient, earliestEventPosition } = require('@azure/event-hubs');
  const consumer = new EventHubConsumerClient('$Default', subject.events[0].connectionString, 'deviceevents');
  const came = [];
  const receiving = consumer.subscribe({
    processEvents: async (events) => { came.push(...events.filter((event) => event.systemProperties?.['iothub-connection-device-id'] === id)); },
    processError: async (error) => { console.error(error); },
  }, { startPosition: earliestEventPosition });
  const single = new Message(JSON.stringify({ t: 1 }));
  single.messageId = 'single';
  single.contentType = 'application/json';
  single.properties.add('alert', 'high');
  await client.sendEvent(single);
  const many = ['a', 'b'].map((body) => { const message = new Message(body); message.properties.add('Part', body); return message; });
  await client.sendEventBatch(many);
  await eventually(() => came.length >= 3, { what: 'three events' });
  const found = came.find((event) => event.messageId === 'single');
  assert.deepEqual([found.body, found.properties.alert, found.contentType], [{ t: 1 }, 'high', 'application/json']);
  assert.deepEqual(came.map((event) => event.properties.Part).filter(Boolean).sort(), ['a', 'b']);
  await receiving.close();
  await consumer.close();
  await client.close();
});

scenario.case('a queue holds fifty; the next is refused with 403; purging tells how many went', async () => {
  const id = 'c2d-full';
  await device(id, Mqtt);
  await Promise.all(Array.from({ length: 50 }, (_, number) => send(id, String(number))));
  const refused = await rest('POST', '/messages/devicebound', { 'iothub-to': `/devices/${id}/messages/devicebound` }, 'x');
  assert.equal(refused.status, 403);
  assert.match(refused.text, /DeviceMaximumQueueDepthExceeded/);
  const purged = await rest('DELETE', `/devices/${id}/commands`);
  assert.deepEqual(JSON.parse(purged.text), { totalMessagesPurged: 50, deviceId: id, moduleId: null });
  assert.equal(await waiting(id), 0);
});

scenario.case('a message that expires is dead-lettered, and feedback tells of it', async () => {
  const id = 'c2d-expiry';
  await device(id, Mqtt);
  await send(id, 'x', { 'iothub-messageid': 'expiry-1', 'iothub-ack': 'full', 'iothub-expiry': String(Date.now() + 500) });
  assert.equal(await feedbackAbout('expiry-1'), 'Expired');
  assert.equal(await waiting(id), 0);
});

scenario.case('refused: too large, no such device, no device named, a token without the right', async () => {
  const to = (id) => ({ 'iothub-to': `/devices/${id}/messages/devicebound` });
  assert.equal((await rest('POST', '/messages/devicebound', to('c2d-full'), 'x'.repeat(65537))).status, 413);
  assert.equal((await rest('POST', '/messages/devicebound', to('nobody'), 'x')).status, 404);
  assert.equal((await rest('POST', '/messages/devicebound', {}, 'x')).status, 400);
});

scenario.case('the command line sends, receives, settles and purges', async () => {
  const id = 'c2d-cli';
  await device(id, Mqtt);
  const cli = (...args) => new Promise((resolve, reject) => execFile(process.env.SUBJECT_BIN,
    ['--json', '--data-dir', path.dirname(process.env.CONNECTIONS), 'hub', 'c2d-message', ...args, '--device-id', id],
    (error, stdout) => (error ? reject(error) : resolve(stdout.trim() ? JSON.parse(stdout) : undefined))));
  await cli('send', '--data', 'hello', '--ack', 'full', '--mid', 'cli-1', '--props', 'a=1;b=2');
  const got = await cli('receive');
  assert.equal(got.data, 'hello');
  assert.deepEqual(got.properties.app, { a: '1', b: '2' });
  await cli('abandon', '--etag', got.etag);
  const again = await cli('receive');
  assert.equal(again.properties.system['iothub-deliverycount'], '1');
  await cli('complete', '--etag', again.etag);
  assert.equal(await feedbackAbout('cli-1'), 'Success');
  await cli('send', '--data', 'two');
  await cli('receive', '--reject');
  assert.equal(await cli('receive'), undefined);
  await cli('send', '--data', 'three');
  assert.equal((await cli('purge')).totalMessagesPurged, 1);
});

scenario.run();
