// about: cloud-to-device messages over AMQP with npm's clients at both ends: properties, settling, away and back, feedback, refusals
// timeout: 180
'use strict';
// azure-iothub's Client sends and hears feedback, azure-iot-device over azure-iot-device-amqp receives.

const crypto = require('node:crypto');
const { Client: Device } = require('azure-iot-device');
const { Amqp, AmqpWs } = require('azure-iot-device-amqp');
const { Message, NoRetry } = require('azure-iot-common');
const iothub = require('azure-iothub');
const { ClientSecretCredential } = require('@azure/identity');
const lib = require('./lib');
const amqp = require('./lib/amqp');
const { rest } = require('./lib/hub_rest');
const { assert, subject } = lib;

const [hub] = subject.hub;
const policy = Object.fromEntries(hub.connectionString.split(';').filter(Boolean).map((part) => part.split(/=(.*)/s).slice(0, 2)));
const registry = iothub.Registry.fromConnectionString(hub.connectionString);
const scenario = new lib.Scenario();
const TRANSPORTS = { AMQP: [Amqp, iothub.Amqp], 'AMQP over WebSocket': [AmqpWs, iothub.AmqpWs] };
const records = [];
const keys = {};

const open = async (Transport = iothub.Amqp) => {
  const service = iothub.Client.fromConnectionString(hub.connectionString, Transport);
  service.setRetryPolicy(new NoRetry());
  await service.open();
  return service;
};

async function device(deviceId, Transport = Amqp) {
  keys[deviceId] ??= (await registry.create({ deviceId })).responseBody.authentication.symmetricKey.primaryKey;
  const text = `HostName=${hub.hostName};DeviceId=${deviceId};SharedAccessKey=${keys[deviceId]}`;
  const client = Device.fromConnectionString(text, Transport);
  client.setRetryPolicy(new NoRetry());
  client.came = [];
  return client;
}

/** A plain connection of a device that there is. */
function byHand(id) {
  const [sr, se] = [encodeURIComponent(`${hub.hostName}/devices/${id}`), Math.ceil(Date.now() / 1000) + 300];
  const sig = crypto.createHmac('sha256', Buffer.from(keys[id], 'base64')).update(`${sr}\n${se}`).digest('base64');
  const password = `SharedAccessSignature sr=${sr}&sig=${encodeURIComponent(sig)}&se=${se}`;
  return amqp.connect({ host: hub.hostName, username: `${id}@sas.${hub.name}`, password });
}

/** Takes messages and does with each what `how` says: complete, reject, abandon, or nothing. */
async function listen(client, how = () => 'complete') {
  await client.open();
  client.on('message', (message) => {
    client.came.push(message);
    const what = how(message, client.came.length);
    if (what) client[what](message, (error) => { if (error) client.failed = error; });
  });
}

const came = (client, count) => lib.eventually(() => client.came.length >= count && client.came, { what: `${count} messages` });
const told = (id) => lib.eventually(() => records.find((record) => record.originalMessageId === id), { what: `feedback of ${id}` });
const waiting = async (id) => (await registry.get(id)).responseBody.cloudToDeviceMessageCount;
const fails = (promise) => promise.then(() => assert.fail('it was accepted'), (error) => error);

function message(body, { ack, id = crypto.randomUUID(), ...more } = {}) {
  return Object.assign(new Message(body), { messageId: id, ack, ...more });
}

let service;

scenario.case('feedback is listened to', async () => {
  service = await open();
  const { result: feedback } = await service.getFeedbackReceiver();
  feedback.on('message', (batch) => {
    assert.equal(batch.contentType, 'application/vnd.microsoft.iothub.feedback.json');
    records.push(...JSON.parse(batch.getData().toString()));
  });
}, { needed: true });

