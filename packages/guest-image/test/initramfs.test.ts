import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { buildInitramfs } from '../src/initramfs.ts';
import { program } from './support/program.ts';
import { TemporaryDirectory } from './support/temporary.ts';

/** Names to modes, as GNU cpio lists an archive. */
function listing(archive: Uint8Array): Map<string, string> {
  const lines = program('cpio', ['--list', '--verbose', '--quiet'], archive).toString().trim().split('\n');
  return new Map(
    lines.map((line) => {
      const [mode = '', ...rest] = line.split(/\s+/);
      return [rest.slice(rest.indexOf('1970') + 1).join(' '), mode];
    }),
  );
}

test('GNU cpio finds the userland, with modes', async () => {
  using directory = new TemporaryDirectory();
  writeFileSync(directory.join('busybox'), 'busybox');
  const entries = listing(await buildInitramfs({ busybox: directory.join('busybox') }));
  expect(Object.fromEntries(entries)).toMatchObject({
    init: '-rwxr-xr-x',
    'bin/busybox': '-rwxr-xr-x',
    'sbin/session': '-rwxr-xr-x',
    'sbin/poweroff': '-rwxr-xr-x',
    'etc/fstab': '-rw-r--r--',
    'dev/console': 'crw-------',
    proc: 'drwxr-xr-x',
    tmp: 'drwxrwxrwt',
  });
});

test("the caller's files replace and add", async () => {
  using directory = new TemporaryDirectory();
  writeFileSync(directory.join('busybox'), 'busybox');
  const archive = await buildInitramfs({
    busybox: directory.join('busybox'),
    init: '#!/bin/busybox sh\n',
    hostname: 'other',
    files: [
      { path: '/etc/profile', data: 'mine' },
      { path: '/opt/deep/tool', data: Uint8Array.of(1, 2, 3), mode: 0o700 },
      { path: '/bin/link', target: 'busybox' },
    ],
  });
  writeFileSync(directory.join('archive'), archive);
  program('sh', [
    '-c',
    'cd "$0" && mkdir out && cd out && cpio -id --quiet bin* etc* init opt* < ../archive',
    directory.path,
  ]);
  const text = (name: string) => readFileSync(directory.join('out', name), 'latin1');
  expect(text('init')).toBe('#!/bin/busybox sh\n');
  expect(text('etc/hostname')).toBe('other\n');
  expect(text('etc/profile')).toBe('mine');
  expect(text('opt/deep/tool')).toBe('\x01\x02\x03');
  expect(text('bin/link')).toBe('busybox');
  expect(listing(archive).get('opt/deep/tool')).toBe('-rwx------');
});

test.each(['relative', '', '/', '/directory/'])('the path %j is refused', async (path) => {
  using directory = new TemporaryDirectory();
  writeFileSync(directory.join('busybox'), '');
  const options = { busybox: directory.join('busybox'), files: [{ path, data: '' }] };
  await expect(buildInitramfs(options)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
});

test('a module that is not there is named', async () => {
  using directory = new TemporaryDirectory();
  writeFileSync(directory.join('busybox'), '');
  const options = {
    busybox: directory.join('busybox'),
    modulesDirectory: directory.path,
    modules: ['nosuch'],
  };
  await expect(buildInitramfs(options)).rejects.toMatchObject({
    code: 'BAD_MODULE',
    message: expect.stringContaining("'nosuch'"),
  });
});
