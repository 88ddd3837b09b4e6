import { createHash } from 'node:crypto';
import { mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UnixListener } from '@tsvmm/base';
import { describeBlockDevice } from '@tsvmm/devices';
import { fetchGuest, type Guest } from '@tsvmm/guest-image';
import { beforeAll, expect, test } from 'vitest';
import { PROMPT } from '../../../tools/guest-shell.ts';
import { QemuGuest } from '../../../tools/qemu-guest.ts';
import { DeviceProcess, type ProcessDevice } from '../src/index.ts';
import { RNG } from './support.ts';

const DISK_SIZE = 8 * 2 ** 20;
let guest: Guest;

beforeAll(async () => {
  guest = await fetchGuest({ architecture: 'riscv64' });
}, 300_000);

test("a guest of QEMU's uses a disk and random numbers of processes in their jails", async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'device-process-'));
  const problems: string[] = [];
  const failure = Promise.withResolvers<never>();
  await using owned = new AsyncDisposableStack();
  const serve = async (device: ProcessDevice): Promise<string> => {
    const path = join(folder.path, `${device.backend.kind}.sock`);
    const process = await DeviceProcess.start(device, {
      onBroken: (message) => problems.push(message),
      onFailure: failure.reject,
    });
    owned.use(process);
    const listener = owned.use(UnixListener.listen(path));
    owned.use(listener.onConnection((socket) => process.connect(socket)));
    return path;
  };
  const image = join(folder.path, 'disk.img');
  writeFileSync(image, Buffer.alloc(DISK_SIZE, 'tsvmm '));
  const md5 = () => createHash('md5').update(readFileSync(image)).digest('hex');
  const device = (name: string, path: string) => [
    ...['-chardev', `socket,id=${name},path=${path}`],
    ...['-device', `vhost-user-${name}-pci,chardev=${name}`],
  ];
  await using qemu = new QemuGuest(guest, [
    ...device('blk', await serve(await describeBlockDevice({ path: image }))),
    ...device('rng', await serve(RNG)),
  ]);
  const work = async () => {
    await qemu.until(PROMPT);
    expect(await qemu.run('md5sum /dev/vda')).toContain(md5());
    expect(await qemu.run('head -c 32 /dev/hwrng | wc -c')).toMatch(/^32\r?$/m);
    await qemu.run('dd if=/dev/hwrng of=/dev/vda bs=4k count=16 conv=fsync');
    await qemu.run('blkdiscard -o 1M -l 1M /dev/vda');
    await qemu.run('echo 3 > /proc/sys/vm/drop_caches');
    expect(await qemu.run('md5sum /dev/vda')).toContain(md5());
  };
  await Promise.race([work(), failure.promise]);
  expect(problems).toEqual([]);
}, 180_000);
