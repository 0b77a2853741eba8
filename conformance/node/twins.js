// about: the Digital Twins API with npm's client: models, twins, components, relationships, telemetry, conflicts, refusals
// timeout: 120
'use strict';
// @azure/digital-twins-core.

const lib = require('./lib');
const { assert } = lib;

const twins = lib.twinsClient();
const scenario = new lib.Scenario();
const [BASE, LAMP, ROOM, OFFICE] = ['Base', 'Lamp', 'Room', 'Office'].map((name) => `dtmi:node:${name};1`);
const OLD_ETAG = 'W/"7e67a355-f19c-4c19-8a10-2d69b2d2253f"';

const schema = (id, contents, more = {}) => ({ '@id': id, '@type': 'Interface', '@context': 'dtmi:dtdl:context;2', contents, ...more });
const property = (name, of) => ({ '@type': 'Property', name, schema: of });
const MODELS = [
  schema(OFFICE, [property('desks', 'integer')], { extends: ROOM }),
  schema(ROOM, [
    property('area', 'double'),
    property('tags', { '@type': 'Map', mapKey: { name: 'k', schema: 'string' }, mapValue: { name: 'v', schema: 'string' } }),
    { '@type': 'Component', name: 'lamp', schema: LAMP },
    { '@type': 'Relationship', name: 'beside', target: ROOM, properties: [property('door', 'boolean')] },
    { '@type': 'Telemetry', name: 'noise', schema: 'double' },
  ], { extends: BASE, displayName: 'Room' }),
  schema(LAMP, [property('level', 'double')]),
  schema(BASE, [property('name', 'string')]),
];
const room = (more = {}) => JSON.stringify({ $metadata: { $model: ROOM }, lamp: { $metadata: {} }, ...more });
const set = (path, value, op = 'add') => [{ op, path, value }];
const relationship = (source, id, target, more = {}) =>
  ({ $relationshipId: id, $sourceId: source, $relationshipName: 'beside', $targetId: target, ...more });

/** The refusal must have this status, and this code as the client reads it from the envelope. */
async function refused(status, code, action) {
  let error;
  try {
    await action();
  } catch (caught) {
    error = caught;
  }
  assert.ok(error, `it was accepted; wanted ${status} ${code}`);
  assert.deepEqual([error.statusCode, error.details?.error?.code ?? error.code], [status, code], error.message);
  assert.ok(error.message.length > 10, 'it says what is wrong');
  return error;
}

async function all(iterator) {
  const items = [];
  for await (const item of iterator) items.push(item);
  return items;
}

scenario.case('models: one upload with references in any order, with and without definition, in pages, by dependency', async () => {
  const created = await twins.createModels(MODELS);
  assert.deepEqual(created.map((model) => model.id), [OFFICE, ROOM, LAMP, BASE]);
  const bare = await twins.getModel(ROOM);
  assert.deepEqual([bare.id, bare.displayName.en, bare.decommissioned, bare.model], [ROOM, 'Room', false, undefined]);
  assert.equal((await twins.getModel(ROOM, true)).model['@id'], ROOM);
  assert.deepEqual((await all(twins.listModels([OFFICE]))).map((model) => model.id).sort(), [BASE, LAMP, OFFICE, ROOM]);
  assert.deepEqual((await all(twins.listModels([LAMP], true))).map((model) => model.model['@id']), [LAMP]);
  const sizes = [];
  for await (const page of twins.listModels().byPage({ maxPageSize: 3 })) sizes.push(page.value.length);
  assert.deepEqual(sizes, [3, 1]);
}, { needed: true });

scenario.case('models: what is refused, and that nothing of it stays', async () => {
  const fresh = schema('dtmi:node:Fresh;1', []);
  await refused(409, 'ModelIdAlreadyExists', () => twins.createModels([fresh, MODELS[3]]));
  await refused(400, 'DTDLParserError', () => twins.createModels([fresh, schema('dtmi:node:Bad;1', [property('x', 'number')])]));
  await refused(400, 'DTDLParserError', () => twins.createModels([fresh, schema('dtmi:node:Bad;1', [], { extends: 'dtmi:node:None;1' })]));
  await refused(400, 'InvalidArgument', () => twins.createModels([]));
  await refused(404, 'ModelNotFound', () => twins.getModel(fresh['@id']));
  await refused(404, 'ModelNotFound', () => all(twins.listModels([fresh['@id']])));
  await refused(409, 'ModelReferencesNotDeleted', () => twins.deleteModel(BASE));
  await refused(409, 'ModelReferencesNotDeleted', () => twins.deleteModel(LAMP));
});

