/** What global headers are called, here and by git. */
const GLOBAL_HEADER = /^(?:extension|pax_global_header.*)$/;

/** A line of tar-split. */
export interface Line {
  type: number;
  name?: string;
  payload: string | null;
}

/**
 * Lines of tar-split without their numbers. Where nothing but other segments follows a segment, it means nothing where
 * they are cut; and podman has lines for global headers, which stand for no bytes.
 */
export function joinedSegments(text: string): Line[] {
  const lines: Line[] = [];
  for (const line of text.trimEnd().split('\n')) {
    const { position: _, ...rest } = JSON.parse(line) as Line & { position: number };
    const last = lines.at(-1);
    if (rest.type === 2 && last?.type === 2)
      last.payload = Buffer.concat(
        [last.payload, rest.payload].map((payload) => Buffer.from(payload ?? '', 'base64')),
      ).toString('base64');
    else if (!GLOBAL_HEADER.test(rest.name ?? '')) lines.push(rest);
  }
  return lines;
}
