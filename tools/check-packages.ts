/**
 * Packs every package, installs each with npm alone into an empty directory, without a compiler, and runs the example of its
 * README there. The thorough version of test/packaging.test.ts, for before a release:
 *
 *     pnpm build && pnpm check:packages [FOLDER...]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installWithNpm, pack, plainPath, runProgram, type Tarball } from './tarballs.ts';
import { readmeExample, workspacePackages } from './workspace.ts';

const wanted = process.argv.slice(2);
const directory = await mkdtemp(join(tmpdir(), 'tsvmm-packages-'));
try {
  const programs = await plainPath(join(directory, 'programs'));
  const tarballs: Tarball[] = [];
  for (const source of workspacePackages()) tarballs.push(await pack(source, directory));
  for (const tarball of tarballs) {
    const { folder, manifest } = tarball.source;
    if (wanted.length > 0 && !wanted.includes(folder)) continue;
    try {
      await installAndRun(tarball, join(directory, folder));
      console.log(`${manifest.name}: installs and runs its example`);
    } catch (error) {
      console.error(`${manifest.name}: ${error instanceof Error ? error.message : error}`);
      process.exitCode = 1;
    }
  }

  async function installAndRun(tarball: Tarball, project: string): Promise<void> {
    await installWithNpm(project, [tarball], tarballs, programs);
    const example = readmeExample(join(project, 'node_modules', tarball.source.manifest.name));
    if (example === undefined) throw new Error('its README has no example in a ```ts block');
    await runProgram(example, project);
  }
} finally {
  await rm(directory, { recursive: true });
}
