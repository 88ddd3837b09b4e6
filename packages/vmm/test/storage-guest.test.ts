import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempDisposable, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchGuest } from '@tsvmm/guest-image';
import { expect, test } from 'vitest';
import { makeProgramsImage } from '../../../tools/guest-programs.ts';
import { VirtualMachine } from '../src/virtual-machine.ts';
import { Shell } from './shell.ts';

const MIB = 2 ** 20;
const PROGRAMS = [
  'fio',
  'sg_inq',
  'sg_luns',
  'sg_opcodes',
  'sg_readcap',
  'sg_unmap',
  'sg_verify',
  'sg_vpd',
  'sg_write_same',
];

/** Writes of mixed sizes at random places, of which each is read again and compared. */
const FIO = [
  '[global]',
  ...['rw=randrw', 'verify=crc32c', 'verify_fatal=1', 'verify_state_save=0', 'bsrange=4k-64k', 'size=2m'],
  ...['ioengine=libaio', 'iodepth=8', 'direct=1', 'randseed=7'],
];

test("fio's data is what it wrote on disks of every kind, and sg3-utils understand SCSI disks", {
  timeout: 300_000,
}, async () => {
  const guest = await fetchGuest({ architecture: 'riscv64' });
  await using folder = await mkdtempDisposable(join(tmpdir(), 'tsvmm-storage-'));
  const at = (name: string) => join(folder.path, name);
  await makeProgramsImage(at('programs'), guest, ['fio', 'sg3-utils'], PROGRAMS);
  for (const name of ['block.raw', 'scsi.raw', 'pmem']) {
    await writeFile(at(name), '');
    await truncate(at(name), 16 * MIB);
  }
  for (const name of ['block.qcow2', 'scsi.qcow2']) {
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', at(name), '16M']);
  }
  execFileSync('mkfs.ext4', ['-q', '-b', '4096', at('pmem')], { stdio: 'pipe' });
  const foreign = randomBytes(2 * MIB);
  await writeFile(at('foreign.raw'), foreign);
  for (const format of ['vmdk', 'vpc']) {
    execFileSync('qemu-img', [
      'convert',
      '-f',
      'raw',
      '-O',
      format,
      at('foreign.raw'),
      at(`foreign.${format}`),
    ]);
  }

  const log = at('console.log');
  await using vm = await VirtualMachine.create({
    hypervisor: { kind: 'soft' },
    kernel: guest.kernel,
    initrd: guest.initrd,
    blocks: [
      { path: at('programs'), readOnly: true },
      { path: at('block.raw'), asyncExecutor: 'uring' },
      { path: at('block.qcow2'), asyncExecutor: 'epoll' },
      { path: at('foreign.vmdk') },
      { path: at('foreign.vpc') },
    ],
    scsiDisks: [{ path: at('scsi.raw') }, { path: at('scsi.qcow2') }],
    pmems: [{ path: at('pmem') }],
    serials: [{ hardware: 'virtio-console', num: 1, type: 'file', path: log, console: true, stdin: true }],
  });
  await vm.start();
  const shell = new Shell(vm, log);
  await shell.run(
    'stty cols 300; mount -o ro /dev/vda /mnt; for d in dev proc sys tmp; do mount --bind /$d /mnt/$d; done',
    // Linux does not name SCSI disks in the order of their targets.
    'for t in 0 1; do ln -s $(ls /sys/bus/scsi/devices/0:0:$t:0/block) /dev/target$t; done',
    'mount -t ext4 -o dax /dev/pmem0 /mnt/mnt',
  );

  // ---- Data
  const disks = ['/dev/vdb', '/dev/vdc', '/dev/target0', '/dev/target1'];
  const jobs = [...FIO, ...disks.flatMap((disk, index) => [`[disk${index}]`, `filename=${disk}`])];
  const memory = ['[memory]', 'filename=/mnt/file', 'ioengine=psync', 'direct=0', 'fsync=16'];
  await shell.run(`printf '${[...jobs, ...memory].join('\\n')}\\n' > /tmp/job`);
  expect(await shell.run('chroot /mnt fio --minimal /tmp/job; echo status $?')).toMatch(/^status 0$/m);
  const sum = (await shell.run('md5sum < /mnt/mnt/file; umount /mnt/mnt')).match(/^[0-9a-f]{32}/m)?.[0];
  const expected = createHash('md5').update(foreign).digest('hex');
  const sums = await shell.run('for d in vdd vde; do head -c 2097152 /dev/$d | md5sum; done');
  expect(sums.match(/^[0-9a-f]{32}/gm)).toEqual([expected, expected]);

  // ---- SCSI
  const ask = (line: string) => shell.run(`chroot /mnt ${line} /dev/target0; echo status $?`);
  expect(await ask('sg_inq')).toMatch(/\[SPC-4\].*TSVMM.*VIRTIO DISK.*status 0/s);
  const vpd = await ask('sg_vpd --all');
  expect(vpd).toMatch(/serial number: tsvmm-0.*vendor id: TSVMM.*Maximum write same length: 0x10000/s);
  expect(vpd).toMatch(/Non-rotating.*LBPU=1.*thin provisioned.*status 0/s);
  expect(await ask('sg_readcap --16')).toMatch(/lbpme=1.*32768.*length=512.*status 0/s);
  expect(await ask('sg_luns')).toMatch(/1 lun entry.*status 0/s);
  expect(await ask('sg_opcodes')).toMatch(/Write same\(16\).*Report supported task management.*status 0/s);
  expect(await ask('sg_write_same --16 --unmap --lba=8192 --num=64')).toMatch(/^status 0$/m);
  expect(await ask('sg_unmap --lba=16384 --num=128 --force')).toMatch(/^status 0$/m);
  expect(await ask('sg_verify --lba=0 --count=100')).toMatch(/^status 0$/m);
  expect(await ask('sg_verify --lba=99999999 --count=1')).toMatch(/LBA out of range/);
  await vm.stop();

  // ---- What is in the files
  for (const name of ['block.qcow2', 'scsi.qcow2']) {
    expect(execFileSync('qemu-img', ['check', at(name)], { encoding: 'utf8' })).toContain('No errors');
  }
  execFileSync('e2fsck', ['-fn', at('pmem')], { stdio: 'pipe' });
  const file = execFileSync('debugfs', ['-R', 'cat file', at('pmem')], { maxBuffer: 4 * MIB, stdio: 'pipe' });
  expect(file).toHaveLength(2 * MIB);
  expect(createHash('md5').update(file).digest('hex')).toBe(sum);
});
