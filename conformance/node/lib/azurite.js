'use strict';
// Azurite, Microsoft's own emulator of blob storage, in memory: it ends with this process.

const { spawn } = require('node:child_process');
const net = require('node:net');
const tls = require('node:tls');
const { ContainerClient, StorageSharedKeyCredential } = require('@azure/storage-blob');
const { eventually } = require('./index');

const PORT = 10000; // in the scenario's own network
// The account that Azurite has unless it is told otherwise; its key is published.
const ACCOUNT = 'devstoreaccount1';
const KEY = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';

/** Starts it; answers a function that makes a container. `tls`: a certificate; then HTTPS is spoken at the same port. */
async function start({ tls: identity } = {}) {
  const program = require.resolve('azurite/dist/src/blob/main.js');
  const inner = identity ? PORT + 1 : PORT;
  if (identity) await listen(identity, inner);
  // Loose: the client that azure-iot-device brings along names an algorithm of encryption, which Azurite refuses otherwise.
  const options = ['--inMemoryPersistence', '--blobPort', inner, '--silent', '--loose', '--skipApiVersionCheck', '--disableTelemetry'];
  const child = spawn(process.execPath, [program, ...options], { stdio: ['ignore', 'ignore', 'inherit'] });
  process.on('exit', () => child.kill());
  child.unref();
  const credential = new StorageSharedKeyCredential(ACCOUNT, KEY);
  const container = async (name) => {
    // Azurite ends a connection that was idle for five seconds; one that is used at that moment is cut, and nothing is tried again.
    const pipeline = { retryOptions: { maxTries: 1 }, keepAliveOptions: { enable: false } };
    const client = new ContainerClient(`http://127.0.0.1:${PORT}/${ACCOUNT}/${name}`, credential, pipeline);
    await client.createIfNotExists();
    return client;
  };
  await eventually(() => container('ready').then(() => true, () => false), { seconds: 30, what: 'Azurite' });
  return container;
}

/** Takes HTTP and HTTPS at one port, as they come, and passes HTTP on. */
function listen({ cert, key }, inner) {
  const plain = (socket) => {
    const to = net.connect(inner, '127.0.0.1');
    socket.pipe(to).pipe(socket);
    for (const [one, other] of [[socket, to], [to, socket]]) one.on('error', () => other.destroy());
  };
  const secure = tls.createServer({ cert, key }, plain).on('tlsClientError', () => {});
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (first) => {
      socket.pause();
      socket.unshift(first);
      // A TLS record of a handshake begins so.
      if (first[0] === 0x16) secure.emit('connection', socket);
      else plain(socket);
      process.nextTick(() => socket.resume());
    });
  });
  server.unref();
  return new Promise((resolve) => { server.listen(PORT, '127.0.0.1', resolve); });
}

module.exports = { ACCOUNT, KEY, PORT, start };
