// `composefs-bridge/fd-passing`, by itself.
import {
  connect,
  Connection,
  Fd,
  fromFd,
  listen,
  listenFd,
  socketpair,
  SocketError,
  type Abortable,
  type ConnectOptions,
  type Listener,
  type ListenOptions,
  type OperationOptions,
  type Segment,
  type SocketErrorCode,
  type SocketType,
} from '../../src/fd/fd-passing.js';
import type { Connection as SameConnection, Fd as SameFd, Listener as SameListener } from '../../src/index.js';
import type { Equal, Expect } from './equal.js';

export type Claims = [
  Expect<Equal<Connection, SameConnection>>,
  Expect<Equal<Fd, SameFd>>,
  Expect<Equal<Listener, SameListener>>,
  Expect<Equal<ReturnType<typeof connect>, Promise<Connection>>>,
  Expect<Equal<Segment['fds'], Fd[]>>,
  Expect<Equal<SocketError['code'], SocketErrorCode>>,
  Expect<Equal<Connection extends Disposable ? true : false, true>>,
  Expect<Equal<Fd extends Disposable ? true : false, true>>,
  Expect<Equal<ConnectOptions extends Abortable ? true : false, true>>,
  Expect<Equal<OperationOptions extends Abortable ? true : false, true>>,
  Expect<Equal<string extends SocketType ? true : false, false>>,
];

export async function talk(fd: Fd, signal: AbortSignal, options: ListenOptions): Promise<void> {
  using listener = await listen('/run/x.sock', options);
  using connection = await connect('/run/x.sock', { signal, idleTimeout: 1000 });
  await connection.send(Buffer.from('hello'), [fd], { signal });
  // @ts-expect-error: descriptors are `Fd`, which somebody owns
  await connection.send(Buffer.from('hello'), [3]);
  // @ts-expect-error: bytes, not text
  await connection.send('hello', [fd]);
  // @ts-expect-error: a signal is an option
  await connection.receive(signal);
  const segment = await connection.receive({ signal });
  // @ts-expect-error: at the end there is none
  segment.bytes.toString();
  for (const received of segment?.fds ?? []) received.close();
  // @ts-expect-error: one of three words
  await connect('/run/x.sock', { type: 'datagram' });
  // @ts-expect-error: a path
  await listen(3);
  void [listenFd, fromFd, socketpair, listener];
}
