// A real conversation and a real layer, cut after every byte: by a peer that vanishes, or a server that was killed.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { HostileBench } from '../support/faults/hostile-bench.js';
import { BridgeError } from '../../src/errors.js';
import type { Fd } from '../../src/fd/fd-passing.js';
import { pullImage } from '../../src/oci/pull/pull.js';
import { openSplitfdstreamImage } from '../../src/oci/source/splitfdstream.js';
import { Repository } from '../../src/repository/repository.js';
import { FEATURE_SPLITDIRFDSTREAM } from '../../src/rpc/contracts/features.js';
import { FEATURE_EXACT } from '../../src/rpc/contracts/splitfdstream.js';
import { withoutLeak } from '../support/open-fds.js';
import { namesIn } from '../support/faults/check-repository.js';
import { scripted, type Answer, type Script } from '../support/servers/scripted-server.js';
import { directoryStream, fileStream, imageAnswer, opened, pipeWith } from '../support/images/tiny-image.js';

const bench = new HostileBench('truncated');
const file = (): Fd => opened(join(bench.tree, 'usr/a'));

type Form = 'directory' | 'exact';

/** What the server says to each method, with the layer's stream cut after so many bytes. */
function answers(form: Form, cut = Infinity): { method: string; result: object; fds: () => Fd[] }[] {
  const bytes = form === 'directory' ? directoryStream() : fileStream();
  const stream = (): Fd => pipeWith(bytes.subarray(0, cut));
  return [
    {
      method: 'GetInfo',
      result: { features: form === 'directory' ? [FEATURE_EXACT, FEATURE_SPLITDIRFDSTREAM] : [FEATURE_EXACT] },
      fds: () => [],
    },
    { method: 'GetImage', result: imageAnswer(), fds: () => [] },
    form === 'directory'
      ? {
          method: 'GetSplitFDStream',
          result: { format: FEATURE_SPLITDIRFDSTREAM, dirCount: 1, exact: true },
          fds: () => [stream(), bench.root(), pipeWith(Buffer.alloc(0))],
        }
      : {
          method: 'GetSplitFDStream',
          result: { streamSize: bytes.length, exact: true },
          fds: () => [stream(), file()],
        },
  ];
}

/** Pulls until the script ends it; the outcome is the error's code, or undefined. */
async function outcome(script: Script): Promise<string | undefined> {
  using repository = await Repository.open(bench.repository, { write: true });
  await using server = await scripted(bench.folder, script);
  try {
    await using source = await openSplitfdstreamImage(server.path, 'image', { silenceLimit: 5000 });
    await pullImage(repository, source, { name: 'tag' });
    return undefined;
  } catch (error) {
    assert.ok(error instanceof BridgeError, `${String(error)} is no typed error`);
    return error.code;
  }
}

/**
 * Cuts inside a run of tar bytes are all alike: frames are up to 32 bytes long and lie around the head's 1024 bytes.
 */
const STEP = 17;
const isTarOnly = (cut: number): boolean => cut > 16 && !(cut > 1016 && cut < 1080);

for (const form of ['directory', 'exact'] as const) {
  test(`${form}: messages cut after every byte`, () =>
    withoutLeak(async () => {
      for (const [number, { method, result, fds }] of answers(form).entries()) {
        const message = Buffer.from(
          JSON.stringify({
            jsonrpc: '2.0',
            id: number + 1,
            result,
            fds: fds().map((fd) => fd.close()).length || undefined,
          }),
        );
        for (let cut = 0; cut < message.length; cut++) {
          const script = Object.fromEntries(
            answers(form).map((answer): [string, () => Answer] => [
              answer.method,
              () =>
                answer.method === method
                  ? cut === 0
                    ? 'gone'
                    : { raw: message.subarray(0, cut), fds: fds(), gone: true }
                  : { result: answer.result, fds: answer.fds() },
            ]),
          );
          const code = await outcome(script);
          assert.ok(code === 'PEER_GONE' || code === 'UNEXPECTED_END', `${method} cut at ${cut}: ${code}`);
        }
      }
      assert.deepEqual(namesIn(bench.repository), []);
    }));

  test(`${form}: a layer cut after every byte of its frames, and every so often inside the tar`, () =>
    withoutLeak(async () => {
      const { length } = form === 'directory' ? directoryStream() : fileStream();
      for (let cut = 0; cut < length; cut += isTarOnly(cut) ? STEP : 1) {
        const script = Object.fromEntries(
          answers(form, cut).map(({ method, result, fds }) => [method, () => ({ result, fds: fds() })]),
        );
        assert.notEqual(await outcome(script), undefined, `cut at ${cut} of ${length}`);
      }
      assert.deepEqual(namesIn(bench.repository), []);
    }));
}
