import assert from 'node:assert/strict';
import { test } from 'node:test';
import { proxyFor } from '../../src/http/proxy.js';

const PROXY = 'http://proxy.test:3128';

const USED: [url: string, env: NodeJS.ProcessEnv, expected: string | undefined][] = [
  ['https://reg.test/', {}, undefined],
  ['https://reg.test/', { HTTPS_PROXY: PROXY }, `${PROXY}/`],
  ['https://reg.test/', { https_proxy: 'proxy.test:3128' }, `${PROXY}/`],
  ['https://reg.test/', { HTTP_PROXY: PROXY }, undefined],
  ['http://reg.test/', { HTTP_PROXY: PROXY }, `${PROXY}/`],
  ['http://reg.test/', { HTTP_PROXY: PROXY, REQUEST_METHOD: 'GET' }, undefined],
  ['https://localhost:5000/', { HTTPS_PROXY: PROXY }, undefined],
  ['https://127.1.2.3/', { HTTPS_PROXY: PROXY }, undefined],
  ['https://[::1]:5000/', { HTTPS_PROXY: PROXY }, undefined],
];
const EXEMPT: [url: string, list: string, exempt: boolean][] = [
  ['https://reg.test/', '*', true],
  ['https://reg.test/', 'other.test, reg.test', true],
  ['https://REG.test./', 'Reg.Test', true],
  ['https://a.reg.test/', 'reg.test', true],
  ['https://areg.test/', 'reg.test', false],
  ['https://reg.test/', '.reg.test', false],
  ['https://a.reg.test/', '.reg.test', true],
  ['https://a.reg.test/', '*.reg.test', true],
  ['https://reg.test/', 'reg.test:443', true],
  ['https://reg.test:5000/', 'reg.test:443', false],
  ['https://10.1.2.3/', '10.0.0.0/8', true],
  ['https://11.1.2.3/', '10.0.0.0/8', false],
  ['https://10.1.2.3/', '10.1.2.3', true],
  ['https://10.1.2.3/', '1.2.3', false],
  ['https://[fd00::5]/', 'fd00::/8', true],
  ['https://[fd00::5]:1/', '[fd00::5]:1', true],
  ['https://[fd00::5]/', 'fd00::5', true],
  ['https://10.1.2.3/', '10.0.0.0/99, nonsense/8, ,', false],
];

for (const [url, env, expected] of USED) {
  test(`${url} with ${JSON.stringify(env)}`, () => assert.equal(proxyFor(new URL(url), env)?.href, expected));
}
for (const [url, list, exempt] of EXEMPT) {
  test(`${url} with NO_PROXY=${list}`, () =>
    assert.equal(proxyFor(new URL(url), { HTTPS_PROXY: PROXY, no_proxy: list }) === undefined, exempt));
}

for (const value of ['socks5://user:hidden@proxy.test', 'http://user:hidden@[', 'file:///hidden']) {
  test(`${value} is refused without being shown`, () => {
    assert.throws(
      () => proxyFor(new URL('https://reg.test/'), { https_proxy: value }),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'HTTP_PROXY');
        assert.match(error.message, /https_proxy/);
        assert.doesNotMatch(error.message, /hidden/);
        return true;
      },
    );
  });
}
