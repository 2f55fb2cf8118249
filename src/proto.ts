/** The path of a file of the package's folder `proto/`. */
export function protoFile(name: string): URL {
  return new URL(`../../proto/${name}`, import.meta.url);
}