for (const [name, [Transport, ServiceTransport]] of Object.entries(TRANSPORTS)) {
  const own = (id) => `${id}-${Transport.name.toLowerCase()}`;

  scenario.case(`${name}: a message arrives with its properties, is completed, and the service hears of it`, async () => {
    const id = own('receives');
    const sends = await open(ServiceTransport);
    const client = await device(id, Transport);
    await listen(client);
    const sent = message('hö & so', { ack: 'full', correlationId: 'c/1', contentType: 'application/json', contentEncoding: 'utf-8', expiryTimeUtc: Date.now() + 600_000 });
    sent.properties.add('level', 'high & dry');
    await sends.send(id, sent);
    const [got] = await came(client, 1);
    assert.equal(got.getData().toString(), 'hö & so');
    assert.deepEqual([got.messageId, got.correlationId, got.contentType, got.contentEncoding], [sent.messageId, 'c/1', 'application/json', 'utf-8']);
    assert.equal(got.to, `/devices/${id}/messages/devicebound`);
    assert.equal(Number(new Date(got.expiryTimeUtc)), sent.expiryTimeUtc);
    assert.equal(got.properties.getValue('level') ?? got.properties.getItem(0).value, 'high & dry');
    const record = await told(sent.messageId);
    assert.deepEqual([record.statusCode, record.deviceId], ['Success', id]);
    await client.close();
    await sends.close();
  });

  scenario.case(`${name}: what is sent while it is away comes when it is back, in order, each once`, async () => {
    const id = own('away');
    await (await device(id, Transport)).close().catch(() => {});
    for (let number = 0; number < 30; number++) await service.send(id, message(`${number}`));
    assert.equal(await waiting(id), 30);
    const client = await device(id, Transport);
    await listen(client);
    const got = await came(client, 30);
    assert.deepEqual(got.map((one) => one.getData().toString()), [...Array(30).keys()].map(String));
    await lib.eventually(async () => await waiting(id) === 0, { what: 'an empty queue' });
    await service.send(id, message('and another'));
    await came(client, 31);
    await client.close();
  });

  scenario.case(`${name}: rejected is dead-lettered, abandoned comes again until it has come too often`, async () => {
    const id = own('settles');
    const client = await device(id, Transport);
    await listen(client, (one, count) => (one.getData().toString() === 'reject' ? 'reject' : count === 2 ? 'abandon' : one.getData().toString() === 'again' ? 'complete' : 'abandon'));
    const [rejected, again, never] = [message('reject', { ack: 'full' }), message('again', { ack: 'full' }), message('never', { ack: 'negative' })];
    await service.send(id, rejected);
    assert.equal((await told(rejected.messageId)).statusCode, 'Rejected');
    await service.send(id, again);
    assert.equal((await told(again.messageId)).statusCode, 'Success');
    assert.deepEqual(client.came.map((one) => one.getData().toString()), ['reject', 'again', 'again']);
    await service.send(id, never);
    assert.equal((await told(never.messageId)).statusCode, 'DeliveryCountExceeded');
    assert.equal(client.came.filter((one) => one.getData().toString() === 'never').length, 10);
    assert.equal(await waiting(id), 0);
    await client.close();
  });

  scenario.case(`${name}: what a device had in its hands when it went away comes again`, async () => {
    const id = own('hands');
    const first = await device(id, Transport);
    await listen(first, () => undefined);
    await service.send(id, message('mine', { ack: 'full', id: own('hands-1') }));
    await came(first, 1);
    await first.close();
    const second = await device(id, Transport);
    await listen(second);
    await came(second, 1);
    assert.equal((await told(own('hands-1'))).statusCode, 'Success');
    await second.close();
  });
}

scenario.case('refused: no such device, too large, a word for ack that is none, a full queue', async () => {
  assert.equal((await fails(service.send('nobody', message('x')))).name, 'DeviceNotFoundError');
  await device('refuses');
  assert.equal((await fails(service.send('refuses', message('x'.repeat(66_000))))).name, 'MessageTooLargeError');
  assert.equal((await fails(service.send('refuses', message('x', { ack: 'perhaps' })))).name, 'ArgumentError');
  for (let number = 0; number < 50; number++) await service.send('refuses', message('x'));
  assert.equal((await fails(service.send('refuses', message('x')))).name, 'DeviceMaximumQueueDepthExceededError');
  assert.equal(await waiting('refuses'), 50);
});

