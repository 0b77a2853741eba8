// about: npm's rhea as a plain AMQP 1.0 client: SASL, tokens by hand, credit, drain, large messages, heartbeats, every type
// timeout: 60
'use strict';
// No Azure library: what the standard says and the protocol guide adds is enough.

const lib = require('./lib');
const { close, connect, next, node, policy, receiver, rhea, sas, send, sender, take } = require('./lib/amqp');
const { assert } = lib;

const HUB = 'deviceevents';
const at = (partition) => `${HUB}/Partitions/${partition}`;
const from = (partition, group = '$Default') => `${HUB}/ConsumerGroups/${group}/Partitions/${partition}`;
const SELECTOR = 'apache.org:selector-filter:string';
const { types } = rhea;
const scenario = new lib.Scenario();

/** A source that begins after what there is now, or at a position. */
const source = (address, selector = "amqp.annotation.x-opt-offset > '@latest'") =>
  ({ address, filter: { [SELECTOR]: types.wrap_described(selector, SELECTOR) } });

/** The error that `promise` must end with. */
async function fails(promise, says) {
  const error = await promise.then((value) => { throw new Error(`it was accepted: ${value}`); }, (error) => error);
  assert.match(error.message, says);
}

scenario.case('SASL PLAIN with the policy\'s name and key, over TLS and in clear', async () => {
  for (const plain of [false, true]) {
    const connection = await connect({ plain });
    const sending = await sender(connection, at(0));
    await send(sending, { body: `plain ${plain}` });
    await close(connection);
  }
}, { needed: true });

scenario.case('SASL PLAIN with a wrong key, or no such policy', async () => {
  await fails(connect({ password: `${policy.key}x` }), /auth|disconnected|sasl/i);
  await fails(connect({ username: 'nobody' }), /auth|disconnected|sasl/i);
});

scenario.case('ANONYMOUS opens nothing before a token is put on $cbs', async () => {
  const connection = await connect({ username: 'anonymous', password: undefined });
  await fails(sender(connection, at(0)), /amqp:unauthorized-access/);
  await fails(receiver(connection, from(0)), /amqp:unauthorized-access/);
  const cbs = await node(connection, '$cbs');
  const put = (token, type = 'servicebus.windows.net:sastoken') =>
    cbs({ operation: 'put-token', type, name: `sb://localhost/${HUB}` }, token);
  let answer = await put(sas(`sb://localhost/${HUB}`, { key: 'wrong' }));
  assert.equal(answer.application_properties['status-code'], 401);
  answer = await put(sas(`sb://localhost/${HUB}`));
  assert.equal(answer.application_properties['status-code'], 202, answer.application_properties['status-description']);
  await send(await sender(connection, at(0)), { body: 'with a token' });
  await close(connection);
});

scenario.case('a token that may only listen does not send', async () => {
  const connection = await connect({ username: 'anonymous', password: undefined });
  const cbs = await node(connection, '$cbs');
  const name = `sb://localhost/${HUB}/ConsumerGroups/$Default/Partitions/0`;
  const answer = await cbs({ operation: 'put-token', type: 'servicebus.windows.net:sastoken', name }, sas(name));
  assert.equal(answer.application_properties['status-code'], 202);
  await fails(sender(connection, HUB), /amqp:unauthorized-access/);
  await receiver(connection, from(0));
  await close(connection);
});

scenario.case('$management says what there is', async () => {
  const connection = await connect();
  const ask = await node(connection, '$management');
  const hub = await ask({ operation: 'READ', type: 'com.microsoft:eventhub', name: HUB });
  assert.equal(hub.application_properties['status-code'], 200);
  assert.deepEqual(hub.body.partition_ids, ['0', '1', '2', '3']);
  const partition = await ask({ operation: 'READ', type: 'com.microsoft:partition', name: HUB, partition: '0' });
  assert.equal(partition.body.partition, '0');
  assert.ok(partition.body.last_enqueued_sequence_number >= 2);
  await close(connection);
});

scenario.case('messages come as credit is given, one at a time', async () => {
  const connection = await connect();
  const sending = await sender(connection, at(1));
  const receiving = await receiver(connection, source(from(1), "amqp.annotation.x-opt-offset > '-1'"));
  for (let n = 0; n < 20; n++) await send(sending, { body: n });
  for (let n = 0; n < 20; n++) {
    const came = await take(receiving, n + 1);
    assert.deepEqual(came.map((message) => message.body), [...Array(n + 1).keys()]);
    assert.equal(receiving.credit, 0);
  }
  await close(connection);
});

