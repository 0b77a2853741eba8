// about: npm's event processors with @azure/eventhubs-checkpointstore-blob on Azurite: sharing, taking over, checkpoints
// timeout: 120
'use strict';
// Several consumers that share the partitions of an event hub through blobs, as applications do.

const { BlobCheckpointStore } = require('@azure/eventhubs-checkpointstore-blob');
const { earliestEventPosition } = require('@azure/event-hubs');
const lib = require('./lib');
const azurite = require('./lib/azurite');
const { Receiving, consumer, producer } = require('./lib/events');
const { assert } = lib;

const HUB = 'deviceevents';
const PARTITIONS = ['0', '1', '2', '3'];
const EACH = 20; // events in each partition
const scenario = new lib.Scenario();
const loadBalancingOptions = { strategy: 'greedy', updateIntervalInMs: 300, partitionOwnershipExpirationIntervalInMs: 5000 };
const startPosition = earliestEventPosition;

/** A store in a container of its own, and who owns how many partitions by it: `2,2`. */
async function stored(name) {
  const store = new BlobCheckpointStore(await container(name));
  const about = consumer(HUB);
  const place = [about.fullyQualifiedNamespace, HUB, '$Default'];
  await about.close();
  const spread = async () => {
    const counts = {};
    for (const { ownerId } of await store.listOwnership(...place)) if (ownerId) counts[ownerId] = (counts[ownerId] ?? 0) + 1;
    return Object.values(counts).sort().join();
  };
  const becomes = (wanted, what) => lib.eventually(async () => (await spread()) === wanted, { what });
  return { store, becomes, checkpoints: () => store.listCheckpoints(...place) };
}

let container;
scenario.case('Azurite runs, and each partition has events', async () => {
  container = await azurite.start();
  const client = producer(HUB);
  for (const partitionId of PARTITIONS) {
    await client.sendBatch([...Array(EACH).keys()].map((n) => ({ body: `${partitionId}-${n}` })), { partitionId });
  }
  await client.close();
}, { needed: true });

scenario.case('two processors share the partitions, and one takes over when the other closes', async () => {
  const { store, becomes } = await stored('sharing');
  const start = () => new Receiving(consumer(HUB, { store, loadBalancingOptions }), undefined, { startPosition });
  const one = start();
  await becomes('4', 'all partitions with the first');
  const two = start();
  await becomes('2,2', 'half of them with each');
  await lib.eventually(() => two.events.length > 0, { what: 'events at the second' });
  await one.stop();
  await becomes('4', 'all with the one that is left');
  const places = () => new Set(two.contexts.map((context) => context.partitionId)).size;
  await lib.eventually(() => places() === PARTITIONS.length, { what: 'events of all partitions' });
  await two.stop();
});

scenario.case('a processor goes on behind its checkpoints', async () => {
  const { store, becomes, checkpoints } = await stored('places');
  const first = consumer(HUB, { store, loadBalancingOptions });
  const marked = new Set();
  const subscription = first.subscribe({
    processEvents: async (events, context) => {
      if (!events.length || marked.has(context.partitionId)) return;
      marked.add(context.partitionId);
      await context.updateCheckpoint(events[4]);
    },
    processError: async () => {},
  }, { startPosition, maxBatchSize: 10, maxWaitTimeInSeconds: 1 });
  await lib.eventually(async () => (await checkpoints()).length === PARTITIONS.length, { what: 'a checkpoint in each partition' });
  await subscription.close();
  await first.close();
  await becomes('', 'nobody owns a partition');
  const second = new Receiving(consumer(HUB, { store, loadBalancingOptions }), undefined, { startPosition });
  await second.wait(PARTITIONS.length * (EACH - 5), 20);
  await second.stop();
  for (const partition of PARTITIONS) {
    const bodies = second.events.map((event) => event.body).filter((body) => body.startsWith(`${partition}-`));
    assert.deepEqual(bodies, [...Array(EACH).keys()].slice(5).map((n) => `${partition}-${n}`));
  }
  const left = await checkpoints();
  assert.ok(left.every((one) => one.sequenceNumber === 4 && one.offset), JSON.stringify(left));
});

scenario.run();
