// about: devices at their hub over AMQP with npm's client, and with rhea by hand: telemetry, twin, methods, takeover, refusals
// timeout: 180
'use strict';
// azure-iot-device over azure-iot-device-amqp's two transports on one side, azure-iothub on the other. What the client does not
// do (several devices on one connection, tokens that run out, batches) rhea does.

const crypto = require('node:crypto');
const { Client: Device, Message } = require('azure-iot-device');
const { Amqp, AmqpWs } = require('azure-iot-device-amqp');
const { NoRetry } = require('azure-iot-common');
const { Client, Registry } = require('azure-iothub');
const { earliestEventPosition } = require('@azure/event-hubs');
const lib = require('./lib');
const amqp = require('./lib/amqp');
const { Receiving, consumer } = require('./lib/events');
const pki = require('./lib/pki');
const { assert, subject } = lib;

const [hub] = subject.hub;
const registry = Registry.fromConnectionString(hub.connectionString);
const service = Client.fromConnectionString(hub.connectionString);
const scenario = new lib.Scenario();
const TRANSPORTS = { AMQP: Amqp, 'AMQP over WebSocket': AmqpWs };
const events = new Receiving(consumer('deviceevents'), undefined, { startPosition: earliestEventPosition });

const keyOf = ({ responseBody }) => responseBody.authentication.symmetricKey.primaryKey;
const text = (id, key) => `HostName=${hub.hostName};DeviceId=${id};SharedAccessKey=${key}`;

function connect(id, key, Transport = Amqp) {
  const client = Device.fromConnectionString(text(id, key), Transport);
  client.setRetryPolicy(new NoRetry());
  return client;
}

async function device(deviceId, Transport) {
  const key = keyOf(await registry.create({ deviceId }));
  return { key, client: connect(deviceId, key, Transport) };
}

const of = (id) => (event) => event.systemProperties?.['iothub-connection-device-id'] === id;
const arrived = (id, count) => lib.eventually(() => {
  const found = events.events.filter(of(id));
  return found.length >= count && found;
}, { what: `${count} messages of ${id}` });

const report = (twin, patch) =>
  new Promise((resolve, reject) => twin.properties.reported.update(patch, (error) => (error ? reject(error) : resolve())));
const invoke = async (id, methodName, payload, more = { responseTimeoutInSeconds: 10 }) =>
  (await service.invokeDeviceMethod(id, { methodName, payload, ...more })).result;
const state = async (id) => (await registry.get(id)).responseBody.connectionState;
const becomes = (id, wanted) => lib.eventually(async () => await state(id) === wanted, { what: `${id} ${wanted}` });

/** The error that ends a client, as it tells of it. */
const ends = async (client) => {
  const { transportObj } = await lib.once(client, 'disconnect');
  return { name: transportObj?.name, condition: transportObj?.amqpError?.condition };
};
const fails = (promise) => promise.then(() => assert.fail('it was accepted'), (error) => error);