scenario.case('a selector is known by its descriptor, whatever its key', async () => {
  const connection = await connect();
  const text = "amqp.annotation.x-opt-sequence-number > '16'";
  for (const filter of [
    rhea.filter.selector(text),
    { selector: types.wrap_described(text, 0x468c00000004) },
    { [SELECTOR]: types.wrap_described(text, SELECTOR) },
    { [SELECTOR]: text },
  ]) {
    const [first] = await take(await receiver(connection, { address: from(1), filter }), 1);
    assert.equal(first.message_annotations['x-opt-sequence-number'], 17, JSON.stringify(filter));
  }
  await close(connection);
});

scenario.case('drain gives credit back, when there is nothing and when there is something', async () => {
  const connection = await connect();
  const receiving = await receiver(connection, source(from(1), "amqp.annotation.x-opt-offset > '-1'"));
  for (const [credit, come] of [[7, 7], [100, 20], [10, 20], [1, 20]]) {
    receiving.add_credit(credit);
    await eventuallySome(receiving, come);
    if (receiving.credit === 0) continue;
    receiving.drain_credit();
    await next(receiving, ['receiver_drained']);
    assert.equal(receiving.came.length, come);
    receiving.credit = 0;
    receiving.drain = false;
  }
  // Credit that is drained at once, before anything came: all there is, then the rest back.
  const second = await receiver(connection, source(from(1), "amqp.annotation.x-opt-offset > '-1'"));
  second.add_credit(50);
  second.drain_credit();
  await next(second, ['receiver_drained']);
  assert.equal(second.came.length, 20);
  await close(connection);
});

const eventuallySome = (link, count) => lib.eventually(() => link.came.length >= count, { what: `${count} messages` });

scenario.case('after a drain new credit brings what comes then', async () => {
  const connection = await connect();
  const receiving = await receiver(connection, source(from(1)));
  receiving.add_credit(5);
  receiving.drain_credit();
  await next(receiving, ['receiver_drained']);
  Object.assign(receiving, { credit: 0, drain: false });
  receiving.add_credit(1);
  await send(await sender(connection, at(1)), { body: 'after the drain' });
  await eventuallySome(receiving, 1);
  assert.equal(receiving.came[0].body, 'after the drain');
  await close(connection);
});

scenario.case('large messages go in many frames, both ways', async () => {
  for (const max_frame_size of [512, 4096, 65536]) {
    const connection = await connect({ max_frame_size, plain: true });
    const receiving = await receiver(connection, source(from(2)));
    const body = Buffer.alloc(700_000, `${max_frame_size}-`);
    // Not before the receiver has its place: what is sent before is not "what comes next".
    receiving.add_credit(2);
    await send(await sender(connection, at(2)), { body: rhea.message.data_section(body) });
    await send(await sender(connection, at(2)), { body: 'short' });
    const [large, short] = await take(receiving, 2);
    assert.ok(large.body.content.equals(body), 'the same bytes');
    assert.equal(short.body, 'short');
    await close(connection);
  }
});

scenario.case('many at once: a thousand messages keep their order', async () => {
  const connection = await connect();
  const receiving = await receiver(connection, source(from(3)));
  receiving.add_credit(3000);
  const sending = await sender(connection, at(3));
  let sent = 0;
  let accepted = 0;
  sending.on('accepted', () => accepted++);
  const fill = () => { while (sending.sendable() && sent < 3000) sending.send({ body: sent++ }); };
  sending.on('sendable', fill);
  fill();
  await lib.eventually(() => accepted === 3000, { seconds: 20, what: 'all accepted' });
  await eventuallySome(receiving, 3000);
  assert.deepEqual(receiving.came.map((message) => message.body), [...Array(3000).keys()]);
  const numbers = receiving.came.map((message) => message.message_annotations['x-opt-sequence-number']);
  assert.ok(numbers.every((number, n) => n === 0 || number === numbers[n - 1] + 1), 'sequence numbers without a gap');
  await close(connection);
});

scenario.case('settled messages are stored as well', async () => {
  const connection = await connect();
  const receiving = await receiver(connection, source(from(2)));
  receiving.add_credit(10);
  const sending = await sender(connection, at(2), { snd_settle_mode: 1 });
  if (!sending.sendable()) await next(sending, ['sendable']);
  for (let n = 0; n < 10; n++) sending.send({ body: n });
  await eventuallySome(receiving, 10);
  assert.deepEqual(receiving.came.map((message) => message.body), [...Array(10).keys()]);
  await close(connection);
});

scenario.case('a receiver that settles itself, unsettled and second', async () => {
  const connection = await connect();
  const sending = await sender(connection, at(2));
  for (const [snd_settle_mode, rcv_settle_mode] of [[0, 0], [0, 1], [1, 0], [2, 0]]) {
    const receiving = await receiver(connection, source(from(2)), { snd_settle_mode, rcv_settle_mode, autoaccept: false });
    let deliveries = 0;
    receiving.on('message', ({ delivery }) => {
      deliveries++;
      if (!delivery.remote_settled) delivery.accept();
      else assert.notEqual(snd_settle_mode, 0, 'asked for unsettled, got settled');
    });
    receiving.add_credit(5);
    for (let n = 0; n < 5; n++) await send(sending, { body: n });
    await lib.eventually(() => deliveries === 5, { what: 'five deliveries' });
    receiving.close();
    await next(receiving, ['receiver_close']);
  }
  await close(connection);
});

