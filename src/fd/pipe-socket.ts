import { Socket } from 'node:net';
import type { Fd } from './fd.js';

/** A stream that writes to a pipe. @param fd its write end; moves into the stream, and is closed when this throws */
export function pipeSocket(fd: Fd): Socket {
  try {
    const socket = new Socket({ fd: fd.number, readable: false, writable: true });
    fd.take();
    return socket;
  } catch (error) {
    fd.close();
    throw error;
  }
}