for (const [name, Transport] of Object.entries(TRANSPORTS)) {
  const own = (id) => `${id}-${Transport.name.toLowerCase()}`;

  scenario.case(`${name}: telemetry arrives with its properties, and is acknowledged`, async () => {
    const id = own('sends');
    const { client } = await device(id, Transport);
    await client.open();
    const message = new Message(Buffer.from([0, 255, 128]));
    Object.assign(message, { messageId: 'm1', correlationId: crypto.randomUUID(), contentType: 'application/json', contentEncoding: 'utf-8' });
    message.properties.add('alert level', 'hö/ch & so');
    message.properties.add('empty', '');
    message.properties.add('dt-subject', 'thermostat1');
    await client.sendEvent(message);
    for (let number = 1; number < 50; number++) await client.sendEvent(new Message(JSON.stringify({ number })));
    await client.close();
    const came = await arrived(id, 50);
    const [first] = came;
    assert.deepEqual([...first.body], [0, 255, 128]);
    assert.deepEqual(first.properties, { 'alert level': 'hö/ch & so', empty: '' });
    const system = first.systemProperties;
    assert.equal(system['dt-subject'], 'thermostat1');
    assert.equal(system['iothub-message-source'], 'Telemetry');
    assert.equal(JSON.parse(system['iothub-connection-auth-method']).type, 'sas');
    assert.ok(system['iothub-connection-auth-generation-id'] && system['iothub-enqueuedtime']);
    assert.deepEqual([first.messageId, first.correlationId, first.contentType], ['m1', message.correlationId, 'application/json']);
    assert.equal(system.contentEncoding ?? system['content-encoding'] ?? first.getRawAmqpMessage().properties.contentEncoding, 'utf-8');
    assert.deepEqual(came.slice(1).map((event) => (event.body.number ?? JSON.parse(event.body).number)), [...Array(49).keys()].map((n) => n + 1));
  });

  scenario.case(`${name}: one that is too large is refused, the others are taken`, async () => {
    const { client } = await device(own('large'), Transport);
    await client.open();
    const large = client.sendEvent(new Message('x'.repeat(300_000))).then(() => null, (error) => error);
    const good = client.sendEvent(new Message('after it'));
    assert.equal((await large)?.name, 'MessageTooLargeError');
    await good;
    await arrived(own('large'), 1);
    await client.close();
  });

  scenario.case(`${name}: the twin is read, reported and told of, in order`, async () => {
    const id = own('twin');
    const { client } = await device(id, Transport);
    await client.open();
    const twin = await client.getTwin();
    assert.equal(twin.properties.desired.$version, 1);
    const told = [];
    twin.on('properties.desired', (delta) => told.push(delta));
    await report(twin, { firmware: { version: '1.2' }, fan: true });
    await report(twin, { fan: null });
    const { responseBody } = await registry.getTwin(id);
    assert.deepEqual(responseBody.properties.reported.firmware.version, '1.2');
    assert.equal(responseBody.properties.reported.fan, undefined);
    assert.equal(responseBody.properties.reported.$version, 3);
    const wrong = await fails(report(twin, { 'a.b': 1 }));
    assert.equal(wrong.amqpError.name, 'FormatError');
    assert.match(wrong.message, /a\.b/, 'it says what was wrong');
    // The first that is told may be the whole.
    const before = told.length;
    for (let interval = 1; interval <= 20; interval++) await registry.updateTwin(id, { properties: { desired: { interval } } }, '*');
    await lib.eventually(() => told.length - before >= 20, { what: '20 changes' });
    const changes = told.slice(before);
    assert.deepEqual(changes.map((delta) => delta.interval), [...Array(20).keys()].map((n) => n + 1));
    assert.deepEqual(changes.map((delta) => delta.$version), changes.map((_, at) => changes[0].$version + at));
    await client.close();
  });

  scenario.case(`${name}: methods are answered: payloads of every kind, the device's own status, many at once`, async () => {
    const id = own('methods');
    const { client } = await device(id, Transport);
    await client.open();
    client.onDeviceMethod('echo', (request, response) => response.send(request.payload?.status ?? 200, request.payload));
    client.onDeviceMethod('later', (request, response) => setTimeout(() => response.send(200, request.payload), 5 * (20 - request.payload)));
    await lib.eventually(() => invoke(id, 'echo', 'there?'), { what: 'the links' });
    for (const payload of [{ a: { b: [1, 2.5, 'ü', null, true] } }, [1, 2], 'text', 17, false, {}, { long: 'x'.repeat(100000) }]) {
      assert.deepEqual((await invoke(id, 'echo', payload)).payload, payload);
    }
    for (const status of [200, 404, 500, -7]) assert.equal((await invoke(id, 'echo', { status })).status, status);
    const answers = await Promise.all(Array.from({ length: 20 }, (_, number) => invoke(id, 'later', number)));
    assert.deepEqual(answers.map((answer) => answer.payload), [...Array(20).keys()]);
    await client.close();
    assert.equal((await fails(invoke(id, 'echo', 1))).response.statusCode, 404);
  });

  scenario.case(`${name}: connected while it has a link; the newer connection takes over`, async () => {
    const id = own('takeover');
    const { client: first, key } = await device(id, Transport);
    await first.open();
    await first.getTwin();
    await becomes(id, 'Connected');
    const gone = ends(first);
    const second = connect(id, key, Transport);
    await second.open();
    await second.sendEvent(new Message('it is mine'));
    assert.equal((await gone).condition, 'amqp:link:stolen');
    await second.getTwin();
    assert.equal(await state(id), 'Connected');
    await second.close();
    await becomes(id, 'Disconnected');
  });

  scenario.case(`${name}: a disabled device is cut off now and refused; so is a deleted one`, async () => {
    const id = own('disabled');
    const { client, key } = await device(id, Transport);
    await client.open();
    await client.getTwin();
    const cut = ends(client);
    const { responseBody: known } = await registry.get(id);
    await registry.update({ ...known, status: 'disabled' });
    assert.equal((await cut).name, 'UnauthorizedError');
    assert.equal((await fails(connect(id, key, Transport).open())).name, 'UnauthorizedError');
    await registry.update({ ...known, status: 'enabled', etag: '*' });
    const again = connect(id, key, Transport);
    await again.open();
    await again.sendEvent(new Message('again'));
    const deleted = ends(again);
    await registry.delete(id);
    assert.equal((await deleted).name, 'DeviceNotFoundError');
    assert.equal((await fails(connect(id, key, Transport).open())).name, 'UnauthorizedError');
  });

  scenario.case(`${name}: another key, an unknown device and a token that has run out are refused`, async () => {
    const id = own('key');
    const { key } = await device(id, Transport);
    const { key: other } = await device(own('other-key'), Transport);
    for (const [who, by] of [[id, other], [own('nobody'), key]]) {
      assert.equal((await fails(connect(who, by, Transport).open())).name, 'UnauthorizedError');
    }
    const late = Device.fromSharedAccessSignature(token(`${hub.hostName}/devices/${id}`, key, { seconds: -10 }), Transport);
    late.setRetryPolicy(new NoRetry());
    assert.equal((await fails(late.open())).name, 'UnauthorizedError');
  });

  scenario.case(`${name}: by certificate: thumbprint and authority; another certificate is refused`, async () => {
    const [good, stranger] = [pki.selfSigned(own('thumb')), pki.selfSigned(own('thumb'))];
    const thumbprint = crypto.createHash('sha256').update(new crypto.X509Certificate(good.cert).raw).digest('hex').toUpperCase();
    const id = own('thumb');
    await registry.create({ deviceId: id, authentication: { type: 'selfSigned', x509Thumbprint: { primaryThumbprint: thumbprint } } });
    const open = async (identity) => {
      const client = Device.fromConnectionString(`HostName=${hub.hostName};DeviceId=${id};x509=true`, Transport);
      client.setRetryPolicy(new NoRetry());
      await client.setOptions({ cert: identity.chain, key: identity.key });
      await client.open();
      return client;
    };
    const client = await open(good);
    await client.sendEvent(new Message('by certificate'));
    assert.equal((await client.getTwin()).properties.desired.$version, 1);
    await client.close();
    const [event] = await arrived(id, 1);
    assert.equal(JSON.parse(event.systemProperties['iothub-connection-auth-method']).type, 'x509');
    const refused = await fails(open(stranger).then((client) => client.sendEvent(new Message('x'))));
    assert.equal(refused.name, 'UnauthorizedError');
  });
}

