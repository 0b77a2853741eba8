'use strict';
// A TPM 2.0 in software (Debian's swtpm), and Microsoft's own client for TPMs on it: unmodified, told another way to the TPM.

const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { TpmSecurityClient } = require('azure-iot-security-tpm');
const { Tpm } = require('tss.js');
const { eventually } = require('./index');

/** Whether this machine has it. */
const available = () => spawnSync('swtpm', ['--version']).status === 0;

/** The way to a TPM that tss.js asks for: `TpmDevice` in its TpmDevice.d.ts. */
class Device {
  #address;

  constructor(address) {
    this.#address = address;
  }

  connect(continuation) {
    this.socket = net.connect(this.#address, () => continuation(null));
    this.socket.unref();
    return null;
  }

  dispatchCommand(command, continuation) {
    let answer = Buffer.alloc(0);
    const hear = (bytes) => {
      answer = Buffer.concat([answer, bytes]);
      if (answer.length < 6 || answer.length < answer.readUInt32BE(2)) return;
      this.socket.off('data', hear);
      continuation(null, answer);
    };
    this.socket.on('data', hear);
    this.socket.ref();
    this.socket.write(command);
  }

  close() {
    this.socket.destroy();
  }
}

/** Starts a TPM with keys of its own; answers a function that makes a security client for a registration id. */
async function start() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'swtpm-'));
  const address = path.join(folder, 'socket');
  const options = ['socket', '--tpm2', '--tpmstate', `dir=${folder}`, '--server', `type=unixio,path=${address}`, '--flags', 'startup-clear,not-need-init'];
  const child = spawn('swtpm', options, { stdio: ['ignore', 'ignore', 'inherit'] });
  process.on('exit', () => child.kill());
  child.unref();
  await eventually(() => fs.existsSync(address), { what: 'swtpm' });
  // It takes one connection: all clients of this TPM share it.
  const tpm = new Tpm(false);
  tpm.device = new Device(address);
  await new Promise((resolve, reject) => tpm.device.connect((error) => (error ? reject(error) : resolve())));
  tpm.connect = (continuation) => continuation();
  return (registrationId) => new TpmSecurityClient(registrationId, tpm);
}

/** A call of a security client, as a promise. */
const call = (client, name, ...given) =>
  new Promise((resolve, reject) => client[name](...given, (error, result) => (error ? reject(error) : resolve(result))));

module.exports = { available, call, start };