scenario.case('twins: created, replaced, patched; metadata and etag keep step', async () => {
  const { body: created } = await twins.upsertDigitalTwin('n1', room({ area: 10.5, name: 'one', tags: { a: 'b' } }));
  assert.deepEqual([created.$dtId, created.area, Object.keys(created.lamp), created.$metadata.$model], ['n1', 10.5, ['$metadata'], ROOM]);
  assert.ok(!Number.isNaN(Date.parse(created.$metadata.area.lastUpdateTime)));
  const { etag } = await twins.updateDigitalTwin('n1', [...set('/area', 11, 'replace'), ...set('/tags/c~1d', 'e'), ...set('/name', undefined, 'remove')]);
  const { body: patched, etag: shown } = await twins.getDigitalTwin('n1');
  assert.deepEqual([patched.area, patched.tags, patched.name, patched.$metadata.name], [11, { a: 'b', 'c/d': 'e' }, undefined, undefined]);
  assert.deepEqual([patched.$etag, shown], [etag, etag]);
  assert.notEqual(etag, created.$etag);
  const { body: replaced } = await twins.upsertDigitalTwin('n1', room({ area: 12 }));
  assert.deepEqual([replaced.area, replaced.tags], [12, undefined]);
  await twins.updateDigitalTwin('n1', [...set('/$metadata/$model', OFFICE, 'replace'), ...set('/desks', 4)]);
  assert.equal((await twins.getDigitalTwin('n1')).body.$metadata.$model, OFFICE);
}, { needed: true });

scenario.case('twins: what is refused, and that it changes nothing', async () => {
  const before = (await twins.getDigitalTwin('n1')).body;
  for (const [code, patch] of [
    ['ValidationFailed', set('/area', 'wide')],
    ['ValidationFailed', set('/unknown', 1)],
    ['ValidationFailed', set('/lamp', undefined, 'remove')],
    ['ValidationFailed', set('/$metadata/$model', ROOM, 'replace')],
    ['JsonPatchInvalid', set('/name', 'x', 'replace')],
    ['JsonPatchInvalid', set('/name', undefined, 'remove')],
    ['JsonPatchInvalid', set('/tags/a', 'x')],
    ['JsonPatchInvalid', set('/area', 1, 'move')],
    ['JsonPatchInvalid', set('/area', 1, 'test')],
    ['JsonPatchInvalid', set('/$dtId', 'x', 'replace')],
    ['JsonPatchInvalid', set('area', 1)],
    ['JsonPatchInvalid', [{}]],
  ]) {
    await refused(400, code, () => twins.updateDigitalTwin('n1', [...set('/desks', 99), ...patch]));
  }
  await refused(400, 'ValidationFailed', () => twins.upsertDigitalTwin('n1', room({ area: 'wide' })));
  await refused(400, 'ValidationFailed', () => twins.upsertDigitalTwin('n1', JSON.stringify({ $metadata: { $model: ROOM } })));
  await refused(400, 'ValidationFailed', () => twins.upsertDigitalTwin('n1', JSON.stringify({ $metadata: { $model: 'dtmi:node:None;1' } })));
  await refused(400, 'InvalidArgument', () => twins.upsertDigitalTwin('n1', room({ $dtId: 'n2' })));
  await refused(404, 'DigitalTwinNotFound', () => twins.updateDigitalTwin('none', set('/area', 1)));
  await refused(404, 'DigitalTwinNotFound', () => twins.getDigitalTwin('none'));
  await refused(404, 'DigitalTwinNotFound', () => twins.deleteDigitalTwin('none'));
  assert.deepEqual((await twins.getDigitalTwin('n1')).body, before);
});

