/**
 * An image name in full, the way docker completes it: `debian` is `docker.io/library/debian:latest`.
 * @param name as somebody wrote it; it is not checked, only completed
 */
export function dockerName(name: string): string {
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const hasRegistry = first === 'localhost' || /[.:]/.test(first);
  const registry = hasRegistry ? first.replace(/^index\.docker\.io$/, 'docker.io') : 'docker.io';
  const path = hasRegistry ? name.slice(slash + 1) : name;
  const full = `${registry}/${registry === 'docker.io' && !path.includes('/') ? 'library/' : ''}${path}`;
  return /[:@][^/]*$/.test(path) ? full : `${full}:latest`;
}
