'use strict';
// rhea as a plain AMQP client: connections and links as promises, and the bytes of each message as they came.

const crypto = require('node:crypto');
const rhea = require('rhea');
const { eventually, subject } = require('./index');

// Each message keeps the bytes it was decoded from: that is all that is added to the client.
const decode = rhea.message.decode;
rhea.message.decode = (bytes) => Object.assign(decode(bytes), { bytes: Buffer.from(bytes) });

const namespace = Object.fromEntries(subject.events[0].connectionString.split(';').filter(Boolean).map((part) => part.split(/=(.*)/s).slice(0, 2)));
const policy = { name: namespace.SharedAccessKeyName, key: namespace.SharedAccessKey };

/** A shared access signature: signed with the key's text. */
function sas(resource, { seconds = 3600, name = policy.name, key = policy.key } = {}) {
  const [encoded, expiry] = [encodeURIComponent(resource), Math.floor(Date.now() / 1000) + seconds];
  const signature = crypto.createHmac('sha256', key).update(`${encoded}\n${expiry}`).digest('base64');
  return `SharedAccessSignature sr=${encoded}&sig=${encodeURIComponent(signature)}&se=${expiry}&skn=${name}`;
}

/** The first of these events, as its name and context; an error among them that was not asked for fails. */
function next(emitter, wanted, unwanted = []) {
  return new Promise((resolve, reject) => {
    const all = [...wanted, ...unwanted];
    const heard = Object.fromEntries(all.map((name) => [name, (context) => {
      all.forEach((other) => emitter.removeListener(other, heard[other]));
      if (wanted.includes(name)) return resolve({ name, context });
      const error = context.error ?? context.connection?.error ?? emitter.error;
      reject(new Error(`${name}: ${error?.condition ?? ''} ${error?.description ?? error}`));
    }]));
    all.forEach((name) => emitter.on(name, heard[name]));
  });
}

const OVER = ['connection_error', 'disconnected'];

/** An open connection. Without more: TLS, SASL PLAIN with the namespace's policy. */
async function connect(options = {}) {
  const { plain = false, ...more } = options;
  const [port, transport] = plain ? [subject.ports.amqpPlain[0], 'tcp'] : [subject.ports.amqp[0], 'tls'];
  const connection = rhea.create_container().connect({
    host: 'localhost', port, transport, username: policy.name, password: policy.key, reconnect: false, ...more,
  });
  connection.on('error', () => {}); // what ends a connection is looked at where it is expected
  await next(connection, ['connection_open'], OVER);
  return connection;
}

const REFUSED = { sender: ['sender_error', 'sender_close'], receiver: ['receiver_error', 'receiver_close'] };

/** The link once it is open; a refusal is an attach without an address, and a detach right after it. */
function opened(kind, link) {
  return new Promise((resolve, reject) => {
    const address = () => (kind === 'sender' ? link.target : link.source)?.address;
    link.on(`${kind}_open`, () => address() && resolve(link));
    for (const name of REFUSED[kind]) link.on(name, () => reject(new Error(`${link.error?.condition} ${link.error?.description}`)));
    link.session.on('session_error', () => reject(new Error(`session: ${link.session.error?.condition}`)));
  });
}

const sender = (connection, target, options = {}) => opened('sender', connection.open_sender({ target, ...options }));

/** A receiver that keeps what came in `came`. */
function receiver(connection, source, options = {}) {
  const link = connection.open_receiver({ source, credit_window: 0, ...options });
  link.came = [];
  link.on('message', ({ message }) => link.came.push(message));
  return opened('receiver', link);
}

/** Sends and waits for the outcome: accepted, rejected, …. */
async function send(link, message, ...more) {
  if (!link.sendable()) await next(link, ['sendable'], REFUSED.sender);
  const delivery = link.send(message, ...more);
  return new Promise((resolve, reject) => {
    const names = ['accepted', 'rejected', 'released', 'modified', ...REFUSED.sender];
    const done = Object.fromEntries(names.map((name) => [name, (context) => {
      if (context.delivery && context.delivery !== delivery) return;
      names.forEach((other) => link.removeListener(other, done[other]));
      if (name === 'accepted') resolve(context.delivery);
      else {
        const error = context.delivery?.remote_state?.error ?? link.error;
        reject(Object.assign(new Error(`${name}: ${error?.condition} ${error?.description}`), { condition: error?.condition }));
      }
    }]));
    names.forEach((name) => link.on(name, done[name]));
  });
}

/** The first messages, with as much credit as they need. */
async function take(link, count, seconds = 15) {
  link.add_credit(count - link.came.length);
  await eventually(() => link.came.length >= count, { seconds, what: `${count} messages` });
  return link.came.slice(0, count);
}

/** `$cbs` or `$management`: ask and be answered. */
async function node(connection, address) {
  const answers = await receiver(connection, address, { target: { address: `answers of ${address}` } });
  const asking = await sender(connection, address);
  answers.add_credit(100);
  let number = 0;
  return async (application_properties, body = null) => {
    const message_id = `request-${++number}`;
    await send(asking, { message_id, reply_to: `answers of ${address}`, application_properties, body });
    return eventually(() => answers.came.find((answer) => answer.correlation_id === message_id), { what: 'an answer' });
  };
}

const close = async (connection) => {
  connection.close();
  await next(connection, ['connection_close', 'disconnected']);
};

module.exports = { close, connect, next, node, policy, receiver, rhea, sas, send, sender, take };
