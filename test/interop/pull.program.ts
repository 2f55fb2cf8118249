import { LOCAL_FETCH } from '../../src/repository/local-fetch.js';
import { pullImage } from '../../src/oci/pull/pull.js';
import { openSocketImage } from '../../src/oci/source/socket.js';
import { Repository } from '../../src/repository/repository.js';

// pull.program.js REPOSITORY SOCKET REFERENCE TAG [LOCAL_FETCH]: pulls from a server and prints the result as JSON.

const [, , path = '', socket = '', reference = '', name = '', wish = 'auto'] = process.argv;
const localFetch = LOCAL_FETCH.find((known) => known === wish);
if (localFetch === undefined) throw new Error(`no such way to fetch: ${wish}`);
using repository = await Repository.open(path, { write: true });
await using source = await openSocketImage(socket, reference);
const result = await pullImage(repository, source, { name, localFetch });
process.stdout.write(JSON.stringify({ ...result, images: [...result.images.values()] }));
