import { complete } from './protocol.js';

process.exitCode = complete(process.env['COMPLETE'] ?? '', process.argv.slice(2));
