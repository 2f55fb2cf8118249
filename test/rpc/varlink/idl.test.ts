import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FormatError } from '../../../src/errors.js';
import { parseIdl } from '../../../src/rpc/varlink/idl.js';
import { findMisfit } from '../../../src/rpc/varlink/idl-check.js';

const EXAMPLE = `# A comment before everything
interface org.example.more-1

type State (start, progress, stop)
type Tree (name: string, below: []Tree) # of itself

# Comments between members, with (parentheses) -> and : in them
method Ping(ping: string) -> (pong: string)
method Take(
  i: int, f: float, b: bool, o: ?object, a: any,
  list: []?int, dict: [string](x: int), state: State, which: (One, Two), tree: ?Tree
) -> ()
error Failed(reason: ?string)
error Empty()`;

test('the members of a definition', () => {
  const idl = parseIdl(EXAMPLE);
  assert.equal(idl.name, 'org.example.more-1');
  assert.deepEqual([...idl.types.keys()], ['State', 'Tree']);
  assert.deepEqual([...idl.methods.keys()], ['Ping', 'Take']);
  assert.deepEqual([...idl.errors.keys()], ['Failed', 'Empty']);
  assert.deepEqual(
    [...idl.methods.get('Take')!.input.fields.keys()],
    ['i', 'f', 'b', 'o', 'a', 'list', 'dict', 'state', 'which', 'tree'],
  );
  assert.deepEqual(idl.methods.get('Take')!.input.fields.get('list'), {
    kind: 'array',
    of: { kind: 'optional', of: { kind: 'int' } },
  });
});

const refused: [name: string, text: string][] = [
  ['nothing', ''],
  ['no interface name', 'interface 7.a'],
  ['a name without a dot', 'interface example'],
  ['an unknown keyword', 'interface a.b\nfunction X() -> ()'],
  ['a member in lower case', 'interface a.b\nmethod x() -> ()'],
  ['a member that is there twice', 'interface a.b\nmethod X() -> ()\nerror X()'],
  ['a field that is there twice', 'interface a.b\nerror X(a: int, a: int)'],
  ['no reply', 'interface a.b\nmethod X()'],
  ['an enum for parameters', 'interface a.b\nmethod X(a, b) -> ()'],
  ['fields with and without types', 'interface a.b\ntype X (a: int, b)'],
  ['an unknown type', 'interface a.b\nerror X(a: Y)'],
  ['an optional optional', 'interface a.b\nerror X(a: ??int)'],
  ['a missing comma', 'interface a.b\nerror X(a: int b: int)'],
  ['no end', 'interface a.b\nerror X(a: int'],
  ['other characters', 'interface a.b\nerror X(a: int; b: int)'],
  ['types without end', `interface a.b\nerror X(a: ${'[]'.repeat(100_000)}int)`],
  ['structs without end', `interface a.b\nerror X(a: ${'(a: '.repeat(100_000)}`],
];

for (const [name, text] of refused) {
  test(`refused: ${name}`, () => {
    assert.throws(
      () => parseIdl(text),
      (error) => error instanceof FormatError && error.code === 'IDL',
    );
  });
}

const fits = { i: 1, f: 1.5, b: true, a: 'x', list: [1, null], dict: { k: { x: 1 } }, state: 'stop', which: 'One' };

const misfits: [name: string, change: Record<string, unknown>, path: string | undefined][] = [
  ['what it says', {}, undefined],
  ['a member more', { more: 1 }, undefined],
  ['null for an optional', { o: null, tree: null }, undefined],
  ['a type of itself', { tree: { name: 'a', below: [{ name: 'b', below: [] }] } }, undefined],
  ['null for what is not optional', { i: null }, 'i'],
  ['a missing member', { i: undefined }, 'i'],
  ['a member of every object', { tree: JSON.parse('{"below":[]}') as unknown }, 'tree.name'],
  ['a fraction for an int', { i: 1.5 }, 'i'],
  ['an int that lost digits', { i: 2 ** 53 }, 'i'],
  ['text for a float', { f: '1' }, 'f'],
  ['a number for a bool', { b: 1 }, 'b'],
  ['an array for an object', { o: [] }, 'o'],
  ['an object for an array', { list: {} }, 'list'],
  ['the wrong thing in an array', { list: [1, 'x'] }, 'list[1]'],
  ['the wrong thing in a dictionary', { dict: { k: { x: 1 }, l: {} } }, 'dict["l"].x'],
  ['an unknown value', { state: 'halt' }, 'state'],
  [
    'the wrong thing deep inside',
    { tree: { name: 'a', below: [{ name: 'b', below: [{ name: 3, below: [] }] }] } },
    'tree.below[0].below[0].name',
  ],
];

for (const [name, change, path] of misfits) {
  test(`checked: ${name}`, () => {
    const idl = parseIdl(EXAMPLE);
    assert.equal(findMisfit(idl.methods.get('Take')!.input, { ...fits, ...change }, idl.types)?.path, path);
  });
}
