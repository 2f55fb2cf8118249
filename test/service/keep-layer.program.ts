// Asks for a layer and never reads it: `node keep-layer.program.js SOCKET LAYER`.
import { connect } from '../../src/fd/fd-passing.js';
import { JsonRpcConnection } from '../../src/rpc/jsonrpc/connection.js';
import { getSplitFDStream } from '../../src/rpc/jsonrpc/client.js';

const [path, layerId] = process.argv.slice(2) as [string, string];
await getSplitFDStream(new JsonRpcConnection(await connect(path)), { layerId, format: 'splitdirfdstream-v0' });
process.stdout.write('has it\n');
setInterval(() => {}, 1000);
