'use strict';
// What every Node scenario shares: the cases, the subject's addresses, waiting for a condition.

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

// Debian 12's Node (18) has no global `crypto`, which @azure/identity takes for granted.
globalThis.crypto ??= crypto.webcrypto;

const subject = JSON.parse(fs.readFileSync(process.env.CONNECTIONS, 'utf8'));
const THERMOSTAT = 'dtmi:contosocom:DigitalTwins:Thermostat;2';
const SPACE = 'dtmi:contosocom:DigitalTwins:Space;1';

/** One line of JSON for the runner. */
const out = (line) => fs.writeSync(1, JSON.stringify(line) + '\n');

/** Collects cases and runs them in order; a `needed` case that fails ends the scenario, the later ones count as failed. */
class Scenario {
  #cases = [];

  case(name, run, { needed = false } = {}) {
    this.#cases.push({ name, run, needed });
  }

  async run() {
    let broken;
    for (const { name, run, needed } of this.#cases) {
      if (broken) {
        out({ name, ok: false, detail: `not reached: \`${broken}\` failed` });
        continue;
      }
      try {
        const detail = await bounded(run());
        out({ name, ok: true, detail: detail === undefined ? '' : String(detail) });
      } catch (error) {
        console.error(error);
        out({ name, ok: false, detail: `${error.name}: ${error.message}`.slice(0, 600) });
        broken = needed ? name : undefined;
      }
    }
    process.exit(0); // clients leave sockets and timers behind that would keep the process alive
  }
}

/** No case waits for ever, whatever a client does with its callbacks. */
function bounded(promise, seconds = 40) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${seconds} s`)), seconds * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Asks until `condition()` is true and returns what it said. An error counts as "not yet" and is told at the end. */
async function eventually(condition, { seconds = 15, what = 'the condition' } = {}) {
  const deadline = Date.now() + seconds * 1000;
  let last;
  for (;;) {
    try {
      last = await condition();
      if (last) return last;
    } catch (error) {
      last = error.message;
    }
    if (Date.now() > deadline) throw new Error(`${what} did not come true within ${seconds} s; last: ${last}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** The HTTP status of the error that `action` must end with. */
async function refused(action) {
  try {
    await action();
  } catch (error) {
    return error.statusCode ?? error.response?.statusCode ?? error.responseObj?.statusCode ?? error;
  }
  throw new Error('it was accepted');
}

const derivedKey = (groupKey, id) =>
  crypto.createHmac('sha256', Buffer.from(groupKey, 'base64')).update(id).digest('base64');

/** The sample's models where they are at hand, else ours, which say the same. */
function models() {
  const sample = path.join(process.env.SHARED_DIR ?? '/nonexistent', 'models/sample');
  const folder = fs.existsSync(sample) ? sample : path.join(__dirname, '../../models');
  const files = fs.readdirSync(folder).filter((name) => name.endsWith('.json'));
  return files.map((name) => JSON.parse(fs.readFileSync(path.join(folder, name), 'utf8').replace(/^\uFEFF/, '')));
}

function twinsClient() {
  const { DigitalTwinsClient } = require('@azure/digital-twins-core');
  const { ClientSecretCredential } = require('@azure/identity');
  const { authority, tenantId, clientId, clientSecret } = subject.identity;
  const options = { authorityHost: authority, disableInstanceDiscovery: true };
  return new DigitalTwinsClient(subject.twins[0].url, new ClientSecretCredential(tenantId, clientId, clientSecret, options));
}

async function uploadModels(twins) {
  try {
    await twins.createModels(models());
  } catch (error) {
    if (error.statusCode !== 409) throw error;
  }
}

/** The body of an enrollment group with custom allocation by our own function. */
const groupBody = (enrollmentGroupId, more = {}) => ({
  enrollmentGroupId,
  attestation: { type: 'symmetricKey' },
  allocationPolicy: 'custom',
  customAllocationDefinition: { webhookUrl: subject.functions[0].allocateUrl, apiVersion: '2019-03-31' },
  iotHubs: [subject.hub[0].hostName],
  provisioningStatus: 'enabled',
  ...more,
});

/** The next event of an emitter, as a promise. */
const once = (emitter, event) => new Promise((resolve) => emitter.once(event, resolve));

module.exports = {
  SPACE, Scenario, THERMOSTAT, assert, derivedKey, eventually, groupBody, models, once, out, refused, subject, twinsClient, uploadModels,
};
