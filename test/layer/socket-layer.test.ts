import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Fd, openDirectoryPath } from '../../src/fd/fd.js';
import { fromFd, socketpair, type Connection } from '../../src/fd/fd-passing.js';
import { receivedLayer, sendLayer, untilReleased, type SendLayerOptions } from '../../src/layer/socket-layer.js';
import type { Chunk, LayerStream } from '../../src/layer/stream.js';
import { drain, tarDigest } from '../support/layers/streams.js';
import { END, header, padded } from '../support/layers/make-tar.js';
import { withoutLeak } from '../support/open-fds.js';
import { scratch } from '../support/scratch.js';

const FILES = 600;
const MIB = 1 << 20;

interface Ends {
  sender: Connection;
  receiver: Connection;
}

function ends(): Ends {
  const [one, other] = socketpair();
  return { sender: fromFd(one), receiver: fromFd(other) };
}

/** A layer of these batches. @param disposed is told */
function layerOf(batches: AsyncIterable<readonly Chunk[]>, disposed = (): void => {}): LayerStream {
  return {
    [Symbol.asyncIterator]: () => batches[Symbol.asyncIterator](),
    [Symbol.asyncDispose]: async () => disposed(),
  };
}

/** What tar bytes there are before a file, and behind it. */
function around(name: string, size: number): [before: Chunk, after: Chunk] {
  const rest = (512 - (size % 512)) % 512;
  return [
    { kind: 'bytes', bytes: header({ name, size }) },
    { kind: 'bytes', bytes: Buffer.alloc(rest) },
  ];
}

/** Sends a layer as a server does, and gives what arrives to `receive`. */
async function send<T>(
  layer: LayerStream,
  options: SendLayerOptions,
  receive: (layer: LayerStream) => Promise<T>,
): Promise<[T, unknown]> {
  const { sender, receiver } = ends();
  using sending = sender;
  const sent = sendLayer(layer, sending, options)
    .then(() => untilReleased(sending))
    .then(
      () => undefined,
      (error: unknown) => {
        sending.close();
        return error;
      },
    );
  const result = await receive(receivedLayer(receiver));
  const failure = await sent;
  await layer[Symbol.asyncDispose]();
  return [result, failure];
}

for (const [how, options, kinds] of [
  ['files go by name', {}, ['bytes', 'named']],
  ['files that the other end may not open go open', { mayOpen: () => false }, ['bytes', 'fd']],
] as const)
  test(`${how}, more than one message has room for`, async (t) => {
    const folder = scratch(t);
    const hash = createHash('sha256');
    for (const name of ['a', 'b']) mkdirSync(join(folder, name));
    for (let i = 0; i < FILES; i++) {
      const content = Buffer.from(`file ${i}`.repeat(20));
      writeFileSync(join(folder, i % 2 === 0 ? 'a' : 'b', String(i)), content);
      hash.update(header({ name: String(i), size: content.length }));
      hash.update(padded(content));
    }
    const expected = hash.update(END).digest('hex');

    async function* batches(dirs: readonly [Fd, Fd]): AsyncGenerator<readonly Chunk[]> {
      let batch: Chunk[] = [];
      for (let i = 0; i < FILES; i++) {
        const size = `file ${i}`.length * 20;
        const [before, after] = around(String(i), size);
        batch.push(before, { kind: 'named', dir: dirs[i % 2 === 0 ? 0 : 1], name: String(i), size }, after);
        if (i % 280 === 279) {
          yield batch;
          batch = [];
        }
      }
      yield [...batch, { kind: 'bytes', bytes: END }];
    }

    await withoutLeak(async () => {
      const dirs = [openDirectoryPath(join(folder, 'a')), openDirectoryPath(join(folder, 'b'))] as const;
      let progress = 0;
      const seen = new Set<string>();
      const [digest, failure] = await send(
        layerOf(batches(dirs), () => dirs.forEach((dir) => dir.close())),
        { ...options, onProgress: (bytes) => (progress = bytes) },
        (layer) => tarDigest(watched(layer, ({ kind }) => seen.add(kind))),
      );
      assert.equal(failure, undefined);
      assert.equal(digest, expected);
      assert.deepEqual([...seen].sort(), [...kinds]);
      assert.ok(progress > FILES * 512);
    });
  });

