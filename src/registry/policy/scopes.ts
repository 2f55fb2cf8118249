// What rules about images can be said of: an image, and what is above it.

/**
 * The scopes that an image with a docker name is in, smallest first: itself, its repository, what is above that, its
 * host, hosts below a domain. Source: containers/image docker/policyconfiguration.
 * @param name in full, with tag or digest
 */
export function dockerScopes(name: string): string[] {
  const scopes = [name];
  const slash = name.lastIndexOf('/');
  let at = name.slice(0, slash) + name.slice(slash).replace(/[:@].*$/s, '');
  for (; at.includes('/'); at = at.slice(0, at.lastIndexOf('/'))) scopes.push(at);
  scopes.push(at);
  const host = at.replace(/:.*$/s, '');
  for (let dot = host.indexOf('.'); dot >= 0; dot = host.indexOf('.', dot + 1)) scopes.push(`*${host.slice(dot)}`);
  return scopes;
}

/** The scopes of what lies at a path, without symlinks: itself, and all folders above it but the root. */
export function pathScopes(path: string): string[] {
  const scopes: string[] = [];
  for (let at = path; at.length > 1; at = at.slice(0, at.lastIndexOf('/'))) scopes.push(at);
  return scopes;
}
