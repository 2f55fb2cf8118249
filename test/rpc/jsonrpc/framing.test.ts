import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BridgeError } from '../../../src/errors.js';
import { Connection, fromFd, socketpair, type Fd } from '../../../src/fd/fd-passing.js';
import { FdMessageReader, type MessageLimits } from '../../../src/rpc/jsonrpc/message-reader.js';
import { FdMessageWriter } from '../../../src/rpc/jsonrpc/message-writer.js';
import { withoutLeak } from '../../support/open-fds.js';
import { closeAll, numberedFiles, numbersOf, replay } from '../../support/servers/replay.js';

type Frame = [text: string, fds: number];

/** What a reader makes of these frames followed by the end of data: values and counts, then the error's code. */
async function read(frames: readonly Frame[], limits?: MessageLimits): Promise<unknown[]> {
  return withoutLeak(async () => {
    const [one, other] = socketpair();
    using sender = fromFd(one);
    using receiver = fromFd(other);
    using reader = new FdMessageReader(receiver, limits);
    const files = numberedFiles(Math.max(0, ...frames.map(([, fds]) => fds)));
    const seen: unknown[] = [];
    const reading = (async () => {
      try {
        for (let message; (message = await reader.next()); ) {
          seen.push(message.value['m'], message.fds.length);
          closeAll(message.fds);
        }
        seen.push('end');
      } catch (error) {
        seen.push(error instanceof BridgeError ? error.code : error);
      }
      receiver.close();
    })();
    try {
      for (const [text, fds] of frames) await sender.send(Buffer.from(text, 'latin1'), files.slice(0, fds));
      await sender.shutdown();
    } catch {
      // the reader gave up first
    }
    await reading;
    closeAll(files);
    return seen;
  });
}

const cases: [name: string, frames: Frame[], expected: unknown[], limits?: MessageLimits][] = [
  ['messages back to back', [['{"m":1}{"m":2}\r\n\t {"m":3}', 0]], [1, 0, 2, 0, 3, 0, 'end']],
  ['one byte at a time', [...'{"m":"a\\"}{"} '].map((byte): Frame => [byte, 0]), ['a"}{', 0, 'end']],
  ['brackets and escapes in strings and keys', [['{"}\\\\":[{"]":"\\u007d\\\\"}],"m":7}', 0]], [7, 0, 'end']],
  [
    'descriptors with the message',
    [
      ['{"m":1,"fds":3}', 3],
      ['{"m":2,"fds":1}', 1],
    ],
    [1, 3, 2, 1, 'end'],
  ],
  [
    'continuation on white space',
    [
      ['{"m":1,"fds":5}', 2],
      [' ', 2],
      ['\n', 1],
      ['{"m":2}', 0],
    ],
    [1, 5, 2, 0, 'end'],
  ],
  [
    'descriptors before the end of the object',
    [
      ['{"m":1,', 2],
      ['"fds":2}', 0],
    ],
    [1, 2, 'end'],
  ],
  [
    "the tail of one message in front of the next one's descriptors",
    [
      ['{"m":1,"fds":1', 1],
      ['}', 0],
      ['{"m":2,"fds":2}', 2],
    ],
    [1, 1, 2, 2, 'end'],
  ],
  ['fds: 0 and no fds', [['{"m":1,"fds":0}{"m":2}', 0]], [1, 0, 2, 0, 'end']],
  [
    'other bytes while descriptors are due',
    [
      ['{"m":1,"fds":3}', 1],
      ['{"m":2,"fds":2}', 2],
    ],
    ['MISMATCHED_COUNT'],
  ],
  [
    'form feed is no JSON white space',
    [
      ['{"m":1,"fds":2}', 1],
      ['\f', 1],
    ],
    ['MISMATCHED_COUNT'],
  ],
  ['other bytes right behind a message that waits', [['{"m":1,"fds":1}{', 0]], ['MISMATCHED_COUNT']],
  [
    'end of data while descriptors are due',
    [
      ['{"m":1,"fds":3}', 1],
      [' ', 1],
    ],
    ['MISMATCHED_COUNT'],
  ],
  ['end of data inside a message', [['{"m":1}{"m":', 1]], [1, 0, 'UNEXPECTED_END']],
  ['end of data with descriptors left', [['{"m":1,"fds":1}', 3]], [1, 1, 'MISMATCHED_COUNT']],
  [
    'descriptors of no message',
    [
      [' ', 1],
      [' ', 2],
    ],
    ['MISMATCHED_COUNT'],
  ],
  ...['-1', '1.5', '"1"', 'null', '[]', '1e300', '1048577', '9007199254740993'].map(
    (count): [string, Frame[], unknown[]] => [`fds: ${count}`, [[`{"m":1,"fds":${count}}`, 1]], ['INVALID_FD_COUNT']],
  ),
  ['a batch', [['[{"m":1}]', 1]], ['FRAMING_ERROR']],
  ['a number', [['17 ', 0]], ['FRAMING_ERROR']],
  ['brackets that do not match', [['{"m":[1}}', 1]], ['FRAMING_ERROR']],
  ['not UTF-8', [['{"m":"\xff"}', 1]], ['FRAMING_ERROR']],
  ['a control character in a string', [['{"m":"\n"}', 0]], ['FRAMING_ERROR']],
  ['nested too deep', [['{"m":' + '['.repeat(200), 1]], ['FRAMING_ERROR']],
  ['a message of the longest size', [['{"m":"abcd"}', 0]], ['abcd', 0, 'end'], { maxMessage: 12 }],
  [
    'a message above the longest size',
    [
      ['{"m":"abc', 0],
      ['de"}', 1],
    ],
    ['MESSAGE_TOO_LARGE'],
    { maxMessage: 12 },
  ],
  [
    'more descriptors than any message may have',
    [
      ['{"m":1', 250],
      [' ', 100],
    ],
    ['TOO_MANY_FDS'],
    { maxFds: 50 },
  ],
];