scenario.case('heartbeats keep an idle connection with a short time-out', async () => {
  const connection = await connect({ idle_time_out: 1000 });
  const receiving = await receiver(connection, source(from(0)));
  receiving.add_credit(1);
  const read = connection.socket.bytesRead;
  let gone = false;
  connection.on('disconnected', () => { gone = true; });
  const began = Date.now();
  await lib.eventually(() => Date.now() - began > 4500, { what: 'time' }); // the client gives up after 2 s of silence
  assert.ok(!gone && connection.is_open(), 'the connection is gone');
  assert.ok(connection.socket.bytesRead > read, 'nothing came');
  await send(await sender(connection, at(0)), { body: 'still here' });
  await eventuallySome(receiving, 1);
  await close(connection);
});

scenario.case('a link of the same name and role takes over, one session goes without the others', async () => {
  const connection = await connect();
  const first = connection.create_session();
  const second = connection.create_session();
  first.begin();
  second.begin();
  const one = first.open_sender({ target: at(0), name: 'same' });
  const two = second.open_sender({ target: at(0), name: 'same' });
  await Promise.all([next(one, ['sender_open']), next(two, ['sender_open'])]);
  first.close();
  await next(first, ['session_close']);
  await send(two, { body: 'on the other session' });
  await close(connection);
});

/** Every type of the standard, each at its edges. */
function everyType() {
  const bytes = (hex) => Buffer.from(hex, 'hex');
  return {
    null: types.Null(),
    true: types.True(), false: types.False(), boolean0: types.Boolean(0), boolean1: types.Boolean(1),
    ubyte: types.Ubyte(255), ushort: types.Ushort(65535),
    uint0: types.Uint0(), smalluint: types.SmallUint(200), uint: types.Uint(4294967295), wideuint: types.Uint(1),
    ulong0: types.Ulong0(), smallulong: types.SmallUlong(200), ulong: types.Ulong(bytes('ffffffffffffffff')),
    byte: types.Byte(-128), short: types.Short(-32768),
    smallint: types.SmallInt(-128), int: types.Int(-2147483648), wideint: types.Int(1),
    smalllong: types.SmallLong(-128), long: types.Long(bytes('8000000000000000')), long9: types.Long(9007199254740991),
    float: types.Float(1.5), floatnan: types.Float(NaN), double: types.Double(-0), doubleinf: types.Double(-Infinity),
    decimal32: types.Decimal32(bytes('22500001')), decimal64: types.Decimal64(bytes('2238000000000001')),
    decimal128: types.Decimal128(bytes('22080000000000000000000000000001')),
    char: types.CharUTF32(0x1f600), timestamp: types.Timestamp(1764072000123), before1970: types.Timestamp(-1),
    uuid: types.Uuid(bytes('00112233445566778899aabbccddeeff')),
    vbin8: types.Vbin8(bytes('00ff')), vbin32: types.Vbin32(Buffer.alloc(300, 7)), vbin0: types.Vbin8(Buffer.alloc(0)),
    str8: types.Str8('ä€😀'), str32: types.Str32('long '.repeat(100)), str0: types.Str8(''),
    sym8: types.Sym8('a-symbol'), sym32: types.Sym32('s'.repeat(300)),
  };
}

const nested = () => ({
  list0: types.List0(), list8: types.List8([types.Ubyte(1), types.Str8('two'), types.Null()]),
  list32: types.List32([types.List8([types.List0(), types.Map8([types.Sym8('k'), types.Long(5)])])]),
  map8: types.Map8([types.Sym8('symbol key'), types.Uint(1), types.Ulong(7), types.Str8('ulong key')]),
  map32: types.Map32([types.Str8('in it'), types.Map8([])]),
  uints: types.Array32([1, 2, 4294967295], 0x70), symbols: types.Array8(['a', 'b'], 0xa3), bytes: types.Array8([-1, 1], 0x51),
  strings: types.Array32(['x', 'y'.repeat(300)], 0xb1), doubles: types.Array32([1.5, -2.5], 0x82),
  described: types.described(types.wrap_symbol('example:thing:map'), types.Map8([types.Str8('a'), types.Ubyte(1)])),
  numbered: types.described(types.wrap_ulong(0x0000123400000001), types.Str8('numbered')),
});

