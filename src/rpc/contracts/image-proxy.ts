// The requests of skopeo's image proxy, protocol 0.2.9, and their replies, as both ends check them;
// proto/image-proxy.md describes packets, pipes and descriptors.
import * as z from 'zod';
import { LAYERS_LIMIT } from '../../limits.js';

/** What a reply brings besides its value, in descriptors. */
export type ProxyGift =
  /** no descriptor, `pipeid` 0 */
  | 'nothing'
  /** the read end of a pipe, which ends after FinishPipe */
  | 'pipe'
  /** the read ends of two pipes, content and error; `pipeid` 0, no FinishPipe */
  | 'raw blob'
  /** a connected stream socket; `pipeid` 0 */
  | 'socket';

/** One request: its name, the shapes of what both ends send, and the protocol version that brought it. */
export interface ProxyMethod<A extends readonly unknown[] = readonly unknown[], V = unknown> {
  name: string;
  /** of protocol 0.2.x */
  since: number;
  args: z.ZodType<A>;
  value: z.ZodType<V>;
  gives: ProxyGift;
}

/** A packet from the client. Go writes no arguments as null, and takes a missing method for an empty one. */
export const proxyRequest = z.object({ method: z.string().nullish(), args: z.array(z.unknown()).nullish() });

/** What kind of failure a reply of 0.2.8 reports: empty for none. */
const proxyErrorCode = z.enum(['', 'EPIPE', 'retryable', 'other']);
export type ProxyErrorCode = z.infer<typeof proxyErrorCode>;

/** A packet from the server. Members stand in this order; `error_code` came with 0.2.8. */
export const proxyReply = z.object({
  success: z.boolean(),
  value: z.unknown(),
  pipeid: z.int().min(0),
  // One that is not known yet is a failure like any other.
  error_code: proxyErrorCode.catch('other').optional(),
  error: z.string(),
});
export type ProxyReply = z.infer<typeof proxyReply>;

/** What comes on the second pipe of GetRawBlob when reading failed; nothing at all when it did not. */
export const rawBlobError = z.object({ code: proxyErrorCode.catch('other'), message: z.string() });

const reference = z.string();
const imageId = z.int().min(1);
const digest = z.string();
const size = z.int().min(-1);
const none = z.tuple([]);
const nothing = z.null();

/** What GetLayerInfo answers, and GetLayerInfoPiped sends through its pipe. */
const layers = z
  .array(z.object({ digest, size: size.describe('in bytes; -1: not known'), media_type: z.string() }))
  .max(LAYERS_LIMIT)
  .nullable();

function method<A extends readonly unknown[], V>(
  name: string,
  since: number,
  args: z.ZodType<A>,
  value: z.ZodType<V>,
  gives: ProxyGift = 'nothing',
): ProxyMethod<A, V> {
  return { name, since, args, value, gives };
}

/** The interface, by name. Shutdown has no reply. */
export const proxyMethods = {
  Initialize: method('Initialize', 0, none, z.string()),
  OpenImage: method('OpenImage', 0, z.tuple([reference]), imageId),
  OpenImageOptional: method('OpenImageOptional', 4, z.tuple([reference]), z.int().min(0)),
  CloseImage: method('CloseImage', 0, z.tuple([imageId]), nothing),
  GetManifest: method('GetManifest', 0, z.tuple([imageId]), digest, 'pipe'),
  GetConfig: method('GetConfig', 2, z.tuple([imageId]), nothing, 'pipe'),
  GetFullConfig: method('GetFullConfig', 3, z.tuple([imageId]), nothing, 'pipe'),
  GetBlob: method('GetBlob', 0, z.tuple([imageId, digest, size]), size, 'pipe'),
  GetRawBlob: method('GetRawBlob', 8, z.tuple([imageId, digest]), size, 'raw blob'),
  GetLayerInfo: method('GetLayerInfo', 5, z.tuple([imageId]), layers),
  GetLayerInfoPiped: method('GetLayerInfoPiped', 7, z.tuple([imageId]), nothing, 'pipe'),
  FinishPipe: method('FinishPipe', 0, z.tuple([z.int().min(1)]), nothing),
  OpenVarlinkSocket: method('OpenVarlinkSocket', 9, z.tuple([z.union([imageId, z.string()])]), nothing, 'socket'),
  OpenJSONRPCFdPass: method('OpenJSONRPCFdPass', 9, none, nothing, 'socket'),
  Shutdown: method('Shutdown', 0, none, nothing),
};
