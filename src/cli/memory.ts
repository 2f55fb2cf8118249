// Imported first by the commands that work long.
import { files } from '../native.js';

files.returnFreedMemory();
