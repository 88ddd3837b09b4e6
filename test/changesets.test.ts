import { execFile } from 'node:child_process';
import { globSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { type Manifest, ROOT, readManifest, workspacePackages } from '../tools/workspace.ts';

const run = promisify(execFile);
const packages = workspacePackages();

/** What all packages have before; from 0.1 on the range `^` takes in patches. */
const BEFORE = '0.1.0';

/** A workspace of the same manifests, without sources, versions and changesets of its own. */
async function skeleton(): Promise<AsyncDisposable & { readonly directory: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'tsvmm-changesets-'));
  await mkdir(join(directory, '.changeset'));
  for (const file of ['package.json', 'pnpm-workspace.yaml', 'pnpm-lock.yaml', '.changeset/config.json'])
    await cp(join(ROOT, file), join(directory, file));
  for (const { folder, manifest } of packages) {
    const own = join(directory, 'packages', folder);
    await mkdir(own, { recursive: true });
    const unreleased: Manifest = { ...manifest, version: BEFORE };
    await writeFile(join(own, 'package.json'), `${JSON.stringify(unreleased, undefined, 2)}\n`);
  }
  await symlink(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  const identity = ['-c', 'user.name=Test', '-c', 'user.email=test@localhost'];
  for (const command of [
    ['init', '--quiet', '--initial-branch', 'main'],
    ['add', 'packages', '.changeset', 'package.json'],
    [...identity, 'commit', '--quiet', '--message', 'Begin'],
  ])
    await run('git', command, { cwd: directory });
  return { directory, [Symbol.asyncDispose]: () => rm(directory, { recursive: true }) };
}

/** The packages whose versions `changeset version` changes for one changeset, with their new versions. */
async function bumped(name: string, kind: 'patch' | 'minor' | 'major'): Promise<Record<string, string>> {
  await using workspace = await skeleton();
  const { directory } = workspace;
  const changeset = `---\n'${name}': ${kind}\n---\n\nA change of ${name}.\n`;
  await writeFile(join(directory, '.changeset/a-change.md'), changeset);
  await run('changeset', ['version'], { cwd: directory });
  const after = packages.map(({ folder }) => readManifest(join(directory, 'packages', folder)));
  const changed = after.filter(({ version }) => version !== BEFORE);
  for (const { dependencies } of after)
    for (const [dependency, range] of Object.entries(dependencies ?? {}))
      if (dependency === name) expect(range).toBe('workspace:^');
  const folder = packages.find(({ manifest }) => manifest.name === name)?.folder ?? '';
  const log = await readFile(join(directory, 'packages', folder, 'CHANGELOG.md'), 'utf8');
  expect(log).toContain(`A change of ${name}.`);
  return Object.fromEntries(changed.map((manifest) => [manifest.name, manifest.version]));
}

function dependentsOf(name: string): readonly string[] {
  const dependents = packages.filter(({ manifest }) => Object.hasOwn(manifest.dependencies ?? {}, name));
  return dependents.map(({ manifest }) => manifest.name);
}

test('a fix releases the package alone: dependents take it as it is', async () => {
  expect(dependentsOf('@tsvmm/fdt')).not.toEqual([]);
  expect(await bumped('@tsvmm/fdt', 'patch')).toEqual({ '@tsvmm/fdt': '0.1.1' });
});

test('a change that dependents must adopt releases them too, and what depends on them not', async () => {
  const patches = dependentsOf('@tsvmm/fdt').map((name) => [name, '0.1.1']);
  expect(await bumped('@tsvmm/fdt', 'minor')).toEqual({
    '@tsvmm/fdt': '0.2.0',
    ...Object.fromEntries(patches),
  });
});

test('what only tests need releases nothing', async () => {
  const name = '@tsvmm/guest-image';
  const patches = dependentsOf(name).map((dependent) => [dependent, '0.1.1']);
  expect(await bumped(name, 'minor')).toEqual({ [name]: '0.2.0', ...Object.fromEntries(patches) });
});

test('the program is released alone', async () => {
  expect(await bumped('tsvmm', 'major')).toEqual({ tsvmm: '1.0.0' });
});

test('the changes that wait for a release can be released', async () => {
  await using workspace = await skeleton();
  const { directory } = workspace;
  await cp(join(ROOT, '.changeset'), join(directory, '.changeset'), { recursive: true });
  const waiting = globSync('.changeset/*.md', { cwd: directory });
  const { stdout, stderr } = await run('changeset', ['version'], { cwd: directory });
  expect(`${stdout}${stderr}`).toMatch(waiting.length > 0 ? /updated/ : /No unreleased changesets/);
  expect(globSync('.changeset/*.md', { cwd: directory })).toEqual([]);
});
