// Who may do what with whose repository through the varlink service: the table of methods in docs/security.md, a test
// for each cell.
import assert from 'node:assert/strict';
import { openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect, Fd } from '../../src/fd/fd-passing.js';
import { VarlinkConnection } from '../../src/rpc/varlink/client.js';
import type { ReceivedVarlinkReply } from '../../src/rpc/varlink/client.js';
import { VarlinkRemoteError } from '../../src/rpc/varlink/varlink-error.js';
import { ociInterface, ociMethods } from '../../src/rpc/contracts/oci.js';
import { ostreeInterface, ostreeMethods } from '../../src/rpc/contracts/ostree.js';
import { repositoryInterface, repositoryMethods } from '../../src/rpc/contracts/repository.js';
import { whyNoAttacker } from './attack.js';
import { AttackedServer } from './server.js';
import { giveAway } from './stranger-repository.js';
import {
  copyOf,
  emptyDelta,
  noMount,
  original,
  removeOriginal,
  rowsOf,
  startSummaries,
  trustTable,
  type Made,
} from './trust-table.js';

const skip = whyNoAttacker();
const summaries = await startSummaries();
after(() => summaries.close());

interface Cell {
  client: VarlinkConnection;
  handle: number;
  /** of the repository */
  path: string;
  made: Made;
}

type Method = [name: string, call: (cell: Cell) => Promise<unknown>];

const METHODS: Record<'writes' | 'reads' | 'sends' | 'mounts', Method[]> = {
  writes: [
    ['InitRepository', ({ client, path }) => client.call(repositoryMethods.InitRepository, { path, insecure: true })],
    [
      'EnsureRepository',
      ({ client, path }) => client.call(repositoryMethods.EnsureRepository, { path, insecure: true }),
    ],
    ['Gc', ({ client, handle }) => client.call(repositoryMethods.Gc, { handle, dry_run: false, roots: [] })],
    [
      'Tag',
      ({ client, handle, made }) =>
        client.call(ociMethods.Tag, { handle, manifest_digest: made.manifest, name: 'other' }),
    ],
    ['Untag', ({ client, handle }) => client.call(ociMethods.Untag, { handle, name: 'image' })],
    [
      'Pull',
      ({ client, handle, made }) =>
        client.call(ociMethods.Pull, {
          handle,
          image: `oci:${made.layout}`,
          name: 'again',
          local_fetch: 'disabled',
          bootable: false,
        }),
    ],
    ['PutLayer', ({ client, handle, made }) => putLayer(client, handle, made)],
    ['FinalizeImage', (cell) => finalizeImage(cell)],
    [
      'Ostree.Pull',
      ({ client, handle, made }) =>
        client.call(ostreeMethods.Pull, { handle, place: join(made.folder, 'ostree'), ref: 'other' }),
    ],
    [
      'Ostree.ApplyDelta',
      ({ client, handle, made }) => client.call(ostreeMethods.ApplyDelta, { handle, path: emptyDelta(made.folder) }),
    ],
    ['Ostree.ListRefs', ({ client, handle }) => client.call(ostreeMethods.ListRefs, { handle, url: summaries.url })],
    ['Ostree.Commit', ({ client, handle }) => client.call(ostreeMethods.Commit, { handle, source: 'refs/web' })],
    ['Ostree.Tag', ({ client, handle }) => client.call(ostreeMethods.Tag, { handle, commit: 'commit', name: 'copy' })],
    ['Ostree.Untag', ({ client, handle }) => client.call(ostreeMethods.Untag, { handle, name: 'commit' })],
  ],
  reads: [
    ['OpenRepository', ({ client, path }) => client.call(repositoryMethods.OpenRepository, { path })],
    ['CloseRepository', ({ client, handle }) => client.call(repositoryMethods.CloseRepository, { handle })],
    ['Fsck', ({ client, handle }) => client.call(repositoryMethods.Fsck, { handle })],
    [
      'Gc with dry_run',
      ({ client, handle }) => client.call(repositoryMethods.Gc, { handle, dry_run: true, roots: [] }),
    ],
    ['ImageObjects', ({ client, handle }) => client.call(repositoryMethods.ImageObjects, { handle, name: 'refs/web' })],
    ['ListImageRefs', ({ client, handle }) => client.call(repositoryMethods.ListImageRefs, { handle })],
    ['ListImages', ({ client, handle }) => client.call(ociMethods.ListImages, { handle })],
    ['Check', ({ client, handle }) => client.call(ociMethods.Check, { handle })],
    ['Inspect', ({ client, handle }) => client.call(ociMethods.Inspect, { handle, image: 'image' })],
    ['HasLayer', ({ client, handle, made }) => client.call(ociMethods.HasLayer, { handle, diff_id: made.diffId })],
    ['Ostree.ListCommits', ({ client, handle }) => client.call(ostreeMethods.ListCommits, { handle })],
    ['Ostree.Inspect', ({ client, handle }) => client.call(ostreeMethods.Inspect, { handle, commit: 'commit' })],
    [
      'Ostree.ListObjects',
      async ({ client, handle }) => {
        let last: unknown;
        for await (last of client.callMore(ostreeMethods.ListObjects, { handle, commit: 'commit' }));
        return last;
      },
    ],
    [
      'Ostree.Dump',
      async ({ client, handle }) => {
        let last: unknown;
        for await (last of client.callMore(ostreeMethods.Dump, { handle, commit: 'commit' }));
        return last;
      },
    ],
    ['Ostree.ComputeId', ({ client, handle }) => client.call(ostreeMethods.ComputeId, { handle, commit: 'commit' })],
  ],
  sends: [
    [
      'ComputeId',
      ({ client, handle }) => client.call(ociMethods.ComputeId, { handle, image: 'image', bootable: false }),
    ],
    [
      'GetLayer',
      ({ client, handle, made }) =>
        client.call(ociMethods.GetLayer, {
          handle,
          params: { diff_id: made.diffId, consumer_has_cap_dac_override: false },
        }),
    ],
    [
      'Ostree.Export',
      ({ client, handle, made }) =>
        client.call(ostreeMethods.Export, { handle, commit: 'commit', path: join(made.folder, 'bare') }),
    ],
  ],
  mounts: [
    ['Mount', ({ client, handle }) => client.call(repositoryMethods.Mount, { handle, name: 'refs/web', options: {} })],
    [
      'OciMount',
      ({ client, handle }) =>
        client.call(ociMethods.OciMount, { handle, image: 'image', bootable: false, options: {} }),
    ],
    [
      'Ostree.Mount',
      ({ client, handle }) => client.call(ostreeMethods.Mount, { handle, commit: 'commit', options: {} }),
    ],
  ],
};

