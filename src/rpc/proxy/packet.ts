// Packets of the image proxy: one JSON object each.
import { PROXY_PACKET_LIMIT } from '../../limits.js';
import { proxyReply, proxyRequest, type ProxyReply } from '../contracts/image-proxy.js';
import { RpcProtocolError } from '../rpc-error.js';

export interface ProxyRequest {
  method: string;
  args: readonly unknown[];
}

/** @throws RpcProtocolError `MESSAGE_TOO_LARGE` */
export function encodeRequest({ method, args }: ProxyRequest): Buffer {
  return encode(method, { method, args });
}

/**
 * A reply with its members in the order that skopeo has.
 * @param reply without `error_code` as servers before 0.2.8 write it
 * @throws RpcProtocolError `MESSAGE_TOO_LARGE`
 */
export function encodeReply({ success, value = null, pipeid, error_code, error }: ProxyReply): Buffer {
  return encode('a reply', { success, value, pipeid, error_code, error });
}

function encode(what: string, message: object): Buffer {
  const packet = Buffer.from(JSON.stringify(message));
  if (packet.length > PROXY_PACKET_LIMIT)
    throw new RpcProtocolError(
      'MESSAGE_TOO_LARGE',
      `${what} has ${packet.length} bytes, a packet of the image proxy at most ${PROXY_PACKET_LIMIT}`,
    );
  return packet;
}

/** @throws RpcProtocolError `FRAMING_ERROR` for what is no request */
export function decodeRequest(packet: Buffer): ProxyRequest {
  const { method, args } = decode(packet, 'a request', proxyRequest);
  return { method: method ?? '', args: args ?? [] };
}

/** @throws RpcProtocolError `FRAMING_ERROR` for what is no reply */
export function decodeReply(packet: Buffer): ProxyReply {
  return decode(packet, 'a reply', proxyReply);
}

function decode<T>(packet: Buffer, what: string, schema: { parse(json: unknown): T }): T {
  try {
    return schema.parse(JSON.parse(packet.toString('utf8')));
  } catch (cause) {
    throw new RpcProtocolError('FRAMING_ERROR', `a packet of the image proxy is not ${what}`, { cause });
  }
}