/** A token of a device, or with `name` of a policy. */
function token(resource, key, { seconds = 300, name } = {}) {
  const [sr, se] = [encodeURIComponent(resource), Math.ceil(Date.now() / 1000) + seconds];
  const sig = crypto.createHmac('sha256', Buffer.from(key, 'base64')).update(`${sr}\n${se}`).digest('base64');
  return `SharedAccessSignature sr=${sr}&sig=${encodeURIComponent(sig)}&se=${se}${name ? `&skn=${name}` : ''}`;
}

const raw = (options = {}) => amqp.connect({ host: hub.hostName, username: 'anonymous', password: undefined, ...options });
const data = (body) => amqp.rhea.message.data_section(Buffer.from(body));

/** `$cbs` of a connection: puts a token and gives the status code. */
async function putter(connection) {
  const cbs = await amqp.node(connection, '$cbs');
  return async (name, value, type = 'servicebus.windows.net:sastoken') =>
    (await cbs({ operation: 'put-token', type, name }, value)).application_properties['status-code'];
}

scenario.case('by hand: SASL PLAIN; a batch; texts, numbers and times become properties', async () => {
  const { key } = await device('plain');
  const password = token(`${hub.hostName}/devices/plain`, key);
  const connection = await raw({ username: `plain@sas.${hub.name}`, password });
  const link = await amqp.sender(connection, `amqps://${hub.hostName}/devices/plain/messages/events`);
  const { types, message } = amqp.rhea;
  await amqp.send(link, { application_properties: { n: types.wrap_int(7), yes: true, at: types.wrap_timestamp(0) }, body: 'a text' });
  const batch = { body: message.data_sections(['one', 'two'].map((body) => message.encode({ body: data(body) }))) };
  await amqp.send(link, message.encode(batch), undefined, 0x80013700);
  const came = await arrived('plain', 3);
  assert.deepEqual({ ...came[0].properties }, { n: '7', yes: 'true', at: '1970-01-01T00:00:00Z' });
  await amqp.close(connection);
  for (const wrong of [
    { username: `other@sas.${hub.name}`, password },
    { username: 'plain@sas.other', password },
    { username: `plain@sas.root.${hub.name}`, password },
    { username: `plain@sas.${hub.name}`, password: token(`${hub.hostName}/devices/plain`, Buffer.alloc(32).toString('base64')) },
  ]) await assert.rejects(raw(wrong), JSON.stringify(wrong.username));
});

