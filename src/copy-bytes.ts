/** Longer pieces are worth a call of the runtime. */
const LOOPED = 128;

/** Copies `length` bytes of `from`, from `at` on, to where `start` is in `to`. For many pieces, most of them short. */
export function copyBytes(from: Uint8Array, at: number, to: Uint8Array, start: number, length: number): void {
  if (length > LOOPED) to.set(from.subarray(at, at + length), start);
  else for (let i = 0; i < length; i++) to[start + i] = from[at + i]!;
}
