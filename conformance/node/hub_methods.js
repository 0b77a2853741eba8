// about: direct methods with npm's clients: payloads of every kind, statuses, a device that is not there, silent, late, or goes away
// timeout: 120
'use strict';
// azure-iot-device on one side, azure-iothub on the other.

const { execFile } = require('node:child_process');
const path = require('node:path');
const { Client: Device } = require('azure-iot-device');
const { Mqtt, MqttWs } = require('azure-iot-device-mqtt');
const { NoRetry } = require('azure-iot-common');
const { Client, Registry } = require('azure-iothub');
const lib = require('./lib');
const { assert, subject } = lib;

const [hub] = subject.hub;
const registry = Registry.fromConnectionString(hub.connectionString);
const service = Client.fromConnectionString(hub.connectionString);
const scenario = new lib.Scenario();

async function device(deviceId, Transport = Mqtt) {
  const { responseBody: made } = await registry.create({ deviceId });
  const { primaryKey } = made.authentication.symmetricKey;
  const client = Device.fromConnectionString(`HostName=${hub.hostName};DeviceId=${deviceId};SharedAccessKey=${primaryKey}`, Transport);
  client.setRetryPolicy(new NoRetry());
  return client;
}

const invoke = async (id, methodName, payload, more = { responseTimeoutInSeconds: 10 }) =>
  (await service.invokeDeviceMethod(id, { methodName, payload, ...more })).result;

/** What the service client says of a method that has no answer: the hub's status and code. */
async function unanswered(...args) {
  const error = await invoke(...args).then(() => assert.fail('it was answered'), (refusal) => refusal);
  return { status: error.response?.statusCode, body: error.responseBody };
}

for (const [name, Transport] of Object.entries({ MQTT: Mqtt, 'MQTT over WebSocket': MqttWs })) {
  scenario.case(`a device answers over ${name}: payloads of every kind, in both directions, and its own status`, async () => {
    const id = `methods-${name.toLowerCase().replace(/ /g, '-')}`;
    const client = await device(id, Transport);
    await client.open();
    client.onDeviceMethod('echo', (request, response) => response.send(request.payload?.status ?? 200, request.payload));
    // The SDK subscribes beside that.
    await lib.eventually(() => invoke(id, 'echo', 'there?'), { what: 'the subscription' });
    for (const payload of [{ a: { b: [1, 2.5, 'ü', null, true] } }, [1, 2], 'text', 17, false, null, {}, { long: 'x'.repeat(100000) }]) {
      assert.deepEqual((await invoke(id, 'echo', payload)).payload, payload);
    }
    for (const status of [200, 404, 500, -7]) assert.equal((await invoke(id, 'echo', { status })).status, status);
    // A component's command; this client takes the name from the topic as it stands there.
    for (const method of ['thermostat1*getMaxMinReport', 'a~!$*(),;=@&b']) {
      client.onDeviceMethod(method, (request, response) => response.send(200, request.methodName));
      assert.equal((await invoke(id, method)).payload, method);
    }
    await client.close();
  });
}

scenario.case('many at once are each answered, whatever the order of the answers', async () => {
  const client = await device('methods-many');
  await client.open();
  client.onDeviceMethod('later', (request, response) => setTimeout(() => response.send(200, request.payload), 5 * (20 - request.payload)));
  await lib.eventually(() => invoke('methods-many', 'later', 20), { what: 'the subscription' });
  const answers = await Promise.all(Array.from({ length: 20 }, (_, number) => invoke('methods-many', 'later', number)));
  assert.deepEqual(answers.map((answer) => answer.payload), Array.from({ length: 20 }, (_, number) => number));
  await client.close();
});

scenario.case('refused: no such device, one that is not connected, one that has not subscribed', async () => {
  assert.equal((await unanswered('methods-none', 'reboot')).status, 404);
  const client = await device('methods-away');
  const away = await unanswered('methods-away', 'reboot');
  assert.equal(away.status, 404);
  assert.match(JSON.stringify(away.body), /DeviceNotOnline/);
  await client.open();
  assert.equal((await unanswered('methods-away', 'reboot')).status, 404, 'connected, and listens to no methods');
  await client.close();
});

scenario.case('a device that is waited for: connectTimeoutInSeconds', async () => {
  const client = await device('methods-comes');
  const asked = invoke('methods-comes', 'hello', 1, { responseTimeoutInSeconds: 10, connectTimeoutInSeconds: 30 });
  await client.open();
  client.onDeviceMethod('hello', (request, response) => response.send(200, request.payload + 1));
  assert.equal((await asked).payload, 2);
  await client.close();
});

scenario.case('one that does not answer in time: 504; one that goes away meanwhile: 404 at once', async () => {
  const client = await device('methods-silent');
  await client.open();
  let called;
  const calls = new Promise((resolve) => { called = resolve; });
  client.onDeviceMethod('silence', () => called());
  client.onDeviceMethod('ready', (_, response) => response.send(200));
  await lib.eventually(() => invoke('methods-silent', 'ready'), { what: 'the subscription' });
  const begun = Date.now();
  assert.equal((await unanswered('methods-silent', 'silence', null, { responseTimeoutInSeconds: 5 })).status, 504);
  assert.ok(Date.now() - begun >= 5000);
  await calls;
  const asked = unanswered('methods-silent', 'silence', null, { responseTimeoutInSeconds: 60 });
  await lib.eventually(async () => (await invoke('methods-silent', 'ready')).status === 200, { what: 'it is asked meanwhile' });
  await client.close();
  assert.equal((await asked).status, 404);
});

scenario.case('a deleted device is asked no more', async () => {
  const client = await device('methods-deleted');
  await client.open();
  client.onDeviceMethod('ready', (_, response) => response.send(200));
  await lib.eventually(() => invoke('methods-deleted', 'ready'), { what: 'the subscription' });
  await registry.delete('methods-deleted');
  assert.equal((await unanswered('methods-deleted', 'ready')).status, 404);
});

scenario.case('refused: time-outs that cannot be, no name, a payload that is too large', async () => {
  const client = await device('methods-wrong');
  await client.open();
  client.onDeviceMethod('ready', (_, response) => response.send(200));
  await lib.eventually(() => invoke('methods-wrong', 'ready'), { what: 'the subscription' });
  for (const more of [{ responseTimeoutInSeconds: 4 }, { responseTimeoutInSeconds: 301 }, { connectTimeoutInSeconds: 301 }]) {
    assert.equal((await unanswered('methods-wrong', 'ready', null, more)).status, 400, JSON.stringify(more));
  }
  assert.equal((await unanswered('methods-wrong', 'n'.repeat(101))).status, 400);
  assert.equal((await unanswered('methods-wrong', 'ready', 'x'.repeat(140000))).status, 413);
  await client.close();
});

scenario.case('the command line asks too', async () => {
  const client = await device('methods-cli');
  await client.open();
  client.onDeviceMethod('setInterval', (request, response) => response.send(202, { was: 1, is: request.payload.seconds }));
  await lib.eventually(() => invoke('methods-cli', 'setInterval', {}), { what: 'the subscription' });
  const args = ['--json', '--data-dir', path.dirname(process.env.CONNECTIONS), 'hub', 'invoke-device-method',
    '--device-id', 'methods-cli', '--method-name', 'setInterval', '--method-payload', '{"seconds": 5}'];
  const run = await new Promise((resolve, reject) => execFile(process.env.SUBJECT_BIN, args,
    (error, stdout) => (error ? reject(error) : resolve(stdout))));
  assert.deepEqual(JSON.parse(run), { status: 202, payload: { was: 1, is: 5 } });
  await client.close();
});

scenario.run();
