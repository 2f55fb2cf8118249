declare module 'unix-dgram' {
  interface DatagramSocket {
    send(message: Buffer, offset: number, length: number, path: string, sent: (error?: Error) => void): void;
    close(): void;
  }

  const unixDgram: { createSocket(type: 'unix_dgram'): DatagramSocket };
  export default unixDgram;
}
