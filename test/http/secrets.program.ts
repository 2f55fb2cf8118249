// Sends a token and follows a redirect with a signature. Whoever starts this looks whether any of it is printed.
import { HttpClient } from '../../src/http/client.js';

const [origin = ''] = process.argv.slice(2);
await using client = new HttpClient({ agent: 'test', env: {}, retryMs: 1 });
await using response = await client.request({ url: new URL(origin), authorization: 'Bearer hidden-token' });
console.log((await response.bytes(100)).toString());
