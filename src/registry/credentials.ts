/** Who is asking. An identity token is exchanged for others, again and again; another one is sent as it is. */
export type Credentials =
  | { kind: 'basic'; username: string; password: string }
  | { kind: 'identity'; token: string }
  | { kind: 'token'; token: string };

/** Reads `USER:PASSWORD`. */
export function parseCredentials(text: string): Credentials {
  const colon = text.indexOf(':');
  return {
    kind: 'basic',
    username: colon < 0 ? text : text.slice(0, colon),
    password: colon < 0 ? '' : text.slice(colon + 1),
  };
}