scenario.case('refused: a policy without the right, another key; file notifications attach and stay empty', async () => {
  const { result: files } = await service.getFileNotificationReceiver();
  files.on('message', () => assert.fail('there is no upload of files'));
  const wrong = { ...policy, SharedAccessKey: Buffer.alloc(32).toString('base64') };
  const text = (parts) => Object.entries(parts).map((pair) => pair.join('=')).join(';');
  const client = iothub.Client.fromConnectionString(text(wrong));
  client.setRetryPolicy(new NoRetry());
  assert.equal((await fails(client.open())).amqpError.name, 'UnauthorizedError');
  // A device's token opens none of a service's links.
  const connection = await byHand('refuses');
  await assert.rejects(amqp.sender(connection, '/messages/devicebound'), /amqp:unauthorized-access/);
  for (const address of ['/messages/serviceBound/feedback', '/messages/serviceBound/filenotifications']) {
    await assert.rejects(amqp.receiver(connection, address), /amqp:unauthorized-access/, address);
  }
  await amqp.close(connection);
});

scenario.case('a bearer token sends and hears too', async () => {
  const { authority, tenantId, clientId, clientSecret } = subject.identity;
  const credential = new ClientSecretCredential(tenantId, clientId, clientSecret, { authorityHost: authority, disableInstanceDiscovery: true });
  const sends = iothub.Client.fromTokenCredential(hub.hostName, credential);
  sends.setRetryPolicy(new NoRetry());
  const client = await device('bearer');
  await listen(client);
  await sends.open();
  await sends.send('bearer', message('by a bearer'));
  assert.equal((await came(client, 1))[0].getData().toString(), 'by a bearer');
  await client.close();
  await sends.close();
});

scenario.case('by hand: credit is kept to; what is modified comes again or not; what need not be settled', async () => {
  const client = await device('credit');
  for (let number = 0; number < 6; number++) await service.send('credit', message(`${number}`));
  const connection = await byHand('credit');
  const address = '/devices/credit/messages/devicebound';
  const link = await amqp.receiver(connection, address, { autoaccept: false });
  const deliveries = [];
  link.on('message', ({ delivery }) => deliveries.push(delivery));
  const texts = () => link.came.map((one) => one.body.content.toString());
  await amqp.take(link, 2);
  deliveries[0].accept();
  deliveries[1].modified({ undeliverable_here: true });
  await lib.eventually(async () => await waiting('credit') === 4, { what: 'two are gone' });
  assert.deepEqual(texts(), ['0', '1'], 'no more than there was credit for');
  await amqp.take(link, 3);
  deliveries[2].modified({ delivery_failed: true });
  await amqp.take(link, 4);
  assert.equal(texts()[3], '2', 'it comes again, first');
  deliveries[3].accept();
  link.close();
  // One that does not want to be asked: what is sent is done with.
  const settled = await amqp.receiver(connection, address, { snd_settle_mode: 1 });
  settled.add_credit(10);
  await lib.eventually(() => settled.came.length === 3, { what: 'the rest' });
  await lib.eventually(async () => await waiting('credit') === 0, { what: 'an empty queue' });
  await amqp.close(connection);
  await client.close().catch(() => {});
});

scenario.case('by hand: who settles second hears when it is done, and that a lock is lost', async () => {
  const client = await device('second');
  for (let number = 0; number < 3; number++) await service.send('second', message(`${number}`, { ack: 'full', id: `second-${number}` }));
  const connection = await byHand('second');
  const options = { autoaccept: false, autosettle: false, rcv_settle_mode: 1 };
  const link = await amqp.receiver(connection, '/devices/second/messages/devicebound', options);
  const deliveries = [];
  link.on('message', ({ delivery }) => deliveries.push(delivery));
  const end = async (delivery) => {
    await lib.eventually(() => delivery.remote_settled, { what: 'its end' });
    const { remote_state: state } = delivery;
    return [state.constructor.composite_type, state.error?.condition];
  };
  await amqp.take(link, 3);
  deliveries[0].accept();
  assert.deepEqual(await end(deliveries[0]), ['accepted', undefined]);
  assert.equal(await waiting('second'), 2, 'it is done when it is told');
  deliveries[1].reject();
  assert.deepEqual(await end(deliveries[1]), ['accepted', undefined], 'what it had decided is done');
  assert.equal((await told('second-1')).statusCode, 'Rejected');
  assert.equal((await rest('DELETE', '/devices/second/commands')).status, 200);
  deliveries[2].accept();
  assert.deepEqual(await end(deliveries[2]), ['rejected', 'amqp:not-found']);
  await amqp.close(connection);
  await client.close().catch(() => {});
});

scenario.run();
