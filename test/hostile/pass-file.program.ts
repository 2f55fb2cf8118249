// Serves an image whose only file comes as a descriptor of the file that is given, or whose stream is that file.
// Arguments: the socket, the file, its length, whether it is the stream.
import { constants, writeFileSync } from 'node:fs';
import { bytesOf } from '../../src/bytes.js';
import { listen } from '../../src/fd/fd-passing.js';
import { openPath } from '../../src/fd/fd.js';
import { JsonRpcConnection } from '../../src/rpc/jsonrpc/connection.js';
import { implement } from '../../src/rpc/jsonrpc/method.js';
import { methods } from '../../src/rpc/contracts/splitfdstream.js';
import { header } from '../support/layers/make-tar.js';
import { sha256 } from '../support/images/source-layout.js';

const [socket, file, length, isStream] = process.argv.slice(2) as [string, string, string, string?];
const opened = openPath(bytesOf(file), constants.O_RDONLY);

const size = Number(length);
const diffId = `sha256:${'0'.repeat(64)}`;
const config = JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [diffId] } });
const mediaType = 'application/vnd.oci.image.manifest.v1+json';
const manifest = JSON.stringify({
  schemaVersion: 2,
  mediaType,
  config: {
    mediaType: 'application/vnd.oci.image.config.v1+json',
    digest: sha256(Buffer.from(config)),
    size: config.length,
  },
  layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: diffId, size: 1 }],
});
const stream = `${socket}.stream`;
const prefix = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(value);
  return bytes;
};
const head = header({ name: 'f', size });
writeFileSync(stream, Buffer.concat([prefix(BigInt(-head.length)), head, prefix(0n)]));
const streamSize = head.length + 16;
const listener = await listen(socket, { mode: 0o666 });
process.stdout.write('serving\n');
for await (const connection of listener) {
  const handlers = new Map([
    implement(methods.GetImage, async () => ({
      result: { manifest, config, layerDigests: ['1'], layers: [{ id: '1', parentId: '', diffId, size: 0 }] },
    })),
    implement(methods.GetSplitFDStream, async () => ({
      result: { streamSize },
      fds: [isStream ? opened.duplicate() : openPath(bytesOf(stream)), opened.duplicate()],
    })),
  ]);
  void new JsonRpcConnection(connection).serve(handlers).catch(() => undefined);
}
