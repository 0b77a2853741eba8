// about: a client of a hub is sent on to the hub's built-in endpoint, and npm's @azure/event-hubs reads telemetry there
'use strict';
// How a hub's connection string becomes that of its built-in endpoint is in the samples of @azure/event-hubs
// (`iothubConnectionString.ts`): a receiver on the hub is detached with `amqp:link:redirect`.

const crypto = require('node:crypto');
const { Client, Message } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { Registry } = require('azure-iothub');
const { earliestEventPosition } = require('@azure/event-hubs');
const { Connection, ReceiverEvents } = require('rhea-promise');
const lib = require('./lib');
const { consumer, receive } = require('./lib/events');
const { assert, subject } = lib;

const scenario = new lib.Scenario();
const hub = subject.hub[0];
const [policy] = [Object.fromEntries(hub.connectionString.split(';').map((part) => part.split(/=(.*)/s).slice(0, 2)))];
const id = `reader-${crypto.randomUUID().slice(0, 8)}`;
let compatible;

function sas(resource, key = policy.SharedAccessKey) {
  const sr = encodeURIComponent(resource);
  const se = Math.ceil(Date.now() / 1000) + 300;
  const sig = crypto.createHmac('sha256', Buffer.from(key, 'base64')).update(`${sr}\n${se}`).digest('base64');
  return `SharedAccessSignature sr=${sr}&sig=${encodeURIComponent(sig)}&se=${se}&skn=${policy.SharedAccessKeyName}`;
}

/** A connection as a client of the hub opens it. */
async function connected(password) {
  const connection = new Connection({
    transport: 'tls', host: hub.hostName, hostname: hub.hostName, port: 5671, reconnect: false,
    username: `${policy.SharedAccessKeyName}@sas.root.${hub.name}`, password,
  });
  await connection.open();
  return connection;
}

/** How a receiver on an address of the hub ends. */
async function end(address) {
  const connection = await connected(sas(`${hub.hostName}/messages/events`));
  try {
    const receiver = await connection.createReceiver({ source: { address } });
    return await new Promise((resolve) => {
      receiver.on(ReceiverEvents.receiverError, (context) => resolve(context.receiver.error));
    });
  } finally {
    await connection.close();
  }
}

scenario.case('a receiver on the hub is sent on to its built-in endpoint', async () => {
  const error = await end(`amqps://${hub.hostName}/messages/events/$management`);
  assert.equal(error.condition, 'amqp:link:redirect');
  assert.equal(error.info.hostname, hub.hostName);
  const [, name] = error.info.address.match(/5671\/(.*)\/\$management/i);
  assert.equal(name, `iothub-ehub-${hub.name}`);
  compatible = `Endpoint=sb://${error.info.hostname}/;EntityPath=${name};SharedAccessKeyName=${policy.SharedAccessKeyName};SharedAccessKey=${policy.SharedAccessKey}`;
}, { needed: true });

scenario.case('so is a sender, which gets no credit before: older clients send requests on one first', async () => {
  const connection = await connected(sas(`${hub.hostName}/messages/events`));
  await assert.rejects(
    connection.createSender({ target: { address: '/messages/events/$management' } }),
    (error) => error.condition === 'amqp:link:redirect',
  );
  await connection.close();
});

scenario.case('so is one on a partition', async () => {
  const error = await end('messages/events/ConsumerGroups/$Default/Partitions/0');
  assert.equal(error.condition, 'amqp:link:redirect');
  assert.match(error.info.address, /:\d+\/iothub-ehub-.*\/ConsumerGroups\/\$Default\/Partitions\/0$/);
});

scenario.case('a token of another key or another hub does not connect', async () => {
  for (const password of [sas(hub.hostName, Buffer.from('another key, not ours').toString('base64')), sas('other.example/messages/events'), 'x']) {
    await assert.rejects(connected(password), `with ${password.slice(0, 40)}`);
  }
});

scenario.case("@azure/event-hubs reads there what a device sends, on a first start's hub as it is", async () => {
  const { responseBody: device } = await Registry.fromConnectionString(hub.connectionString).create({ deviceId: id });
  const client = Client.fromConnectionString(`HostName=${hub.hostName};DeviceId=${id};SharedAccessKey=${device.authentication.symmetricKey.primaryKey}`, Mqtt);
  await client.open();
  for (let n = 0; n < 5; n++) {
    const message = new Message(JSON.stringify({ n }));
    message.contentType = 'application/json';
    message.contentEncoding = 'utf-8';
    message.properties.add('level', 'low');
    await client.sendEvent(message);
  }
  await client.close();
  const name = /EntityPath=([^;]*)/.exec(compatible)[1];
  const reader = consumer(name, { text: compatible });
  const filled = [];
  for (const partition of await reader.getPartitionIds()) {
    if (!(await reader.getPartitionProperties(partition)).isEmpty) filled.push(partition);
  }
  await reader.close();
  assert.equal(filled.length, 1);
  const events = await receive(name, filled[0], 5, { startPosition: earliestEventPosition }, { text: compatible });
  assert.deepEqual(events.map((event) => event.body.n), [0, 1, 2, 3, 4]);
  assert.deepEqual(events[0].properties, { level: 'low' });
  assert.equal(events[0].systemProperties['iothub-connection-device-id'], id);
  assert.equal(events[0].systemProperties['iothub-message-source'], 'Telemetry');
  assert.equal(events[0].contentType, 'application/json');
  assert.equal(events[0].partitionKey, id);
});

scenario.run();
