import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type CliResult, tsvmm } from './support/cli.ts';

const environment = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tsvmm-filesystem-'));
  mkdirSync(join(directory, 'root/etc'), { recursive: true });
  writeFileSync(join(directory, 'root/etc/hostname'), 'guest\n');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function disk(args: readonly string[], input: Buffer | string = ''): CliResult {
  const { status, stdout, stderr } = tsvmm(['disk', ...args], { cwd: directory, input });
  return { status, stdout, stderr };
}

function run(program: string, ...args: readonly string[]): string {
  return execFileSync(program, args, {
    cwd: directory,
    encoding: 'utf8',
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

test('a directory becomes a disk, with the same bytes each time when asked', () => {
  const uuid = '01234567-89ab-cdef-0123-456789abcdef';
  for (const image of ['one', 'two']) {
    const options = ['--uuid', uuid, '--time', '1700000000', '--owner', '0:0', '-L', 'root'];
    const { status, stdout, stderr } = disk(['from-dir', ...options, 'root', image]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^(one|two): raw, ext4 of \d.* free; 1[0-9] of \d+ inodes in use\n$/);
  }
  run('cmp', 'one', 'two');
  run('e2fsck', '-fn', 'one');
  expect(run('debugfs', '-R', 'cat etc/hostname', 'one')).toBe('guest\n');
  expect(run('dumpe2fs', '-h', 'one')).toContain(uuid);
});

test('an archive from a pipe becomes a qcow2 image of ext2', () => {
  run('tar', '-czf', 'root.tar.gz', '-C', 'root', '.');
  const archive = readFileSync(join(directory, 'root.tar.gz'));
  const options = ['--format', 'qcow2', '--type', 'ext2', '--size', '64M', '--block-size', '1K'];
  expect(disk(['from-tar', ...options, '-', 'image'], archive)).toMatchObject({ status: 0, stderr: '' });
  expect(run('qemu-img', 'info', 'image')).toMatch(/file format: qcow2\nvirtual size: 64 MiB/);
  run('qemu-img', 'convert', '-O', 'raw', 'image', 'raw');
  run('e2fsck', '-fn', 'raw');
  expect(run('debugfs', '-R', 'cat etc/hostname', 'raw')).toBe('guest\n');
});

test('what fails leaves what was there', () => {
  run('tar', '-cf', 'root.tar', '-P', '--transform', 's,^,../,', '-C', 'root', 'etc/hostname');
  writeFileSync(join(directory, 'image'), 'before');
  const { status, stderr } = disk(['from-tar', 'root.tar', 'image']);
  expect(status).toBe(1);
  expect(stderr).toMatch(/^tsvmm: "\.\.\/etc\/hostname": the path has '\.\.' in it/);
  expect(readFileSync(join(directory, 'image'), 'utf8')).toBe('before');
  expect(disk(['from-tar', 'none.tar', 'none'])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('none.tar'),
  });
  expect(existsSync(join(directory, 'none'))).toBe(false);
  expect(readdirSync(directory).toSorted()).toEqual(['image', 'root', 'root.tar']);
});

test.each([
  [['from-tar', '-', 'image'], 'give a --size'],
  [['from-dir', '--type', 'ext3', 'root', 'image'], '--type'],
  [['from-dir', '--owner', 'me', 'root', 'image'], '--owner'],
  [['from-dir', '--size', '1G', '--free', '1M', 'root', 'image'], '--free'],
  [['from-dir', '-o', 'compat=v2', 'root', 'image'], 'qcow2'],
  [['from-dir', 'root'], 'IMAGE'],
  [['from-dir', 'root', 'root/etc/image'], 'root/etc/image lies inside root'],
  [['from-dir', '.', 'image'], 'image lies inside .'],
])('%j is a wrong command line', (args, text) => {
  const { status, stderr } = disk(args);
  expect(status).toBe(35);
  expect(stderr).toContain(text);
});
