import assert from 'node:assert/strict';
import { openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Fd } from '../../../src/fd/fd.js';
import type { Chunk, LayerStream } from '../../../src/layer/stream.js';
import { surveyLayer } from '../../../src/oci/store/survey.js';
import { withoutLeak } from '../../support/open-fds.js';
import { newFolder } from '../../support/images/source-layout.js';
import { END, header, padded } from '../../support/layers/make-tar.js';

const LARGE = 100_000;

function streamOf(chunks: readonly Chunk[]): LayerStream {
  return {
    async *[Symbol.asyncIterator]() {
      yield chunks;
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

const bytes = (...parts: Buffer[]): Chunk => ({ kind: 'bytes', bytes: Buffer.concat(parts) });

test('what lies in files is told from what is in the stream; a link is neither', async (t) => {
  const path = join(newFolder(t), 'file');
  writeFileSync(path, Buffer.alloc(LARGE));
  await withoutLeak(async () => {
    const survey = await surveyLayer(
      streamOf([
        bytes(header({ name: 'd/', type: '5' }), header({ name: 'd/shared', size: LARGE })),
        { kind: 'fd', fd: new Fd(openSync(path, 'r')), size: LARGE },
        bytes(
          padded(Buffer.alloc(LARGE)).subarray(LARGE),
          header({ name: 'small', size: 5 }),
          padded(Buffer.from('small')),
          header({ name: 'large', size: LARGE }),
          padded(Buffer.alloc(LARGE)),
          header({ name: 'empty' }),
          header({ name: 'link', type: '1', link: 'small' }),
          END,
        ),
      ]),
      undefined,
    );
    assert.deepEqual(survey, { entries: 6, files: 1, fileBytes: LARGE, inlined: 2, inlineBytes: LARGE + 5 });
  });
});

test('what is no tar is refused, and nothing stays open', async (t) => {
  const path = join(newFolder(t), 'file');
  writeFileSync(path, '');
  await withoutLeak(async () => {
    const chunk = (): Chunk => ({ kind: 'fd', fd: new Fd(openSync(path, 'r')), size: 0 });
    await assert.rejects(surveyLayer(streamOf([chunk(), chunk()]), undefined), { code: 'TAR_REFERENCE' });
    const stopped = AbortSignal.abort(new Error('enough'));
    await assert.rejects(surveyLayer(streamOf([chunk(), chunk()]), stopped), /enough/);
  });
});