scenario.case('by hand: without a token nothing opens; with one, only its own device; what is not there is not found', async () => {
  const { key } = await device('own');
  await device('foreign');
  const connection = await raw();
  const link = (address) => amqp.sender(connection, address);
  await assert.rejects(link('/devices/own/messages/events'), /amqp:unauthorized-access/);
  const put = await putter(connection);
  const at = `${hub.hostName}/devices/own`;
  assert.equal(await put(at, token(at, Buffer.alloc(32).toString('base64'))), 401);
  assert.equal(await put(at, token(at, key)), 200);
  await link('/devices/own/messages/events');
  for (const address of ['/devices/foreign/messages/events', '/devices/nobody/messages/events']) {
    await assert.rejects(link(address), /amqp:unauthorized-access/, address);
  }
  await assert.rejects(amqp.receiver(connection, '/devices/foreign/twin'), /amqp:unauthorized-access/);
  await assert.rejects(amqp.receiver(connection, '/devices/own/messages/events'), /amqp:not-allowed/);
  for (const address of ['/devices/own/something', '/devices/own/modules/none/messages/events', 'nothing']) {
    await assert.rejects(link(address), /amqp:(not-found|unauthorized-access)/, address);
  }
  await amqp.close(connection);
});

scenario.case('by hand: many devices on one connection by a policy; each comes and goes by itself', async () => {
  const [, name] = /SharedAccessKeyName=([^;]*)/.exec(hub.connectionString);
  const [, key] = /SharedAccessKey=([^;]*)$/.exec(hub.connectionString);
  const connection = await raw();
  const put = await putter(connection);
  assert.equal(await put(hub.hostName, token(hub.hostName, key, { name })), 200);
  const ids = Array.from({ length: 20 }, (_, number) => `pooled-${number}`);
  await registry.addDevices(ids.map((deviceId) => ({ deviceId })));
  const links = await Promise.all(ids.map((id) => amqp.sender(connection, `/devices/${id}/messages/events`)));
  await Promise.all(links.map((link, number) => amqp.send(link, { body: data(`${number}`) })));
  for (const id of ids) await arrived(id, 1);
  assert.equal(await state('pooled-3'), 'Connected');
  assert.equal(JSON.parse((await arrived('pooled-3', 1))[0].systemProperties['iothub-connection-auth-method']).scope, 'hub');
  const cut = amqp.next(links[3], ['sender_error']);
  await registry.delete('pooled-3');
  await cut;
  assert.equal(links[3].error.condition, 'amqp:not-found');
  await amqp.send(links[4], { body: data('still here') });
  links[4].close();
  await becomes('pooled-4', 'Disconnected');
  await amqp.send(links[5], { body: data('still here') });
  await amqp.close(connection);
  await becomes('pooled-5', 'Disconnected');
});

