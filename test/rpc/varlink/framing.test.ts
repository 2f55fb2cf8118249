import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BridgeError } from '../../../src/errors.js';
import { fromFd, socketpair } from '../../../src/fd/fd-passing.js';
import { VarlinkReader, type VarlinkLimits } from '../../../src/rpc/varlink/message-reader.js';
import { withoutLeak } from '../../support/open-fds.js';
import { closeAll, numberedFiles, numbersOf } from '../../support/servers/replay.js';

type Frame = [text: string, fds: number];

/**
 * What a reader makes of these sends followed by the end of data: the value of `m` and the files of each message, then
 * the error's code.
 */
async function read(frames: readonly Frame[], limits?: VarlinkLimits): Promise<unknown[]> {
  return withoutLeak(async () => {
    const [one, other] = socketpair();
    using sender = fromFd(one);
    using receiver = fromFd(other);
    using reader = new VarlinkReader(receiver, limits);
    const files = numberedFiles(frames.reduce((sum, [, fds]) => sum + fds, 0));
    const seen: unknown[] = [];
    const reading = (async () => {
      try {
        for (let message; (message = await reader.next()); ) {
          seen.push(message.value['m'], numbersOf(message.fds).join());
          closeAll(message.fds);
        }
        seen.push('end');
      } catch (error) {
        seen.push(error instanceof BridgeError ? error.code : error);
      }
      receiver.close();
    })();
    try {
      let next = 0;
      for (const [text, fds] of frames)
        await sender.send(Buffer.from(text, 'latin1'), files.slice(next, (next += fds)));
      await sender.shutdown();
    } catch {
      // the reader gave up first
    }
    await reading;
    closeAll(files);
    return seen;
  });
}

const deep = (depth: number): string => `{"m":1,"d":${'['.repeat(depth)}${']'.repeat(depth)}}\0`;

const cases: [name: string, frames: Frame[], expected: unknown[], limits?: VarlinkLimits][] = [
  [
    'messages back to back',
    [
      ['{"m":1}\0{"m":2}\0', 0],
      ['{"m":3}\0', 0],
    ],
    [1, '', 2, '', 3, '', 'end'],
  ],
  ['one byte at a time', [...'{"m":"\\u0000}"}\0'].map((byte): Frame => [byte, 0]), ['\0}', '', 'end']],
  [
    'descriptors of several messages that were sent before any was read',
    [
      ['{"m":1}\0', 1],
      ['{"m":2}\0', 2],
      ['{"m":3}\0', 0],
      ['{"m":4}\0', 1],
    ],
    [1, '0', 2, '1,2', 3, '', 4, '3', 'end'],
  ],
  [
    'a message without descriptors in front of one with them, in one receive',
    [
      ['{"m":1}\0', 0],
      ['{"m":2}\0', 2],
    ],
    [1, '', 2, '0,1', 'end'],
  ],
  [
    'two messages in one send: its descriptors belong to the last byte',
    [['{"m":1}\0{"m":2}\0', 1]],
    [1, '', 2, '0', 'end'],
  ],
  [
    'descriptors with the first bytes of a message in pieces',
    [
      ['{"m":1}\0', 0],
      ['{"m"', 2],
      [':2}', 0],
      ['\0{"m":3}\0', 0],
    ],
    [1, '', 2, '0,1', 3, '', 'end'],
  ],
  [
    'descriptors in several pieces of one message',
    [
      ['{"m"', 1],
      [':1}', 1],
      ['\0', 1],
    ],
    [1, '0,1,2', 'end'],
  ],
  ['white space around a message', [[' {"m":1} \n\0', 0]], [1, '', 'end']],
  [
    'too many descriptors in a message that never ends',
    [
      ['{"m":', 3],
      ['"', 3],
      ['"', 3],
    ],
    ['TOO_MANY_FDS'],
    { maxFds: 5 },
  ],
  ['too many descriptors with one message', [['{"m":1}\0', 6]], ['TOO_MANY_FDS'], { maxFds: 5 }],
  ['a message that is too long', [['{"m":"0123456789"}\0', 0]], ['MESSAGE_TOO_LARGE'], { maxMessage: 16 }],
  [
    'a message that never ends',
    [
      ['{"m":"', 1],
      ['0123456789', 0],
      ['0123456789', 0],
    ],
    ['MESSAGE_TOO_LARGE'],
    { maxMessage: 16 },
  ],
  ['a message that is just short enough', [['{"m":"012345678"}\0', 0]], ['012345678', '', 'end'], { maxMessage: 17 }],
  ['nothing but the end of a message', [['\0', 1]], ['FRAMING_ERROR']],
  ['an array', [['[{"m":1}]\0', 0]], ['FRAMING_ERROR']],
  ['two objects before the NUL', [['{"m":1}{"m":2}\0', 0]], ['FRAMING_ERROR']],
  ['no UTF-8', [['{"m":"\xff"}\0', 0]], ['FRAMING_ERROR']],
  ['a deep message', [[deep(100), 0]], [1, '', 'end']],
  ['a message that is too deep', [[deep(100_000), 0]], ['FRAMING_ERROR']],
  ['the end of data inside a message', [['{"m":1}\0{"m":', 2]], [1, '', 'UNEXPECTED_END']],
  ['the end of data before the NUL', [['{"m":1}', 0]], ['UNEXPECTED_END']],
];

for (const [name, frames, expected, limits] of cases) {
  test(name, async () => {
    assert.deepEqual(await read(frames, limits), expected);
  });
}

test('253 descriptors with one message', async () => {
  const all = Array.from({ length: 253 }, (_, index) => index).join();
  assert.deepEqual(
    await read([
      ['{"m":1}\0', 253],
      ['{"m":2}\0', 0],
    ]),
    [1, all, 2, '', 'end'],
  );
});
