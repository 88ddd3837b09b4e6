// Lets a Node that was built without it run TypeScript, as others do: what is no JavaScript becomes blanks. Plain
// JavaScript, because it is what comes first.
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';
import { transformSync } from 'amaro';

registerHooks({
  load(url, context, nextLoad) {
    if (!/^file:.*\.m?ts$/.test(url)) return nextLoad(url, context);
    const { code } = transformSync(readFileSync(fileURLToPath(url), 'utf8'), { mode: 'strip-only' });
    return { format: 'module', source: code, shortCircuit: true };
  },
});
