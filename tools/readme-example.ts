import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { readManifest, readmeExample } from './workspace.ts';

/** An example that has not ended by itself after this long hangs: milliseconds, enough for one that downloads. */
const PATIENCE_MS = 300_000;

/**
 * The example of a package's README.
 *
 * @param packageRoot the package's folder
 * @throws Error when there is none, or it does not show this package
 */
function exampleOf(packageRoot: URL): string {
  const directory = fileURLToPath(packageRoot);
  const example = readmeExample(directory) ?? '';
  const { name } = readManifest(directory);
  if (!new RegExp(`from '${name}['/]`).test(example)) {
    throw new Error(`${directory}README.md needs an example in a \`\`\`ts block that imports from '${name}'`);
  }
  return example;
}

/**
 * Runs the example of a package's README as its users would: in a process of its own, against what was built.
 *
 * @param packageRoot the package's folder
 * @returns what the example wrote to standard output
 * @throws Error when there is no example, or it fails or does not end; the message has its standard error
 */
export function runReadmeExample(packageRoot: URL): string {
  // Without --input-type, which the threads that an example starts would inherit: it excludes their files.
  return execFileSync(process.execPath, ['--eval', exampleOf(packageRoot)], {
    cwd: packageRoot,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: PATIENCE_MS,
  });
}

/**
 * What the example of a package's README says it prints: the comments behind its calls of `console.log`.
 *
 * @param packageRoot the package's folder
 * @throws Error when it says nothing, or there is no example
 */
export function promisedOutput(packageRoot: URL): string {
  const lines = [...exampleOf(packageRoot).matchAll(/console\.log\(.*\/\/ (.*)$/gm)].map(([, line]) => line);
  if (lines.length === 0) {
    throw new Error(`${fileURLToPath(packageRoot)}README.md does not say what its example prints`);
  }
  return `${lines.join('\n')}\n`;
}
