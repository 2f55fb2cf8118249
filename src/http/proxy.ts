import { BlockList, isIP } from 'node:net';
import { HttpError } from './http-error.js';

/**
 * The proxy the environment names for a URL, by the rules of Go's programs: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, also
 * in lower case; nothing on this machine itself is reached by a proxy.
 * @throws HttpError `HTTP_PROXY`, without the setting's value: it may hold a password
 */
export function proxyFor(url: URL, env: NodeJS.ProcessEnv): URL | undefined {
  const names = url.protocol === 'https:' ? ['HTTPS_PROXY', 'https_proxy'] : ['HTTP_PROXY', 'http_proxy'];
  // In a CGI program HTTP_PROXY is what the client sent as header `Proxy`.
  const name = names.find((candidate) => env[candidate] && !(candidate === 'HTTP_PROXY' && env['REQUEST_METHOD']));
  if (name === undefined || isExempt(url, env['NO_PROXY'] || env['no_proxy'] || '')) return undefined;
  const value = env[name] ?? '';
  const text = value.includes('://') ? value : `http://${value}`;
  const proxy = URL.canParse(text) ? new URL(text) : undefined;
  if (proxy === undefined || !/^https?:$/.test(proxy.protocol))
    throw new HttpError('HTTP_PROXY', url, `the environment's ${name} is not the URL of an http or https proxy`);
  return proxy;
}

function isExempt(url: URL, list: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  if (host === 'localhost' || isLoopback(host)) return true;
  return list.split(',').some((word) => matches(word.trim().toLowerCase(), host, port));
}

function matches(pattern: string, host: string, port: string): boolean {
  if (pattern === '') return false;
  if (pattern === '*') return true;
  if (pattern.includes('/')) return inNetwork(pattern, host);
  const [, name = pattern, wantedPort] =
    /^(.*?)(?::(\d+))?$/.exec(isIP(pattern) === 6 ? `[${pattern}]` : pattern) ?? [];
  if (wantedPort !== undefined && wantedPort !== port) return false;
  const bare = name
    .replace(/^\[|\]$/g, '')
    .replace(/^\*(?=\.)/, '')
    .replace(/\.$/, '');
  if (isIP(bare) !== 0 || isIP(host) !== 0) return bare === host;
  // `.example.com` is what is below it, `example.com` that and itself.
  return bare.startsWith('.') ? host.endsWith(bare) : host === bare || host.endsWith(`.${bare}`);
}

function inNetwork(pattern: string, host: string): boolean {
  const [address = '', bits = ''] = pattern.split('/');
  const family = isIP(address);
  if (family === 0 || isIP(host) === 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > (family === 4 ? 32 : 128))
    return false;
  const network = new BlockList();
  network.addSubnet(address, Number(bits), family === 4 ? 'ipv4' : 'ipv6');
  return network.check(host, isIP(host) === 4 ? 'ipv4' : 'ipv6');
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

function isLoopback(host: string): boolean {
  const family = isIP(host);
  return family !== 0 && LOOPBACK.check(host, family === 4 ? 'ipv4' : 'ipv6');
}
