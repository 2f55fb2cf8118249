import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as z from 'zod';
import { storeInterface, storeMethods } from '../../../src/rpc/contracts/containers-storage.js';
import { transferMethods } from '../../../src/rpc/contracts/oci-transfer.js';
import { ociInterface, ociMethods } from '../../../src/rpc/contracts/oci.js';
import { ostreeInterface, ostreeMethods } from '../../../src/rpc/contracts/ostree.js';
import { repositoryInterface, repositoryMethods } from '../../../src/rpc/contracts/repository.js';
import type { IdlType } from '../../../src/rpc/varlink/idl.js';
import { VarlinkInterface, type VarlinkMethod } from '../../../src/rpc/varlink/interface.js';

const TRANSFER = 'io.cncf.composefs.OciTransfer';

const cases: [definition: VarlinkInterface, methods: object, complete: boolean][] = [
  [repositoryInterface, repositoryMethods, true],
  [ociInterface, ociMethods, true],
  [ostreeInterface, ostreeMethods, true],
  [ociInterface, transferMethods([ociInterface.name]) ?? {}, false],
  [VarlinkInterface.fromProto(`${TRANSFER}.varlink`), transferMethods([TRANSFER]) ?? {}, true],
  [storeInterface, storeMethods, true],
];

for (const [definition, methods, complete] of cases)
  test(`types of ${Object.keys(methods).length} methods of ${definition.name} are what the definition says`, () => {
    if (complete) assert.deepEqual(Object.keys(methods).sort(), [...definition.idl.methods.keys()].sort());
    for (const [name, { shape }] of Object.entries(methods) as [string, VarlinkMethod<object, object>][]) {
      const method = definition.idl.methods.get(name);
      assert.ok(method !== undefined && shape !== undefined, name);
      assert.deepEqual(fromSchema(shape.parameters), fromDefinition(method.input, definition), `${name}: parameters`);
      assert.deepEqual(fromSchema(shape.reply), fromDefinition(method.output, definition), `${name}: reply`);
    }
  });

function fromSchema(schema: z.ZodType): unknown {
  if (schema instanceof z.ZodObject)
    return Object.fromEntries(Object.entries(schema.shape).map(([key, type]) => [key, fromSchema(type as z.ZodType)]));
  if (schema instanceof z.ZodOptional) return fromSchema(schema.unwrap() as z.ZodType);
  if (schema instanceof z.ZodNullable) return { optional: fromSchema(schema.unwrap() as z.ZodType) };
  if (schema instanceof z.ZodArray) return [fromSchema(schema.element as z.ZodType)];
  if (schema instanceof z.ZodEnum) return new Set(schema.options);
  if (schema instanceof z.ZodString) return 'string';
  if (schema instanceof z.ZodBoolean) return 'bool';
  assert.ok(schema instanceof z.ZodNumber && schema.format === 'safeint');
  return 'int';
}

function fromDefinition(type: IdlType, definition: VarlinkInterface): unknown {
  switch (type.kind) {
    case 'struct':
      return Object.fromEntries([...type.fields].map(([key, field]) => [key, fromDefinition(field, definition)]));
    case 'optional':
      return { optional: fromDefinition(type.of, definition) };
    case 'array':
      return [fromDefinition(type.of, definition)];
    case 'enum':
      return new Set(type.values);
    case 'named':
      return fromDefinition(definition.idl.types.get(type.name) as IdlType, definition);
    default:
      return type.kind;
  }
}
