import type { Connection, Fd } from '../../../src/fd/fd-passing.js';
import { listening } from './scripted-server.js';

/** A reply, or raw bytes, with the descriptors that go with its first byte, at most 253. */
export interface Frame {
  reply: object | string;
  fds?: Fd[];
}

/** What is sent for one call. With `gone` the server hangs up afterwards. */
export type VarlinkAnswer = { frames: Iterable<Frame>; gone?: true } | 'silence' | 'gone';

/** Answers by qualified method name. */
export type VarlinkScript = Readonly<Record<string, (parameters: Record<string, unknown>) => VarlinkAnswer>>;

export const reply = (parameters: object, fds: Fd[] = []): VarlinkAnswer => ({
  frames: [{ reply: { parameters }, fds }],
});
export const failure = (error: string, parameters: object = {}): VarlinkAnswer => ({
  frames: [{ reply: { error, parameters } }],
});
export const raw = (bytes: string): VarlinkAnswer => ({ frames: [{ reply: bytes }] });

export const OCI = 'org.composefs.Oci';
export const REPOSITORY = 'org.composefs.Repository';
/** What a server of layers has. */
export const FEATURES = { features: ['splitdirfdstream-v0'] };

/** A service with these interfaces. */
export const service = (...interfaces: string[]): VarlinkScript => ({
  'org.varlink.service.GetInfo': () => reply({ vendor: 'v', product: 'p', version: '1', url: '', interfaces }),
});

/**
 * A varlink server that does what its script says, on a socket below `folder`, until disposed. It owns the descriptors
 * in answers.
 */
export function scriptedVarlink(folder: string, script: VarlinkScript): Promise<AsyncDisposable & { path: string }> {
  return listening(folder, (connection) => answerAll(connection, script));
}

async function answerAll(connection: Connection, script: VarlinkScript): Promise<void> {
  using _ = connection;
  let pending = '';
  for await (const { bytes, fds } of connection) {
    for (const fd of fds) fd.close();
    pending += bytes.toString();
    for (let end; (end = pending.indexOf('\0')) >= 0; pending = pending.slice(end + 1)) {
      const call = JSON.parse(pending.slice(0, end)) as { method: string; parameters?: Record<string, unknown> };
      const answer =
        script[call.method]?.(call.parameters ?? {}) ??
        failure('org.varlink.service.MethodNotFound', { method: call.method });
      if (answer === 'gone') return;
      if (answer === 'silence') continue;
      await send(connection, answer.frames);
      if (answer.gone) return;
    }
  }
}

async function send(connection: Connection, frames: Iterable<Frame>): Promise<void> {
  for (const { reply: message, fds = [] } of frames) {
    try {
      await connection.send(Buffer.from(typeof message === 'string' ? message : `${JSON.stringify(message)}\0`), fds);
    } finally {
      for (const fd of fds) fd.close();
    }
  }
}
