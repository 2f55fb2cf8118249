declare module 'xz-decompress' {
  import type { ReadableStream } from 'node:stream/web';
  const xz: { XzReadableStream: new (compressed: ReadableStream<Uint8Array>) => ReadableStream<Uint8Array> };
  export default xz;
}
