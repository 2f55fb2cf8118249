import { existsSync, readFileSync, statSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { scriptedHttp, sendRanged, type Handler, type ScriptedServer } from '../servers/scripted-http.js';

/**
 * Serves folders at /repo, the first that has a file. @param first may answer instead, and says so by returning true
 */
export async function archiveServer(
  t: TestContext,
  folders: readonly string[],
  first: (...args: Parameters<Handler>) => boolean | void = () => false,
): Promise<ScriptedServer & { url: string }> {
  const server = await scriptedHttp(t, async (request, response, number) => {
    if (first(request, response, number) === true) return;
    const path = decodeURIComponent(new URL(request.url ?? '', 'http://x').pathname).replace(/^\/repo\//, '');
    const file = folders
      .map((folder) => `${folder}/${path}`)
      .find((each) => existsSync(each) && statSync(each).isFile());
    if (file === undefined) response.writeHead(404).end();
    else await sendRanged(request, response, readFileSync(file));
  });
  return Object.assign(server, { url: `${server.origin}/repo` });
}
