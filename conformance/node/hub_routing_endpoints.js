// about: messages of npm's devices over MQTT and AMQP, routed into a container of Azurite and read with @azure/storage-blob
// timeout: 180
'use strict';
// azure-iot-device sends; Azurite keeps blobs as JSON and Avro; what no route takes is not in them.

const https = require('node:https');
const { Client: Device, Message } = require('azure-iot-device');
const { Amqp } = require('azure-iot-device-amqp');
const { Mqtt } = require('azure-iot-device-mqtt');
const { NoRetry } = require('azure-iot-common');
const { Registry } = require('azure-iothub');
const azurite = require('./lib/azurite');
const lib = require('./lib');
const { assert, eventually, subject } = lib;

const [hub] = subject.hub;
const registry = Registry.fromConnectionString(hub.connectionString);
const scenario = new lib.Scenario();
const ACCOUNT = 'DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;AccountKey=';
const KEY = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';
const made = {};

function admin(method, path, body) {
  const url = new URL(`/admin/resources/hub/${hub.name}${path}`, subject.admin.url);
  return new Promise((resolve, reject) => {
    const request = https.request(url, { method, headers: { Authorization: `Bearer ${subject.admin.key}`, 'Content-Type': 'application/json' } }, (answer) => {
      let text = '';
      answer.on('data', (part) => { text += part; });
      answer.on('end', () => (answer.statusCode < 300 ? resolve(text && JSON.parse(text)) : reject(new Error(`${answer.statusCode} ${text}`))));
    });
    request.on('error', reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

async function send(deviceId, Transport, bodies) {
  const { responseBody: device } = await registry.create({ deviceId });
  const client = Device.fromConnectionString(`HostName=${hub.hostName};DeviceId=${deviceId};SharedAccessKey=${device.authentication.symmetricKey.primaryKey}`, Transport);
  client.setRetryPolicy(new NoRetry());
  await registry.updateTwin(deviceId, { tags: { site: deviceId.endsWith('amqp') ? 'north' : 'south' } }, '*');
  await client.open();
  for (const [body, level] of bodies) {
    const message = new Message(JSON.stringify(body));
    Object.assign(message, { contentType: 'application/json', contentEncoding: 'utf-8', messageId: `${deviceId}-${body.n}` });
    message.properties.add('level', level);
    await client.sendEvent(message);
  }
  await client.close();
}

async function blobs(name) {
  const container = await made.container(name);
  const found = {};
  for await (const blob of container.listBlobsFlat()) found[blob.name] = await container.getBlobClient(blob.name).downloadToBuffer();
  return found;
}

scenario.case('two containers of one account: as JSON what is hot, as Avro what twins say is north', async () => {
  made.container = await azurite.start();
  for (const [name, encoding, condition] of [['hot', 'JSON', "level = 'hot' AND $body.n > 1"], ['north', 'Avro', "$twin.tags.site = 'north'"]]) {
    await admin('PUT', `/endpoints/${name}`, { container: name, connectionString: ACCOUNT + KEY, encoding, batchFrequencyInSeconds: 60 });
    await admin('PUT', `/routes/${name}`, { source: 'DeviceMessages', endpoint: name, condition });
  }
  await assert.rejects(admin('PUT', '/routes/nowhere', { source: 'DeviceMessages', endpoint: 'none' }), /400/);
}, { needed: true });

scenario.case('devices send over MQTT and AMQP', async () => {
  made.begun = Date.now();
  const hot = [1, 2, 3].map((n) => [{ n }, 'hot']);
  await send('archive-mqtt', Mqtt, [...hot, [{ n: 4 }, 'cold']]);
  await send('archive-amqp', Amqp, hot);
}, { needed: true });

scenario.case('nothing is written before it is due', async () => {
  await eventually(() => Date.now() > made.begun + 30_000, { seconds: 35, what: 'half the time' });
  assert.deepEqual([await blobs('hot'), await blobs('north')], [{}, {}]);
});

scenario.case('a container has what its route took, of each device in order, and nothing else', async () => {
  const lines = (all) => Object.values(all).flatMap((text) => text.toString().trim().split('\n').map((line) => JSON.parse(line)));
  const found = await eventually(async () => {
    const all = lines(await blobs('hot'));
    return all.length >= 4 && all;
  }, { seconds: 38, what: 'the lines' });
  assert.equal(found.length, 4);
  for (const id of ['archive-mqtt', 'archive-amqp']) {
    const own = found.filter((line) => line.SystemProperties.connectionDeviceId === id);
    assert.deepEqual(own.map((line) => line.Body), [{ n: 2 }, { n: 3 }]);
    assert.deepEqual(own[0].Properties, { level: 'hot' });
    assert.equal(own[0].SystemProperties.messageId, `${id}-2`);
  }
});

scenario.case('Avro of the device whose twin says so', async () => {
  const [[name, file]] = await eventually(async () => {
    const all = Object.entries(await blobs('north'));
    return all.length && all;
  }, { seconds: 35, what: 'the blob' });
  assert.match(name, new RegExp(`^${hub.name}/\\d/\\d{4}/\\d\\d/\\d\\d/\\d\\d/\\d\\d_north_\\d+(-\\d+)?\\.avro$`));
  assert.equal(file.subarray(0, 4).toString('latin1'), 'Obj\x01');
  const text = file.toString('latin1');
  assert.ok(['archive-amqp-1', 'archive-amqp-2', 'archive-amqp-3'].every((id) => text.includes(id)) && !text.includes('archive-mqtt'));
});

scenario.run();
