import { BridgeError } from '../errors.js';

export type SocketErrorCode =
  /** The kernel dropped descriptors (receiver's RLIMIT_NOFILE); those that arrived were closed. */
  | 'CONTROL_TRUNCATED'
  /** A packet is longer than the receiver allows; its descriptors were closed. */
  | 'PACKET_TRUNCATED'
  /** The peer closed its end or died while data was still on the way. */
  | 'PEER_GONE'
  /** Neither side moved for the idle timeout. */
  | 'IDLE_TIMEOUT'
  /** This end was closed. */
  | 'CONNECTION_CLOSED'
  /** An earlier send stopped in the middle of its bytes: nothing sent after it would be understood. */
  | 'SEND_INTERRUPTED'
  /** More than 253 descriptors for one segment. */
  | 'TOO_MANY_FDS'
  /** Another process listens on the path. */
  | 'ADDRESS_IN_USE'
  /** The descriptor is not a socket of the expected kind. */
  | 'NOT_A_SOCKET';

/** What goes wrong between two ends of a socket; `cause` holds the system's error where there is one. */
export class SocketError extends BridgeError {
  constructor(code: SocketErrorCode, message: string, options: ErrorOptions = {}) {
    super(code, message, options);
  }
}
