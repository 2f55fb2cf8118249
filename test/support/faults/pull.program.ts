// Pulls one image over a socket: `node pull.program.js REPOSITORY SOCKET IMAGE`. Tells when it begins, so that kills
// can be timed.
import { pullImage } from '../../../src/oci/pull/pull.js';
import { openSplitfdstreamImage } from '../../../src/oci/source/splitfdstream.js';
import { Repository } from '../../../src/repository/repository.js';

const [path, socket, image] = process.argv.slice(2) as [string, string, string];
const repository = await Repository.open(path, { write: true });
process.stdout.write('begins\n');
const source = await openSplitfdstreamImage(socket, image);
const { images } = await pullImage(repository, source, { name: image, localFetch: 'disabled' });
await source[Symbol.asyncDispose]();
process.stdout.write(`${images.get(1)}\n`);
