import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Fd, fromFd, socketpair, type Connection } from '../../../src/fd/fd-passing.js';
import { JsonRpcConnection } from '../../../src/rpc/jsonrpc/connection.js';
import type { MessageLimits } from '../../../src/rpc/jsonrpc/message-reader.js';

const fixtures = new URL('../../../../fixtures/splitfdstream/', import.meta.url);

export function fixture(name: string): Buffer {
  return readFileSync(new URL(name, fixtures));
}

/** A client and the bare socket of the server it talks to. */
export function clientAndSocket(limits?: MessageLimits): [JsonRpcConnection, Connection] {
  const [one, other] = socketpair();
  return [new JsonRpcConnection(fromFd(one), limits), fromFd(other)];
}

/** `count` open files, each with its number as content. */
export function numberedFiles(count: number): Fd[] {
  const folder = mkdtempSync(join(tmpdir(), 'numbered-'));
  try {
    return Array.from({ length: count }, (_, i) => {
      writeFileSync(join(folder, String(i)), String(i));
      return new Fd(openSync(join(folder, String(i)), 'r'));
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export function closeAll(fds: readonly Fd[]): void {
  for (const fd of fds) fd.close();
}

export function numbersOf(fds: readonly Fd[]): number[] {
  return fds.map((fd) => Number(readFileSync(`/proc/self/fd/${fd.number}`, 'latin1')));
}

/** Sends recorded bytes as the server did: each frame on its own, with so many descriptors. */
export async function replay(
  socket: Connection,
  bytes: Buffer,
  frames: readonly { bytes: number; fds: number }[],
  fds: readonly Fd[],
): Promise<void> {
  let offset = 0;
  let next = 0;
  for (const frame of frames) {
    const part = bytes.subarray(offset, (offset += frame.bytes));
    if (part.length > 0) await socket.send(part, fds.slice(next, (next += frame.fds)));
  }
}

/** Reads one request, whatever it is. */
export async function readRequest(socket: Connection): Promise<Record<string, unknown>> {
  const segment = await socket.receive();
  closeAll(segment!.fds);
  return JSON.parse(segment!.bytes.toString()) as Record<string, unknown>;
}