/** The bare message: from the properties on. */
function bare(bytes) {
  for (let place = 0; place < bytes.length;) {
    const reader = new types.Reader(bytes.subarray(place));
    const section = reader.read();
    if (Number(section.descriptor.value) >= 0x73) return bytes.subarray(place);
    place += reader.position;
  }
  return Buffer.alloc(0);
}

/** Sends raw messages and compares the bare parts of what comes with what went. */
async function bitForBit(messages) {
  const one = await connect();
  const other = await connect({ plain: true });
  const receiving = await receiver(other, source(from(3)));
  receiving.add_credit(messages.length);
  const sending = await sender(one, at(3));
  const sent = messages.map(rhea.message.encode);
  for (const bytes of sent) await send(sending, bytes, undefined, 0);
  const came = await take(receiving, messages.length);
  came.forEach((message, n) => assert.equal(bare(message.bytes).toString('hex'), bare(sent[n]).toString('hex'), `message ${n}`));
  await close(one);
  await close(other);
  return came;
}

scenario.case('every type goes through bit for bit, as body and as application property', async () => {
  const [simple, deep] = [everyType(), nested()];
  const bodies = Object.values({ ...simple, ...deep }).map((body) => ({ body }));
  await bitForBit([
    ...bodies,
    { body: types.Map32(Object.entries({ ...simple, ...deep }).flatMap(([name, value]) => [types.Str8(name), value])) },
    { application_properties: everyType(), body: 'with properties' },
  ]);
});

scenario.case('all properties and the three kinds of bodies go through bit for bit', async () => {
  const properties = {
    message_id: 'id', user_id: Buffer.from('me'), to: 'there', subject: 'this', reply_to: 'back', correlation_id: 77,
    content_type: 'application/json', content_encoding: 'utf-8', absolute_expiry_time: 1764072000000, creation_time: 1764072000001,
    group_id: 'group', group_sequence: 4294967295, reply_to_group_id: 'other',
  };
  const ids = ['text', 5, types.Uuid(Buffer.alloc(16, 3)), types.Ulong(Buffer.alloc(8, 255)), types.Vbin8(Buffer.from([0, 1]))];
  const { data_section, data_sections, sequence_section, sequence_sections } = rhea.message;
  const bodies = [
    data_section(Buffer.alloc(0)), data_section(Buffer.from('one')), data_sections([Buffer.from('one'), Buffer.from('two')]),
    sequence_section([1, 'two', null]), sequence_sections([[1], ['two', [3]]]), null, 'text', { a: { b: [1] } },
  ];
  const came = await bitForBit([
    ...ids.map((message_id) => ({ message_id, correlation_id: message_id, body: 'x' })),
    ...bodies.map((body) => ({ ...properties, body })),
  ]);
  assert.equal(came[0].message_id, 'text');
});

scenario.case('message annotations keep their types beside those of the service', async () => {
  const connection = await connect();
  const receiving = await receiver(connection, source(from(3)));
  receiving.add_credit(1);
  const { boolean0, boolean1, ...rest_ } = everyType(); // the client takes these for numbers
  const annotations = { ...rest_, ...nested() };
  const sent = { message_annotations: { ...annotations, 'x-opt-sequence-number': 5 }, body: 'annotated' };
  await send(await sender(connection, at(3)), sent);
  const [came] = await take(receiving, 1);
  // What the client makes of the same bytes without a server between.
  const expected = rhea.message.decode(rhea.message.encode({ message_annotations: annotations, body: 1 })).message_annotations;
  const { 'x-opt-sequence-number': number, 'x-opt-offset': offset, 'x-opt-enqueued-time': time, ...rest } = came.message_annotations;
  assert.notEqual(number, 5);
  assert.ok(Number.isInteger(number) && typeof offset === 'string' && time instanceof Date, `${number} ${offset} ${time}`);
  for (const name of Object.keys(expected)) assert.deepEqual(rest[name], expected[name], name);
  assert.deepEqual(Object.keys(rest).sort(), Object.keys(expected).sort());
  await close(connection);
});

scenario.case('a message that is too large is rejected or the link detached, another link goes on', async () => {
  const connection = await connect();
  const sending = await sender(connection, at(0));
  await fails(send(sending, { body: rhea.message.data_section(Buffer.alloc(1024 * 1024 + 1)) }), /amqp:link:message-size-exceeded/);
  await send(await sender(connection, at(0)), { body: 'goes on' });
  await close(connection);
});

scenario.case('the connection tells who serves and closes in order', async () => {
  const connection = await connect();
  assert.equal(connection.properties.product, 'Pollux');
  assert.ok(connection.container_id && connection.max_frame_size >= 512 && connection.channel_max > 0);
  connection.close();
  const { name } = await next(connection, ['connection_close', 'disconnected']);
  assert.equal(name, 'connection_close');
});

scenario.run();
