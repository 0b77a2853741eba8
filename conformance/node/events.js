// about: npm's @azure/event-hubs: batches, keys, positions, owner levels, buffered, refusals, the emulator's port
// timeout: 90
'use strict';
// The client of JavaScript; PyPI's is in python/events.py.

const crypto = require('node:crypto');
const { earliestEventPosition, latestEventPosition } = require('@azure/event-hubs');
const lib = require('./lib');
const { Receiving, buffered, connectionString, consumer, producer, receive } = require('./lib/events');
const { assert, subject } = lib;

const HUB = 'deviceevents';
const scenario = new lib.Scenario();
const mark = crypto.randomUUID().slice(0, 8);
const own = []; // the events of partition 0
let partitions;

/** The error that `action` must end with, of one of these codes. */
async function refused(action, ...codes) {
  const error = await action().then(() => { throw new Error('it was accepted'); }, (error) => error);
  assert.ok(codes.includes(error.code), `${error.code ?? error.name}: ${error.message}`);
  return error;
}

async function with_(client, use) {
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

scenario.case('the event hub and its partitions', () => with_(producer(HUB), async (client) => {
  const about = await client.getEventHubProperties();
  assert.equal(about.name, HUB);
  assert.ok(about.createdOn.getFullYear() >= 2024);
  partitions = about.partitionIds;
  assert.deepEqual(partitions, ['0', '1', '2', '3']);
  assert.deepEqual(await client.getPartitionIds(), partitions);
  const partition = await client.getPartitionProperties('0');
  assert.deepEqual([partition.partitionId, partition.eventHubName, partition.isEmpty], ['0', HUB, true]);
  assert.equal(partition.beginningSequenceNumber, 0);
}), { needed: true });

scenario.case('a batch to a partition arrives in order, with its place', async () => {
  await with_(producer(HUB), async (client) => {
    const batch = await client.createBatch({ partitionId: '0' });
    assert.equal(batch.maxSizeInBytes, 1024 * 1024);
    for (let n = 0; n < 100; n++) assert.ok(batch.tryAdd({ body: `${mark}-${n}` }));
    await client.sendBatch(batch);
    const about = await client.getPartitionProperties('0');
    assert.deepEqual([about.lastEnqueuedSequenceNumber, about.isEmpty], [99, false]);
    assert.ok(Math.abs(about.lastEnqueuedOnUtc - Date.now()) < 60_000);
  });
  own.push(...await receive(HUB, '0', 100, { startPosition: earliestEventPosition }));
  assert.deepEqual(own.map((event) => event.body), [...Array(100).keys()].map((n) => `${mark}-${n}`));
  assert.deepEqual(own.map((event) => event.sequenceNumber), [...Array(100).keys()]);
  assert.ok(own.every((event) => Math.abs(event.enqueuedTimeUtc - Date.now()) < 60_000 && event.offset));
}, { needed: true });

scenario.case('a batch is full before it is too large, and as full as it can be it arrives', () => with_(producer(HUB), async (client) => {
  const batch = await client.createBatch({ partitionId: '3' });
  let count = 0;
  while (batch.tryAdd({ body: Buffer.alloc(10_000, 1), properties: { n: count } })) count++;
  assert.ok(count > 95, `${count} events`);
  await client.sendBatch(batch);
  const about = await client.getPartitionProperties('3');
  assert.equal(about.lastEnqueuedSequenceNumber, count - 1);
}));

scenario.case('receiving begins where it is asked to', async () => {
  const fifth = own[5];
  for (const [startPosition, first] of [
    [{ sequenceNumber: 5 }, 6], [{ sequenceNumber: 5, isInclusive: true }, 5],
    [{ offset: fifth.offset }, 6], [{ offset: fifth.offset, isInclusive: true }, 5],
    [{ enqueuedOn: new Date(own[0].enqueuedTimeUtc.getTime() - 1000) }, 0],
    [{ enqueuedOn: own[0].enqueuedTimeUtc.getTime() - 1000 }, 0],
    [earliestEventPosition, 0],
  ]) {
    const [event] = await receive(HUB, '0', 1, { startPosition });
    assert.equal(event.sequenceNumber, first, JSON.stringify(startPosition));
  }
});

scenario.case('latest sees only what comes after', async () => {
  const receiving = new Receiving(consumer(HUB), '0', { startPosition: latestEventPosition });
  await with_(producer(HUB), async (client) => {
    // Whether the receiver is attached cannot be seen from outside: events are sent until one arrives.
    await lib.eventually(async () => {
      await client.sendBatch([{ body: 'late' }], { partitionId: '0' });
      return receiving.events.length;
    });
  });
  assert.equal(receiving.events[0].body, 'late');
  assert.ok(receiving.events[0].sequenceNumber >= 100);
  await receiving.stop();
});

scenario.case('the newest event\'s place comes along when it is asked for', async () => {
  const { lastEnqueuedSequenceNumber: newest } = await with_(producer(HUB), (client) => client.getPartitionProperties('0'));
  const receiving = new Receiving(consumer(HUB), '0', { startPosition: earliestEventPosition, trackLastEnqueuedEventProperties: true });
  await receiving.wait(1);
  const seen = receiving.contexts[0].lastEnqueuedEventProperties;
  assert.equal(seen.sequenceNumber, newest);
  assert.ok(seen.offset && seen.enqueuedOn && seen.retrievedOn, JSON.stringify(seen));
  await receiving.stop();
});

scenario.case('a partition key comes back, and keeps its events together', async () => {
  await with_(producer(HUB), async (client) => {
    for (let n = 0; n < 8; n++) {
      for (let m = 0; m < 2; m++) await client.sendBatch([{ body: `${mark}-key-${n}` }], { partitionKey: `key-${n}` });
    }
  });
  const found = {};
  for (const partition of partitions) {
    const { lastEnqueuedSequenceNumber: newest } = await with_(producer(HUB), (client) => client.getPartitionProperties(partition));
    if (newest < 0) continue;
    for (const event of await receive(HUB, partition, newest + 1, { startPosition: earliestEventPosition })) {
      if (event.body === `${mark}-${event.partitionKey}`) (found[event.partitionKey] ??= []).push(partition);
    }
  }
  assert.equal(Object.keys(found).length, 8);
  for (const [key, places] of Object.entries(found)) assert.deepEqual(places, [places[0], places[0]], key);
});

/** Sends one event to a partition and receives it. */
async function through(event, partition = '2') {
  const { lastEnqueuedSequenceNumber: newest } = await with_(producer(HUB), async (client) => {
    await client.sendBatch([event], { partitionId: partition });
    return client.getPartitionProperties(partition);
  });
  const [came] = await receive(HUB, partition, 1, { startPosition: { sequenceNumber: newest, isInclusive: true } });
  return came;
}

scenario.case('properties and bodies of every type come back as they were sent', async () => {
  const when = new Date(1764072000000);
  const properties = { text: 'ä€😀', int: 5, negative: -7, double: 1.5, large: 2 ** 40, yes: true, no: false, nothing: null, when };
  const came = await through({
    body: { nested: [1, 'x', { y: null }] }, properties, contentType: 'application/json', correlationId: 'c-1', messageId: 'm-1',
  });
  assert.deepEqual(came.body, { nested: [1, 'x', { y: null }] });
  assert.deepEqual([came.contentType, came.correlationId, came.messageId], ['application/json', 'c-1', 'm-1']);
  assert.deepEqual({ ...came.properties, when: new Date(came.properties.when) }, properties);
  for (const body of ['text', 5, null, [1, 2], true]) assert.deepEqual((await through({ body })).body, body);
  assert.ok(Buffer.from([0, 1, 255]).equals((await through({ body: Buffer.from([0, 1, 255]) })).body));
});

scenario.case('annotated messages keep their sections', async () => {
  const properties = {
    to: 'there', subject: 'this', replyTo: 'back', contentType: 'text/plain', contentEncoding: 'utf-8', groupId: 'g', groupSequence: 7,
    replyToGroupId: 'h', userId: 'me', creationTime: 1764072000000, absoluteExpiryTime: 1764072001000,
  };
  for (const [bodyType, body] of [['data', Buffer.from('x')], ['value', { a: 1 }], ['sequence', [[1, 2], ['x']]]]) {
    const came = await through({
      body, bodyType, messageAnnotations: { mine: 'yes' }, applicationProperties: { app: 1 }, properties: { ...properties, messageId: bodyType },
    });
    const raw = came.getRawAmqpMessage();
    assert.equal(raw.bodyType, bodyType);
    if (bodyType === 'sequence') assert.deepEqual(raw.body.content, body);
    assert.equal(raw.messageAnnotations.mine, 'yes');
    assert.deepEqual(raw.applicationProperties, { app: 1 });
    for (const [name, value] of Object.entries(properties)) {
      if (name !== 'userId') assert.equal(String(raw.properties[name]), String(value), name);
    }
    assert.equal(raw.properties.messageId, bodyType);
    assert.deepEqual(came.systemProperties.mine, 'yes');
  }
});

scenario.case('a higher owner level takes the partition, a lower one and none are refused', async () => {
  const at = (ownerLevel) => new Receiving(consumer(HUB), '0', { startPosition: earliestEventPosition, ownerLevel });
  const first = at(1);
  await first.wait(1);
  const second = at(2);
  await second.wait(1);
  const lost = await first.error();
  assert.equal(lost.code, 'ReceiverDisconnectedError', lost.message);
  await first.stop();
  for (const level of [1, undefined]) {
    const lower = at(level);
    const error = await lower.error();
    assert.match(error.message, /epoch/, `${error.code}: ${error.message}`);
    await lower.stop();
  }
  assert.deepEqual(second.errors, []);
  await second.stop();
});

scenario.case('a buffered producer sends what was enqueued', async () => {
  const sent = [];
  const failed = [];
  const before = await newest();
  const client = buffered(HUB, {
    maxWaitTimeInMs: 100, onSendEventsSuccessHandler: async ({ events }) => { sent.push(...events); }, onSendEventsErrorHandler: async ({ error }) => { failed.push(error); },
  });
  for (let n = 0; n < 200; n++) await client.enqueueEvent({ body: `buffered-${n}` }, n % 2 ? { partitionKey: `k${n % 7}` } : { partitionId: '1' });
  await client.flush();
  await client.close();
  assert.deepEqual(failed, []);
  assert.equal(sent.length, 200);
  assert.equal(await newest() - before, 200);
});

const newest = () => with_(producer(HUB), async (client) => {
  const all = await Promise.all(partitions.map((partition) => client.getPartitionProperties(partition)));
  return all.reduce((sum, one) => sum + one.lastEnqueuedSequenceNumber, 0);
});

const changed = (name, value) => connectionString.split(';').map((part) => (part.startsWith(`${name}=`) ? `${name}=${value}` : part)).join(';');

scenario.case('a wrong key and an unknown policy open nothing', async () => {
  for (const text of [changed('SharedAccessKey', `${'A'.repeat(43)}=`), changed('SharedAccessKeyName', 'nobody')]) {
    await with_(producer(HUB, text), async (client) => {
      await refused(() => client.sendBatch([{ body: 'x' }]), 'UnauthorizedError');
      await refused(() => client.getEventHubProperties(), 'UnauthorizedError');
    });
    const receiving = new Receiving(consumer(HUB, { text }), '0', { startPosition: earliestEventPosition });
    assert.equal((await receiving.error()).code, 'UnauthorizedError');
    await receiving.stop();
  }
});

scenario.case('what does not exist is refused with its name', async () => {
  await with_(producer('nothere'), async (client) => {
    assert.match((await refused(() => client.sendBatch([{ body: 'x' }]), 'MessagingEntityNotFoundError')).message, /nothere/);
    await refused(() => client.getEventHubProperties(), 'MessagingEntityNotFoundError');
  });
  const receiving = new Receiving(consumer(HUB, { group: 'nobody' }), '0', { startPosition: earliestEventPosition });
  const error = await receiving.error();
  assert.equal(error.code, 'MessagingEntityNotFoundError', error.message);
  assert.match(error.message, /nobody/);
  await receiving.stop();
  await with_(producer(HUB), async (client) => {
    await refused(() => client.sendBatch([{ body: 'x' }], { partitionId: '99' }), 'ArgumentError', 'ArgumentOutOfRangeError', 'InvalidOperationError');
    await refused(() => client.getPartitionProperties('99'), 'ArgumentError', 'ArgumentOutOfRangeError', 'InvalidOperationError');
  });
});

scenario.case('an event that is too large is refused, the client goes on', () => with_(producer(HUB), async (client) => {
  await refused(() => client.sendBatch([{ body: Buffer.alloc(1024 * 1024 + 1) }], { partitionId: '1' }), 'MessageTooLargeError');
  await client.sendBatch([{ body: Buffer.alloc(900 * 1024) }], { partitionId: '1' });
}));

scenario.case('the emulator\'s connection string: no TLS, port 5672', async () => {
  const text = `${changed('Endpoint', `sb://localhost:${subject.ports.amqpPlain[0]}`)};UseDevelopmentEmulator=true;`;
  const before = await newest();
  await with_(producer(HUB, text), async (client) => {
    assert.deepEqual(await client.getPartitionIds(), partitions);
    await client.sendBatch([{ body: 'without TLS' }], { partitionId: '1' });
  });
  assert.equal(await newest() - before, 1);
  const [event] = await receive(HUB, '0', 1, { startPosition: earliestEventPosition }, { text });
  assert.equal(event.body, `${mark}-0`);
});

scenario.run();
