const OF_THE_MACHINE: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'ENOMEM', 'EMFILE', 'ENFILE']);

/** Whether an error has nothing to do with what is repaired or with what from, so that going on makes no sense. */
export function isFatal(error: unknown): boolean {
  return !(error instanceof Error) || !('code' in error) || OF_THE_MACHINE.has(error.code);
}
