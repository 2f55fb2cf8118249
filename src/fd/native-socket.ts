import type { ByteString } from '../bytes.js';
import { INTEREST, SOCKET_RESULT } from '../layouts.js';
import { loadNative, type FdNumber } from '../native.js';

/** `stream`: bytes without boundaries; `seqpacket`: whole packets in order. Both carry descriptors. */
export type SocketType = 'stream' | 'seqpacket';

/** SCM_MAX_FD of Linux: more descriptors on one sendmsg are EINVAL. */
export const MAX_FDS_PER_SEND = 253;

/** Results below zero of {@link NativeSocket.socketSend} and {@link NativeSocket.socketReceive}. */
export const {
  wouldBlock: WOULD_BLOCK,
  controlTruncated: CONTROL_TRUNCATED,
  packetTruncated: PACKET_TRUNCATED,
  tooManyInFlight: TOO_MANY_IN_FLIGHT,
} = SOCKET_RESULT;

/** Interest in, and readiness for, reading (1) and writing (2). */
export const { read: READ, write: WRITE } = INTEREST;
export type Interest = typeof READ | typeof WRITE;

export interface PeerCredentials {
  pid: number;
  uid: number;
  gid: number;
}

interface NativeSocket {
  socket(type: SocketType): number;
  socketpair(type: SocketType): [number, number];
  socketConnect(socket: FdNumber, path: ByteString): boolean;
  socketBind(socket: FdNumber, path: ByteString, mode: number): void;
  socketListen(socket: FdNumber, backlog: number): void;
  socketNonBlocking(socket: FdNumber): void;
  socketAccept(socket: FdNumber): number;
  socketFacts(socket: FdNumber): [unix: boolean, type: SocketType | '', listening: boolean];
  socketSend(socket: FdNumber, bytes: Uint8Array, offset: number, fds: readonly FdNumber[]): number;
  socketReceive(
    socket: FdNumber,
    buffer: Uint8Array,
    offset: number,
    limit: number,
    fds: number[],
    most: number,
  ): number;
  datagram(path: ByteString, bytes: Uint8Array): boolean;
  socketUnread(socket: FdNumber): number;
  socketShutdownWrite(socket: FdNumber): void;
  socketPeer(socket: FdNumber): PeerCredentials;
  pollStart(callback: (tokensAndReadiness: number[]) => void): void;
  pollArm(socket: FdNumber, token: number, interest: number): void;
  pollForget(socket: FdNumber): void;
  pollHold(hold: boolean): void;
}

export const sockets = loadNative<NativeSocket>();
