import { END, header, padded } from './make-tar.js';

/** Too long to lie inside a splitstream, so that it has to be found in the store. */
const CONTENT = Buffer.alloc(100, 'content ');

/** The tar of a layer of `layer-cases.ts`. */
export function tarOf(layer: readonly string[]): Buffer {
  const parts = layer.flatMap((text) => {
    const [path = '', symlink] = text.split(' -> ');
    const [name = '', hardlink] = text.split(' = ');
    if (symlink !== undefined) return [header({ name: path, type: '2', link: symlink })];
    if (hardlink !== undefined) return [header({ name, type: '1', link: hardlink })];
    if (text.endsWith('/')) return [header({ name: text, type: '5', mode: 0o700 })];
    return /(?:^|\/)\.wh\.[^/]+$/.test(text)
      ? [header({ name: text })]
      : [header({ name: text, size: CONTENT.length }), padded(CONTENT)];
  });
  return Buffer.concat([...parts, END]);
}
