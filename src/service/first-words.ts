import { MAX_FDS_PER_SEND, type Connection, type Segment } from '../fd/fd-passing.js';
import { isBlank, JsonObjectScanner } from '../rpc/json-scanner.js';

/** A first message of more bytes does not decide: each look begins at its start again. */
const LONGEST_LOOK = 1 << 16;

/**
 * Which protocol a client speaks, by its first message: a varlink call ends with a NUL byte, and is no JSON-RPC request. What was
 * looked at is put back.
 * @returns `jsonrpc` also for what is neither: that protocol's end says what is wrong
 * @throws SocketError, the signal's reason
 */
export async function firstWords(connection: Connection, signal: AbortSignal): Promise<'varlink' | 'jsonrpc'> {
  const seen: Segment[] = [];
  try {
    let text = Buffer.alloc(0);
    for (let fds = 0; fds <= MAX_FDS_PER_SEND; ) {
      const segment = await connection.receive({ signal });
      if (segment === undefined) return 'jsonrpc';
      seen.push(segment);
      fds += segment.fds.length;
      text = Buffer.concat([text, segment.bytes]);
      const decided = protocolOf(text);
      if (decided !== undefined) return decided;
    }
    return 'jsonrpc';
  } finally {
    for (const segment of seen) connection.unreceive(segment);
  }
}

/** @returns undefined while more has to come */
function protocolOf(text: Buffer): 'varlink' | 'jsonrpc' | undefined {
  const start = text.findIndex((byte) => !isBlank(byte));
  if (start < 0) return text.length > LONGEST_LOOK ? 'jsonrpc' : undefined;
  try {
    const end = new JsonObjectScanner().scan(text, start);
    if (end < 0) return text.length > LONGEST_LOOK ? 'jsonrpc' : undefined;
    if (text[end] === 0) return 'varlink';
    // A JSON-RPC client waits for its answer behind the object; a varlink client may send its NUL byte a little later.
    const message = JSON.parse(text.toString('utf8', start, end)) as Record<string, unknown>;
    return 'jsonrpc' in message || text.length > end ? 'jsonrpc' : undefined;
  } catch {
    return 'jsonrpc';
  }
}
