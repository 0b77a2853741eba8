'use strict';
// A device that registers over AMQP without an SDK: what goes over the links can be seen, and asked for in any way.

const crypto = require('node:crypto');
const http = require('node:http');
const amqp = require('./amqp');
const { eventually, subject } = require('./index');

const [dps] = subject.dps;

/** A device's token for its place. */
function token(id, key, { scope = dps.idScope, seconds = 3600 } = {}) {
  const audience = encodeURIComponent(`${scope}/registrations/${id}`);
  const expiry = Math.floor(Date.now() / 1000) + seconds;
  const signature = crypto.createHmac('sha256', Buffer.from(key, 'base64')).update(`${audience}\n${expiry}`).digest('base64');
  return `SharedAccessSignature sr=${audience}&sig=${encodeURIComponent(signature)}&se=${expiry}&skn=registration`;
}

/** A connection with both links: `register`, `status` and whatever else is asked. Rejections bear `condition`, `description`, `info`. */
async function device(id, key, { version = '2019-03-31', place = `${dps.idScope}/registrations/${id}` } = {}) {
  const username = `${dps.idScope}/registrations/${id}`;
  const connection = await amqp.connect({ username, password: token(id, key) });
  const properties = { 'com.microsoft:api-version': version };
  const answers = await amqp.receiver(connection, place, { properties });
  const asking = await amqp.sender(connection, place, { properties });
  answers.add_credit(100);
  let number = 0;
  const ask = async (application_properties, body = '') => {
    const correlation_id = `request-${(number += 1)}`;
    const delivery = asking.send({ correlation_id, application_properties, body: amqp.rhea.message.data_section(Buffer.from(body)) });
    return new Promise((resolve, reject) => {
      asking.once('rejected', (context) => {
        if (context.delivery === delivery) reject(context.delivery.remote_state.error);
      });
      eventually(() => answers.came.find((one) => one.correlation_id === correlation_id), { what: 'an answer' }).then((answer) => resolve({
        retryAfter: answer.application_properties?.['retry-after'], ...JSON.parse(answer.body.content),
      }), reject);
    });
  };
  const register = (body = { registrationId: id }, forceRegistration = false) =>
    ask({ 'iotdps-operation-type': 'iotdps-register', 'iotdps-forceRegistration': forceRegistration }, JSON.stringify(body));
  const status = (operation) => ask({ 'iotdps-operation-type': 'iotdps-get-operationstatus', 'iotdps-operation-id': operation });
  /** The answer once the operation has ended. */
  const ended = async (operation) => {
    for (;;) {
      const answer = await status(operation);
      if (answer.retryAfter === undefined) return answer;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  return { ask, register, status, ended, close: () => amqp.close(connection) };
}

/** A custom allocation webhook of the scenario's own: `calls` are the bodies that came; `answer` says what to answer, when it likes. */
async function webhook(answer) {
  const calls = [];
  const server = http.createServer((request, response) => {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', async () => {
      const call = JSON.parse(Buffer.concat(pieces));
      calls.push(call);
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ iotHubHostName: call.linkedHubs[0], ...await answer(call) }));
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  server.unref();
  return { calls, url: `http://127.0.0.1:${server.address().port}/allocate` };
}

module.exports = { device, token, webhook };
