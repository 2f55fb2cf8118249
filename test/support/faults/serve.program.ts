// Serves a store until it is killed: `node serve.program.js GRAPHROOT SOCKET`.
import { listen } from '../../../src/fd/fd-passing.js';
import { serveStore } from '../../../src/service/serve.js';
import { Store } from '../../../src/storage/store.js';

const [graphroot, socket] = process.argv.slice(2) as [string, string];
const listener = await listen(socket);
process.stdout.write('ready\n');
await serveStore(Store.open({ graphroot }), listener, { signal: new AbortController().signal });
