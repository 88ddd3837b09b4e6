import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type KernelModule, loadOrder, moduleName, modulesAlias, modulesDep } from '../src/modules.ts';

function moduleSet(
  modules: Record<string, { depends?: string[]; softDepends?: string[]; aliases?: string[] }>,
): Map<string, KernelModule> {
  return new Map(
    Object.entries(modules).map(([name, { depends = [], softDepends = [], aliases = [] }]) => [
      name,
      { name, path: `kernel/${name}.ko`, data: new Uint8Array(), depends, softDepends, aliases },
    ]),
  );
}

test('modules.dep lists what is loaded first last, soft dependencies included', () => {
  const modules = moduleSet({
    ext4: { depends: ['jbd2', 'mbcache', 'crc16'], softDepends: ['crypto-crc32c', 'absent'] },
    jbd2: { depends: ['crc16'] },
    mbcache: {},
    crc16: {},
    crc32c_generic: { aliases: ['crypto-crc32c'] },
  });
  expect(modulesDep(modules)).toBe(
    [
      'kernel/crc16.ko:\n',
      'kernel/crc32c_generic.ko:\n',
      'kernel/ext4.ko: kernel/crc32c_generic.ko kernel/mbcache.ko kernel/jbd2.ko kernel/crc16.ko\n',
      'kernel/jbd2.ko: kernel/crc16.ko\n',
      'kernel/mbcache.ko:\n',
    ].join(''),
  );
});

test('modules.alias names the module behind each pattern', () => {
  const modules = moduleSet({
    virtio_rng: { aliases: ['virtio:d00000004v*'] },
    '9p': { aliases: ['fs-9p'] },
  });
  expect(modulesAlias(modules)).toBe('alias fs-9p 9p\nalias virtio:d00000004v* virtio_rng\n');
});

test('names are spelt as the kernel spells them', () => {
  expect(moduleName('kernel/drivers/char/hw_random/virtio-rng.ko.xz')).toBe('virtio_rng');
  expect(moduleName('kernel/fs/9p/9p.ko')).toBe('9p');
});

test('whatever the graph, a module comes behind all that it needs, and once', () => {
  const graph = fc.array(fc.array(fc.nat(11), { maxLength: 4 }), { minLength: 12, maxLength: 12 });
  fc.assert(
    fc.property(graph, (edges) => {
      // Edges to lower numbers only: modules do not need each other in a circle.
      const named = edges.map((needs, index) => [
        `m${index}`,
        { depends: needs.filter((need) => need < index).map((need) => `m${need}`) },
      ]);
      const modules = moduleSet(Object.fromEntries(named));
      for (const name of modules.keys()) {
        const order = loadOrder(modules, name).map((module) => module.name);
        expect(new Set(order).size).toBe(order.length);
        expect(order).not.toContain(name);
        for (const [position, needed] of order.entries()) {
          const before = order.slice(0, position);
          for (const dependency of modules.get(needed)?.depends ?? []) expect(before).toContain(dependency);
        }
        for (const dependency of modules.get(name)?.depends ?? []) expect(order).toContain(dependency);
      }
    }),
  );
});

test('a circle of dependencies ends', () => {
  const modules = moduleSet({ a: { depends: ['b'] }, b: { depends: ['a'] } });
  expect(loadOrder(modules, 'a').map(({ name }) => name)).toEqual(['b']);
});
