'use strict';
// The hub's REST API by hand, for what no client asks for.

const https = require('node:https');
const { SharedAccessSignature } = require('azure-iot-common');
const { subject } = require('./index');

const [hub] = subject.hub;
const policy = Object.fromEntries(hub.connectionString.split(';').filter(Boolean).map((part) => part.split(/=(.*)/s).slice(0, 2)));

/** The hub's REST API with a policy's token: status, headers and text. */
async function rest(method, where, headers = {}, body = undefined) {
  const token = SharedAccessSignature.create(hub.hostName, policy.SharedAccessKeyName, policy.SharedAccessKey, Math.floor(Date.now() / 1000) + 600);
  const url = new URL(`https://${hub.hostName}:${subject.ports.https[0]}${where}`);
  url.searchParams.set('api-version', '2021-04-12');
  return new Promise((resolve, reject) => {
    const request = https.request(url, { method, headers: { ...headers, Authorization: token.toString() } }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text: Buffer.concat(parts).toString() }));
    });
    request.on('error', reject);
    request.end(body);
  });
}

module.exports = { rest };
