import { type VirtualMachineConfiguration, validateConfiguration } from '@tsvmm/vmm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UsageError } from '../src/errors.ts';
import { RUN_OPTIONS } from '../src/options/run.ts';
import { parseCommandLine } from '../src/parse.ts';
import { runRequest, spellingOf } from '../src/run/request.ts';

function configurationOf(...args: string[]) {
  return runRequest(parseCommandLine(['run', ...args])).configuration;
}

function resolve(...args: string[]) {
  const configuration: VirtualMachineConfiguration = { kernel: 'Image', ...configurationOf(...args) };
  return validateConfiguration(configuration);
}

describe('options become a configuration', () => {
  const nothing = {
    params: [],
    blocks: [],
    scsiDisks: [],
    pmems: [],
    serials: [],
    inputs: [],
    vhostUser: [],
  };
  test.each<[string[], object]>([
    [[], nothing],
    [['Image'], { ...nothing, kernel: 'Image' }],
    [['-m', '512'], { ...nothing, memory: { sizeMiB: 512 } }],
    [['--mem=size=0x200'], { ...nothing, memory: { sizeMiB: 512 } }],
    [['-c', '4'], { ...nothing, cpus: { count: 4 } }],
    [['--cpus', 'num-cores=4'], { ...nothing, cpus: { count: 4 } }],
    [['-i', 'i.cpio'], { ...nothing, initrd: 'i.cpio' }],
    [['-p', 'a b', '--params=c'], { ...nothing, params: ['a b', 'c'] }],
    [['--name', 'one'], { ...nothing, name: 'one' }],
    [
      [
        '--serial',
        'hardware=virtio-console,name=agent,num=2',
        '--serial',
        'hardware=virtio-console,pci-address=00:09.0',
      ],
      {
        ...nothing,
        serials: [
          { hardware: 'virtio-console', num: 2, name: 'agent' },
          { hardware: 'virtio-console', pciAddress: { bus: 0, device: 9, function: 0 } },
        ],
      },
    ],
    [
      [
        '--input',
        'keyboard[path=k]',
        '--mouse',
        'm',
        '--multi-touch',
        't:800:600:Screen',
        '--input',
        'trackpad[p,width=9]',
        '--input',
        'custom[path=c,config-path=c.json]',
      ],
      {
        ...nothing,
        inputs: [
          { kind: 'keyboard', path: 'k' },
          { kind: 'mouse', path: 'm' },
          { kind: 'multi-touch', path: 't', width: 800, height: 600, name: 'Screen' },
          { kind: 'trackpad', path: 'p', width: 9 },
          { kind: 'custom', path: 'c', configPath: 'c.json' },
        ],
      },
    ],
    [
      ['--scsi-block', 'a', '--scsi-block', 'path=b,ro,root,block-size=4096,lock=false'],
      {
        ...nothing,
        scsiDisks: [{ path: 'a' }, { path: 'b', readOnly: true, root: true, blockSize: 4096, lock: false }],
      },
    ],
    [
      ['--pmem', 'a', '--pmem', 'b,ro,root', '--pmem-device', 'c', '--rw-pmem-device', 'd'],
      {
        ...nothing,
        pmems: [
          { path: 'a', readOnly: false },
          { path: 'b', readOnly: true, root: true },
          { path: 'c', readOnly: true },
          { path: 'd', readOnly: false },
        ],
      },
    ],
    [['--init-mem', '64', '-m', '512'], { ...nothing, memory: { sizeMiB: 512, initialMiB: 64 } }],
    [['--no-balloon'], { ...nothing, balloon: false }],
    [['--balloon-page-reporting'], { ...nothing, balloon: { pageReporting: true } }],
    [['--no-rng', '--no-usb', '--disable-sandbox'], { ...nothing, rng: false, usb: false, sandbox: false }],
    [
      ['--pivot-root', '/r', '--seccomp-policy-dir=p', '--seccomp-log-failures'],
      { ...nothing, sandbox: { root: '/r', policyDirectory: 'p', logFailures: true } },
    ],
    [['--disable-sandbox', '--pivot-root', '/r'], { ...nothing, sandbox: false }],
    [
      ['--bios', 'b.bin', '--pflash', 'v.fd,block_size=512'],
      { ...nothing, bios: 'b.bin', pflash: { path: 'v.fd', blockSize: 512 } },
    ],
    [
      ['--fw-cfg', 'name=a,path=f', '--fw-cfg', 'name=b,string=text', '--enable-fw-cfg'],
      {
        ...nothing,
        fwCfg: [
          { name: 'a', path: 'f' },
          { name: 'b', string: 'text' },
        ],
      },
    ],
    [['--enable-fw-cfg'], { ...nothing, fwCfg: [] }],
    [['--bios', 'b.bin', '--no-rtc', '--no-i8042'], { ...nothing, bios: 'b.bin', rtc: false, i8042: false }],
    [['--acpi-table', 'a.aml', '--acpi-table=b.aml'], { ...nothing, acpiTables: ['a.aml', 'b.aml'] }],
    [
      ['--smbios', 'bios-vendor=me,oem-strings=[a,b]', '--oem-strings', 'c'],
      { ...nothing, smbios: { biosVendor: 'me', oemStrings: ['a', 'b', 'c'] } },
    ],
    [
      ['--pci', 'mem=[start=0xc0000000,size=4096],ecam=[0x80000000,size=0x100000]'],
      {
        ...nothing,
        pci: {
          memory: { start: 0xc000_0000, size: 4096 },
          configuration: { start: 0x8000_0000, size: 0x10_0000 },
        },
      },
    ],
    [['--irqchip', 'split'], { ...nothing, irqchip: { kind: 'split' } }],
    [['--split-irqchip'], { ...nothing, irqchip: { kind: 'split' } }],
    [['--irqchip', 'kernel'], { ...nothing, irqchip: { kind: 'kernel' } }],
    [
      ['--irqchip', 'kernel[allow-vgic-its=false]'],
      { ...nothing, irqchip: { kind: 'kernel', allowVgicIts: false } },
    ],
    [
      ['--irqchip', 'kernel[allow-vgic-its]'],
      { ...nothing, irqchip: { kind: 'kernel', allowVgicIts: true } },
    ],
    [['--irqchip=userspace'], { ...nothing, irqchip: { kind: 'userspace' } }],
    [['--nested', 'off'], { ...nothing, nested: 'off' }],
    [['--nested', 'mode=on'], { ...nothing, nested: 'on' }],
    [['--hypervisor', 'soft'], { ...nothing, hypervisor: { kind: 'soft' } }],
    [['--hypervisor=auto'], { ...nothing, hypervisor: { kind: 'auto' } }],
    [['--hypervisor', 'kvm'], { ...nothing, hypervisor: { kind: 'kvm' } }],
    [['--hypervisor', 'kvm[device=/dev/k]'], { ...nothing, hypervisor: { kind: 'kvm', device: '/dev/k' } }],
    [
      ['--vhost-user', 'block,socket=/run/d.sock', '--vhost-user-connect-timeout-ms', '50'],
      { ...nothing, vhostUser: [{ type: 'block', socket: '/run/d.sock' }], vhostUserConnectTimeLimit: 50 },
    ],
    [
      ['--vhost-user', 'type=net,socket=n,max-queue-size=512,pci-address=00:1f.0'],
      {
        ...nothing,
        vhostUser: [
          {
            type: 'net',
            socket: 'n',
            maxQueueSize: 512,
            pciAddress: { bus: 0, device: 31, function: 0 },
          },
        ],
      },
    ],
    [['--kvm-device', '/dev/k'], { ...nothing, hypervisor: { kind: 'kvm', device: '/dev/k' } }],
  ])('%j', (args, configuration) => {
    expect(configurationOf(...args)).toEqual(configuration);
  });

  test.each<[string[], object]>([
    [['-b', 'a.img'], { path: 'a.img', readOnly: false, root: false }],
    [['-b', 'path="a,b.img",ro'], { path: 'a,b.img', readOnly: true, root: false }],
    [['-b', 'a,root=true,ro=false'], { path: 'a', readOnly: false, root: true }],
    [
      ['-b', 'a,id=disk0,block-size=4096'],
      { path: 'a', id: 'disk0', blockSize: 4096, root: false, readOnly: false },
    ],
    [['-b', 'a,block_size=1024'], { path: 'a', blockSize: 1024, root: false, readOnly: false }],
    [['-b', 'a,sparse=false'], { path: 'a', sparse: false, root: false, readOnly: false }],
    [
      ['-b', 'a,direct,lock=false,packed-queue,async-executor=epoll'],
      {
        path: 'a',
        direct: true,
        lock: false,
        packedQueue: true,
        asyncExecutor: 'epoll',
        root: false,
        readOnly: false,
      },
    ],
    [['-b', 'a,o_direct=true'], { path: 'a', direct: true, root: false, readOnly: false }],
    [['-d', 'a'], { path: 'a', readOnly: true, root: false }],
    [['--rwdisk', 'a'], { path: 'a', readOnly: false, root: false }],
    [['-r', 'a'], { path: 'a', readOnly: true, root: true }],
    [['--rwroot', 'a'], { path: 'a', readOnly: false, root: true }],
  ])('disks: %j', (args, block) => {
    expect(configurationOf(...args).blocks).toEqual([block]);
  });

  test.each<[string, object]>([
    ['type=stdout,console,stdin', { type: 'stdout', console: true, stdin: true }],
    ['stdout', { type: 'stdout' }],
    [
      'type=file,path=a.log,num=2,hardware=serial',
      { type: 'file', path: 'a.log', num: 2, hardware: 'serial' },
    ],
    ['hardware=debugcon,debugcon-port=0x403', { hardware: 'debugcon', debugconPort: 0x403 }],
    ['hardware=legacy-virtio-console', { hardware: 'virtio-console' }],
    ['unix-stream,path=s,input-unix-stream', { type: 'unix-stream', path: 's', inputUnixStream: true }],
    ['earlycon,input=f', { earlycon: true, input: 'f' }],
    ['stdout,out-timestamp', { type: 'stdout', outTimestamp: true }],
    [
      'hardware=virtio-console,max-queue-sizes=[64,1024]',
      { hardware: 'virtio-console', maxQueueSizes: [64, 1024] },
    ],
  ])('consoles: %s', (value, serial) => {
    expect(configurationOf('--serial', value).serials).toEqual([serial]);
  });
});

