import { VarlinkInterface } from '../../../src/rpc/varlink/interface.js';

export const testInterface = new VarlinkInterface(`interface org.example.test
method Echo(text: string, delay: ?int) -> (text: string, fds: int)
method Return() -> (count: int)
method Count(to: int) -> (n: int)
method Wait() -> ()
method Fail(how: (declared, undeclared)) -> ()
error Broken(why: string)`);

export const methods = {
  Echo: testInterface.method<{ text: string; delay?: number }, { text: string; fds: number }>('Echo'),
  Return: testInterface.method<object, { count: number }>('Return'),
  Count: testInterface.method<{ to: number }, { n: number }>('Count'),
  Wait: testInterface.method<object, object>('Wait'),
  Fail: testInterface.method<{ how: string }, object>('Fail'),
};
