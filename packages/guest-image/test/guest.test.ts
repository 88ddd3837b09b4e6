import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  buildInitramfs,
  defaultCacheDirectory,
  fetchGuest,
  type Guest,
  guestArchitecture,
  listGuests,
  removeGuest,
} from '../src/index.ts';
import { readModules } from '../src/modules.ts';
import { stripModule } from '../src/strip.ts';
import { program } from './support/program.ts';
import { runQemu } from './support/qemu.ts';
import { TemporaryDirectory } from './support/temporary.ts';

afterEach(() => vi.unstubAllEnvs());

describe('the riscv64 guest', () => {
  let guest: Guest;
  beforeAll(async () => {
    guest = await fetchGuest({ architecture: 'riscv64' });
  });

  const machine = (...parameters: string[]) => [
    ...['-M', 'virt', '-m', '256', '-kernel', guest.kernel],
    ...parameters,
  ];

  test('boots in QEMU to a shell that executes what is typed, with its devices driven', async () => {
    using directory = new TemporaryDirectory();
    program('mkfs.ext4', ['-q', directory.join('disk'), '16M']);
    const output = await runQemu({
      parameters: machine(
        ...['-smp', '2', '-initrd', guest.initrd, '-append', 'console=ttyS0 quiet'],
        ...[
          '-drive',
          `file=${directory.join('disk')},format=raw,if=none,id=d`,
          '-device',
          'virtio-blk-pci,drive=d',
        ],
        ...['-device', 'virtio-rng-pci', '-device', 'virtio-net-pci'],
      ),
      input: [
        'uname -m; nproc; hostname; tty',
        'mount /dev/vda /mnt && echo kept > /mnt/file',
        'cat /sys/class/misc/hw_random/rng_current; ls /sys/class/net',
        'set -o | grep monitor',
        'poweroff\n',
      ].join('\n'),
    });
    expect(output).toMatch(/^riscv64\n2\ntsvmm\n\/dev\/ttyS0$/m);
    expect(output).toMatch(/^virtio_rng.0\neth0 +lo$/m);
    // Job control is on.
    expect(output).toMatch(/^monitor\s+on$/m);
    expect(output).toContain('reboot: Power down');
    expect(output).not.toContain('Call Trace');
    // The disk was left clean, with the file on it.
    program('/sbin/e2fsck', ['-fn', directory.join('disk')]);
    expect(program('/sbin/debugfs', ['-R', 'cat /file', directory.join('disk')]).toString()).toBe('kept\n');
  });

  test('mounts the root= it is given and starts its init', async () => {
    using directory = new TemporaryDirectory();
    for (const name of ['bin', 'sbin', 'dev', 'proc', 'sys'])
      mkdirSync(directory.join('root', name), { recursive: true });
    writeFileSync(directory.join('root/bin/busybox'), readFileSync(guest.busybox), { mode: 0o755 });
    const init = '#!/bin/busybox sh\nbusybox grep " / " /proc/mounts\nexec busybox poweroff -f\n';
    writeFileSync(directory.join('root/sbin/init'), init, { mode: 0o755 });
    program('mkfs.ext4', [
      '-q',
      '-L',
      'guest-root',
      '-d',
      directory.join('root'),
      directory.join('disk'),
      '16M',
    ]);
    const output = await runQemu({
      parameters: machine(
        ...['-initrd', guest.initrd, '-append', 'console=ttyS0 quiet root=LABEL=guest-root'],
        ...[
          '-drive',
          `file=${directory.join('disk')},format=raw,if=none,id=d`,
          '-device',
          'virtio-blk-pci,drive=d',
        ],
      ),
      input: '',
    });
    expect(output).toMatch(/^\/dev\/vda \/ ext4 ro,/m);
  });

  test('boots an initramfs with an init of the caller, who loads a module', async () => {
    using directory = new TemporaryDirectory();
    const init = `#!/bin/busybox sh
busybox mkdir -p /proc
busybox mount -t proc proc /proc
busybox modprobe overlay
busybox grep overlay /proc/filesystems
busybox cat /etc/mine
busybox poweroff -f
`;
    const archive = await buildInitramfs({
      busybox: guest.busybox,
      init,
      modulesDirectory: guest.modules,
      modules: ['overlay', 'virtio-pci'],
      files: [{ path: '/etc/mine', data: 'my file\n' }],
    });
    writeFileSync(directory.join('initrd'), archive);
    const output = await runQemu({
      parameters: machine('-initrd', directory.join('initrd'), '-append', 'console=ttyS0 quiet'),
      input: '',
    });
    expect(output).toMatch(/^nodev\toverlay\nmy file$/m);
  });

  test('binutils sees the same relocations in a stripped module, and hardly more symbols than its own strip leaves', async () => {
    using directory = new TemporaryDirectory();
    const modules = await readModules(guest.modules, ['virtio_blk']);
    const original = modules.get('virtio_blk')?.data ?? new Uint8Array();
    const stripped = stripModule(original);
    expect(stripped.length).toBeLessThan(original.length / 2);
    writeFileSync(directory.join('original.ko'), original);
    writeFileSync(directory.join('stripped.ko'), stripped);
    const read = (option: string, name: string) =>
      program('riscv64-linux-gnu-readelf', ['-W', option, directory.join(name)]).toString();
    // Offset, type, value and name of each; the column between offset and type has the symbol's number.
    const relocations = (name: string) =>
      read('--relocs', name)
        .replaceAll(/^([0-9a-f]{16}) +[0-9a-f]{16} /gm, '$1 ')
        .replaceAll(/ at offset 0x[0-9a-f]+/g, '');
    expect(relocations('stripped.ko')).toBe(relocations('original.ko'));
    const lines = (name: string) => read('--symbols', name).split('\n').length;
    program('riscv64-linux-gnu-strip', ['--strip-unneeded', directory.join('original.ko')]);
    expect(lines('stripped.ko') - lines('original.ko')).toBeLessThan(lines('original.ko') / 10);
  });

  test('is found again without a program of the host', async () => {
    vi.stubEnv('PATH', '/nonexistent');
    expect(await fetchGuest({ architecture: 'riscv64' })).toEqual(guest);
    expect(await listGuests()).toContainEqual(guest);
  });
});

