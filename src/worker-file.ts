/** The program of a thread, by its path below `src/`; also from within the bundled commands. */
export function workerFile(name: string): URL {
  return new URL(`../../dist/src/${name}`, import.meta.url);
}
