/**
 * Whether a name is one of those that are meant.
 * @param patterns in which `*` stands for any characters, `/` among them; without patterns all names are meant
 */
export function nameFilter(patterns: readonly string[]): (name: string) => boolean {
  const expressions = patterns.map((pattern) => new RegExp(`^${pattern.split(/\*+/).map(literally).join('.*')}$`, 's'));
  return (name) => expressions.length === 0 || expressions.some((expression) => expression.test(name));
}

function literally(text: string): string {
  return text.replace(/[\\^$.|?+()[\]{}]/g, '\\$&');
}