describe('values that cannot be read', () => {
  test.each<[string[], string]>([
    [['--mem', '5x'], '--mem: expected a whole number\n  5x\n  ^^'],
    [['--mem', ''], '--mem: missing field `size`'],
    [['-m', '99999999999999999999'], '-m: the number must be between'],
    [['-c', '1,2'], '-c: '],
    [['-b', 'a,dierct'], 'did you mean `direct`?'],
    [['-b', 'a,dontcache'], '-b: dontcache is not built yet. Leave it out'],
    [['-b', 'a,multiple-workers=true'], '-b: multiple-workers is not built yet. Leave it out'],
    [['-b', 'a,async-executor=urin'], 'did you mean `uring`?'],
    [['--async-executor', 'tokio'], '--async-executor: '],
    [['-b', 'ro'], 'missing field `path`'],
    [['-b', 'a,ro,ro'], 'duplicate field `ro`'],
    [['-c', '4,clusters=[[0,1],[2,3]]'], '-c: clusters is not built yet. '],
    [['--serial', 'type=fiel'], 'did you mean `file`?'],
    [['--hypervisor', 'kvm[path=/dev/kvm]'], 'unknown field'],
    [['--pci', 'ecam=[0,size=1],cam=[0,size=1]'], 'either ecam or cam'],
    [['--smbios', 'vendor=x'], 'unknown field'],
    [['--fw-cfg', 'name=a'], 'either path= or string='],
    [['--fw-cfg', 'name=a,path=f,string=s'], 'either path= or string='],
    [['--hypervisor', 'geniezone'], 'geniezone is not built yet. '],
    [['--hypervisor', 'sotf'], 'did you mean `soft`?'],
    [['--irqchip', 'splitt'], 'did you mean `split`?'],
    [['--irqchip', 'split[allow-vgic-its]'], '--irqchip: '],
    [['--nested', 'yes'], '--nested: '],
    [['--name', ''], '--name needs a value that is not empty'],
  ])('%j', (args, text) => {
    expect(() => configurationOf(...args)).toThrow(UsageError);
    expect(() => configurationOf(...args)).toThrow(text);
  });

  test('every key that is not built refuses itself, with and without a value', () => {
    for (const option of RUN_OPTIONS) {
      for (const key of option.keys ?? []) {
        if (key.availability.kind !== 'not-built') continue;
        const before =
          option.name === 'cpus' ? '1' : option.keys?.[0]?.name === 'path' ? 'disk.img' : 'stdout';
        for (const text of [key.name, `${key.name}=1`, `${key.name}=[[1]]`]) {
          expect(() => configurationOf(`--${option.name}`, `${before},${text}`), text).toThrow(
            `--${option.name}: ${key.name} is not built yet. ${key.availability.instead}`,
          );
        }
      }
    }
  });

  test('every key in the table is one that the grammar knows', () => {
    for (const option of RUN_OPTIONS) {
      for (const key of option.keys ?? []) {
        try {
          configurationOf(`--${option.name}`, `${key.name}=1`);
        } catch (error) {
          expect(String(error)).not.toContain('unknown field');
        }
      }
    }
  });
});

