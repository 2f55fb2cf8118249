// Takes of a server what it gives. Arguments: what, the socket, and more. Prints JSON.
import { constants } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { bytesOf } from '../../src/bytes.js';
import { openPath } from '../../src/fd/fd.js';
import { connect, type Connection, type Fd } from '../../src/fd/fd-passing.js';
import { JsonRpcConnection } from '../../src/rpc/jsonrpc/connection.js';
import { FEATURE_SPLITDIRFDSTREAM } from '../../src/rpc/contracts/features.js';
import { methods } from '../../src/rpc/contracts/splitfdstream.js';

const [what, socket, ...args] = process.argv.slice(2) as [string, string, ...string[]];
const result: Record<string, number | string> = {};

/** Sends until the server ends the connection, or `milliseconds` have passed. @returns the bytes it took */
async function sends(piece: Buffer, connection: Connection, milliseconds: number): Promise<number> {
  let sent = 0;
  const signal = AbortSignal.timeout(milliseconds);
  try {
    for (; !signal.aborted; sent += piece.length) await connection.send(piece, [], { signal });
  } catch {
    // The server had enough.
  }
  return sent;
}

const begun = {
  'without a method': '{"x":"',
  'with a method': '{"jsonrpc":"2.0","id":1,"method":"GetImage","params":{"imageId":"',
  FinalizeImage: '{"method":"org.composefs.Oci.FinalizeImage","parameters":{"manifest_json":"',
} as const;

if (what === 'bytes') {
  // One byte at a time, as fast as it goes: each send is a segment of its own.
  const connection = await connect(socket);
  await connection.send(Buffer.from(begun[args[0] as keyof typeof begun]));
  result['sent'] = await sends(Buffer.from('a'), connection, Number(args[1]));
} else if (what === 'messages') {
  const connections = await Promise.all(Array.from({ length: Number(args[1]) }, () => connect(socket)));
  const sent = await Promise.all(
    connections.map(async (connection) => {
      await connection.send(Buffer.from(begun[args[0] as keyof typeof begun])).catch(() => undefined);
      return sends(Buffer.alloc(65536, 'a'), connection, Number(args[2]));
    }),
  );
  result['sent'] = sent.reduce((sum, bytes) => sum + bytes, 0);
} else if (what === 'connections') {
  let open = 0;
  const all = [];
  for (let count = 0; count < Number(args[0]); count++) all.push(await connect(socket));
  await sleep(500);
  for (const connection of all) if (!connection.peerGone) open++;
  result['open'] = open;
} else if (what === 'descriptors') {
  // Of one file, fifty with each call, over a new connection for each.
  using file = openPath(bytesOf(args[0] as string), constants.O_RDONLY);
  let sent = 0;
  for (let count = 0; count < Number(args[1]); count++) {
    using connection = await connect(socket, { idleTimeout: 5000 });
    try {
      await connection.send(
        Buffer.from('{"method":"org.varlink.service.GetInfo"}\0'),
        Array.from({ length: 50 }, () => file),
      );
      if ((await connection.receive()) !== undefined) sent += 50;
    } catch {
      // The server had enough.
    }
  }
  result['sent'] = sent;
} else {
  // Leases, or answers that are not read, over as many connections as are let in.
  const kept: Fd[] = [];
  const connections: Connection[] = [];
  const [layerId, wanted] = [args[0] as string, Number(args[1])];
  const errors = new Set<string>();
  for (let count = 0; count < wanted; count++) {
    try {
      const connection = await connect(socket);
      connections.push(connection);
      if (what === 'answers')
        await connection.send(
          Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'GetSplitFDStream', params: { layerId } })),
        );
      const rpc = new JsonRpcConnection(connection);
      if (what === 'leases')
        for (let leases = 0; leases < 10; leases++)
          kept.push(...(await rpc.call(methods.GetSplitFDStream, { layerId, format: FEATURE_SPLITDIRFDSTREAM })).fds);
    } catch (error) {
      errors.add((error as Error).message.slice(0, 60));
    }
  }
  result['leases'] = kept.length / 3;
  result['connections'] = connections.length;
  result['errors'] = [...errors].sort().join('; ');
}
process.stdout.write(`${JSON.stringify(result)}\n`);
// What was taken is kept until whoever started this has looked.
if (args.includes('stay')) await sleep(60_000);
process.exit(0);
