'use strict';
// Azurite, Microsoft's own emulator of blob storage, in memory: it ends with this process.

const { spawn } = require('node:child_process');
const { ContainerClient, StorageSharedKeyCredential } = require('@azure/storage-blob');
const { eventually } = require('./index');

const PORT = 10000; // in the scenario's own network
// The account that Azurite has unless it is told otherwise; its key is published.
const ACCOUNT = 'devstoreaccount1';
const KEY = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';

/** Starts it; answers a function that makes a container. */
async function start() {
  const program = require.resolve('azurite/dist/src/blob/main.js');
  const options = ['--inMemoryPersistence', '--blobPort', PORT, '--silent', '--skipApiVersionCheck', '--disableTelemetry'];
  const child = spawn(process.execPath, [program, ...options], { stdio: ['ignore', 'ignore', 'inherit'] });
  process.on('exit', () => child.kill());
  child.unref();
  const credential = new StorageSharedKeyCredential(ACCOUNT, KEY);
  const container = async (name) => {
    const client = new ContainerClient(`http://127.0.0.1:${PORT}/${ACCOUNT}/${name}`, credential, { retryOptions: { maxTries: 1 } });
    await client.createIfNotExists();
    return client;
  };
  await eventually(() => container('ready').then(() => true, () => false), { seconds: 30, what: 'Azurite' });
  return container;
}

module.exports = { start };