scenario.case('conflicts: If-Match and If-None-Match of twins, components, relationships', async () => {
  await twins.upsertDigitalTwin('n2', room(), { ifNoneMatch: '*' });
  await refused(412, 'PreconditionFailed', () => twins.upsertDigitalTwin('n2', room(), { ifNoneMatch: '*' }));
  const { etag } = await twins.getDigitalTwin('n2');
  const { etag: next } = await twins.updateDigitalTwin('n2', set('/area', 1), { ifMatch: etag });
  await refused(412, 'PreconditionFailed', () => twins.updateDigitalTwin('n2', set('/area', 2), { ifMatch: etag }));
  await refused(412, 'PreconditionFailed', () => twins.updateComponent('n2', 'lamp', set('/level', 2), { ifMatch: etag }));
  await refused(412, 'PreconditionFailed', () => twins.deleteDigitalTwin('n2', { ifMatch: etag }));
  const { etag: last } = await twins.updateComponent('n2', 'lamp', set('/level', 1), { ifMatch: next });
  assert.equal((await twins.getDigitalTwin('n2')).etag, last, 'a component has the etag of its twin');
  await twins.upsertRelationship('n2', 'c', relationship('n2', 'c', 'n1'), { ifNoneMatch: '*' });
  await refused(412, 'PreconditionFailed', () => twins.upsertRelationship('n2', 'c', relationship('n2', 'c', 'n1'), { ifNoneMatch: '*' }));
  await refused(412, 'PreconditionFailed', () => twins.updateRelationship('n2', 'c', set('/door', true), { ifMatch: OLD_ETAG }));
  await refused(412, 'PreconditionFailed', () => twins.deleteRelationship('n2', 'c', { ifMatch: OLD_ETAG }));
  const { etag: ours } = await twins.getRelationship('n2', 'c');
  await twins.updateRelationship('n2', 'c', set('/door', true), { ifMatch: ours });
  await twins.deleteRelationship('n2', 'c', { ifMatch: '*' });
});

scenario.case('components: read, patched, and what is refused', async () => {
  await twins.updateComponent('n1', 'lamp', set('/level', 0.5));
  const { body } = await twins.getComponent('n1', 'lamp');
  assert.deepEqual([body.level, Object.keys(body.$metadata).sort()], [0.5, ['$lastUpdateTime', 'level']]);
  await refused(404, 'ComponentNotFound', () => twins.getComponent('n1', 'none'));
  await refused(404, 'DigitalTwinNotFound', () => twins.getComponent('none', 'lamp'));
  await refused(400, 'ValidationFailed', () => twins.updateComponent('n1', 'lamp', set('/level', 'high')));
  await refused(400, 'JsonPatchInvalid', () => twins.updateComponent('n1', 'none', set('/level', 1, 'replace')));
  assert.equal((await twins.getComponent('n1', 'lamp')).body.level, 0.5);
});

scenario.case('relationships: both ways, in pages, patched; names, targets and properties are checked', async () => {
  for (let number = 0; number < 5; number += 1) {
    await twins.upsertDigitalTwin(`t${number}`, room());
    await twins.upsertRelationship('n1', `e${number}`, relationship('n1', `e${number}`, `t${number}`, { door: true }));
  }
  const sizes = [];
  for await (const page of twins.listRelationships('n1').byPage({ maxPageSize: 2 })) sizes.push(page.value.length);
  assert.equal(sizes.reduce((sum, size) => sum + size), 5);
  assert.deepEqual((await all(twins.listRelationships('n1'))).map((row) => row.$relationshipId), ['e0', 'e1', 'e2', 'e3', 'e4']);
  const [incoming] = await all(twins.listIncomingRelationships('t3'));
  assert.deepEqual([incoming.sourceId, incoming.relationshipId, incoming.relationshipName], ['n1', 'e3', 'beside']);
  await twins.updateRelationship('n1', 'e0', set('/door', false, 'replace'));
  assert.equal((await twins.getRelationship('n1', 'e0')).body.door, false);
  const put = (source, row) => () => twins.upsertRelationship(source, 'bad', { ...relationship(source, 'bad', 't0'), ...row });
  await refused(404, 'DigitalTwinNotFound', put('none', {}));
  await refused(404, 'TargetDigitalTwinNotFound', put('n1', { $targetId: 'none' }));
  await refused(400, 'OperationNotAllowed', put('n1', { $targetId: 'n1' }));
  await refused(400, 'ValidationFailed', put('n1', { $relationshipName: 'above' }));
  await refused(400, 'ValidationFailed', put('n1', { door: 'open' }));
  await refused(400, 'InvalidArgument', put('n1', { $relationshipName: undefined }));
  await refused(400, 'ValidationFailed', () => twins.updateRelationship('n1', 'e0', set('/door', 'open')));
  await refused(400, 'JsonPatchInvalid', () => twins.updateRelationship('n1', 'e0', set('/$targetId', 't1', 'replace')));
  await refused(404, 'RelationshipNotFound', () => twins.updateRelationship('n1', 'none', set('/door', true)));
  await refused(404, 'RelationshipNotFound', () => twins.getRelationship('n1', 'bad'));
  await refused(404, 'RelationshipNotFound', () => twins.deleteRelationship('n1', 'bad'));
  await refused(400, 'RelationshipsNotDeleted', () => twins.deleteDigitalTwin('n1'));
  await refused(400, 'RelationshipsNotDeleted', () => twins.deleteDigitalTwin('t0'));
});

