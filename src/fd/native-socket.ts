import type { ByteString } from '../bytes.js';
import { loadNative } from '../native.js';

/** `stream`: bytes without boundaries; `seqpacket`: whole packets in order. Both carry descriptors. */
export type SocketType = 'stream' | 'seqpacket';

/** SCM_MAX_FD of Linux: more descriptors on one sendmsg are EINVAL. */
export const MAX_FDS_PER_SEND = 253;

/** Results below zero of {@link NativeSocket.socketSend} and {@link NativeSocket.socketReceive}. */
export const WOULD_BLOCK = -1;
export const CONTROL_TRUNCATED = -2;
export const PACKET_TRUNCATED = -3;
export const TOO_MANY_IN_FLIGHT = -4;

/** Interest in, and readiness for, reading (1) and writing (2). */
export const READ = 1;
export const WRITE = 2;
export type Interest = typeof READ | typeof WRITE;

export interface PeerCredentials {
  pid: number;
  uid: number;
  gid: number;
}

interface NativeSocket {
  socket(type: SocketType): number;
  socketpair(type: SocketType): [number, number];
  socketConnect(socket: number, path: ByteString): boolean;
  socketBind(socket: number, path: ByteString, mode: number): void;
  socketListen(socket: number, backlog: number): void;
  socketNonBlocking(socket: number): void;
  socketAccept(socket: number): number;
  socketFacts(socket: number): [unix: boolean, type: SocketType | '', listening: boolean];
  socketSend(socket: number, bytes: Uint8Array, offset: number, fds: readonly number[]): number;
  socketReceive(socket: number, buffer: Uint8Array, offset: number, limit: number, fds: number[]): number;
  socketShutdownWrite(socket: number): void;
  socketPeer(socket: number): PeerCredentials;
  pollStart(callback: (tokensAndReadiness: number[]) => void): void;
  pollArm(socket: number, token: number, interest: number): void;
  pollForget(socket: number): void;
  pollHold(hold: boolean): void;
}

export const sockets = loadNative<NativeSocket>();