for (const [name, frames, expected, limits] of cases)
  test(`reader: ${name}`, async () => assert.deepEqual(await read(frames, limits), expected));

test('reader: a reply of 16 MB is scanned once, however it is cut', async () => {
  const [one, other] = socketpair();
  using sender = fromFd(one);
  using receiver = fromFd(other);
  const text = Buffer.from(JSON.stringify({ m: 'x'.repeat(16_000_000) }));
  const reader = new FdMessageReader(receiver);
  const sending = sender.send(text);
  const started = performance.now();
  assert.equal((await reader.next())!.value['m'], 'x'.repeat(16_000_000));
  await sending;
  assert.ok(performance.now() - started < 5000);
});

async function frameSizes(
  writer: (connection: Connection) => FdMessageWriter,
  fds: readonly Fd[],
): Promise<{ text: string; counts: number[]; numbers: number[] }> {
  const [one, other] = socketpair();
  using sender = fromFd(one);
  using receiver = fromFd(other);
  await writer(sender).write({ m: 1 }, fds);
  await sender.shutdown();
  let text = '';
  const counts: number[] = [];
  const numbers: number[] = [];
  for await (const segment of receiver) {
    text += segment.bytes.toString();
    counts.push(segment.fds.length);
    numbers.push(...numbersOf(segment.fds));
    closeAll(segment.fds);
  }
  return { text, counts, numbers };
}

test('writer: 701 descriptors leave as 250 + 250 + 201, the rest on one space each', async () => {
  await withoutLeak(async () => {
    const files = numberedFiles(701);
    const { text, counts, numbers } = await frameSizes((connection) => new FdMessageWriter(connection), files);
    assert.equal(text, '{"m":1,"fds":701}  ');
    assert.deepEqual(counts, [250, 250, 201]);
    assert.deepEqual(
      numbers,
      files.map((_, i) => i),
    );
    closeAll(files);
  });
});

test('writer: a kernel that takes fewer descriptors at once gets smaller batches', async () => {
  await withoutLeak(async () => {
    const files = numberedFiles(300);
    const { counts, numbers } = await frameSizes((connection) => {
      const send = connection.send.bind(connection);
      connection.send = async (bytes, fds, options) => {
        if (fds !== undefined && fds.length > 100) throw Object.assign(new Error('EINVAL'), { code: 'EINVAL' });
        await send(bytes, fds, options);
      };
      return new FdMessageWriter(connection);
    }, files);
    assert.deepEqual(counts, [63, 63, 63, 63, 48]);
    assert.deepEqual(
      numbers,
      files.map((_, i) => i),
    );
    closeAll(files);
  });
});

test('replayed frames of another batch size are understood', async () => {
  await withoutLeak(async () => {
    const [one, other] = socketpair();
    using sender = fromFd(one);
    using receiver = fromFd(other);
    const files = numberedFiles(701);
    const reader = new FdMessageReader(receiver);
    const next = reader.next();
    const text = Buffer.from('{"m":1,"fds":701}  ');
    await replay(
      sender,
      text,
      [
        { bytes: 17, fds: 250 },
        { bytes: 1, fds: 250 },
        { bytes: 1, fds: 201 },
      ],
      files,
    );
    closeAll(files);
    const message = (await next)!;
    assert.deepEqual(
      numbersOf(message.fds),
      files.map((_, i) => i),
    );
    closeAll(message.fds);
  });
});