scenario.case('telemetry of a twin and of a component', async () => {
  await twins.publishTelemetry('n1', { noise: 5 }, 'm1');
  await twins.publishTelemetry('n1', { noise: 5 });
  await twins.publishComponentTelemetry('n1', 'lamp', JSON.stringify({ on: true }), 'm2');
  await refused(404, 'DigitalTwinNotFound', () => twins.publishTelemetry('none', { noise: 5 }, 'm3'));
  await refused(404, 'ComponentNotFound', () => twins.publishComponentTelemetry('n1', 'none', '{}', 'm4'));
});

scenario.case('no patch of many at once is lost, whether or not it insists on an etag', async () => {
  const names = Array.from({ length: 40 }, (_, number) => `k${number}`);
  await twins.upsertDigitalTwin('busy', room({ tags: {} }));
  await Promise.all(names.map((name) => twins.updateDigitalTwin('busy', set(`/tags/${name}`, 'v'))));
  assert.deepEqual(Object.keys((await twins.getDigitalTwin('busy')).body.tags).sort(), [...names].sort());
  // A counter that every client reads, raises and writes under the etag it read; the loser of a race reads again.
  await twins.updateDigitalTwin('busy', set('/area', 0));
  let conflicts = 0;
  const raise = async () => {
    for (;;) {
      const { body, etag } = await twins.getDigitalTwin('busy');
      try {
        return await twins.updateDigitalTwin('busy', set('/area', body.area + 1, 'replace'), { ifMatch: etag });
      } catch (error) {
        if (error.statusCode !== 412) throw error;
        conflicts += 1;
      }
    }
  };
  await Promise.all(Array.from({ length: 8 }, async () => { for (let round = 0; round < 5; round += 1) await raise(); }));
  assert.equal((await twins.getDigitalTwin('busy')).body.area, 40);
  return `${conflicts} conflicts`;
});

scenario.case('decommissioned models make no twins; all is deleted in order', async () => {
  await refused(409, 'ModelReferencesNotDecommissioned', () => twins.decomissionModel(ROOM));
  await twins.decomissionModel(OFFICE);
  await twins.decomissionModel(ROOM);
  assert.equal((await twins.getModel(ROOM)).decommissioned, true);
  await refused(400, 'ModelDecommissioned', () => twins.upsertDigitalTwin('n9', room()));
  await twins.updateDigitalTwin('n2', set('/area', 5));
  for (const row of await all(twins.listRelationships('n1'))) await twins.deleteRelationship('n1', row.$relationshipId);
  for (const row of await all(twins.queryTwins('SELECT * FROM DIGITALTWINS'))) await twins.deleteDigitalTwin(row.$dtId);
  for (const id of [OFFICE, ROOM, LAMP, BASE]) await twins.deleteModel(id);
  assert.deepEqual(await all(twins.listModels()), []);
});

scenario.run();
