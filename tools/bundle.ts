/**
 * Makes one file of a module and all that it imports: `node tools/bundle.ts MODULE FILE [PACKAGE…]`, where the packages stay
 * outside (those with an add-on look for it beside themselves). Node then has one module to find and link, not hundreds.
 */
import { build } from 'rolldown';

const [input, file, ...external] = process.argv.slice(2);
if (input === undefined || file === undefined) throw new Error('say which module, and which file it becomes');
await build({
  input,
  external,
  platform: 'node',
  output: { file, format: 'esm', comments: false },
  logLevel: 'warn',
});
