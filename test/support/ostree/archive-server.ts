import { existsSync, readFileSync, statSync } from 'node:fs';
import type { ServerOptions } from 'node:https';
import type { TestContext } from 'node:test';
import { scriptedHttp, sendRanged, type Handler, type ScriptedServer } from '../servers/scripted-http.js';

/**
 * Serves folders at /repo, the first that has a file.
 * @param first may answer instead, and says so by returning true
 * @param tls key, certificate and the like; default: it speaks plain HTTP
 */
export async function archiveServer(
  t: TestContext,
  folders: readonly string[],
  first: (...args: Parameters<Handler>) => boolean | void = () => false,
  tls?: ServerOptions,
): Promise<ScriptedServer & { url: string }> {
  const answer: Handler = async (request, response, number) => {
    if (first(request, response, number) === true) return;
    const path = decodeURIComponent(new URL(request.url ?? '', 'http://x').pathname).replace(/^\/repo\//, '');
    const file = folders
      .map((folder) => `${folder}/${path}`)
      .find((each) => existsSync(each) && statSync(each).isFile());
    if (file === undefined) response.writeHead(404).end();
    else await sendRanged(request, response, readFileSync(file));
  };
  const server = await scriptedHttp(t, answer, tls);
  return Object.assign(server, { url: `${server.origin}/repo` });
}
