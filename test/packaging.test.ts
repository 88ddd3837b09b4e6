import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, posix } from 'node:path';
import { promisify } from 'node:util';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  consumerEnvironment,
  installWithNpm,
  pack,
  plainPath,
  runProgram,
  type Tarball,
} from '../tools/tarballs.ts';
import { ROOT, readManifest, readmeExample, workspacePackages } from '../tools/workspace.ts';

const run = promisify(execFile);
const packages = workspacePackages();
const tarballs = new Map<string, Tarball>();
let directory = '';
/** A project outside of the workspace that has all packages; tools/check-packages.ts installs each alone. */
let project = '';
/** A PATH without a compiler. */
let programs = '';

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tsvmm-packages-'));
  programs = await plainPath(join(directory, 'programs'));
  for (const source of packages) tarballs.set(source.folder, await pack(source, directory));
  project = join(directory, 'project');
  await installWithNpm(project, [...tarballs.values()], [...tarballs.values()], programs);
}, 300_000);

afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

function tarballOf(folder: string): Tarball {
  const tarball = tarballs.get(folder);
  if (!tarball) throw new Error(`packages/${folder} was not packed.`);
  return tarball;
}

describe.for(packages)('the tarball of packages/$folder', ({ folder, manifest }) => {
  test('has what it should, and nothing else', () => {
    const { files } = tarballOf(folder);
    const shipped = new Set((manifest.files ?? []).filter((path) => !path.startsWith('!')));
    const stray = files.filter((path) => !shipped.has(path.split('/')[0] ?? ''));
    expect(stray).toEqual(['LICENSE', 'README.md', 'package.json']);
    const unwanted =
      /\.tsbuildinfo$|\.test\.|(?:^|\/)(?:test|bench|fixtures|node_modules|build)\/|(?:^|\/)\./;
    expect(files.filter((path) => unwanted.test(path))).toEqual([]);
    const compiled = files.filter((path) => /^src\/.*(?<!\.d)\.ts$/.test(path));
    const expected = compiled.flatMap((path) =>
      ['.js', '.d.ts', '.js.map', '.d.ts.map'].map((extension) =>
        path.replace(/^src\//, 'dist/').replace(/\.ts$/, extension),
      ),
    );
    expect(compiled).toContain('src/index.ts');
    expect(files).toEqual(expect.arrayContaining(expected));
  });

  test('has no fault that publint knows', async () => {
    const file = readFileSync(tarballOf(folder).path);
    const tarball = file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength);
    const { messages, pkg } = await publint({ pack: { tarball } });
    expect(messages.map((message) => formatMessage(message, pkg, { color: false }))).toEqual([]);
  });

  test('runs its example where it was installed without a compiler', async () => {
    const installed = join(project, 'node_modules', manifest.name);

    const { name, version, dependencies } = readManifest(installed);
    expect({ name, version }).toEqual({ name: manifest.name, version: manifest.version });
    expect(Object.values(dependencies ?? {}).filter((range) => range.includes(':'))).toEqual([]);

    for (const face of Object.keys(manifest.exports ?? {})) {
      const specifier = posix.join(manifest.name, face);
      const exported = await runProgram(
        `console.log(Object.keys(await import('${specifier}')).length)`,
        project,
      );
      expect(Number(exported), specifier).toBeGreaterThan(0);
    }

    const license = await readFile(join(installed, 'LICENSE'), 'utf8');
    expect(license).toBe(await readFile(join(ROOT, 'LICENSE'), 'utf8'));

    const example = readmeExample(installed);
    if (example === undefined) throw new Error('The README has no example.');
    await runProgram(example, project);
  }, 120_000);
});

test('the examples pass the type checker of a strict project', async () => {
  const examples = packages.map(({ folder }) => `${folder}.mts`);
  for (const { folder, directory: source } of packages)
    await writeFile(join(project, `${folder}.mts`), readmeExample(source) ?? '');
  const options = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'esnext', '--pretty', 'false'];
  const types = ['--types', 'node', '--typeRoots', join(ROOT, 'node_modules/@types')];
  const checker = run('tsc', [...options, ...types, ...examples], { cwd: project });
  const { stdout } = await checker.catch((error: unknown) => error as { stdout: string });
  expect(stdout).toBe('');
});

const native = packages.filter(({ manifest }) => manifest.files?.includes('prebuilds'));

/** The machine of an ELF file by Node's name of the architecture (ELF header, e_machine). */
const ELF_MACHINES = { x64: 62, arm64: 183, riscv64: 243 };

test.for(native)('packages/$folder has its add-on for every architecture', async ({ manifest }) => {
  for (const [architecture, machine] of Object.entries(ELF_MACHINES)) {
    const prebuilds = join(project, 'node_modules', manifest.name, `prebuilds/linux-${architecture}`);
    const [addon = '', ...others] = await readdir(prebuilds);
    expect(others).toEqual([]);
    expect((await readFile(join(prebuilds, addon))).readUInt16LE(18)).toBe(machine);
  }
});

test.for(native)('the prebuilt add-on of packages/$folder is used', async ({ manifest }) => {
  const installed = join(project, 'node_modules', manifest.name);
  // Nothing was compiled, and what comes with the package loads.
  expect(await readdir(installed)).not.toContain('build');
  const program = `
    import { createRequire } from 'node:module';
    const find = createRequire('${installed}/package.json')('node-gyp-build');
    find('${installed}');
    console.log(find.path('${installed}'));
  `;
  const loaded = await runProgram(program, project);
  expect(loaded).toContain(join(installed, 'prebuilds', `${process.platform}-${process.arch}`));
});

test('the command line installs alone, and is a command there', async () => {
  const alone = join(directory, 'alone');
  const tarball = tarballOf('cli');
  await installWithNpm(alone, [tarball], [...tarballs.values()], programs);
  const { stdout } = await run(join(alone, 'node_modules/.bin/tsvmm'), ['version'], {
    cwd: alone,
    env: { ...consumerEnvironment(), PATH: `${programs}:/usr/bin` },
  });
  expect(stdout).toContain(tarball.source.manifest.version);
}, 120_000);
