/**
 * How many sockets this process was started with by systemd, or by a program that does the same; undefined: not at all.
 * sd_listen_fds(3)
 */
export function passedSockets({ LISTEN_PID: pid, LISTEN_FDS: count }: NodeJS.ProcessEnv): string | undefined {
  return pid === String(process.pid) && count !== '0' ? count : undefined;
}