describe('the rules across options', () => {
  test('the root disk comes with its kernel parameter, after those of the user', () => {
    expect(resolve('-p', 'quiet', '-b', 'a', '-b', 'b,root,ro').params).toEqual([
      'quiet',
      'root=/dev/vdb ro',
    ]);
    expect(resolve('--rwroot', 'a').params).toEqual(['root=/dev/vda rw']);
    expect(resolve('-b', 'a', '--scsi-block', 'b', '--scsi-block', 'c,root').params).toEqual([
      'root=/dev/sdb rw',
    ]);
    expect(resolve('--pmem', 'a', '--pmem', 'b,ro,root').params).toEqual(['root=/dev/pmem1 ro']);
    const disks = Array.from({ length: 26 }, (_, index) => ['-b', `disk${index}`]).flat();
    expect(resolve(...disks, '--rwroot', 'a').params).toEqual(['root=/dev/vdaa rw']);
  });

  test('COM1 is the console on standard input and output unless something else is', () => {
    const summary = (...args: string[]) =>
      resolve(...args).serials.map(({ hardware, num, type, console, stdin }) =>
        [hardware[0], num, type, console ? 'console' : '', stdin ? 'stdin' : '']
          .join(' ')
          .trim()
          .replace(/ +/g, ' '),
      );
    const sinks = ['s 2 sink', 's 3 sink', 's 4 sink'];
    expect(summary()).toEqual(['s 1 stdout console stdin', ...sinks]);
    expect(summary('--serial', 'type=file,path=x,num=1')).toEqual(['s 1 file', ...sinks]);
    expect(summary('--serial', 'sink,num=3')).toEqual(['s 1 stdout console stdin', ...sinks]);
    expect(summary('--serial', 'stdout,hardware=virtio-console,console')).toEqual([
      's 1 sink',
      ...sinks,
      'v 1 stdout console',
    ]);
    expect(summary('--serial', 'sink,num=2,stdin')[0]).toBe('s 1 stdout console');
  });

  test.each<[string[], string, string]>([
    [['-m', '1'], '-m', '1 MiB of memory are too few'],
    [['-m', '9007199254740991'], '-m', 'too many'],
    [['--cpus', '0'], '--cpus', 'from 1 to 254'],
    [['--cpus', '255'], '--cpus', 'from 1 to 254'],
    [['-b', 'a,id=123456789012345678901'], '-b', 'at most 20'],
    [['-b', 'a,id=ééééééééééé'], '-b', '22 bytes'],
    [['-b', 'a,block-size=513'], '-b', 'multiple of 512'],
    [['-b', 'a,block-size=1536'], '-b', 'power of two'],
    [['-b', 'a,root', '-r', 'b'], '-r b', 'only one disk can be the root'],
    [['-b', 'a,root', '--scsi-block', 'b,root'], '--scsi-block', 'only one disk can be the root'],
    [
      ['--scsi-block', 'a,block-size=1024', '--scsi-block', 'b,block-size=1'],
      '--scsi-block b,block-size=1',
      '512',
    ],
    [['--serial', 'stdin', '--serial', 'num=2,stdin'], '--serial num=2,stdin', 'only one console can read'],
    [['--serial', 'earlycon', '--serial', 'num=2,earlycon'], '--serial num=2,earlycon', 'early console'],
    [
      ['--serial', 'stdout', '--serial', 'sink'],
      '--serial sink',
      'two consoles with hardware serial and num 1',
    ],
    [['--serial', 'num=5'], '--serial', 'from 1 to 4'],
    [['--serial', 'num=0'], '--serial', 'from 1 to 4'],
    [['--serial', 'type=file'], '--serial', 'needs a path'],
    [['--serial', 'type=stdout,path=x'], '--serial', 'no use for the path'],
    [['--serial', 'hardware=virtio-console,earlycon'], '--serial', 'only hardware serial'],
    [['--serial', 'input-unix-stream'], '--serial', 'needs type unix-stream'],
    [['--serial', 'stdin,input=x'], '--serial', 'one input'],
    [['--serial', 'hardware=debugcon,out-timestamp'], '--serial', 'only hardware serial writes the time'],
    [['--serial', 'max-queue-sizes=[8,8]'], '--serial', 'only a virtio-console has queues'],
    [['--serial', 'hardware=virtio-console,max-queue-sizes=[8]'], '--serial', 'for input and one for output'],
    [['--serial', 'hardware=virtio-console,max-queue-sizes=[8,12]'], '--serial', 'a power of two from 2'],
    [['--serial', 'hardware=virtio-console,name=a,max-queue-sizes=[8,8]'], '--serial', 'ports of one device'],
    [['--name', '\x1b[2J'], '--name', 'printable'],
    [['-p', 'a\nb'], '-p', 'line break'],
    [['-p', 'x'.repeat(5000)], '-p', 'at most 4096'],
  ])('%j', (args, spelling, text) => {
    const request = runRequest(parseCommandLine(['run', ...args]));
    let error: unknown;
    try {
      validateConfiguration({ kernel: 'Image', ...request.configuration });
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ name: 'ConfigurationError', message: expect.stringContaining(text) });
    const { option, index } = error as { option: 'name'; index: number };
    expect(spellingOf(request, option, index)).toBe(spelling);
  });
});

test('property: any value of any option is either understood or refused as a usage mistake', () => {
  const options = RUN_OPTIONS.filter(({ value, availability }) => {
    return value !== undefined && availability.kind !== 'not-built';
  });
  const piece = fc.constantFrom(
    'path',
    'ro',
    'size',
    'type',
    '=',
    ',',
    '[',
    ']',
    '"',
    "'",
    '\\',
    '0x',
    '7',
    'é',
  );
  const value = fc.oneof(
    fc.string(),
    fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join('')),
  );
  fc.assert(
    fc.property(fc.constantFrom(...options), value, ({ name }, text) => {
      try {
        configurationOf(`--${name}=${text}`);
      } catch (error) {
        expect(error).toBeInstanceOf(UsageError);
      }
    }),
    { numRuns: 1000 },
  );
});
