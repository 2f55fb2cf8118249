import { listen } from '../../src/fd/fd-passing.js';
import { serveStore } from '../../src/service/serve.js';
import { Store } from '../../src/storage/store.js';

// store-server.program.js GRAPHROOT SOCKET: serves a store until its standard input ends; prints `ready` before.

const [, , graphroot = '', socket = ''] = process.argv;
const stop = new AbortController();
process.stdin.on('end', () => stop.abort()).resume();
using store = Store.open({ graphroot });
const listener = await listen(socket, { mode: 0o666 });
process.stdout.write('ready\n');
await serveStore(store, listener, { signal: stop.signal, onError: (error) => console.error(error) });
