/** Prints why there is no default directory. */
import { createFileStore } from '../../src/store/file.js';

createFileStore()
  .list()
  .catch(({ reason }) => console.log(reason));
