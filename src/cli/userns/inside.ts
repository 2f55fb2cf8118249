import { constants, fchmodSync } from 'node:fs';
import { bytesOf } from '../../bytes.js';
import { Fd, fromFd, listenFd, SocketError } from '../../fd/fd-passing.js';
import { isErrno, openPath } from '../../fd/fd.js';
import { files } from '../../native.js';
import { JsonRpcConnection } from '../../rpc/jsonrpc/connection.js';
import { serveStoreLayers } from '../../service/layer-sender.js';
import { serveConnection, serveStore } from '../../service/serve.js';
import { serveStoreWriter } from '../../service/store-writer.js';
import { Store, type StoreOptions } from '../../storage/store.js';
import { userNamespaceBan } from '../../userns/bans.js';
import { userNamespaceError } from '../../userns/error.js';
import { parseTask, type InsideTask } from '../../userns/task.js';
import { describeError } from '../errors.js';
import { watchInterruptions } from '../interruption.js';
import { talk } from '../talk.js';

const SOCKET = 3;
const READY = 'ready\n';

/**
 * What runs as root of a user's namespace, see `InsideProcess`: does its task until the socket or a signal ends it.
 * @param args the task alone, as `InsideTask`
 * @returns the exit status
 */
export async function insideUserNamespace([text = '']: readonly string[]): Promise<number> {
  const signal = AbortSignal.any([watchInterruptions(), endOfStarter()]);
  try {
    const task = parseTask(text);
    checkPower();
    if ('serve' in task) await serve(task, signal);
    else if ('read' in task) await read(task.read, signal);
    else await write(signal);
    return 0;
  } catch (error) {
    if (signal.aborted) return 1;
    // In one line: whoever started this shows the last one.
    talk(
      `${describeError(error)
        .replace(/^Error: /, '')
        .replaceAll(/\s*\n\s*/g, ' ')}\n`,
    );
    return 1;
  }
}

async function read(where: StoreOptions, signal: AbortSignal): Promise<void> {
  using store = Store.open(where);
  using rpc = new JsonRpcConnection(fromFd(new Fd(SOCKET)));
  process.stdout.write(READY);
  await serveStoreLayers(store, rpc, signal);
}

async function write(signal: AbortSignal): Promise<void> {
  using rpc = new JsonRpcConnection(fromFd(new Fd(SOCKET)));
  process.stdout.write(READY);
  await serveStoreWriter(rpc, signal);
}

async function serve(
  { serve: where, image: name }: Extract<InsideTask, { serve: unknown }>,
  signal: AbortSignal,
): Promise<void> {
  using store = Store.open(where);
  const image = name === undefined ? undefined : await store.image(name, { signal });
  const socket = new Fd(SOCKET);
  let listener;
  try {
    listener = listenFd(socket, { signal });
  } catch (error) {
    if (!(error instanceof SocketError) || error.code !== 'NOT_A_SOCKET') throw error;
    const connection = fromFd(socket, { signal });
    process.stdout.write(READY);
    return await serveConnection({ store, image }, connection, { signal });
  }
  process.stdout.write(READY);
  const onError = (error: unknown): void => talk(`connection ended: ${describeError(error).replace(/^Error: /, '')}\n`);
  await serveStore(store, listener, { image, signal, onError });
}

/** Aborts when whoever started this process is gone: nobody else has the other end of standard input. */
function endOfStarter(): AbortSignal {
  const controller = new AbortController();
  process.stdin.once('close', () => controller.abort());
  process.stdin.on('error', () => undefined).resume();
  // That it may still come is no reason to stay.
  if ('unref' in process.stdin) process.stdin.unref();
  return controller.signal;
}

/** Whether the files of all ids can be read, which is what root is for here. AppArmor may have made root a mere name. */
function checkPower(): void {
  using file = new Fd(files.memfd('closed'));
  fchmodSync(file.number, 0);
  try {
    openPath(bytesOf(`/proc/self/fd/${file.number}`), constants.O_RDONLY).close();
  } catch (error) {
    if (!isErrno(error, 'EACCES', 'EPERM')) throw error;
    throw userNamespaceError(
      `root of the user namespace has no rights: ${userNamespaceBan() ?? 'a security module of the kernel forbids it'}`,
    );
  }
}