test('content of more than 256 MiB without a file arrives', async () => {
  const size = 300 * MIB;
  const piece = Buffer.alloc(MIB, 7);
  const hash = createHash('sha256').update(header({ name: 'large', size }));
  for (let i = 0; i < 300; i++) hash.update(piece);
  const expected = hash.update(END).digest('hex');
  async function* batches(): AsyncGenerator<readonly Chunk[]> {
    yield [{ kind: 'bytes', bytes: header({ name: 'large', size }) }];
    for (let i = 0; i < 300; i++) yield [{ kind: 'bytes', bytes: piece }];
    yield [{ kind: 'bytes', bytes: END }];
  }
  const [digest, failure] = await send(layerOf(batches()), {}, tarDigest);
  assert.equal(failure, undefined);
  assert.equal(digest, expected);
});

test('names lead where they led until the layer is released there', async (t) => {
  const folder = scratch(t, { file: 'x'.repeat(600) });
  const { sender, receiver } = ends();
  using sending = sender;
  using dir = openDirectoryPath(folder);
  async function* batches(): AsyncGenerator<readonly Chunk[]> {
    const [before, after] = around('file', 600);
    yield [before, { kind: 'named', dir, name: 'file', size: 600 }, after, { kind: 'bytes', bytes: END }];
  }
  let released = false;
  await sendLayer(layerOf(batches()), sending);
  const end = untilReleased(sending).then(() => (released = true));
  const layer = receivedLayer(receiver);
  const chunks: Chunk[] = [];
  for await (const batch of layer) chunks.push(...batch);
  assert.deepEqual(
    chunks.filter(({ kind }) => kind === 'named').map((chunk) => ({ ...chunk, dir: undefined })),
    [{ kind: 'named', dir: undefined, name: 'file', size: 600 }],
  );
  assert.equal(released, false);
  await layer[Symbol.asyncDispose]();
  await end;
});

test('what blob the tar came out of is known at its end', async () => {
  const blob = { digest: `sha256:${'a'.repeat(64)}`, size: 12345, compression: 'gzip' } as const;
  async function* batches(): AsyncGenerator<readonly Chunk[]> {
    yield [{ kind: 'bytes', bytes: END }];
  }
  const layer = { ...layerOf(batches()), blob };
  const [found] = await send(layer, {}, async (received) => {
    assert.equal(received.blob, undefined);
    await drain(received);
    return received.blob;
  });
  assert.deepEqual(found, blob);
});

test('who wants no more of a layer leaves its sender no descriptor', async (t) => {
  const folder = scratch(t, { file: 'x'.repeat(600) });
  async function* batches(): AsyncGenerator<readonly Chunk[]> {
    for (;;) {
      const [before, after] = around('file', 600);
      const file: Chunk = { kind: 'fd', fd: new Fd(openSync(join(folder, 'file'), 'r')), size: 600 };
      yield [before, file, after];
    }
  }
  await withoutLeak(async () => {
    const [, failure] = await send(layerOf(batches()), {}, async (layer) => {
      const first = await layer[Symbol.asyncIterator]().next();
      if (!first.done) for (const chunk of first.value) if (chunk.kind === 'fd') chunk.fd.close();
      await layer[Symbol.asyncDispose]();
    });
    assert.equal((failure as { code?: string }).code, 'PEER_GONE');
  });
});

test('a layer that its sender cannot read on is cut short', async () => {
  async function* batches(): AsyncGenerator<readonly Chunk[]> {
    yield [{ kind: 'bytes', bytes: header({ name: 'file', size: 10_000 }) }];
    yield [{ kind: 'bytes', bytes: Buffer.alloc(100) }];
    throw new Error('gone');
  }
  const [outcome, failure] = await send(
    layerOf(batches()),
    {},
    async (layer) => await drain(layer).then(() => 'ended', String),
  );
  assert.match(outcome, /the stream ends in the middle of a chunk/);
  assert.match(String(failure), /gone/);
});

function watched(layer: LayerStream, visit: (chunk: Chunk) => void): LayerStream {
  return {
    async *[Symbol.asyncIterator]() {
      for await (const batch of layer) {
        batch.forEach(visit);
        yield batch;
      }
    },
    [Symbol.asyncDispose]: () => layer[Symbol.asyncDispose](),
  };
}