scenario.case('by hand: a token that runs out ends the links; one that is renewed keeps them', async () => {
  const { key } = await device('expires');
  const at = `${hub.hostName}/devices/expires`;
  const connection = await raw();
  const put = await putter(connection);
  assert.equal(await put(at, token(at, key, { seconds: 2 })), 200);
  const link = await amqp.sender(connection, '/devices/expires/messages/events');
  assert.equal(await put(at, token(at, key, { seconds: 5 })), 200);
  await new Promise((resolve) => setTimeout(resolve, 3000)); // the first has run out
  await amqp.send(link, { body: data('renewed') });
  await amqp.next(link, ['sender_error']);
  assert.equal(link.error.condition, 'amqp:unauthorized-access');
  await becomes('expires', 'Disconnected');
  await amqp.close(connection);
});

scenario.case('by hand: a model is announced with a link', async () => {
  const { key } = await device('model');
  const password = token(`${hub.hostName}/devices/model`, key);
  const connection = await raw({ username: `model@sas.${hub.name}`, password });
  const properties = { 'com.microsoft:model-id': 'dtmi:com:example:Thermostat;1' };
  const link = await amqp.sender(connection, '/devices/model/messages/events', { properties });
  await amqp.send(link, { body: data('1') });
  const [event] = await arrived('model', 1);
  assert.equal(event.systemProperties['dt-dataschema'], 'dtmi:com:example:Thermostat;1');
  assert.equal((await registry.getTwin('model')).responseBody.modelId, 'dtmi:com:example:Thermostat;1');
  const wrong = { properties: { 'com.microsoft:model-id': 'nonsense' } };
  await assert.rejects(amqp.receiver(connection, '/devices/model/twin', wrong), /argument-error/);
  await amqp.close(connection);
});

scenario.case('by hand: what cannot be read is refused, and the link stays', async () => {
  const { key } = await device('garbage');
  const connection = await raw({ username: `garbage@sas.${hub.name}`, password: token(`${hub.hostName}/devices/garbage`, key) });
  const link = await amqp.sender(connection, '/devices/garbage/messages/events');
  const refused = async (...args) => assert.match((await fails(amqp.send(link, ...args))).condition, /argument-error/);
  await refused(Buffer.from('no message at all'), undefined, 0);
  await refused(Buffer.from([0, 0x53, 0x75, 0xb0, 0x7f, 0xff, 0xff, 0xff]), undefined, 0);
  await refused({ body: { a: 1 } });
  await refused({ application_properties: { list: [1, 2] }, body: data('x') });
  await refused(amqp.rhea.message.encode({ body: data('no message inside') }), undefined, 0x80013700);
  const twins = await amqp.receiver(connection, '/devices/garbage/twin');
  const asking = await amqp.sender(connection, '/devices/garbage/twin');
  twins.add_credit(10);
  await amqp.send(asking, { message_annotations: { operation: 'FLY' }, correlation_id: 'c1', body: data(' ') });
  await lib.eventually(() => twins.came.length === 1, { what: 'an answer' });
  assert.deepEqual([twins.came[0].correlation_id, twins.came[0].message_annotations.status], ['c1', 400]);
  const patch = { operation: 'PATCH', resource: '/properties/reported' };
  await amqp.send(asking, { message_annotations: patch, correlation_id: 'c2', body: data('[]') });
  await lib.eventually(() => twins.came.length === 2, { what: 'an answer' });
  assert.equal(twins.came[1].message_annotations.status, 400);
  const answering = await amqp.sender(connection, '/devices/garbage/methods/devicebound');
  const wrong = await fails(amqp.send(answering, { correlation_id: crypto.randomUUID(), body: data('{}') }));
  assert.match(wrong.condition, /argument-error/);
  await amqp.send(answering, { correlation_id: crypto.randomUUID(), application_properties: { 'IoThub-status': 200 }, body: data('{}') });
  await amqp.send(link, { body: data('good') });
  await arrived('garbage', 1);
  await amqp.close(connection);
});

scenario.run();
