// What is used of undici, without the rest, which takes longer to load than a small request; and silence about what it
// sends. With NODE_DEBUG=undici or NODE_DEBUG=fetch it, or the one inside Node which hears of it, would print the path
// of each request with its query, where storage services put signatures.
import { channel } from 'node:diagnostics_channel';
import { debuglog } from 'node:util';
import type * as undici from 'undici';
import api from 'undici/lib/api/index.js';
import diagnostics from 'undici/lib/core/diagnostics.js';
import agent from 'undici/lib/dispatcher/agent.js';
import dispatcher from 'undici/lib/dispatcher/dispatcher.js';
import proxyAgent from 'undici/lib/dispatcher/proxy-agent.js';

export type { Dispatcher } from 'undici';
// With the package's own types, as programs that use this one see no others.
export const Agent: typeof undici.Agent = agent;
export const ProxyAgent: typeof undici.ProxyAgent = proxyAgent;

// As undici's own index does it.
Object.assign(dispatcher.prototype, api);

if (debuglog('undici').enabled || debuglog('fetch').enabled) {
  for (const name of Object.keys(diagnostics.channels))
    diagnostics.channels[name] = channel('composefs-bridge:silence');
}