test('a host without apt is told to bring a kernel', async () => {
  using directory = new TemporaryDirectory();
  vi.stubEnv('PATH', '/nonexistent');
  await expect(fetchGuest({ architecture: 'amd64', cacheDirectory: directory.path })).rejects.toMatchObject({
    code: 'NO_APT',
    message: expect.stringContaining('tsvmm run --initrd INITRD KERNEL'),
  });
});

test("a mirror that does not answer fails with apt's own words", async () => {
  using directory = new TemporaryDirectory();
  const options = { architecture: 'arm64', cacheDirectory: directory.path, mirror: 'file:///nonexistent' };
  await expect(fetchGuest(options)).rejects.toMatchObject({
    code: 'FETCH_FAILED',
    message: expect.stringMatching(/E: .*nonexistent/),
  });
});

test.each([{ suite: '../etc' }, { suite: 'a b' }, { cacheDirectory: '/quote"' }])(
  '%j is refused',
  async (options) => {
    await expect(fetchGuest({ architecture: 'riscv64', ...options })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  },
);

test("Debian's and the kernel's names of architectures are understood, others refused", () => {
  expect(['riscv64', 'x86_64', 'aarch64'].map(guestArchitecture)).toEqual(['riscv64', 'amd64', 'arm64']);
  expect(() => guestArchitecture('mips')).toThrow(
    expect.objectContaining({ code: 'UNSUPPORTED_ARCHITECTURE' }),
  );
});

test('a guest is listed and removed; one that is not whole is not listed', async () => {
  using directory = new TemporaryDirectory();
  const cacheDirectory = directory.path;
  const manifest = { architecture: 'arm64', suite: 'trixie', kernelVersion: '1', recipe: '' };
  const files = {
    kernel: 'vmlinuz',
    initrd: 'initrd',
    config: 'config',
    modules: 'modules/1',
    busybox: 'busybox',
  };
  for (const name of ['trixie-arm64', 'sid-arm64']) {
    mkdirSync(directory.join('guests', name), { recursive: true });
    writeFileSync(directory.join('guests', name, 'guest.json'), JSON.stringify({ ...manifest, ...files }));
  }
  writeFileSync(directory.join('guests/trixie-arm64/vmlinuz'), '');
  writeFileSync(directory.join('guests/trixie-arm64/initrd'), '');
  const listed = await listGuests({ cacheDirectory });
  expect(listed.map(({ kernel }) => kernel)).toEqual([directory.join('guests/trixie-arm64/vmlinuz')]);
  expect(await removeGuest({ architecture: 'aarch64', cacheDirectory })).toBe(true);
  expect(await removeGuest({ architecture: 'aarch64', cacheDirectory })).toBe(false);
  expect(await listGuests({ cacheDirectory })).toEqual([]);
  expect(existsSync(directory.join('guests/trixie-arm64'))).toBe(false);
});

test('the cache follows the XDG specification', () => {
  vi.stubEnv('XDG_CACHE_HOME', '/elsewhere');
  expect(defaultCacheDirectory()).toBe('/elsewhere/tsvmm');
  vi.stubEnv('XDG_CACHE_HOME', 'relative');
  vi.stubEnv('HOME', '/home/user');
  expect(defaultCacheDirectory()).toBe('/home/user/.cache/tsvmm');
});
