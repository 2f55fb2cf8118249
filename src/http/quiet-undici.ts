// undici's exports, and silence about what it sends. With NODE_DEBUG=undici or NODE_DEBUG=fetch it, or the one inside
// Node which hears of it, would print the path of each request with its query, where storage services put signatures.
import { channel } from 'node:diagnostics_channel';
import { debuglog } from 'node:util';
import diagnostics from 'undici/lib/core/diagnostics.js';
export { Agent, ProxyAgent, type Dispatcher } from 'undici';

if (debuglog('undici').enabled || debuglog('fetch').enabled) {
  for (const name of Object.keys(diagnostics.channels))
    diagnostics.channels[name] = channel('composefs-bridge:silence');
}
