import { join } from 'node:path';
import { SocketError, listen, type Connection, type Fd } from '../../../src/fd/fd-passing.js';

/**
 * What is sent for one request: a result with descriptors, or raw bytes; `fds` is announced as it is unless `count`
 * says otherwise. With `gone` the server hangs up afterwards.
 */
export type Answer =
  | { result: object; fds?: Fd[]; count?: unknown }
  | { raw: string | Buffer; fds?: Fd[]; gone?: boolean }
  | 'silence'
  | 'gone';

/** Answers by method name. */
export type Script = Readonly<Record<string, (params: Record<string, unknown>) => Answer>>;

/**
 * A server that does what its script says, on a socket below `folder`, until disposed. It owns the descriptors in
 * answers.
 */
export function scripted(folder: string, script: Script): Promise<AsyncDisposable & { path: string }> {
  return listening(folder, (connection) => answerAll(connection, script));
}

/** A server that does this with every connection, on a socket below `folder`, until disposed. */
export async function listening(
  folder: string,
  serve: (connection: Connection) => Promise<void>,
): Promise<AsyncDisposable & { path: string }> {
  const path = join(folder, 'scripted.sock');
  const stop = new AbortController();
  const listener = await listen(path, { signal: stop.signal });
  const accepting = (async () => {
    const running: Promise<void>[] = [];
    try {
      for await (const connection of listener) running.push(serve(connection).catch(ignoreEnd));
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    }
    await Promise.all(running);
  })();
  return {
    path,
    async [Symbol.asyncDispose]() {
      stop.abort(new SocketError('CONNECTION_CLOSED', 'the test is over'));
      await accepting;
    },
  };
}

async function answerAll(connection: Connection, script: Script): Promise<void> {
  using _ = connection;
  for await (const { bytes, fds } of connection) {
    for (const fd of fds) fd.close();
    const request = JSON.parse(bytes.toString()) as { id: number; method: string; params: Record<string, unknown> };
    const answer = script[request.method]?.(request.params) ?? {
      raw: JSON.stringify({ jsonrpc: '2.0', id: request.id, error: { code: -32601, message: 'unknown' } }),
    };
    if (answer === 'gone') return;
    if (answer === 'silence') continue;
    try {
      await connection.send('raw' in answer ? Buffer.from(answer.raw) : encode(request.id, answer), answer.fds ?? []);
    } finally {
      for (const fd of answer.fds ?? []) fd.close();
    }
    if ('gone' in answer && answer.gone === true) return;
  }
}

function encode(id: number, { result, fds, count }: { result: object; fds?: Fd[]; count?: unknown }): Buffer {
  const announced = count ?? (fds?.length || undefined);
  return Buffer.from(JSON.stringify({ jsonrpc: '2.0', id, result, fds: announced }));
}

/** The client under test is expected to hang up. */
function ignoreEnd(error: unknown): void {
  if (!(error instanceof SocketError)) throw error;
}
