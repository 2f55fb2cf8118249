// Pipes with a write end that waits in the event loop.
import { Fd } from '../../../../src/fd/fd.js';
import { pipeSocket } from '../../../../src/fd/pipe-socket.js';
import { files } from '../../../../src/native.js';

export interface Pipe {
  read: Fd;
  /** @throws when nobody reads any more */
  write(bytes: Buffer): Promise<void>;
  close(): void;
}

export function pipe(): Pipe {
  const [read, write] = files.pipe();
  const socket = pipeSocket(new Fd(write));
  socket.on('error', () => undefined);
  return {
    read: new Fd(read),
    write: (bytes) =>
      new Promise((resolve, reject) => socket.write(bytes, (error) => (error ? reject(error) : resolve()))),
    close: () => void socket.end(),
  };
}
