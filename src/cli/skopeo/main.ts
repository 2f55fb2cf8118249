import { endWithoutWhatIsLeft } from '../../fd/left-alone.js';
import { skopeo } from './skopeo.js';

export { printableLines } from '../../bytes.js';

void skopeo(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
  endWithoutWhatIsLeft(status);
});
