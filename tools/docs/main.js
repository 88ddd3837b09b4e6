// Writes the documentation of every package's public face to docs/api: `pnpm docs`. A warning is a failure.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Application } from 'typedoc';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The sources of what a package exports: `./dist/x/index.js` is made of `src/x/index.ts`. */
function entryPoints(folder) {
  const { exports = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return Object.values(exports)
    .map((entry) => entry.types ?? entry.default)
    .filter((path) => path?.startsWith('./dist/'))
    .map((path) => join(folder, path.replace('./dist/', 'src/').replace(/(\.d)?\.[jt]s$/, '.ts')));
}

const app = await Application.bootstrap({
  name: 'tsvmm',
  entryPoints: globSync('packages/*', { cwd: ROOT }).flatMap((folder) => entryPoints(join(ROOT, folder))),
  tsconfig: join(ROOT, 'tools/docs/tsconfig.json'),
  out: join(ROOT, 'docs/api'),
  readme: join(ROOT, 'README.md'),
  excludePrivate: true,
  excludeInternal: true,
  // Types that only other types mention are described where they are mentioned.
  validation: { notExported: false, invalidLink: true, invalidPath: true, notDocumented: false },
  treatWarningsAsErrors: true,
  disableGit: true,
  sourceLinkTemplate: 'https://github.com/tsvmm/tsvmm/blob/main/{path}#L{line}',
});
const project = await app.convert();
if (project === undefined || app.logger.hasErrors() || app.logger.hasWarnings()) process.exit(1);
app.validate(project);
await app.generateOutputs(project);
process.exit(app.logger.hasErrors() || app.logger.hasWarnings() ? 1 : 0);
