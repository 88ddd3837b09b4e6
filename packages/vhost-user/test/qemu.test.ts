import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openExecutor } from '@tsvmm/async';
import { blockModel, openBackend, RngBackend, rngModel } from '@tsvmm/devices';
import { fetchGuest, type Guest } from '@tsvmm/guest-image';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PROMPT } from '../../../tools/guest-shell.ts';
import { QemuGuest } from '../../../tools/qemu-guest.ts';
import { VhostUserServer } from '../src/index.ts';

const MIB = 2 ** 20;
const DISK_SIZE = 8 * MIB;

let guest: Guest;
let folder: string;

beforeAll(async () => {
  guest = await fetchGuest({ architecture: 'riscv64' });
  folder = await mkdtemp(join(tmpdir(), 'tsvmm-vhost-user-'));
}, 300_000);

afterAll(async () => {
  await rm(folder, { recursive: true });
});

/** A disk as a vhost-user device, for as long as the result is not disposed. */
async function serveDisk(socket: string, path: string, errors: unknown[]): Promise<AsyncDisposable> {
  const stack = new AsyncDisposableStack();
  const { executor } = openExecutor();
  stack.use(executor);
  const backend = await openBackend(
    { kind: 'block', disk: { path }, options: { readOnly: false, id: 'vhost-user' } },
    { executor: () => executor },
  );
  stack.use(backend);
  const server = VhostUserServer.listen(socket, {
    name: 'virtio-blk',
    model: blockModel({ size: DISK_SIZE, readOnly: false, id: 'vhost-user' }),
    backend,
    onBroken: (error) => errors.push(error),
    onEnd: (error) => error && errors.push(error),
  });
  stack.use(server);
  return stack;
}

test("a guest of QEMU's uses our disk and our random numbers, also after the disk's process came back", async () => {
  const image = join(folder, 'disk.img');
  await writeFile(image, Buffer.alloc(DISK_SIZE, 'tsvmm '));
  const [diskSocket, rngSocket] = [join(folder, 'disk.sock'), join(folder, 'rng.sock')];
  const errors: unknown[] = [];
  const first = await serveDisk(diskSocket, image, errors);
  using _rng = VhostUserServer.listen(rngSocket, {
    name: 'virtio-rng',
    model: rngModel(),
    backend: new RngBackend(),
    onBroken: (error) => errors.push(error),
    onEnd: (error) => error && errors.push(error),
  });
  await using qemu = new QemuGuest(guest, [
    ...[
      '-chardev',
      `socket,id=disk,path=${diskSocket},reconnect=1`,
      '-device',
      'vhost-user-blk-pci,chardev=disk',
    ],
    ...['-chardev', `socket,id=rng,path=${rngSocket}`, '-device', 'vhost-user-rng-pci,chardev=rng'],
  ]);
  await qemu.until(PROMPT);
  const md5 = async () =>
    createHash('md5')
      .update(await readFile(image))
      .digest('hex');

  expect(await qemu.run('md5sum /dev/vda; cat /sys/block/vda/serial')).toMatch(
    new RegExp(`${await md5()}.*vhost-user`, 's'),
  );
  expect(await qemu.run('head -c 32 /dev/hwrng | wc -c')).toMatch(/^32\r?$/m);
  await qemu.run('dd if=/dev/hwrng of=/dev/vda bs=4k count=16 conv=fsync');
  expect(await qemu.run('md5sum /dev/vda')).toContain(await md5());

  // The process of the disk goes away while the guest writes, and another one takes its place.
  const writing = qemu.run(
    'dd if=/dev/urandom of=/dev/vda bs=4k count=1024 seek=512 oflag=direct && echo WRITTEN',
  );
  await first[Symbol.asyncDispose]();
  await using _second = await serveDisk(diskSocket, image, errors);
  expect(await writing).toContain('WRITTEN');
  expect(await qemu.run('echo 3 > /proc/sys/vm/drop_caches; md5sum /dev/vda')).toContain(await md5());
  expect(errors).toEqual([]);
}, 180_000);
