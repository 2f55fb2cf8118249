import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { transformForBoot } from '../../../src/boot/transform.js';
import { FileContexts } from '../../../src/boot/selinux/policy.js';
import { Directory, NO_XATTRS, Regular, Symlink, type Metadata, type Node } from '../../../src/tree/tree.js';

const metadata: Metadata = { mode: 0o755, uid: 0, gid: 0, mtimeSec: 0n, mtimeNsec: 0, xattrs: NO_XATTRS };

function policy(files: Record<string, string>): FileContexts {
  return new FileContexts((name) => (files[name] === undefined ? undefined : Buffer.from(files[name])));
}

const contexts = (text: string): FileContexts => policy({ file_contexts: text });

describe('file contexts', () => {
  for (const [why, text, path, label] of [
    ['the last line that matches wins', '/a(/.*)? first\n/a/b second\n', '/a/b', 'second'],
    ['also when it says less', '/a/b second\n/a(/.*)? first\n', '/a/b', 'first'],
    ['expressions match whole paths', '/a one\n', '/ab', undefined],
    ['a dot is any byte', '/a.b one\n', '/a\nb', 'one'],
    ['an escaped dot is a dot', '/a\\.b one\n', '/axb', undefined],
    ['alternatives', '/(a|b)/c one\n', '/b/c', 'one'],
    ['alternatives without a group', '/a|/b one\n', '/b', 'one'],
    ['an optional letter', '/lib64?/x one\n', '/lib6/x', 'one'],
    ['a repeated letter', '/lib6+/x one\n', '/lib66/x', 'one'],
    ['classes', '/dev/[sh]d[^/]* one\n', '/dev/sda1', 'one'],
    ['classes with a bracket first', '/[]x]y one\n', '/]y', 'one'],
    ['POSIX classes', '/v[[:digit:]]+ one\n', '/v12', 'one'],
    ['looking ahead', '/a/(?!b)[^/]+ one\n', '/a/c', 'one'],
    ['looking ahead, in vain', '/a/(?!b)[^/]+ one\n', '/a/bc', undefined],
    ['<<none>> takes the label', '/a one\n/a <<none>>\n', '/a', undefined],
    ['comments and blank lines say nothing', '  # /a no\n\n\t/a   one  \n', '/a', 'one'],
    ['names that are not ASCII', '/\u00e9.* one\n', Buffer.from('/\u00e9x').toString('latin1'), 'one'],
  ] as const)
    test(why, () => assert.equal(contexts(text).label(path, '-'), label));

  test('a type of file', () => {
    const labels = contexts('/x any\n/x -d directory\n/x -- file\n/x -l link\n');
    assert.deepEqual(
      (['d', '-', 'l', 'p'] as const).map((type) => labels.label('/x', type)),
      ['directory', 'file', 'link', 'any'],
    );
  });

  test('files of the policy in order, and paths that stand for others', () => {
    const labels = policy({
      file_contexts: '/a one\n',
      'file_contexts.local': '/a two\n',
      'file_contexts.homedirs': '/b three\n',
      'file_contexts.subs': '/c /a\n',
      'file_contexts.subs_dist': '/d /b\n',
    });
    assert.equal(labels.label('/a', '-'), 'two');
    assert.deepEqual([labels.alias('/c'), labels.alias('/d'), labels.alias('/a')], ['/a', '/b', undefined]);
  });

  for (const [why, text] of [
    ['a line without a label', '/a\n'],
    ['a type that is none', '/a -x one\n'],
    ['a type without a label', '/a --\n'],
    ['text after the label', '/a one two\n'],
  ] as const)
    test(`refuses ${why}, with its place`, () =>
      assert.throws(() => contexts(`/fine one\n${text}`), {
        code: 'SELINUX_POLICY',
        message: /file_contexts, line 2/,
      }));

  for (const pattern of ['/a(', '/[a', '/a**', '/(?i)a', '/\\pL', '/[a&&b]', '/a\\<b'])
    test(`refuses the expression ${pattern}, with its place`, () =>
      assert.throws(() => contexts(`${pattern}.* one\n`).label('/aaa', '-'), {
        code: 'SELINUX_POLICY',
        message: /file_contexts, line 1/,
      }));

  test('refuses a policy without file_contexts', () => assert.throws(() => policy({}), { code: 'SELINUX_POLICY' }));
});

