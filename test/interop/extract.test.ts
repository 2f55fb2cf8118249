// Layers are unpacked as skopeo unpacks them: every file with its metadata, tar-split, and what is recorded of each.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { BridgeError } from '../../src/errors.js';
import { writeLayout } from '../support/images/oci-layout.js';
import { tarOf } from '../support/layers/case-tar.js';
import { extractTo } from '../support/layers/extract-to.js';
import { folders, marks } from '../support/layers/layer-cases.js';
import { tarStream } from '../support/layers/streams.js';
import { joinedSegments } from '../support/layers/tar-split-lines.js';
import { listTree, type Shown } from '../support/list-tree.js';
import { oddLayers } from './odd-images.js';
import { inTree, SharedFolder, whyNoPeers } from './peers.js';
import { unpackedLayers } from './unpacked-layers.js';

/** The record of a layer in the store. */
interface LayerRecord {
  id: string;
  'diff-digest': string;
  'diff-size': number;
  uidset?: number[];
  gidset?: number[];
}

/** What the storage of skopeo 1.22 cannot unpack, and that of 1.65 can. */
const LATER: readonly string[] = ['missing folders behind links'];
/** What skopeo takes and we do not. */
const REFUSED: readonly string[] = ['no-end-short-0', 'pax-sparse-0'];
/** Of links with a size, tar-split of skopeo says that size, and podman cannot put the tar together again. */
const SIZED: readonly string[] = ['sized-links-0'];

const layers: Record<string, Buffer> = { ...unpackedLayers };
for (const [name, tars] of Object.entries(oddLayers))
  for (const [index, tar] of tars.entries()) layers[`${name}-${index}`] = tar;
for (const [index, { what, layers: texts }] of [...marks, ...folders].entries())
  for (const [layer, text] of texts.entries()) layers[`${what} (case ${index}, layer ${layer})`] = tarOf(text);
// Different ones only: an image of the same layer has the same id.
const distinct = new Map(Object.entries(layers).map(([what, tar]) => [digest(tar), { what, tar }]));

function digest(tar: Buffer): string {
  return createHash('sha256').update(tar).digest('hex');
}

describe('layers that skopeo unpacks', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  /** which skopeo could unpack, and what it said of the others */
  const unpacked = new Map<string, string>();
  let records: LayerRecord[];

  before(() => {
    folder = new SharedFolder();
    for (const [id, { tar }] of distinct) writeLayout(join(folder.path, 'layouts', id), [tar]);
    const store = `[overlay@${folder.inside}/store+${folder.inside}/run]`;
    inTree(
      'sh',
      '-c',
      `cd ${folder.inside}/layouts; umask 22; for id in *; do
        skopeo --insecure-policy copy -q "oci:$id:image" "containers-storage:${store}localhost/$id:1" 2> ../$id.log
        echo $? > ../$id.status; done`,
    );
    for (const id of distinct.keys()) {
      const status = readFileSync(join(folder.path, `${id}.status`), 'utf8').trim();
      unpacked.set(id, status === '0' ? '' : readFileSync(join(folder.path, `${id}.log`), 'utf8'));
    }
    records = JSON.parse(readFileSync(join(folder.path, 'store/overlay-layers/layers.json'), 'utf8')) as LayerRecord[];
  });
  after(() => folder[Symbol.dispose]());

  for (const [id, { what, tar }] of distinct) {
    test(what, async () => {
      const diff = join(folder.path, `${id}.diff`);
      const tarSplit = join(folder.path, `${id}.tar-split`);
      mkdirSync(diff, { mode: 0o555 });
      const umask = process.umask(0o022);
      const refused = unpacked.get(id) as string;
      try {
        const extracted = await extractTo(tarStream(tar), diff, tarSplit);
        if (refused !== '' && LATER.includes(what)) return;
        assert.equal(refused, '', 'skopeo refuses it');
        assert.ok(!REFUSED.includes(what), 'it is not refused any more');
        const record = records.find((one) => one['diff-digest'] === `sha256:${id}`) ?? assert.fail('no record');
        const theirs = join(folder.path, 'store/overlay', record.id, 'diff');
        assert.equal(accessed(diff), accessed(theirs));
        assert.deepEqual(comparable(diff), comparable(theirs));
        assert.deepEqual(
          [extracted.diffId, extracted.size, extracted.uids, extracted.gids],
          [record['diff-digest'], record['diff-size'], record.uidset ?? [], record.gidset ?? []],
        );
        const podmans = join(folder.path, `store/overlay-layers/${record.id}.tar-split.gz`);
        if (!SIZED.includes(what)) assert.deepEqual(recipe(tarSplit), recipe(podmans));
      } catch (error) {
        if ((refused === '' && !REFUSED.includes(what)) || !(error instanceof BridgeError)) throw error;
      } finally {
        process.umask(umask);
      }
    });
  }
});

const recipe = (path: string): unknown[] => joinedSegments(gunzipSync(readFileSync(path)).toString('latin1'));

/** When the first of two folders was made; what has no time in the tar has that of unpacking. */
function comparable(folder: string): Map<string, Shown> {
  const start = BigInt(Date.now() - 3_600_000) * 1_000_000n;
  const shown = listTree(folder);
  for (const one of shown.values()) if (one.mtime > start && one.mtime < start * 2n) one.mtime = 0n;
  return shown;
}

/** Times of access and change of what nobody has read yet: folders are, when names in them are looked for, and links. */
function accessed(folder: string): string {
  return execFileSync(
    'find',
    ['.', '-not', '(', '-type', 'd', '-o', '-type', 'c', '-o', '-type', 'l', ')', '-printf', '%P\\t%A@\\t%T@\\n'],
    {
      cwd: folder,
      encoding: 'latin1',
    },
  )
    .split('\n')
    .sort()
    .join('\n');
}
