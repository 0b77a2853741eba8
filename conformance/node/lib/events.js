'use strict';
// @azure/event-hubs against the subject: clients and receiving.

const { EventHubBufferedProducerClient, EventHubConsumerClient, EventHubProducerClient } = require('@azure/event-hubs');
const { eventually, subject } = require('./index');

const connectionString = subject.events[0].connectionString;
const retryOptions = { maxRetries: 0, timeoutInMs: 15_000 };

const producer = (hub, text = connectionString) => new EventHubProducerClient(text, hub, { retryOptions });
const buffered = (hub, options) => new EventHubBufferedProducerClient(connectionString, hub, { retryOptions, ...options });
const consumer = (hub, { group = '$Default', store, text = connectionString, ...options } = {}) =>
  new EventHubConsumerClient(group, text, hub, ...(store ? [store] : []), { retryOptions, ...options });

/** Receives until it is stopped: what came, and what went wrong. */
class Receiving {
  constructor(client, partition, options) {
    Object.assign(this, { client, events: [], errors: [], contexts: [] });
    const handlers = {
      processEvents: async (events, context) => {
        this.events.push(...events);
        if (events.length) this.contexts.push(context);
      },
      processError: async (error) => { this.errors.push(error); },
    };
    const rest = { maxWaitTimeInSeconds: 1, ...options };
    this.subscription = partition === undefined ? client.subscribe(handlers, rest) : client.subscribe(partition, handlers, rest);
  }

  /** The first `count` events. */
  async wait(count, seconds = 15) {
    await eventually(() => this.errors.length || this.events.length >= count, { seconds, what: `${count} events` });
    if (this.events.length < count) throw this.errors[0];
    return this.events.slice(0, count);
  }

  /** The first error. */
  async error() {
    await eventually(() => this.errors.length, { what: 'an error' });
    return this.errors[0];
  }

  async stop() {
    await this.subscription.close();
    await this.client.close();
  }
}

/** As many events of a partition, and the client closed. */
async function receive(hub, partition, count, options, how) {
  const receiving = new Receiving(consumer(hub, how), partition, options);
  try {
    return await receiving.wait(count);
  } finally {
    await receiving.stop();
  }
}

module.exports = { Receiving, buffered, connectionString, consumer, producer, receive };
