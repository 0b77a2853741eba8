// about: what a TPM is given to activate, taken apart and opened with Debian's tpm2-tools on swtpm: RSA and P-256 endorsement keys
// timeout: 120
'use strict';

const { execFileSync, spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const https = require('node:https');
const os = require('node:os');
const path = require('node:path');
const { ProvisioningServiceClient } = require('azure-iot-provisioning-service');
const lib = require('./lib');
const { assert, subject } = lib;

const PORT = 2321; // in the scenario's own network; tpm2-tools look for its control at the next
const [dps] = subject.dps;
const service = ProvisioningServiceClient.fromConnectionString(dps.connectionString);
const scenario = new lib.Scenario();
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tpm2-'));
const file = (name) => path.join(folder, name);

/** Runs one of tpm2-tools; the TPM has few places for objects, so each run leaves none behind. */
function tpm2(tool, ...args) {
  const options = { env: { ...process.env, TPM2TOOLS_TCTI: `swtpm:host=127.0.0.1,port=${PORT}` }, cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] };
  try {
    return execFileSync(`tpm2_${tool}`, args, options);
  } finally {
    spawnSync('tpm2_flushcontext', ['-t'], options);
  }
}

/** Sized buffers, one after the other, each with its size. */
function buffers(blob) {
  const all = [];
  for (let at = 0; at < blob.length;) {
    const end = at + 2 + blob.readUInt16BE(at);
    all.push(blob.subarray(at, end));
    at = end;
  }
  return all;
}

async function ask(method, id, rest, body, token) {
  const text = JSON.stringify(body);
  const headers = { 'content-type': 'application/json', 'content-length': text.length, ...(token ? { authorization: token } : {}) };
  const url = `/${dps.idScope}/registrations/${id}/${rest}?api-version=2019-03-31`;
  const options = { host: dps.hostName, path: url, method, headers };
  return new Promise((resolve, reject) => {
    const request = https.request(options, (answer) => {
      const pieces = [];
      answer.on('data', (piece) => pieces.push(piece));
      answer.on('end', () => resolve({ status: answer.statusCode, ...JSON.parse(Buffer.concat(pieces)) }));
    });
    request.on('error', reject);
    request.end(text);
  });
}

/** Activates what the service gave; the key is in `identity.ctx` then. */
function activate(key, ek) {
  const [credential, secret, duplicate, seed, area, data] = buffers(Buffer.from(key, 'base64'));
  assert.equal(data.length, 2);
  // The form of a credential's file: a magic number and a version, then the two buffers.
  fs.writeFileSync(file('credential'), Buffer.concat([Buffer.from('badcc0de00000001', 'hex'), credential, secret]));
  tpm2('startauthsession', '--policy-session', '-S', 'session.ctx');
  tpm2('policysecret', '-S', 'session.ctx', '-c', 'endorsement');
  tpm2('activatecredential', '-c', 'srk.ctx', '-C', ek, '-i', 'credential', '-o', 'inner', '-P', 'session:session.ctx');
  tpm2('flushcontext', 'session.ctx');
  assert.equal(fs.readFileSync(file('inner')).length, 16);
  for (const [name, bytes] of Object.entries({ duplicate, seed, area })) fs.writeFileSync(file(name), bytes);
  tpm2('import', '-C', 'srk.ctx', '-i', 'duplicate', '-s', 'seed', '-k', 'inner', '-u', 'area', '-r', 'private');
  tpm2('load', '-C', 'srk.ctx', '-u', 'area', '-r', 'private', '-c', 'identity.ctx');
}

function signed(id) {
  const audience = encodeURIComponent(`${dps.idScope}/registrations/${id}`);
  const expiry = Math.floor(Date.now() / 1000) + 600;
  fs.writeFileSync(file('text'), `${audience}\n${expiry}`);
  tpm2('hmac', '-c', 'identity.ctx', '-o', 'signature', 'text');
  const signature = fs.readFileSync(file('signature')).toString('base64');
  return `SharedAccessSignature sr=${audience}&sig=${encodeURIComponent(signature)}&se=${expiry}&skn=registration`;
}

if (['swtpm', 'tpm2_activatecredential'].some((tool) => spawnSync(tool, ['--version']).status !== 0)) {
  lib.out({ name: 'activation with tpm2-tools', skip: 'needs swtpm and tpm2-tools: apt-get install swtpm tpm2-tools' });
  process.exit(0);
}

scenario.case('preparation: a TPM with a storage root key', async () => {
  const ways = ['--server', `type=tcp,port=${PORT}`, '--ctrl', `type=tcp,port=${PORT + 1}`];
  const child = spawn('swtpm', ['socket', '--tpm2', '--tpmstate', `dir=${folder}`, ...ways, '--flags', 'startup-clear,not-need-init'], { stdio: 'ignore' });
  process.on('exit', () => child.kill());
  child.unref();
  const attributes = 'restricted|decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda';
  const create = () => tpm2('createprimary', '-C', 'o', '-g', 'sha256', '-G', 'rsa2048:aes128cfb', '-a', attributes, '-c', 'srk.ctx');
  await lib.eventually(create, { what: 'swtpm' });
  tpm2('readpublic', '-c', 'srk.ctx', '-f', 'tss', '-o', 'srk.pub');
}, { needed: true });

for (const kind of ['rsa', 'ecc']) {
  scenario.case(`${kind}: the challenge is opened by the endorsement key, imported, signed with, and the device registers`, async () => {
    const [id, ek] = [`tools-${kind}`, `ek-${kind}.ctx`];
    tpm2('createek', '-G', kind, '-c', ek, '-u', 'ek.pub', '-f', 'tss');
    const tpm = Object.fromEntries([['endorsementKey', 'ek.pub'], ['storageRootKey', 'srk.pub']].map(([name, from]) => [name, fs.readFileSync(file(from)).toString('base64')]));
    await service.createOrUpdateIndividualEnrollment({ registrationId: id, attestation: { type: 'tpm', tpm: { endorsementKey: tpm.endorsementKey } } });
    const body = { registrationId: id, tpm };
    const challenge = await ask('PUT', id, 'register', body);
    assert.equal(challenge.status, 401);
    activate(challenge.authenticationKey, ek);
    const token = signed(id);
    const { operationId, status } = await ask('PUT', id, 'register', body, token);
    assert.equal(status, 'assigning');
    const done = await lib.eventually(async () => {
      const answer = await ask('GET', id, `operations/${operationId}`, {}, token);
      return answer.status === 'assigning' ? undefined : answer;
    }, { what: 'the end of the operation' });
    assert.equal(done.status, 'assigned');
    // And what it is given for its hub.
    activate(done.registrationState.tpm.authenticationKey, ek);
    assert.notEqual(signed(id), token);
  });
}

scenario.run();