/** The layer is there already, so that nothing is read. */
async function putLayer(client: VarlinkConnection, handle: number, { folder, diffId }: Made): Promise<unknown> {
  writeFileSync(join(folder, 'empty'), '');
  using stream = new Fd(openSync(join(folder, 'empty'), 'r'));
  using directory = new Fd(openSync(folder, 'r'));
  return await client.call(
    ociMethods.PutLayer,
    { handle, diff_id: diffId, zerocopy: false },
    { fds: [stream, directory] },
  );
}

async function finalizeImage({ client, handle, made: { diffId } }: Cell): Promise<unknown> {
  const { manifest, config } = (await client.call(ociMethods.Inspect, { handle, image: 'image' })).parameters;
  const { layer_verity: verity } = (await client.call(ociMethods.HasLayer, { handle, diff_id: diffId })).parameters;
  return await client.call(ociMethods.FinalizeImage, {
    handle,
    manifest_json: manifest,
    config_json: config,
    layers: [{ diff_id: diffId, layer_verity: verity ?? '' }],
    name: 'copy',
  });
}

const TRUST = {
  own: [false, false],
  'a stranger’s': [true, false],
  'a stranger’s, CFSBRIDGE_TRUST': [true, true],
} as const;

/** Without CFSBRIDGE_TRUST, and with it. */
const servers: AttackedServer[] = [];
before(async () => {
  if (skip !== false) return;
  const { folder } = original();
  // All copies have names of this kind.
  const trusted = Array.from({ length: 200 }, (_, index) => join(folder, `cell-${index}`)).join(':');
  for (const [name, trust] of [
    ['plain', ''],
    ['trusting', trusted],
  ] as const)
    servers.push(await AttackedServer.start(folder, ['varlink'], ['env', `CFSBRIDGE_TRUST=${trust}`], name));
});
after(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
  removeOriginal();
});

for (const kind of rowsOf(METHODS))
  for (const [name, call] of METHODS[kind])
    for (const [owner, [stranger, trust]] of Object.entries(TRUST))
      test(`${name}: ${owner}`, { skip: skip || (kind === 'mounts' && noMount) }, async () => {
        const made = original();
        const path = copyOf(made);
        try {
          if (stranger) giveAway(path);
          using client = new VarlinkConnection(await connect(servers[trust ? 1 : 0]!.socket));
          const { handle } = (await client.call(repositoryMethods.OpenRepository, { path })).parameters;
          const result = await call({ client, handle, path, made }).catch((error: unknown) => error);
          if (stranger && !trust && (kind === 'writes' || kind === 'mounts')) {
            assert.ok(result instanceof VarlinkRemoteError, `${name} was not refused`);
            assert.match(String(result.parameters['message']), /belongs to user 12345 and neither to root nor to you/);
          } else {
            if (result instanceof Error) throw result;
            (result as ReceivedVarlinkReply<object>).fds.forEach((fd) => fd.close());
          }
        } finally {
          rmSync(path, { recursive: true, force: true });
        }
      });

test('the table has every method, and each of its cells is tried', () => {
  const { rows, others } = trustTable('method');
  assert.deepEqual(
    rows,
    rowsOf(METHODS).map((kind) => METHODS[kind].map(([name]) => name)),
  );
  const named = ({ description }: { description: string }, prefix = ''): string[] =>
    [...description.matchAll(/^method (\w+)/gm)].map(([, name]) => `${prefix}${name}`);
  const methods = new Set([
    ...[repositoryInterface, ociInterface].flatMap((each) => named(each)),
    ...named(ostreeInterface, 'Ostree.'),
  ]);
  assert.deepEqual(
    [
      ...new Set(rows.flat().map((name) => name.replace(' with dry_run', ''))),
      ...others.filter((name) => name === 'GetInfo'),
    ].sort(),
    [...methods].sort(),
  );
});