const CONFIG = 'SELINUX=disabled\n SELINUXTYPE = targeted \n';

function file(text: string): Regular {
  return new Regular(metadata, { kind: 'inline', bytes: Buffer.from(text) });
}

function directory(entries: Record<string, Node>): Directory {
  const made = new Directory(metadata);
  for (const [name, node] of Object.entries(entries)) made.entries.set(name, node);
  return made;
}

function system(fileContexts: string | undefined, more: Record<string, Node> = {}): Directory {
  const usr = directory({});
  usr.mtimeSec = 7n;
  const selinux =
    fileContexts === undefined
      ? {}
      : {
          selinux: directory({
            config: file(CONFIG),
            targeted: directory({ contexts: directory({ files: directory({ file_contexts: file(fileContexts) }) }) }),
          }),
        };
  return directory({
    usr,
    boot: directory({ vmlinuz: file('kernel') }),
    sysroot: directory({ ostree: directory({}) }),
    etc: directory(selinux),
    ...more,
  });
}

const read = ({ content }: Regular): Buffer => (content.kind === 'inline' ? content.bytes : Buffer.alloc(0));
const labelOf = (node: Node | undefined): string | undefined => node?.xattrs.get('security.selinux');

describe('a tree to boot from', () => {
  test('has nothing in /boot and /sysroot, which are as old as /usr', () => {
    const root = system(undefined);
    transformForBoot(root, read);
    for (const name of ['boot', 'sysroot']) {
      const found = root.entries.get(name) as Directory;
      assert.deepEqual([found.entries.size, found.mtimeSec], [0, 7n]);
    }
  });

  test('has no labels without a policy', () => {
    const labelled = file('x');
    labelled.xattrs = new Map([
      ['security.selinux', 'old'],
      ['user.a', 'b'],
    ]);
    const root = system(undefined, { x: labelled });
    transformForBoot(root, read);
    assert.deepEqual([...labelled.xattrs], [['user.a', 'b']]);
  });

  test('is labelled by path and type', () => {
    const root = system('/.* default\n/ root\n/link -l link\n', { link: new Symlink(metadata, 'usr'), x: file('x') });
    transformForBoot(root, read);
    assert.deepEqual([root, root.entries.get('link'), root.entries.get('x'), root.entries.get('boot')].map(labelOf), [
      'root',
      'link',
      'default',
      'default',
    ]);
  });

  test('has inodes of their own for names with different labels', () => {
    const shared = file('shared');
    const root = system('/.* other\n/[ab] same\n', { a: shared, b: shared, c: shared });
    transformForBoot(root, read);
    const [a, b, c] = ['a', 'b', 'c'].map((name) => root.entries.get(name)) as [Node, Node, Node];
    assert.equal(a, b);
    assert.notEqual(a, c);
    assert.deepEqual([a, c].map(labelOf), ['same', 'other']);
  });

  for (const [why, root] of [
    ['no /boot', () => directory({ usr: directory({}), sysroot: directory({}) })],
    ['a file /sysroot', () => directory({ usr: directory({}), boot: directory({}), sysroot: file('') })],
    ['no /usr', () => directory({ boot: directory({}), sysroot: directory({}) })],
  ] as const)
    test(`refuses a tree with ${why}`, () =>
      assert.throws(() => transformForBoot(root(), read), { code: 'NOT_BOOTABLE' }));

  test('refuses a policy that is a symlink, and one without its files', () => {
    const linked = system('');
    (linked.entries.get('etc') as Directory).entries.set('selinux', new Symlink(metadata, '/usr/selinux'));
    assert.throws(() => transformForBoot(linked, read), { code: 'NOT_BOOTABLE' });
    const without = system('');
    ((without.entries.get('etc') as Directory).entries.get('selinux') as Directory).entries.delete('targeted');
    assert.throws(() => transformForBoot(without, read), { code: 'NOT_BOOTABLE', message: /targeted/ });
  });

  test('stops at an expression that takes for ever', { timeout: 120_000 }, () => {
    const root = system('/(a|a)*b one\n', { ['a'.repeat(200)]: file('x') });
    assert.throws(() => transformForBoot(root, read, 100), { code: 'SELINUX_POLICY', message: /take more than/ });
  });
});
