import { debug } from '../debug.js';
import { MAX_FDS_PER_SEND, type Connection, type Fd, type Segment } from '../fd/fd-passing.js';
import { UNKNOWN_CALL_LIMIT } from '../limits.js';
import { isBlank, JsonObjectScanner } from '../rpc/jsonrpc/json-scanner.js';
import { RpcProtocolError } from '../rpc/rpc-error.js';

/**
 * Which protocol a client speaks, by its first message: a varlink call ends with a NUL byte, and is no JSON-RPC
 * request. What was looked at is put back.
 * @param time milliseconds in which a message that has begun must show what it is
 * @returns `jsonrpc` also for what is neither: that protocol's end says what is wrong
 * @throws SocketError; RpcProtocolError MESSAGE_TIMEOUT; the signal's reason
 */
export async function firstWords(
  connection: Connection,
  signal: AbortSignal,
  time: number,
): Promise<'varlink' | 'jsonrpc'> {
  const seen = new Seen();
  let timer: NodeJS.Timeout | undefined;
  try {
    while (seen.fds <= MAX_FDS_PER_SEND) {
      const segment = await connection.receive({ signal });
      if (segment === undefined) return 'jsonrpc';
      seen.add(segment);
      const decided = seen.protocol();
      if (decided !== undefined) {
        debug(() => `client of user ${connection.peer.uid}: speaks ${decided}`);
        return decided;
      }
      timer ??= setTimeout(
        () =>
          connection.end(
            new RpcProtocolError('MESSAGE_TIMEOUT', `a first message did not show in ${time / 1000} s what it is`),
          ),
        time,
      );
    }
    return 'jsonrpc';
  } finally {
    clearTimeout(timer);
    for (const segment of seen.segments()) connection.unreceive(segment);
  }
}

/**
 * What has come so far. Pieces without descriptors are joined: a client that sends single bytes must not cost a buffer
 * for each.
 */
class Seen {
  readonly #scanner = new JsonObjectScanner();
  readonly #cuts: { end: number; fds: Fd[] }[] = [];
  #bytes = Buffer.alloc(1024);
  #length = 0;
  /** Where the scanner goes on, or where white space may. */
  #scanned = 0;
  /** Behind the first object; -1 until it is complete. */
  #end = -1;
  fds = 0;

  add({ bytes, fds }: Segment): void {
    if (this.#length + bytes.length > this.#bytes.length) {
      const larger = Buffer.alloc(2 * (this.#length + bytes.length));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    this.fds += fds.length;
    if (fds.length > 0) this.#cuts.push({ end: this.#length, fds });
  }

  /** As they came, but for their cuts. */
  *segments(): Generator<Segment> {
    let start = 0;
    for (const { end, fds } of [...this.#cuts, { end: this.#length, fds: [] }]) {
      if (end > start || fds.length > 0) yield { bytes: this.#bytes.subarray(start, end), fds };
      start = end;
    }
  }

  /** @returns undefined while more has to come */
  protocol(): 'varlink' | 'jsonrpc' | undefined {
    const tooLong = this.#length > UNKNOWN_CALL_LIMIT ? 'jsonrpc' : undefined;
    try {
      if (!this.#scan()) return tooLong;
    } catch {
      return 'jsonrpc';
    }
    // A JSON-RPC client waits for its answer behind the object; a varlink client may send its NUL byte a little later.
    if (this.#bytes[this.#end] === 0 && this.#length > this.#end) return 'varlink';
    return this.#scanner.isJsonRpc || this.#length > this.#end ? 'jsonrpc' : undefined;
  }

  /** @returns whether the first object is complete */
  #scan(): boolean {
    const bytes = this.#bytes.subarray(0, this.#length);
    if (this.#end >= 0) return true;
    while (!this.#scanner.inside && this.#scanned < bytes.length && isBlank(bytes[this.#scanned]!)) this.#scanned++;
    if (this.#scanned === bytes.length) return false;
    const found = this.#scanner.scan(bytes, this.#scanned);
    this.#scanned = bytes.length;
    if (found >= 0) this.#end = found;
    return found >= 0;
  }
}
